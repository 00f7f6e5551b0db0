"""Operations of a book in production: migrations, security, monitoring, backup and restore."""

from __future__ import annotations
