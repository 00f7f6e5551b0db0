"""Engines for SQLite: durability, transactions that begin as writers or readers, exact decimals."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from decimal import Decimal
from typing import Any, Final
from weakref import WeakSet

from sqlalchemy import Connection, Engine, event
from typing_extensions import override

from tradebook.adapters.engine.transactions import READ_ONLY
from tradebook.adapters.types import DECIMAL_COLLATION, DECIMAL_SUM, ExactCompiler
from tradebook.config import DatabaseConfig
from tradebook.domain.errors import DatabaseCorrupt
from tradebook.domain.numbers import EXACT, ZERO, plain

_BUSY_SECONDS: Final = 10
_IS_FOREIGN: Final = (
    "SELECT count(*) > 0 AND total(name IN ('positions', 'agent_decisions')) = 0 "
    "FROM sqlite_master WHERE type = 'table'"
)
"""Tells whether a file has tables, and none of a book's."""


def arguments(config: DatabaseConfig) -> dict[str, Any]:
    """Return the driver's arguments for a configuration."""
    wait = _BUSY_SECONDS if config.lock_timeout is None else config.lock_timeout / 1000
    # isolation_level=None: the driver would begin deferred transactions; `_begin` begins them instead.
    return {"factory": _Connection, "isolation_level": None, "timeout": wait}


def prepare(engine: Engine, config: DatabaseConfig) -> None:
    """Set up an engine's compiler, connections and transactions."""
    engine.dialect.statement_compiler = ExactCompiler  # of this engine alone
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    event.listen(engine, "reset", _reset)
    if config.is_in_memory:
        _anchor(engine)


def _prepare(connection: Any, _record: object) -> None:
    if isinstance(connection, sqlite3.Connection):
        _set_up(connection)
    else:  # aiosqlite: its sqlite3 connection belongs to its own thread
        connection.run_async(lambda c: c._execute(_set_up, c._conn))


def _set_up(connection: sqlite3.Connection) -> None:
    try:
        # The journal's mode is kept in the file: that of another program's is left alone.
        foreign = connection.execute(_IS_FOREIGN).fetchone()[0]
        for pragma in (
            *("journal_mode=WAL",) * (not foreign),
            "synchronous=FULL",
            "foreign_keys=ON",
        ):
            connection.execute(f"PRAGMA {pragma}").close()
    except UnicodeDecodeError as error:  # SQLite's message quotes bytes that are not UTF-8
        raise DatabaseCorrupt("its schema is no text") from error
    connection.create_aggregate(DECIMAL_SUM, 1, _DecimalSum)
    connection.create_collation(DECIMAL_COLLATION, _compare_decimals)


def _begin(connection: Connection) -> None:
    read_only = bool(connection.get_execution_options().get(READ_ONLY))
    begin_sqlite(connection.info, connection.exec_driver_sql, read_only=read_only)


def begin_sqlite(
    info: MutableMapping[Any, Any], send: Callable[[str], object], *, read_only: bool
) -> None:
    """Begin a transaction; one that writes takes the write lock now.

    A deferred transaction could fail at its first write, when another writer committed since its
    first read; at BEGIN IMMEDIATE writers queue, and waiting is safe. `info` is the dictionary that
    lasts as long as the driver's connection.
    """
    if info.pop(READ_ONLY, None) is not read_only:
        send(f"PRAGMA query_only={'ON' if read_only else 'OFF'}")
    info[READ_ONLY] = read_only
    send("BEGIN" if read_only else "BEGIN IMMEDIATE")


def _reset(connection: Any, _record: object, _state: object) -> None:
    # A COMMIT that finds the database busy leaves its transaction open; SQLAlchemy takes it for ended.
    if getattr(connection, "driver_connection", connection).in_transaction:
        connection.rollback()


class _PrivateFile(sqlite3.Connection):
    """A connection that creates a new database file for its owner alone; SQLite would follow the umask."""

    def __init__(self, database: Any, **options: Any) -> None:
        """Take what `sqlite3.Connection` takes."""
        if not options.get("uri"):
            with suppress(OSError):  # it exists; or SQLite says why it cannot be created
                flags = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                os.close(os.open(database, flags, 0o600))
        super().__init__(database, **options)


class _Connection(_PrivateFile):
    """A connection whose transaction ends when it is closed.

    SQLite keeps a closed connection, with its write lock, for as long as a cursor of it has rows
    left; the traceback of an error may refer to such a cursor.
    """

    @override
    def close(self) -> None:
        with suppress(sqlite3.Error):  # closed already, or the file is gone: it holds no lock
            self.rollback()
        super().close()


class CancellableConnection(_PrivateFile):
    """A connection of aiosqlite's that closes its cursors with it.

    A task that is cancelled leaves its cursor in the middle of a statement, which holds a lock for
    as long as something refers to the cancellation.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        """Take what `sqlite3.Connection` takes."""
        super().__init__(*args, **options)
        self._cursors: WeakSet[sqlite3.Cursor] = WeakSet()

    @override
    def cursor(self, *args: Any, **options: Any) -> Any:
        cursor = super().cursor(*args, **options)
        self._cursors.add(cursor)
        return cursor

    @override
    def close(self) -> None:
        for cursor in list(self._cursors):
            cursor.close()
        super().close()


class _DecimalSum:
    """SQLite's exact sum of decimals kept as text; NULL without values, as SQL's own."""

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
    """Keep one connection open: a database in memory ends with its last connection."""
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
