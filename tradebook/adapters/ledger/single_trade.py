"""One new trade, its position and its event, written together: on PostgreSQL in one statement.

The statement checks once more that the position is as it was opened, that no pending order waits for this fill,
and that the fill is not recorded; otherwise it writes nothing. SQLite has no such statement, but no second writer
either: there it is three.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Dialect, Table

from tradebook.adapters.ledger.autocommit import Sender
from tradebook.adapters.ledger.decision_sql import CAN_BE_TAKEN, changed_fields
from tradebook.adapters.ledger.prepared_statement import prepared_statement
from tradebook.adapters.ledger.trade_sql import MOVED, OPENED, TOLD, Columns, TradeSql
from tradebook.adapters.orm import events, positions, trades
from tradebook.adapters.types import bind_processor
from tradebook.domain.trades import TRADE_COLUMNS

Values = Mapping[str, Any]
"""The fields of a record by name."""
WrittenIds = tuple[int, int | None]
"""The ids of a trade and of its event; SQLite does not return the second."""


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
        prepared: leave a prepared statement on the connection, for the next call; see `PreparedStatement.send`.

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
        key = [position["id"], opened["version"], opened["updated_at"], *new_mark(opened, position)]
        return (
            *self._opened.processed(key),
            *self._position.bound(position),
            *self._trade.bound(trade),
            *self._event.bound(event),
            *((changed_fields(event["created_at"]),) if self._with_decision else ()),
        )


def new_mark(opened: Values, position: Values) -> tuple[Any, Any]:
    """Return price and time of the mark that was made since a position was opened; None for both without one."""
    mark = position["current_price"], position["marked_at"]
    return (None, None) if mark == (opened["current_price"], opened["marked_at"]) else mark


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
    """PostgreSQL: one statement writes everything."""

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
        text = (
            f"WITH opened AS (SELECT id FROM positions {self.is_as_opened} FOR UPDATE), {decision}"  # noqa: S608
            f"trade AS ({self.insert_trade_sql(f'{found} WHERE {checked}')}), "
            f"moved AS ({self.update_position_sql('FROM trade')}), "
            f"event AS ({self.insert_event_sql('trade.id', 'FROM trade')} RETURNING id){executed} "
            "SELECT trade.id, event.id FROM trade, event"
        )
        self._statement = prepared_statement(self._dialect, text, self._names)

    def write(self, sender: Sender, values: tuple[Any, ...], prepared: bool) -> WrittenIds | None:
        row = self._statement.send(sender, values, prepared=prepared)
        return None if row is None else (row[0], row[1])


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
    "psycopg2": _OneStatement,
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
