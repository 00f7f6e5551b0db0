"""Commands that run a book in production."""
