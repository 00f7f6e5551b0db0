"""The ledger on SQL: one trade in a single statement, or many by COPY."""
