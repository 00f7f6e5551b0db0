"""Commands that read and change the book."""
