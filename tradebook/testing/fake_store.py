"""The committed rows and unique keys that fake units of work share, as connections share a database.

A row is the plain values of a record, never an entity, so that no caller can change the store.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping
from copy import deepcopy
from itertools import count
from typing import Any, Final, TypeAlias

import attrs
from attrs import define, frozen

from tradebook.domain.agents import AgentAction, AgentDecision
from tradebook.domain.alerts import Alert
from tradebook.domain.cash import Account, CashFlow
from tradebook.domain.decision_inputs import DecisionInput
from tradebook.domain.entity import Entity
from tradebook.domain.errors import ConcurrentUpdate
from tradebook.domain.events import Event
from tradebook.domain.imports import Import
from tradebook.domain.performance import PerformanceMetric
from tradebook.domain.portfolio import Portfolio, PortfolioPosition
from tradebook.domain.positions import MARK, Mark, Position
from tradebook.domain.seals import Seal
from tradebook.domain.signals import Signal
from tradebook.domain.trades import Trade

Values: TypeAlias = Mapping[str, Any]
Kind: TypeAlias = type[Entity]


@frozen
class Unique:
    """A unique key: columns beside the account, of the rows that `when` is true for.

    As in a database's index, rows in which one of the columns is None never conflict.
    """

    columns: tuple[str, ...]
    when: Callable[[Values], bool] = lambda _: True

    def key(self, row: Values) -> Hashable | None:
        """Return the row's key; None where the key does not cover the row."""
        values = tuple(row[column] for column in self.columns)
        if None in values or not self.when(row):
            return None
        return (row["account"], self.columns, values)


UNIQUE: Final[Mapping[Kind, tuple[Unique, ...]]] = {
    Account: (Unique(()),),
    AgentAction: (Unique(("reference",)),),
    AgentDecision: (Unique(("reference",)),),
    Alert: (Unique(("dedup_key",), when=lambda row: not row["resolved"]),),
    CashFlow: (Unique(("reference",)),),
    DecisionInput: (Unique(("decision_id", "name")),),
    Event: (),
    Import: (Unique(("reference",)),),
    PerformanceMetric: (),
    Portfolio: (),
    PortfolioPosition: (Unique(("portfolio_id", "symbol")),),
    Position: (Unique(("symbol",)),),
    Seal: (Unique(("number",)),),
    Signal: (Unique(("reference",)),),
    Trade: (
        Unique(("symbol", "venue", "order_id", "execution_id", "revision")),
        Unique(("symbol", "sequence")),
        Unique(("symbol", "bust_sequence")),
        Unique(("corrects_id",)),
    ),
}
"""Every kind of record, with its unique keys; the first is the record's identity."""

REFERENCES: Final[Mapping[Kind, Mapping[str, Kind]]] = {
    AgentAction: {"decision_id": AgentDecision},
    AgentDecision: {"signals": Signal, "parent_id": AgentDecision},
    DecisionInput: {"decision_id": AgentDecision},
    PortfolioPosition: {"portfolio_id": Portfolio},
    Trade: {"decision_id": AgentDecision, "corrects_id": Trade},
}
"""The fields that hold ids of records of the same account."""


def values_of(entity: Entity) -> dict[str, Any]:
    """Copy an entity's values into a row that shares nothing with the entity."""
    return {f.name: _stored(getattr(entity, f.name)) for f in attrs.fields(type(entity))}


def _stored(value: object) -> object:
    if isinstance(value, list):  # JSON, or linked records
        return [item.id if isinstance(item, Entity) else deepcopy(item) for item in value]
    return deepcopy(value) if isinstance(value, dict) else value


def ids_in(reference: int | list[int] | None) -> list[int]:
    """List the ids in a field that refers to records."""
    if reference is None:
        return []
    return reference if isinstance(reference, list) else [reference]


def keys_of(kind: Kind, row: Values) -> list[Hashable]:
    """List the unique keys of a row."""
    return [key for unique in UNIQUE[kind] if (key := unique.key(row)) is not None]


@frozen
class Row:
    """A record as stored.

    Attributes:
        values: of its fields.
        version: counts the commits that changed it; marks do not count.
    """

    values: Values
    version: int = 1


@define
class Table:
    """The rows of one kind, of all accounts, by id, and the id that has each unique key."""

    kind: Kind
    rows: dict[int, Row] = attrs.Factory(dict)
    holders: dict[Hashable, int] = attrs.Factory(dict)

    def copy(self) -> Table:
        """Copy the table; later changes to one are not in the other."""
        return Table(self.kind, dict(self.rows), dict(self.holders))

    def clash(self, id_: int | None, values: Values) -> Hashable | None:
        """Return a unique key of `values` that another row than `id_` has."""
        for key in keys_of(self.kind, values):
            if self.holders.get(key, id_) != id_:
                return key
        return None

    def put(self, id_: int, row: Row) -> None:
        """Store a row with its unique keys, in place of its earlier ones."""
        self.release(id_)
        self.rows[id_] = row
        self.holders.update(dict.fromkeys(keys_of(self.kind, row.values), id_))

    def remove(self, id_: int) -> None:
        """Delete a row."""
        self.release(id_)
        self.rows.pop(id_, None)

    def refers_to(self, kind: Kind, id_: int) -> bool:
        """Return whether a row of this table refers to that record."""
        fields = [f for f, referred in REFERENCES.get(self.kind, {}).items() if referred is kind]
        return any(id_ in ids_in(row.values[f]) for row in self.rows.values() for f in fields)

    def release(self, id_: int) -> None:
        """Remove the unique keys of a row."""
        if id_ in self.rows:
            for key in keys_of(self.kind, self.rows[id_].values):
                if self.holders.get(key) == id_:  # else another row has taken it in the same commit
                    del self.holders[key]


Snapshot: TypeAlias = Mapping[Kind, Table]
Written: TypeAlias = Mapping[int, Values | None]


class FakeStore:
    """The committed state of a fake book, shared by its units of work; safe between threads."""

    def __init__(self) -> None:
        """Make an empty store."""
        self._tables: Snapshot = {kind: Table(kind) for kind in UNIQUE}
        self._ids = {kind: count(1) for kind in UNIQUE}
        self._committing = threading.Lock()

    def snapshot(self) -> Snapshot:
        """Return the committed tables; later commits do not change them."""
        return self._tables

    def next_id(self, kind: Kind) -> int:
        """Draw an id, which is never drawn again, even if its record is rolled back."""
        return next(self._ids[kind])

    def commit(self, base: Snapshot, written: Mapping[Kind, Written]) -> None:
        """Commit rows, all or none.

        Args:
            base: the snapshot at the start of the unit of work.
            written: for each kind, the rows that it wrote, by id; None where it deleted one.

        Raises:
            ConcurrentUpdate: another unit of work changed one of the rows, took one of their unique keys,
                deleted a record that they refer to, or refers to a record that is deleted here.
        """
        with self._committing:
            tables = dict(self._tables)
            for kind, rows in written.items():
                tables[kind] = _merged(tables[kind], base[kind], rows)
            for kind, rows in written.items():
                _require_whole(tables, kind, rows)
            self._tables = tables


def _require_whole(tables: Snapshot, kind: Kind, written: Written) -> None:
    for id_, values in written.items():
        if values is None:
            broken = any(tables[referring].refers_to(kind, id_) for referring in REFERENCES)
        else:
            broken = any(
                referred_id not in tables[referred].rows
                for field, referred in REFERENCES.get(kind, {}).items()
                for referred_id in ids_in(values[field])
            )
        if broken:
            raise ConcurrentUpdate(f"{kind.__name__} {id_}: a reference was made or deleted first")


def _merged(current: Table, base: Table, written: Written) -> Table:
    table = current.copy()
    for id_ in written:  # of all rows first: a row may take the key of another
        table.release(id_)
    for id_, values in written.items():
        row = _merged_row(current.kind, id_, current.rows.get(id_), base.rows.get(id_), values)
        if row is None:
            table.remove(id_)
            continue
        if table.clash(id_, row.values) is not None:
            raise ConcurrentUpdate(f"another {current.kind.__name__} with this identity was first")
        table.put(id_, row)
    return table


def _merged_row(
    kind: Kind, id_: int, current: Row | None, base: Row | None, values: Values | None
) -> Row | None:
    if base is None:
        return None if values is None else Row(values)
    if current is None:
        raise ConcurrentUpdate(f"{kind.__name__} {id_} was deleted by another unit of work")
    changes = {k: value for k, value in (values or {}).items() if value != base.values[k]}
    mark = {name: changes.pop(name) for name in MARK if kind is Position and name in changes}
    if (changes or values is None) and current.version != base.version:
        raise ConcurrentUpdate(f"{kind.__name__} {id_} was changed by another unit of work")
    if values is None:
        return None
    if mark:
        is_unmarked = all(current.values[name] == base.values[name] for name in MARK)
        if is_unmarked or may_replace_mark(current.values, values):
            changes |= {name: values[name] for name in MARK}
    version = current.version + (not changes.keys() <= set(MARK))
    return Row({**current.values, **changes}, version)


def may_replace_mark(row: Values, new: Values) -> bool:
    """Return whether the mark in new values of a position is newer than that of its row."""
    stored = Mark._make(row[name] for name in MARK)
    at, source = new["marked_at"], new["mark_source"]
    return at is not None and stored.is_replaced_by(at, source)
