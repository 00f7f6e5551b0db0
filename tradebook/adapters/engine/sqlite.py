"""What a connection to SQLite is given: durability, exact sums and the order of decimals."""

from __future__ import annotations

import sqlite3
from decimal import Decimal
from typing import Any, Final
from weakref import WeakSet

from sqlalchemy import Engine, event

from tradebook.adapters.types import DECIMAL_COLLATION, DECIMAL_SUM
from tradebook.config import DatabaseConfig
from tradebook.domain.errors import DatabaseCorrupt
from tradebook.domain.numbers import EXACT, ZERO, plain

_BUSY_SECONDS: Final = 10


def arguments(config: DatabaseConfig) -> dict[str, Any]:
    """What the driver is called with."""
    wait = _BUSY_SECONDS if config.lock_timeout is None else config.lock_timeout / 1000
    # No transaction control by the driver: the "begin" event says how to begin.
    return {"factory": _Connection, "isolation_level": None, "timeout": wait}


def prepare(engine: Engine, config: DatabaseConfig) -> None:
    """Prepare each connection; keep a database in memory until the engine is disposed of."""
    event.listen(engine, "connect", _prepare)
    if config.is_in_memory:
        _anchor(engine)


def _prepare(connection: Any, _record: object) -> None:
    if isinstance(connection, sqlite3.Connection):
        _set_up(connection)
    else:  # aiosqlite: its sqlite3 connection belongs to its own thread
        connection.run_async(lambda c: c._execute(_set_up, c._conn))


def _set_up(connection: sqlite3.Connection) -> None:
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        try:
            connection.execute(f"PRAGMA {pragma}").close()
        except UnicodeDecodeError as error:  # SQLite quotes what it cannot read
            raise DatabaseCorrupt("its schema is no text") from error
    connection.create_aggregate(DECIMAL_SUM, 1, _DecimalSum)
    connection.create_collation(DECIMAL_COLLATION, _compare_decimals)


class _Connection(sqlite3.Connection):
    """Closing it ends its statements.

    One that was cancelled would keep its locks for as long as something refers to the cancellation.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._cursors: WeakSet[sqlite3.Cursor] = WeakSet()

    def cursor(self, *args: Any, **options: Any) -> Any:
        cursor = super().cursor(*args, **options)
        self._cursors.add(cursor)
        return cursor

    def close(self) -> None:
        for cursor in list(self._cursors):
            cursor.close()
        super().close()


class _DecimalSum:
    """SQLite's exact sum of decimals kept as text; NULL of none, as SQL's own."""

    def __init__(self) -> None:
        self._sum: Decimal | None = None

    def step(self, value: Any) -> None:
        if value is not None:
            self._sum = EXACT.add(self._sum or ZERO, Decimal(value))

    def finalize(self) -> Any:
        return None if self._sum is None else plain(self._sum)


def _compare_decimals(left: str, right: str) -> int:
    a, b = Decimal(left), Decimal(right)
    return (a > b) - (a < b)


def _anchor(engine: Engine) -> None:
    """Keep one connection open, or a database in memory ends with the last of the pool's."""
    anchors: list[sqlite3.Connection] = []

    def hold(_connection: object, _record: object) -> None:
        if not anchors:
            name = f"{engine.url.database}?vfs=memdb"
            anchors.append(sqlite3.connect(name, uri=True, check_same_thread=False))

    def release(_engine: Engine) -> None:
        while anchors:
            anchors.pop().close()

    event.listen(engine, "connect", hold)
    event.listen(engine, "engine_disposed", release)
