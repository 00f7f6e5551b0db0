"""Cursors of psycopg2 whose transactions begin with limits of their own."""

from __future__ import annotations

from typing import Any

from psycopg2 import extensions
from typing_extensions import override


def limited_cursor(limits: str) -> type[extensions.cursor]:
    """Make a class of cursors for a connection through a pooler.

    Args:
        limits: statements that are sent with the first one of each transaction.
    """

    class LimitedCursor(extensions.cursor):  # type: ignore[misc]
        @override
        def execute(self, query: Any, vars: Any = None) -> None:
            if self._is_first:
                if isinstance(query, str) and self.name is None:
                    query = limits + query
                else:
                    self._set_limits()
            super().execute(query, vars)

        @override
        def executemany(self, query: Any, vars_list: Any) -> None:
            self._set_limits()
            super().executemany(query, vars_list)

        @override
        def copy_expert(self, sql: Any, file: Any, size: int = 8192) -> None:
            self._set_limits()
            super().copy_expert(sql, file, size)

        @property
        def _is_first(self) -> bool:
            status = self.connection.info.transaction_status
            return bool(status == extensions.TRANSACTION_STATUS_IDLE)

        def _set_limits(self) -> None:
            if self._is_first and not self.connection.autocommit:
                with self.connection.cursor(cursor_factory=extensions.cursor) as plain:
                    plain.execute(limits)

    return LimitedCursor
