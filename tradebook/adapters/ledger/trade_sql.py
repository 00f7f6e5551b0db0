"""The SQL that writes a trade with its position, its event and its decision, for both databases.

It is made of the names of our own tables and columns. Values are placeholders, numbered alike in all statements.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Dialect, Table

from tradebook.adapters.ledger import decision_sql
from tradebook.adapters.ledger.decision_sql import LAST_RECORD, UNDECIDED
from tradebook.adapters.orm import events, positions
from tradebook.domain.positions import MARK, MarkSource

FIXED: Final = ("account", "id", "symbol", "created_at")
"""The columns of a position that no booking changes."""
OPENED: Final = ("id", "version", "updated_at", "current_price", "marked_at")
"""The columns by which a position is found as it was opened, and the new mark."""
MOVED: Final = tuple(c.name for c in positions.c if c.name not in (*FIXED, *MARK))
"""The columns of a position that a booking sets."""
TOLD: Final = tuple(c.name for c in events.c if c.name not in ("id", "entity_id"))
"""The columns of an event but its ids."""
CHANGED: Final = "d_changed"
"""The parameter that holds what the trade changes of its decision, as JSON."""


class Columns:
    """Some columns of a table, whose parameters have a prefix."""

    def __init__(self, prefix: str, table: Table, columns: Sequence[str]) -> None:
        """Name the parameters."""
        self.prefix, self.table, self.columns = prefix, table, columns
        self.names = [prefix + name for name in columns]


class TradeSql:
    """Builds the statements for one dialect."""

    def __init__(
        self,
        dialect: Dialect,
        opened: Columns,
        position: Columns,
        trade: Columns,
        event: Columns,
        *,
        with_decision: bool,
    ) -> None:
        """Give the parameters of these groups their numbers, in this order."""
        self._dialect = dialect
        groups = (opened, position, trade, event)
        self._opened, self._position, self._trade, self._event = groups
        self._names = [name for group in groups for name in group.names]
        if with_decision:
            self._names.append(CHANGED)

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
        columns = self._position.columns
        changes = [f"{name} = {self._placeholder(self._position, name)}" for name in columns]
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
            f"INSERT INTO events ({', '.join(TOLD)}, entity_id) "
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

    @property
    def _is_decision(self) -> str:
        return (
            f"agent_decisions.account = {self._placeholder(self._trade, 'account')} "
            f"AND agent_decisions.id = {self._placeholder(self._trade, 'decision_id')}"
        )

    def select_decision_sql(self, source: str = "") -> str:
        """Return the SELECT of the trade's decision, with the record that its last event states."""
        return (
            f"SELECT agent_decisions.id, agent_decisions.status, {LAST_RECORD} AS record "  # noqa: S608
            f"FROM {source}agent_decisions WHERE {self._is_decision}"
        )

    def insert_decision_event_sql(self, trade_id: str, source: str) -> str:
        """Return the INSERT of the event that the trade executed the undecided `decision` of a source."""
        shared = {name: self._placeholder(self._event, name) for name in TOLD}
        changed = self._placeholder_of(CHANGED, "jsonb")
        return decision_sql.insert_event(
            self._dialect, shared, source, trade_id=trade_id, changed=changed
        )

    def execute_decision_sql(self, decision: str, source: str = "") -> str:
        """Return the UPDATE that executes the trade's decision, if it is undecided in this row."""
        changed_at = self._placeholder(self._event, "created_at")
        return (
            f"UPDATE agent_decisions SET {decision_sql.EXECUTED}, updated_at = {changed_at} {source} "  # noqa: S608
            f"WHERE {self._is_decision} AND {decision}.status IN {UNDECIDED}"
        )

    def _placeholders(self, group: Columns) -> str:
        return ", ".join(self._placeholder(group, name) for name in group.columns)

    def _placeholder(self, group: Columns, name: str) -> str:
        kind = self._dialect.type_compiler_instance.process(group.table.c[name].type)
        return self._placeholder_of(group.prefix + name, kind)

    def _placeholder_of(self, parameter: str, kind: str) -> str:
        number = self._names.index(parameter) + 1
        return f"?{number}" if self._dialect.name == "sqlite" else f"${number}::{kind}"
