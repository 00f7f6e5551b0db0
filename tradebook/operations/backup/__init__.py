"""Backups of a book, and what proves that they can be restored."""
