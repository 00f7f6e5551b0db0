"""The functions that applications call: handlers, queries and verification, in a unit of work."""
