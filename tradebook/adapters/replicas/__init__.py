"""Reads on standbys that are never stale: what was written, how far each standby is, and which one a read goes to."""
