"""Explanations of the book: what led to a trade, who earned what, how good decisions were, what they could know."""
