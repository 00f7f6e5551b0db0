"""Roles, privileges, row-level security and the log of accesses."""
