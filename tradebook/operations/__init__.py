"""What runs a book in production: migrate, secure, watch, back up, restore."""
