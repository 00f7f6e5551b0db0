"""Lineage: trees of what led to a record, what it led to, and what it earned."""
