"""Migrations of the schema, and the comparison of a database with it."""
