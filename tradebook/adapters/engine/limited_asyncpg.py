"""A connection of asyncpg whose transactions begin with limits of their own."""

from __future__ import annotations

from typing import Any

import asyncpg
from typing_extensions import override


class LimitedConnection(asyncpg.Connection):  # type: ignore[misc]
    """A connection through a pooler.

    Attributes:
        limits: statements that are sent with each BEGIN.
    """

    limits = ""

    @override
    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:
        if query.startswith("BEGIN") and not args:
            query += f" {self.limits}"
        status: str = await super().execute(query, *args, timeout=timeout)
        return status
