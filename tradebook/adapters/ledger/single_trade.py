"""One new trade, its position and its event, written together: on PostgreSQL in one statement.

The statement checks once more that the position is as it was opened, that no pending order waits for this fill,
and that the fill is not recorded; otherwise it writes nothing. SQLite has no such statement, but no second writer
either: there it is three.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from operator import itemgetter
from typing import Any, Final

from attrs import frozen
from sqlalchemy import Connection, Dialect, Engine, Table
from sqlalchemy.pool import PoolProxiedConnection

from tradebook.adapters.engine.connect_errors import sqlstate
from tradebook.adapters.engine.poolers import POOLED
from tradebook.adapters.engine.sqlite import begin_sqlite
from tradebook.adapters.engine.transactions import READ_ONLY
from tradebook.adapters.ledger.pooled_statement import NOT_KEPT, fetch_pooled
from tradebook.adapters.orm import events, positions, trades
from tradebook.adapters.types import bind_processor
from tradebook.domain.positions import MARK, MarkSource
from tradebook.domain.trades import TRADE_COLUMNS

Values = Mapping[str, Any]
"""The fields of a record by name."""
WrittenIds = tuple[int, int | None]
"""The ids of a trade and of its event; SQLite does not return the second."""

_OPENED: Final = ("id", "version", "updated_at", "current_price", "marked_at")
FIXED: Final = ("account", "id", "symbol", "created_at")
"""The columns of a position that no booking changes."""
_POSITION: Final = tuple(c.name for c in positions.c if c.name not in (*FIXED, *MARK))
_EVENT: Final = tuple(c.name for c in events.c if c.name not in ("id", "entity_id"))

PREPARED: Final = "tradebook_booking"
"""The beginning of the prepared statement's name. The rest is a hash of its text: behind a pooler, programs of several
versions share a connection of the server, and none may run another's text."""


@frozen
class Sender:
    """A connection to send statements on; `info` lives as long as the driver's connection."""

    dialect: Dialect
    info: dict[Any, Any]
    send: Callable[[str, Any], Any]
    """Sends a statement with its parameters, and returns its first row, or None."""
    pooled: Any = None
    """The driver's connection, where it is asyncpg's through a pooler and outside transactions."""

    @classmethod
    def from_connection(cls, connection: Connection) -> Sender:
        """Make a sender on a connection of SQLAlchemy, in its transaction."""

        def send(statement: str, parameters: Any) -> Any:
            result = connection.exec_driver_sql(statement, parameters)
            return result.first() if result.returns_rows else None

        return cls(connection.dialect, connection.info, send)


def write_trade(
    sender: Sender,
    opened: Values,
    position: Values,
    trade: Values,
    event: Values,
    *,
    prepared: bool = False,
) -> WrittenIds | None:
    """Write a new trade with its event, and the position that it moved.

    Args:
        sender: the connection to write on.
        opened: the version, time and mark that the position had when it was opened.
        position: the position as it shall be.
        trade: without its id.
        event: without the ids; its payload may be a `JsonText`.
        prepared: leave a prepared statement on the connection, for the next call. Only outside
            transactions: a pooler may give the next call another connection, and the failure of its
            EXECUTE would end the transaction.

    Returns:
        The ids; None, with nothing written, where the check of the statement failed.
    """
    writer = _writer(sender.dialect)
    return writer.write(sender, writer.values(opened, position, trade, event), prepared)


class TradeWriter(ABC):
    """Writes trades on one dialect; its SQL is made of the names of our own tables and columns."""

    def __init__(self, dialect: Dialect, columns: Sequence[str] = TRADE_COLUMNS) -> None:
        """Build the SQL for a dialect."""
        self._dialect = dialect
        self._opened = BoundColumns("o_", positions, _OPENED, dialect)
        self._position = BoundColumns("p_", positions, _POSITION, dialect)
        self._trade = BoundColumns("t_", trades, columns, dialect)
        self._event = BoundColumns("e_", events, _EVENT, dialect)
        groups = (self._opened, self._position, self._trade, self._event)
        self._names = [name for group in groups for name in group.names]

    @abstractmethod
    def write(self, sender: Sender, values: tuple[Any, ...], prepared: bool) -> WrittenIds | None:
        """Write all three records, and return their ids; None when nothing was written."""

    def values(
        self, opened: Values, position: Values, trade: Values, event: Values
    ) -> tuple[Any, ...]:
        """Return the parameters of the statements, in the order of their placeholders."""
        price, marked_at = position["current_price"], position["marked_at"]
        if (price, marked_at) == (opened["current_price"], opened["marked_at"]):
            price = marked_at = None  # no new mark
        key = [position["id"], opened["version"], opened["updated_at"], price, marked_at]
        return (
            *self._opened.processed(key),
            *self._position.bound(position),
            *self._trade.bound(trade),
            *self._event.bound(event),
        )

    def insert_trade_sql(self, source: str) -> str:
        """Return the INSERT of the trade, if `source` has a row and no order is pending; it returns the id."""
        same_order = " AND ".join(
            f"{name} = {self._placeholder(self._trade, name)}"
            for name in ("account", "symbol", "venue", "order_id")
        )
        return (
            f"INSERT INTO trades ({', '.join(self._trade.columns)}) SELECT {self._placeholders(self._trade)} "  # noqa: S608
            f"FROM {source} NOT EXISTS (SELECT 1 FROM trades WHERE {same_order} AND status = 'PENDING') ON CONFLICT DO NOTHING RETURNING id"
        )

    def update_position_sql(self, source: str) -> str:
        """Return the UPDATE of the position; it sets the mark where `Mark.is_replaced_by` says so."""
        changes = [f"{name} = {self._placeholder(self._position, name)}" for name in _POSITION]
        marked_at = self._placeholder(self._opened, "marked_at")
        is_newer = (
            f"positions.marked_at IS NULL OR positions.marked_at < {marked_at} "
            f"OR (positions.marked_at = {marked_at} AND positions.mark_source = '{MarkSource.TRADE}')"
        )
        for name in MARK:
            is_source = name == "mark_source"
            new = f"'{MarkSource.TRADE}'" if is_source else self._placeholder(self._opened, name)
            changes.append(f"{name} = CASE WHEN {is_newer} THEN {new} ELSE positions.{name} END")
        return f"UPDATE positions SET {', '.join(changes)} {source} {self._is_position}"  # noqa: S608

    def insert_event_sql(self, trade_id: str, source: str) -> str:
        """Return the INSERT of the event of the trade with this id."""
        return (
            f"INSERT INTO events ({', '.join(_EVENT)}, entity_id) "
            f"SELECT {self._placeholders(self._event)}, {trade_id} {source}"
        )

    @property
    def _is_position(self) -> str:
        # By id and symbol: with either alone, a planner without statistics may read a whole index.
        return (
            f"WHERE positions.account = {self._placeholder(self._trade, 'account')} "
            f"AND positions.symbol = {self._placeholder(self._trade, 'symbol')} "
            f"AND positions.id = {self._placeholder(self._opened, 'id')}"
        )

    @property
    def is_as_opened(self) -> str:
        """The WHERE clause that finds the position unless another writer changed it since it was opened."""
        # The time too: a database restored from a backup could have the version, but of other trades.
        return (
            f"{self._is_position} AND version = {self._placeholder(self._opened, 'version')} "
            f"AND updated_at = {self._placeholder(self._opened, 'updated_at')}"
        )

    def _placeholders(self, group: BoundColumns) -> str:
        return ", ".join(self._placeholder(group, name) for name in group.columns)

    def _placeholder(self, group: BoundColumns, name: str) -> str:
        number = self._names.index(group.prefix + name) + 1
        if self._dialect.name == "sqlite":
            return f"?{number}"
        return (
            f"${number}::{self._dialect.type_compiler_instance.process(group.table.c[name].type)}"
        )


class BoundColumns:
    """Some columns of a table, whose values are made ready for a driver as prefixed parameters."""

    def __init__(self, prefix: str, table: Table, columns: Sequence[str], dialect: Dialect) -> None:
        """Find the columns' bind processors."""
        self.prefix, self.table, self.columns = prefix, table, columns
        self.names = [prefix + name for name in columns]
        self._pick = itemgetter(*columns)
        processors = enumerate(bind_processor(table.c[name], dialect) for name in columns)
        self._processors = [(place, process) for place, process in processors if process]

    def bound(self, values: Values) -> list[Any]:
        """Return a record's values of these columns as the driver takes them."""
        return self.processed(list(self._pick(values)))

    def processed(self, values: list[Any]) -> list[Any]:
        """Replace the values in a list by what the driver takes, and return the list."""
        for place, process in self._processors:
            values[place] = process(values[place])
        return values


class _OneStatement(TradeWriter):
    """PostgreSQL by asyncpg, which prepares statements itself."""

    def __init__(self, dialect: Dialect, columns: Sequence[str] = TRADE_COLUMNS) -> None:
        """Build the SQL for a dialect."""
        super().__init__(dialect, columns)
        self.statement = (
            f"WITH opened AS (SELECT id FROM positions {self.is_as_opened} FOR UPDATE), "  # noqa: S608
            f"trade AS ({self.insert_trade_sql('opened WHERE')}), "
            f"moved AS ({self.update_position_sql('FROM trade')}), "
            f"event AS ({self.insert_event_sql('trade.id', 'FROM trade')} RETURNING id) "
            "SELECT trade.id, event.id FROM trade, event"
        )
        self.name = f"{PREPARED}_{sha256(self.statement.encode()).hexdigest()[:16]}"

    def write(self, sender: Sender, values: tuple[Any, ...], prepared: bool) -> WrittenIds | None:
        row = self.send(sender, values, prepared)
        return None if row is None else (row[0], row[1])

    def send(self, sender: Sender, values: tuple[Any, ...], prepared: bool) -> Any:
        """Send the statement, and return its row."""
        if prepared and sender.pooled is not None:
            return fetch_pooled(sender.pooled, sender.info, self.name, self.statement, values)
        return sender.send(self.statement, values)


class _Prepared(_OneStatement):
    """PostgreSQL by psycopg2, which does not prepare statements by itself."""

    def __init__(self, dialect: Dialect, columns: Sequence[str] = TRADE_COLUMNS) -> None:
        """Build the SQL for a dialect."""
        super().__init__(dialect, columns)
        names = [f"%({name})s" for name in self._names]
        self._plain = re.sub(r"\$(\d+)", lambda n: names[int(n[1]) - 1], self.statement)
        self._prepare = f"PREPARE {self.name} AS {self.statement}"
        self._execute = f"EXECUTE {self.name} ({', '.join(['%s'] * len(names))})"
        self._can_prepare = True

    def send(self, sender: Sender, values: tuple[Any, ...], prepared: bool) -> Any:
        if not (prepared and self._can_prepare):
            return sender.send(self._plain, dict(zip(self._names, values, strict=True)))
        if POOLED in sender.info:
            return self._send_pooled(sender, values)
        try:
            if PREPARED not in sender.info:
                sender.send(self._prepare, None)
                sender.info[PREPARED] = True
            return sender.send(self._execute, values)
        except Exception as error:
            # A pooler between us and the server runs each statement on another connection.
            if sqlstate(getattr(error, "orig", error)) in NOT_KEPT:
                self._can_prepare = False
            raise

    def _send_pooled(self, sender: Sender, values: tuple[Any, ...]) -> Any:
        """Execute the statement on whichever connection of the server it meets, prepared there if need be.

        Where the name is missing or taken, nothing was written. A taken one has the same text, and whoever
        prepared it is a program of the same version.
        """
        both = f"{self._prepare}; {self._execute}"
        for text in (self._execute, both) * 2:
            try:
                return sender.send(text, values)
            except Exception as error:
                if sqlstate(getattr(error, "orig", error)) not in NOT_KEPT:
                    raise
        return sender.send(self._plain, dict(zip(self._names, values, strict=True)))


class _ThreeStatements(TradeWriter):
    """SQLite, inside a transaction that began with BEGIN IMMEDIATE."""

    def __init__(self, dialect: Dialect, columns: Sequence[str] = TRADE_COLUMNS) -> None:
        """Build the SQL for a dialect."""
        super().__init__(dialect, columns)
        self.insert_trade = self.insert_trade_sql(f"positions {self.is_as_opened} AND")
        self._update_position = self.update_position_sql("")
        self._insert_event = self.insert_event_sql(f"?{len(self._names) + 1}", "")
        # The driver refuses more values than the highest number of a placeholder.
        self._trade_values = _highest_number(self.insert_trade)
        self._position_values = _highest_number(self._update_position)

    def write(self, sender: Sender, values: tuple[Any, ...], _prepared: bool) -> WrittenIds | None:
        row = sender.send(self.insert_trade, values[: self._trade_values])
        if row is None:
            return None
        sender.send(self._update_position, values[: self._position_values])
        sender.send(self._insert_event, (*values, row[0]))
        return row[0], None


def _highest_number(statement: str) -> int:
    return max(map(int, re.findall(r"\?(\d+)", statement)))


WRITERS: Final[dict[str, type[TradeWriter]]] = {
    "asyncpg": _OneStatement,
    "psycopg2": _Prepared,
    "pysqlite": _ThreeStatements,
    "aiosqlite": _ThreeStatements,
}
"""By driver."""
_writers: Final[dict[str, TradeWriter]] = {}


def _writer(dialect: Dialect) -> TradeWriter:
    writer = _writers.get(dialect.driver)
    if writer is None:
        writer = _writers[dialect.driver] = WRITERS[dialect.driver](dialect)
    return writer


@contextmanager
def autocommit(engine: Engine) -> Iterator[Sender]:
    """Check out a connection that commits each statement; on SQLite it commits once, when the block ends."""
    if engine.dialect.name == "sqlite":
        if _is_observed(engine):
            with engine.begin() as connection:
                yield Sender.from_connection(connection)
        else:
            with _driver_connection(engine) as sender:
                begin_sqlite(sender.info, lambda text: sender.send(text, ()), read_only=False)
                yield sender
                sender.send("COMMIT", ())
    elif _is_observed(engine):
        with (
            engine.connect() as connection,
            _driver_autocommit(engine, connection.connection, connection),
        ):
            yield Sender.from_connection(connection)
    else:
        with _driver_connection(engine) as sender:
            yield sender


def _is_observed(engine: Engine) -> bool:
    listening = engine.dispatch
    return bool(engine.echo or listening.before_cursor_execute or listening.after_cursor_execute)


@contextmanager
def _driver_connection(engine: Engine) -> Iterator[Sender]:
    connection = engine.raw_connection()
    try:
        with _driver_autocommit(engine, connection, connection):
            cursor = connection.cursor()

            def send(statement: str, parameters: Any) -> Any:
                cursor.execute(statement, parameters)
                return cursor.fetchone() if cursor.description else None

            pooled = engine.dialect.is_async and connection.info.get(POOLED) == ""
            driver = connection.dbapi_connection if pooled else None
            yield Sender(engine.dialect, connection.info, send, driver)
            cursor.close()
    finally:
        connection.close()


@contextmanager
def _driver_autocommit(
    engine: Engine, connection: PoolProxiedConnection, owner: Connection | PoolProxiedConnection
) -> Iterator[None]:
    """Switch the driver to autocommit inside the block; after any failure the connection is discarded."""
    driver: Any = connection.dbapi_connection
    # Through a pooler asyncpg sends BEGIN all the same where the connection has limits, which travel with it.
    commits = engine.dialect.is_async and bool(connection.info.get(POOLED))
    try:
        if engine.dialect.driver == "psycopg2":
            # Reset the READ ONLY state that a reader left: otherwise psycopg2 sends SET before the statement
            # and RESET after it, two extra round trips.
            driver.set_session(isolation_level="DEFAULT", readonly="DEFAULT")
            # The pool resets autocommit where an exception that is thrown into the thread skips this block's end.
            connection.info[READ_ONLY] = True
        if engine.dialect.name == "postgresql" and not commits:
            driver.autocommit = True  # a flag of the driver: no round trip, and no BEGIN and COMMIT
        yield
        if commits:
            driver.commit()
        elif engine.dialect.name == "postgresql":
            driver.autocommit = False
            connection.info.pop(READ_ONLY, None)
    except BaseException:
        if connection.is_valid:  # not closed already, where an exception was thrown into `__exit__`
            owner.invalidate()
        raise
