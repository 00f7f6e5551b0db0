"""Run PostgreSQL servers and their programs: find, start, stop and connect to them."""
