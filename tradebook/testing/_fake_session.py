"""One fake transaction: a snapshot of the store, later writes, and the entities that it returned."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar, cast

from attrs import define

from tradebook.domain.agents import AgentDecision
from tradebook.domain.domain_event import EVIDENCE, DomainEvent
from tradebook.domain.edits import WITHOUT_EVENTS, created, deleted, updated
from tradebook.domain.entity import Entity
from tradebook.domain.errors import (
    ConcurrentUpdate,
    ConstraintViolated,
    DatabaseReadOnly,
    InvalidTransition,
    NotFound,
)
from tradebook.domain.events import Event, RecordUpdated
from tradebook.domain.signals import Signal
from tradebook.domain.validation import record_id
from tradebook.testing.fake_store import (
    REFERENCES,
    UNIQUE,
    FakeStore,
    Kind,
    Row,
    Table,
    Values,
    ids_in,
    values_of,
)

E = TypeVar("E", bound=Entity)


@define
class _Held:
    """An entity that this unit of work tracks.

    Attributes:
        clean: its fields when it was last read or written.
        version: of the committed row that it was read from; 0 for a new one.
    """

    entity: Entity
    clean: dict[str, object]
    version: int

    @property
    def is_dirty(self) -> bool:
        return _fields(self.entity) != self.clean


def _fields(entity: Entity) -> dict[str, object]:
    fields = dict(entity.__dict__)
    if isinstance(entity, AgentDecision):
        fields["signals"] = list(entity.signals)
    return fields


class FakeSession:
    """An identity map over a snapshot of the store; writes stay here until `commit`."""

    def __init__(self, store: FakeStore, account: str, *, read_only: bool = False) -> None:
        self._store = store
        self._account = account
        self._read_only = read_only
        self._is_open = True
        self.rollback()

    def rollback(self) -> None:
        """Discard all writes and entities, and take a new snapshot of the store."""
        self._base = self._store.snapshot()
        self._tables: dict[Kind, Table] = {}
        self._written: dict[Kind, set[int]] = {}
        self._held: dict[Kind, dict[int, _Held]] = {kind: {} for kind in UNIQUE}

    def commit(self) -> None:
        """Commit all writes to the store; entities stay tracked."""
        self._require_open()
        for kind in UNIQUE:
            self.flush(kind)
        written: dict[Kind, dict[int, Values | None]] = {}
        for kind, ids in self._written.items():
            rows = self._tables[kind].rows
            written[kind] = {id_: rows[id_].values if id_ in rows else None for id_ in sorted(ids)}
        self._store.commit(self._base, written)
        done = self._written
        self._base, self._tables, self._written = self._store.snapshot(), {}, {}
        for kind, ids in done.items():
            for id_ in ids & self._held[kind].keys():
                self._held[kind][id_].version = self._version(kind, id_)

    def unrecorded(self) -> list[tuple[DomainEvent, Entity]]:
        """Return an event for each record that was changed, and that no event of this unit of work is about."""
        for kind in UNIQUE:
            self.flush(kind)
        ids = sorted(self._written.get(Event, ()))
        events = [self._tables[Event].rows[id_].values for id_ in ids]
        said = {(event["entity"], event["entity_id"]): event["payload"] for event in events}
        changed = [(kind, id_) for kind, ids in self._written.items() for id_ in ids]
        changed.sort(key=lambda record: (record[0].__name__, record[1]))
        edits = (
            self._edit(kind, id_, said.get((kind.__name__, id_)))
            for kind, id_ in changed
            if kind not in WITHOUT_EVENTS
        )
        made = [edit for edit in edits if edit is not None]
        return sorted(
            made, key=lambda edit: isinstance(edit[0], RecordUpdated)
        )  # as a flush is last

    def _edit(
        self, kind: Kind, id_: int, said: Mapping[str, Any] | None
    ) -> tuple[DomainEvent, Entity] | None:
        before, after = self._base[kind].rows.get(id_), self._tables[kind].rows.get(id_)
        if after is None:
            if said is not None or before is None:
                return None
            gone = self.copy(kind, before.values)
            return deleted(gone), gone
        entity = self.copy(kind, after.values)
        if before is None:
            return None if said is not None else (created(entity), entity)
        if said is not None and said.get(EVIDENCE, {}).get("record") in (None, entity.evidence()):
            return None
        change = updated(before.values, entity)
        is_restated = change is not None and change.changes.keys() == {"realized_pnl"}
        return None if change is None or is_restated else (change, entity)

    @property
    def has_changes(self) -> bool:
        """True while a write was neither committed nor rolled back."""
        held = (each for kind in self._held.values() for each in kind.values())
        return not self._read_only and (bool(self._written) or any(each.is_dirty for each in held))

    def close(self) -> None:
        """End the transaction; entities stay readable, and all other calls raise."""
        self.rollback()
        self._is_open = False

    def add(self, entity: E) -> E:
        """Insert an entity, or return the record that has its identity."""
        kind = type(entity)
        self._require_own(kind, entity.account)
        self.flush(kind)
        if self.holds(entity):
            return entity
        taken = self._table(kind).clash(None, values_of(entity))
        if taken is not None:
            return self.load(kind, self._table(kind).holders[taken])
        self.insert(entity)
        return entity

    def insert(self, entity: Entity) -> None:
        """Write a new entity, which receives an id, and track it."""
        kind = type(entity)
        if vars(entity)["id"] is None:
            entity.id = self._store.next_id(kind)
        elif entity.id in self._table(kind).rows:
            raise ConstraintViolated(f"{kind.__name__} {entity.id} is another record")
        self._write(kind, entity.id, values_of(entity))
        self._hold(entity)

    def remove(self, entity: Entity) -> None:
        """Delete a record that no other record refers to."""
        kind, id_ = type(entity), entity.id
        self._require_writable(kind, entity.account)
        for each in UNIQUE:
            self.flush(each)
        if id_ not in self._table(kind).rows:
            raise ConcurrentUpdate(f"{kind.__name__} {id_} was deleted by another unit of work")
        for referring in REFERENCES:
            if self._table(referring).refers_to(kind, id_):
                raise ConstraintViolated(f"a {referring.__name__} refers to {kind.__name__} {id_}")
        self._changed(kind, id_).remove(id_)
        self._held[kind].pop(id_, None)

    def get(self, kind: type[E], id_: int) -> E:
        """Load the record of this account with this id.

        Raises:
            NotFound: the account has no such record.
        """
        self._require_open()
        row = self._table(kind).rows.get(record_id(id_))
        if row is None or row.values["account"] != self._account:
            raise NotFound(kind.__name__, id_, self._account)
        return self.load(kind, id_)

    def find(
        self,
        kind: type[E],
        where: Callable[[Values], bool] = lambda _: True,
        *,
        by: str = "id",
        newest_first: bool = False,
        limit: int | None = None,
    ) -> list[E]:
        """Load records of this account, ordered by a field and then by id."""
        rows = sorted(
            filter(where, self.rows(kind)),
            key=lambda row: (row[by], row["id"]),
            reverse=newest_first,
        )
        return [self.load(kind, row["id"]) for row in rows[:limit]]

    def rows(self, kind: Kind, account: str | None = None) -> Iterator[Values]:
        """Iterate over the rows of an account, this one by default, with the writes of this unit of work."""
        of = self._account if account is None else account
        return (row for row in self.rows_everywhere(kind) if row["account"] == of)

    def rows_everywhere(self, kind: Kind) -> Iterator[Values]:
        """Iterate over the rows of all accounts, with the writes of this unit of work."""
        self._require_open()
        self.flush(kind)
        for row in self._table(kind).rows.values():
            yield row.values

    def load(self, kind: type[E], id_: int) -> E:
        """Return the entity that this unit of work tracks for a row."""
        held = self._held[kind].get(id_)
        if held is not None:
            return cast("E", held.entity)
        entity = self.copy(kind, self._table(kind).rows[id_].values)
        self._hold(entity)
        return entity

    def copy(self, kind: type[E], row: Values) -> E:
        """Build an untracked entity from the values of a row."""
        values = dict(row)
        if kind is AgentDecision:
            values["signals"] = [self.load(Signal, id_) for id_ in sorted(values["signals"])]
        return kind(**values)

    def save(self, entity: Entity) -> None:
        """Write the changes of one tracked entity."""
        kind = type(entity)
        if self._held[kind][entity.id].version != self._version(kind, entity.id):
            raise ConcurrentUpdate(f"{kind.__name__} {entity.id} was changed since it was read")
        self._write(kind, entity.id, values_of(entity))
        self._hold(entity)

    def put(self, kind: Kind, row: Values) -> None:
        """Write a row, and refresh its entity where one is tracked."""
        self._write(kind, row["id"], row)
        self.refresh(kind, row["id"])

    def refresh(self, kind: Kind, id_: int) -> None:
        """Overwrite a tracked entity with the values of its row."""
        held = self._held[kind].get(id_)
        if held is not None:
            fresh = self.copy(kind, self._table(kind).rows[id_].values)
            # Not by assignment: guards of frozen fields would refuse it.
            held.entity.__dict__.update(
                {name: getattr(fresh, name) for name in values_of(held.entity)}
            )
            self._hold(held.entity)

    def next_id(self, kind: Kind) -> int:
        """Draw an id that no other record receives."""
        return self._store.next_id(kind)

    def holder(self, entity: Entity) -> int | None:
        """Return the id of another row that has one of the entity's unique keys."""
        table = self._table(type(entity))
        taken = table.clash(entity.id, values_of(entity))
        return None if taken is None else table.holders[taken]

    def holds(self, entity: Entity) -> bool:
        """Return whether this unit of work tracks the entity."""
        held = self._held[type(entity)].get(entity.id)
        return held is not None and held.entity is entity

    def flush(self, kind: Kind) -> None:
        """Write every changed entity of a kind."""
        for held in list(self._held[kind].values()):
            if held.is_dirty:
                self.save(held.entity)

    def _hold(self, entity: Entity) -> None:
        kind, id_ = type(entity), entity.id
        self._held[kind][id_] = _Held(entity, _fields(entity), self._version(kind, id_))

    def _version(self, kind: Kind, id_: int) -> int:
        row = self._base[kind].rows.get(id_)
        return 0 if row is None else row.version

    def _table(self, kind: Kind) -> Table:
        return self._tables[kind] if kind in self._tables else self._base[kind]

    def _write(self, kind: Kind, id_: int, values: Values) -> None:
        self._require_writable(kind, values["account"])
        self._require_references(kind, values)
        table = self._changed(kind, id_)
        clash = table.clash(id_, values)
        if clash is not None:
            raise ConstraintViolated(f"{kind.__name__} {id_}: another record has {clash}")
        table.put(id_, Row(values))

    def _changed(self, kind: Kind, id_: int) -> Table:
        """Return this transaction's copy of the table, and note that it writes the row."""
        if kind not in self._tables:
            self._tables[kind] = self._base[kind].copy()
        self._written.setdefault(kind, set()).add(id_)
        return self._tables[kind]

    def _require_writable(self, kind: Kind, account: str) -> None:
        self._require_open()
        if self._read_only:
            raise DatabaseReadOnly("this unit of work is read-only; open one that is not")
        self._require_own(kind, account)

    def _require_own(self, kind: Kind, account: str) -> None:
        if account != self._account:
            raise ConstraintViolated(
                f"{kind.__name__} of account {account!r} in a unit of work of {self._account!r}"
            )

    def _require_references(self, kind: Kind, values: Values) -> None:
        for field, referred in REFERENCES.get(kind, {}).items():
            rows = self._table(referred).rows
            for id_ in ids_in(values[field]):
                if id_ not in rows or rows[id_].values["account"] != self._account:
                    raise ConstraintViolated(f"{kind.__name__}.{field}: no record {id_}")

    def _require_open(self) -> None:
        if not self._is_open:
            raise InvalidTransition("this unit of work has ended; open a new one")
