"""Attribution: who earned what, in rows that add up to the book."""
