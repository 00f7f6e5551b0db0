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
from tradebook.adapters.ledger.decision_sql import CAN_BE_TAKEN, changed_fields
from tradebook.adapters.ledger.pooled_statement import NOT_KEPT, fetch_pooled
from tradebook.adapters.ledger.trade_sql import MOVED, OPENED, TOLD, Columns, TradeSql
from tradebook.adapters.orm import events, positions, trades
from tradebook.adapters.types import bind_processor
from tradebook.domain.trades import TRADE_COLUMNS

Values = Mapping[str, Any]
"""The fields of a record by name."""
WrittenIds = tuple[int, int | None]
"""The ids of a trade and of its event; SQLite does not return the second."""

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
    with_decision: bool = False,
    prepared: bool = False,
) -> WrittenIds | None:
    """Write a new trade with its event, and the position that it moved.

    Args:
        sender: the connection to write on.
        opened: the version, time and mark that the position had when it was opened.
        position: the position as it shall be.
        trade: without its id.
        event: without the ids; its payload may be a `JsonText`.
        with_decision: execute the trade's decision too, and write the event of that, where it is undecided.
        prepared: leave a prepared statement on the connection, for the next call. Only outside
            transactions: a pooler may give the next call another connection, and the failure of its
            EXECUTE would end the transaction.

    Returns:
        The ids; None, with nothing written, where the check of the statement failed.
    """
    writer = _writer(sender.dialect, with_decision)
    return writer.write(sender, writer.values(opened, position, trade, event), prepared)


class TradeWriter(TradeSql, ABC):
    """Writes trades on one dialect."""

    _opened: BoundColumns
    _position: BoundColumns
    _trade: BoundColumns
    _event: BoundColumns

    def __init__(
        self,
        dialect: Dialect,
        columns: Sequence[str] = TRADE_COLUMNS,
        *,
        with_decision: bool = False,
    ) -> None:
        """Build the SQL for a dialect."""
        super().__init__(
            dialect,
            BoundColumns("o_", positions, OPENED, dialect),
            BoundColumns("p_", positions, MOVED, dialect),
            BoundColumns("t_", trades, columns, dialect),
            BoundColumns("e_", events, TOLD, dialect),
            with_decision=with_decision,
        )
        self._with_decision = with_decision
        self._build()

    @abstractmethod
    def _build(self) -> None:
        """Build the statements."""

    @abstractmethod
    def write(self, sender: Sender, values: tuple[Any, ...], prepared: bool) -> WrittenIds | None:
        """Write all records, and return the ids of trade and event; None when nothing was written."""

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
            *((changed_fields(event["created_at"]),) if self._with_decision else ()),
        )


class BoundColumns(Columns):
    """Columns whose values are made ready for a driver."""

    def __init__(self, prefix: str, table: Table, columns: Sequence[str], dialect: Dialect) -> None:
        """Find the columns' bind processors."""
        super().__init__(prefix, table, columns)
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

    def _build(self) -> None:
        found, checked = "opened", ""
        decision = executed = ""
        if self._with_decision:
            # After the position, the order in which everything else locks the two.
            decision = f"decision AS ({self.select_decision_sql('opened, ')} FOR NO KEY UPDATE OF agent_decisions), "
            found, checked = "opened, decision", f"{CAN_BE_TAKEN} AND"
            executed = (
                f", moved_decision AS ({self.execute_decision_sql('decision', 'FROM trade, decision')})"
                f", decision_event AS ({self.insert_decision_event_sql('trade.id', 'trade, event, decision')})"
            )
        self.statement = (
            f"WITH opened AS (SELECT id FROM positions {self.is_as_opened} FOR UPDATE), {decision}"  # noqa: S608
            f"trade AS ({self.insert_trade_sql(f'{found} WHERE {checked}')}), "
            f"moved AS ({self.update_position_sql('FROM trade')}), "
            f"event AS ({self.insert_event_sql('trade.id', 'FROM trade')} RETURNING id){executed} "
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

    def _build(self) -> None:
        super()._build()
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
            if self.name not in sender.info:
                sender.send(self._prepare, None)
                sender.info[self.name] = True
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

    def _build(self) -> None:
        checked = ""
        executed: tuple[str, ...] = ()
        trade_id = f"?{len(self._names) + 1}"
        if self._with_decision:
            # With LIMIT the record is looked up once; flattened, once for each use.
            decision = f"({self.select_decision_sql()} LIMIT 1) AS decision"
            checked = f"AND EXISTS (SELECT 1 FROM {decision} WHERE {CAN_BE_TAKEN})"  # noqa: S608
            executed = (
                self.insert_decision_event_sql(trade_id, decision),
                self.execute_decision_sql("agent_decisions"),
            )
        self.insert_trade = self.insert_trade_sql(f"positions {self.is_as_opened} {checked} AND")
        after = (self.update_position_sql(""), self.insert_event_sql(trade_id, ""))
        # The driver refuses more values than the highest number of a placeholder.
        self._trade_values = _highest_number(self.insert_trade)
        self._after = [(text, _highest_number(text)) for text in (*after, *executed)]

    def write(self, sender: Sender, values: tuple[Any, ...], _prepared: bool) -> WrittenIds | None:
        row = sender.send(self.insert_trade, values[: self._trade_values])
        if row is None:
            return None
        values = (*values, row[0])
        for statement, count in self._after:
            sender.send(statement, values[:count])
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
_writers: Final[dict[tuple[str, bool], TradeWriter]] = {}


def _writer(dialect: Dialect, with_decision: bool) -> TradeWriter:
    key = (dialect.driver, with_decision)
    writer = _writers.get(key)
    if writer is None:
        kind = WRITERS[dialect.driver]
        writer = _writers[key] = kind(dialect, with_decision=with_decision)
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
