"""Repositories on a SQLAlchemy session."""
