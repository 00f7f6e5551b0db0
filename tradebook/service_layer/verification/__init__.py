"""Proofs of the book: verify, the check of seals, and what they fold."""
