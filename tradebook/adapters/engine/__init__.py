"""Engines, pools, drivers and what SQLite and PostgreSQL need of them."""
