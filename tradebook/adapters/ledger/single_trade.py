"""One new trade, its position and its event, written together: on PostgreSQL in one statement.

It asks once more whether the page stands: the position is as it was when the page was opened, no order
waits to be taken over, the fill is not recorded. Otherwise it writes nothing. On SQLite, which has no such
statement, but no second writer either, it is three.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Column, Dialect

from tradebook.adapters.ledger.raw_sql import Sender
from tradebook.adapters.orm import events, positions, trades
from tradebook.adapters.types import EnumText, ExactDecimal, UtcDateTime
from tradebook.domain.entity import Entity
from tradebook.domain.events import Event
from tradebook.domain.trades import Trade
from tradebook.service_layer.ports.ledger import OpenPosition

_MARK: Final = ("current_price", "marked_at")
_FIXED: Final = ("account", "id", "symbol", "created_at")
_TRADE: Final = [column for column in trades.c if column.name != "id"]
_EVENT: Final = [column for column in events.c if column.name not in ("id", "entity_id")]
_POSITION: Final = [c for c in positions.c if c.name not in (*_FIXED, *_MARK)]
_PAGE: Final = [positions.c[name] for name in ("id", "version", "updated_at", *_MARK)]

PREPARED: Final = "tradebook_booking"
_NOT_KEPT: Final = ("26000", "42P05")
"""No such prepared statement; there is one already."""

Values = tuple[Any, ...]
Processor = Callable[[Any], Any]


def book_one(
    sender: Sender,
    page: OpenPosition,
    trade: Trade,
    event: Event,
    *,
    prepared: bool = False,
) -> bool:
    """Write a new trade with its event, and the position that it moved.

    Args:
        sender: where to write.
        page: the position as it shall be, and as it was when the page was opened.
        trade: gets its id.
        event: gets its id, and the trade's.
        prepared: may leave a prepared statement on its connection, for the next one; not where a failure
            would end a transaction.

    Returns:
        False when the page no longer stands; nothing was written then.
    """
    writer = _writer(sender.dialect)
    return writer.write(sender, writer.values(page, trade, event), trade, event, prepared)


class _Writer(ABC):
    """What one dialect is sent, and in which form; the texts are made of names of ours alone."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._page = _Values("o_", _PAGE, dialect)
        self._position = _Values("p_", _POSITION, dialect)
        self._trade = _Values("t_", _TRADE, dialect)
        self._event = _Values("e_", _EVENT, dialect)
        groups = (self._page, self._position, self._trade, self._event)
        self._names = [name for group in groups for name in group.names]

    @abstractmethod
    def write(
        self, sender: Sender, values: Values, trade: Trade, event: Event, prepared: bool
    ) -> bool:
        """Write all three, and give them their ids; False when nothing was written."""

    def values(self, page: OpenPosition, trade: Trade, event: Event) -> Values:
        """What the statements are given, in the order of the names."""
        position = page.position
        mark = (position.current_price, position.marked_at)
        price, at = mark if mark != page.mark else (None, None)
        return (
            *self._page.processed([position.id, page.version, page.updated_at, price, at]),
            *self._position.of(position),
            *self._trade.of(trade),
            *self._event.of(event),
        )

    def place(self, prefix: str, column: Column[Any]) -> str:
        """The placeholder of a column's value."""
        number = self._names.index(prefix + column.name) + 1
        if self._dialect.name == "sqlite":
            return f"?{number}"
        return f"${number}::{self._dialect.type_compiler_instance.process(column.type)}"

    def new_trade(self, source: str) -> str:
        """Inserts the trade where there is a row of `source`, gives its id."""
        same = " AND ".join(
            f"{name} = {self.place('t_', trades.c[name])}"
            for name in ("account", "symbol", "venue", "order_id")
        )
        return (
            f"INSERT INTO trades ({_names(_TRADE)}) SELECT {self._places('t_', _TRADE)} "  # noqa: S608
            f"FROM {source} NOT EXISTS (SELECT 1 FROM trades WHERE {same} AND status = 'PENDING') ON CONFLICT DO NOTHING RETURNING id"
        )

    def moved(self, source: str) -> str:
        """Updates the position; its mark only where the fill made one, and there is no later one."""
        changed = [f"{c.name} = {self.place('p_', c)}" for c in _POSITION]
        at = self.place("o_", positions.c.marked_at)
        for name in _MARK:
            column = f"positions.{name}"
            given = self.place("o_", positions.c[name])
            is_later = f"positions.marked_at IS NULL OR positions.marked_at <= {at}"
            changed.append(f"{name} = CASE WHEN {is_later} THEN {given} ELSE {column} END")
        return f"UPDATE positions SET {', '.join(changed)} {source} {self.this_position}"  # noqa: S608

    def told(self, trade_id: str, source: str) -> str:
        """Inserts the event."""
        return (
            f"INSERT INTO events ({_names(_EVENT)}, entity_id) "
            f"SELECT {self._places('e_', _EVENT)}, {trade_id} {source}"
        )

    @property
    def this_position(self) -> str:
        """By its key; the symbol too, so that one row of an index is read, whatever the statistics."""
        return (
            f"WHERE positions.account = {self.place('t_', trades.c.account)} "
            f"AND positions.symbol = {self.place('t_', trades.c.symbol)} "
            f"AND positions.id = {self.place('o_', positions.c.id)}"
        )

    @property
    def as_opened(self) -> str:
        """The position, if it is as it was when the page was opened."""
        return (
            f"{self.this_position} AND version = {self.place('o_', positions.c.version)} "
            f"AND updated_at = {self.place('o_', positions.c.updated_at)}"
        )

    def _places(self, prefix: str, columns: list[Column[Any]]) -> str:
        return ", ".join(self.place(prefix, column) for column in columns)


class _Values:
    """The values of some columns, as a dialect takes them.

    Args:
        prefix: of their names.
        columns: fields of one entity.
        dialect: of the database and its driver.
    """

    def __init__(self, prefix: str, columns: list[Column[Any]], dialect: Dialect) -> None:
        self.names = [prefix + column.name for column in columns]
        self._held = itemgetter(*(column.name for column in columns))
        processors = enumerate(_processor(column, dialect) for column in columns)
        self._processors = [(place, process) for place, process in processors if process]

    def of(self, entity: Entity) -> list[Any]:
        """Those that an entity holds."""
        return self.processed(list(self._held(vars(entity))))

    def processed(self, values: list[Any]) -> list[Any]:
        """The same list, its values as the dialect takes them."""
        for place, process in self._processors:
            values[place] = process(values[place])
        return values


class _OneStatement(_Writer):
    """PostgreSQL."""

    def __init__(self, dialect: Dialect) -> None:
        super().__init__(dialect)
        self._statement = (
            f"WITH page AS (SELECT id FROM positions {self.as_opened} FOR UPDATE), "  # noqa: S608
            f"trade AS ({self.new_trade('page WHERE')}), "
            f"moved AS ({self.moved('FROM trade')}), "
            f"told AS ({self.told('trade.id', 'FROM trade')} RETURNING id) "
            "SELECT trade.id, told.id FROM trade, told"
        )

    def write(
        self, sender: Sender, values: Values, trade: Trade, event: Event, prepared: bool
    ) -> bool:
        row = self.sent(sender, values, prepared)
        if row is None:
            return False
        trade_id, event_id = row
        trade.set_unchecked(id=trade_id)
        event.set_unchecked(id=event_id, entity_id=trade_id)
        return True

    def sent(self, sender: Sender, values: Values, _prepared: bool) -> Any:
        """The ids; asyncpg prepares what it is sent."""
        return sender.send(self._statement, values)


class _Prepared(_OneStatement):
    """PostgreSQL by psycopg2, which does not prepare statements by itself."""

    def __init__(self, dialect: Dialect) -> None:
        super().__init__(dialect)
        places = [f"%({name})s" for name in self._names]
        self._plain = re.sub(r"\$(\d+)", lambda n: places[int(n[1]) - 1], self._statement)
        self._execute = f"EXECUTE {PREPARED} ({', '.join(['%s'] * len(places))})"
        self._can_prepare = True

    def sent(self, sender: Sender, values: Values, prepared: bool) -> Any:
        if not (prepared and self._can_prepare):
            return sender.send(self._plain, dict(zip(self._names, values, strict=True)))
        try:
            if PREPARED not in sender.info:
                sender.send(f"PREPARE {PREPARED} AS {self._statement}", None)
                sender.info[PREPARED] = True
            return sender.send(self._execute, values)
        except Exception as error:
            # A pooler between us and the server gives each statement another connection.
            if getattr(getattr(error, "orig", error), "pgcode", None) in _NOT_KEPT:
                self._can_prepare = False
            raise


class _ThreeStatements(_Writer):
    """SQLite, inside a transaction that began as a writer's."""

    def __init__(self, dialect: Dialect) -> None:
        super().__init__(dialect)
        self._new_trade = self.new_trade(f"positions {self.as_opened} AND")
        self._moved = self.moved("")
        self._told = self.told(f"?{len(self._names) + 1}", "")
        # The driver takes as many values as the highest place in a statement.
        self._of_trade, self._of_move = _highest(self._new_trade), _highest(self._moved)

    def write(
        self, sender: Sender, values: Values, trade: Trade, event: Event, _prepared: bool
    ) -> bool:
        row = sender.send(self._new_trade, values[: self._of_trade])
        if row is None:
            return False
        [trade_id] = row
        sender.send(self._moved, values[: self._of_move])
        sender.send(self._told, (*values, trade_id))
        trade.set_unchecked(id=trade_id)
        event.set_unchecked(entity_id=trade_id)
        return True


def _highest(statement: str) -> int:
    return max(map(int, re.findall(r"\?(\d+)", statement)))


_KINDS: Final[dict[str, type[_Writer]]] = {
    "asyncpg": _OneStatement,
    "psycopg2": _Prepared,
    "pysqlite": _ThreeStatements,
    "aiosqlite": _ThreeStatements,
}
_writers: Final[dict[tuple[str, str], _Writer]] = {}


def _writer(dialect: Dialect) -> _Writer:
    kind = (dialect.name, dialect.driver)
    if kind not in _writers:
        _writers[kind] = _KINDS[kind[1]](dialect)
    return _writers[kind]


def _names(columns: list[Column[Any]]) -> str:
    return ", ".join(column.name for column in columns)


def _processor(column: Column[Any], dialect: Dialect) -> Processor | None:
    """What the column's type does to a value that an entity holds, without checking it again; None for nothing."""
    if isinstance(column.type, EnumText):
        return str
    if isinstance(column.type, UtcDateTime) and dialect.driver == "psycopg2":
        return _iso_text  # twice as fast as the driver's own
    if isinstance(column.type, ExactDecimal | UtcDateTime) and dialect.name != "sqlite":
        return None
    if isinstance(column.type, UtcDateTime):
        return _utc_text
    if isinstance(column.type, ExactDecimal):
        return _decimal_text
    return column.type.dialect_impl(dialect).bind_processor(dialect)


def _iso_text(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()


def _utc_text(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat(" ", "microseconds")[:26]


def _decimal_text(value: Decimal | None) -> str | None:
    return None if value is None else format(value, "f")  # entities hold the canonical form
