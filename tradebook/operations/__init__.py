"""What runs a book in production: migrate, secure, watch, back up, restore."""

from __future__ import annotations
