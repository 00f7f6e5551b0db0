"""Base classes of all repositories: lookups, pages, counts, inserts and deletes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from sqlalchemy import (
    ColumnElement,
    Delete,
    Select,
    UnaryExpression,
    Update,
    bindparam,
    delete,
    func,
    inspect,
    select,
    tuple_,
    update,
)
from sqlalchemy.orm import Session, make_transient
from sqlalchemy.sql import operators
from typing_extensions import override

from tradebook.adapters.orm import TABLES
from tradebook.adapters.repositories.bulk_insert import add_together
from tradebook.adapters.repositories.column_reads import read_columns
from tradebook.adapters.repositories.entity_rows import (
    UNCOMMITTED,
    add_if_new,
    as_stored,
    attach,
    bring_up_to_date,
    chunks,
    columns_of,
    insert_if_new,
    note_written,
    values_of,
)
from tradebook.adapters.repositories.read_sessions import ReadSession
from tradebook.domain.cash import Account
from tradebook.domain.decision_inputs import DecisionInput
from tradebook.domain.entity import Entity
from tradebook.domain.errors import ConcurrentUpdate, NotFound
from tradebook.domain.portfolio import PortfolioPosition
from tradebook.domain.positions import Position
from tradebook.domain.seals import Seal
from tradebook.domain.trades import Trade
from tradebook.domain.validation import record_id as checked_id
from tradebook.service_layer.gc_pause import no_collecting
from tradebook.service_layer.ports.paging import (
    BATCH,
    Filter,
    Place,
    Row,
    row_names,
    row_type,
    sort_keys,
)
from tradebook.service_layer.ports.records import Records, Repository

if TYPE_CHECKING:
    import pyarrow

E = TypeVar("E", bound=Entity)

_IDENTITY: Final[Mapping[type[Entity], Sequence[str]]] = {
    Account: ("account",),
    DecisionInput: ("decision_id", "name"),
    PortfolioPosition: ("portfolio_id", "symbol"),
    Position: ("symbol",),
    Seal: ("number",),
    Trade: ("symbol", "venue", "order_id", "execution_id", "revision"),
}
"""The fields of a kind's unique key where it is not `reference`."""

_FEW: Final = 10
"""The number of records from which adding them together is faster than one after another."""
_TOGETHER: Final = 10_000


class SqlRecords(Records[E], Generic[E]):
    """The records of one kind in one account, read through a session."""

    def __init__(self, session: Session, account: str, kind: type[E]) -> None:
        """Take the session of the unit of work, its account, and the kind of record."""
        self.session = session
        self.account = account
        self.kind: Any = kind
        self.table = TABLES[kind]
        self._reads_rows = isinstance(session, ReadSession)

    def where(self, *conditions: ColumnElement[bool]) -> Select[Any]:
        """Build a SELECT of this account's records that meet the conditions."""
        selected: Select[Any] = select(self.table if self._reads_rows else self.kind)
        return selected.where(self.table.c.account == self.account, *conditions)

    def fetch(self, statement: Select[Any], values: Mapping[str, Any] | None = None) -> list[E]:
        """Return the records that a statement of `where` selects."""
        if isinstance(self.session, ReadSession):
            return self.session.entities(self.kind, statement, values)
        return list(self.session.scalars(statement, values))

    def _first(self, statement: Select[Any]) -> E | None:
        return next(iter(self.fetch(statement)), None)

    def _select(self, value: Any, *conditions: ColumnElement[bool]) -> Select[Any]:
        return select(value).where(self.table.c.account == self.account, *conditions)

    def _number(self, aggregate: Any, *conditions: ColumnElement[bool]) -> int:
        return int(self.session.scalar(self._select(aggregate, *conditions)) or 0)

    @override
    def get(self, record_id: int, *, lock: bool = False) -> E:
        wanted = checked_id(record_id)
        if lock:
            return self._locked(wanted)
        values = {"of_account": self.account, "equal_id": wanted}
        found = self.fetch(_by_id(self.kind, self._reads_rows), values)
        if not found:
            raise NotFound(self.kind.__name__, record_id, self.account)
        return found[0]

    def _locked(self, record_id: int) -> E:
        """Read and lock a row past the ORM, and make its entity persistent in the session."""
        self.session.flush()
        columns = self.table.c
        statement = select(self.table).where(
            columns.account == self.account, columns.id == record_id
        )
        found = self.session.connection().execute(statement.with_for_update()).one_or_none()
        if found is None:
            raise NotFound(self.kind.__name__, record_id, self.account)
        entity: E = as_stored(self.kind, dict(found._mapping))
        key = inspect(self.kind).identity_key_from_primary_key((self.account, record_id))
        if key in self.session.identity_map:
            bring_up_to_date(self.session, entity, columns_of(self.kind))
            loaded: E = self.session.identity_map[key]
            return loaded
        attach(self.session, entity)
        return entity

    @override
    def in_order(self, *, after: int = 0, limit: int = BATCH) -> list[E]:
        ids = self.table.c.id
        return self.fetch(self.where(ids > after).order_by(ids).limit(limit))

    @override
    def _values(self, names: tuple[str, ...], after: int, limit: int) -> list[tuple[Any, ...]]:
        self.session.flush()  # a Core statement does not flush by itself
        columns = self.table.c
        statement = (
            select(*(columns[name] for name in names))
            .where(columns.account == self.account, columns.id > after)
            .order_by(columns.id)
            .limit(limit)
        )
        with no_collecting():
            return [*map(tuple, self.session.connection().execute(statement))]

    @override
    def found(self, ids: Collection[int], *, lock: bool = False) -> list[E]:
        if not ids:
            return []
        column = self.table.c.id
        statement = self.where(column.in_(ids)).order_by(column)
        if lock:
            self.session.flush()
            statement = statement.with_for_update().execution_options(populate_existing=True)
        return self.fetch(statement)

    @override
    def _newest(self, wanted: Filter, place: Place | None, limit: int) -> list[E]:
        columns = tuple(self.table.c.keys()) if self._reads_rows else None
        statement, values = self._page(columns, wanted, place, limit)
        return self.fetch(statement, values)

    @override
    def _newest_rows(self, wanted: Filter, place: Place | None, limit: int) -> list[Row]:
        self.session.flush()  # a Core statement does not flush by itself
        names = tuple(row_names(self.kind))
        statement, values = self._page(names, wanted, place, limit)
        make = partial(tuple.__new__, row_type(self.kind))
        with no_collecting():
            return [*map(make, self.session.connection().execute(statement, values).all())]

    @override
    def _newest_columns(self, wanted: Filter, place: Place | None, limit: int) -> pyarrow.Table:
        self.session.flush()
        statement, values = self._page(tuple(row_names(self.kind)), wanted, place, limit)
        found = read_columns(self.session.connection(), self.kind, statement, values)
        return super()._newest_columns(wanted, place, limit) if found is None else found

    def _page(
        self, columns: tuple[str, ...] | None, wanted: Filter, place: Place | None, limit: int
    ) -> tuple[Select[Any], dict[str, Any]]:
        """Return the statement of a page, and the values to execute it with.

        `columns` are those to read; None is for entities of the ORM.
        """
        conditions, values = _conditions(wanted)
        values |= {f"after_{number}": value for number, value in enumerate(place or ())}
        values |= {"of_account": self.account, "at_most": limit}
        return _page_statement(self.kind, columns, conditions, place is None), values

    @override
    def _referring(self, field: str, ids: Collection[int], wanted: Filter, limit: int) -> list[E]:
        conditions, values = _conditions(wanted)
        values |= {"of_account": self.account, "of_any": list(ids), "at_most": limit}
        reads_rows = self._reads_rows
        return self.fetch(_referring_statement(self.kind, reads_rows, field, conditions), values)

    @override
    def _count(self, wanted: Filter) -> int:
        conditions, values = _conditions(wanted)
        statement = _matching(self.kind, (func.count(),), conditions)
        return self.session.scalar(statement, {**values, "of_account": self.account}) or 0


_IN_SQL: Final[dict[Any, Any]] = {
    "None": lambda column: column.is_(None),
    "True": lambda column: column == True,  # noqa: E712
    # `NOT column`, word for word as the partial indexes have it, or SQLite would not use them.
    "False": lambda column: UnaryExpression(column, operator=operators.inv),
    "==": lambda column: column == bindparam(f"equal_{column.name}"),
    ">=": lambda column: column >= bindparam("since"),
    "<": lambda column: column < bindparam("until"),
}
"""Conditions on a column: values that are part of the statement, and those that are bound."""

is_false: Final = _IN_SQL["False"]


def _conditions(wanted: Filter) -> tuple[tuple[tuple[str, str], ...], dict[str, Any]]:
    """Split a filter into conditions, which name a statement, and the values that it is executed with."""
    conditions, values = [], {}
    for name, value in wanted.equal.items():
        if value is None or value is True or value is False:
            conditions.append((name, str(value)))
        else:
            conditions.append((name, "=="))
            values[f"equal_{name}"] = value
    for how, bound, time in ((">=", "since", wanted.since), ("<", "until", wanted.until)):
        if time is not None:
            conditions.append((wanted.dated_by, how))
            values[bound] = time
    return tuple(conditions), values


def _matching(
    kind: type[Entity], selected: Sequence[Any], conditions: Sequence[tuple[str, str]]
) -> Select[Any]:
    columns = TABLES[kind].c
    return select(*selected).where(
        columns.account == bindparam("of_account"),
        *(_IN_SQL[how](columns[name]) for name, how in conditions),
    )


@cache
def _by_id(kind: Any, reads_rows: bool) -> Select[Any]:
    return _matching(kind, (TABLES[kind] if reads_rows else kind,), (("id", "=="),))


# Building a statement takes SQLAlchemy as long as reading a short page.
@lru_cache(500)
def _page_statement(
    kind: Any,
    columns: tuple[str, ...] | None,
    conditions: tuple[tuple[str, str], ...],
    is_first: bool,
) -> Select[Any]:
    table = TABLES[kind]
    keys = [table.c[name] for name in sort_keys(kind)]
    selected = (kind,) if columns is None else [table.c[name] for name in columns]
    statement = _matching(kind, selected, conditions)
    if not is_first:  # as row values: at any depth, one range of an index is all that is read
        ends = [bindparam(f"after_{number}", type_=key.type) for number, key in enumerate(keys)]
        statement = statement.where(tuple_(*keys) < tuple_(*ends))
    return statement.order_by(*(key.desc() for key in keys)).limit(bindparam("at_most"))


@lru_cache(100)
def _referring_statement(
    kind: Any, reads_rows: bool, field: str, conditions: tuple[tuple[str, str], ...]
) -> Select[Any]:
    columns = TABLES[kind].c
    reference, selected = columns[field], (TABLES[kind] if reads_rows else kind,)
    statement = _matching(kind, selected, conditions)
    return (
        statement.where(reference.in_(bindparam("of_any", expanding=True)))
        .order_by(reference.desc(), columns.id.desc())
        .limit(bindparam("at_most"))
    )


class SqlRepository(SqlRecords[E], Repository[E]):
    """The records of one kind in one account, to read and write.

    Writes go past the ORM's flush: `add` recognises what is recorded already, and `remove` reports
    what another writer removed first.
    """

    @override
    def add(self, entity: E) -> E:
        if add_if_new(self.session, entity):
            note_written(self.session, entity, is_new=True)
            return entity
        with self.session.no_autoflush:  # a flush would write pending orders before the ledger does
            recorded = self.fetch(self.where(*self._identity(entity)))
        if len(recorded) != 1:
            raise ConcurrentUpdate(f"another {self.kind.__name__} with this identity just changed")
        return recorded[0]

    @override
    def add_all(self, entities: Sequence[E]) -> list[E]:
        added: list[E] = []
        for some in chunks(entities, _TOGETHER):
            new = set(map(id, self._add_together(some)))
            added += [each if id(each) in new else self.add(each) for each in some]
        return added

    def _add_together(self, entities: Sequence[E]) -> Sequence[E]:
        """Add entities in fewer statements than one each, where that is faster, and return those that it added."""
        if len(entities) < _FEW:
            return self._add_few(entities)
        rows = [values_of(entity) for entity in entities]
        ids = add_together(self.session.connection(), self.table, rows)
        return () if ids is None else self._added(entities, ids)

    def _add_few(self, entities: Sequence[E]) -> Sequence[E]:
        """Add the entities in one statement, but those whose identity is taken; the statement returns their identities.

        Three inputs of a decision take 0.65 times as long as one after another on PostgreSQL, 0.69 times on SQLite.
        """
        names = self._distinct_by()
        by_identity = {tuple(getattr(e, name, None) for name in names): e for e in entities}
        if (
            not 1 < len(by_identity) == len(entities)
            or any(None in identity for identity in by_identity)
            or any(entity.id is not None for entity in entities)
        ):
            return ()
        returned = (self.table.c[name] for name in ("id", *names))
        statement = insert_if_new(self.session, self.table).returning(*returned)
        rows = [values_of(entity) for entity in entities]
        found = self.session.connection().execute(statement, rows).all()
        return self._added(
            [by_identity[tuple(row[1:])] for row in found], [row[0] for row in found]
        )

    def _distinct_by(self) -> Sequence[str]:
        """Return the fields that tell new records of one call apart."""
        return _IDENTITY.get(self.kind, ("reference",))

    def _added(self, entities: Sequence[E], ids: Sequence[int]) -> Sequence[E]:
        for entity, id_ in zip(entities, ids, strict=True):
            entity.id = id_
            self._keep(entity)
        return entities

    def _keep(self, entity: E) -> None:
        """Make an entity that was added with others persistent."""
        attach(self.session, entity)
        note_written(self.session, entity, is_new=True)
        self.session.info[UNCOMMITTED] = True

    @override
    def write(self, entity: E, fields: Collection[str]) -> None:
        values = {name: getattr(entity, name) for name in fields}
        self._change(entity, update(self.table).values(values))
        make_transient(entity)  # nothing is left for a flush to write
        attach(self.session, entity)

    @override
    def remove(self, entity: E) -> None:
        self.session.flush()
        self._change(entity, delete(self.table))
        note_written(self.session, entity, is_new=False)
        if entity in self.session:
            self.session.expunge(entity)

    def _change(self, entity: E, statement: Update | Delete) -> None:
        """Execute a statement on the row of an entity, unless another writer deleted the row."""
        columns = self.table.c
        of_entity = statement.where(columns.account == self.account, columns.id == entity.id)
        self.session.info[UNCOMMITTED] = True
        if self.session.connection().execute(of_entity).rowcount != 1:
            raise ConcurrentUpdate(
                f"{self.kind.__name__} {entity.id} was deleted by another writer"
            )

    def _identity(self, entity: E) -> Sequence[ColumnElement[bool]]:
        names = _IDENTITY.get(self.kind, ("reference",))
        if any(getattr(entity, name, None) is None for name in names):
            names = ("id",)
        return [self.table.c[name] == getattr(entity, name) for name in names]
