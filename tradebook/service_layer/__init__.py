"""What applications call: handlers, queries and verification, inside a unit of work."""
