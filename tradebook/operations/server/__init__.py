"""PostgreSQL servers and their programs: found, started, connected to."""
