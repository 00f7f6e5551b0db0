"""Database roles and their privileges, row-level security, and the log of accesses."""
