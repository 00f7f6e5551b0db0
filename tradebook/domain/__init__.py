"""The book's rules, in plain attrs and the standard library: no database, no framework."""

from __future__ import annotations
