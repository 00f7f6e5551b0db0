"""FIXME."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    delete,
    func,
    inspect,
    select,
    update,
)
from sqlalchemy.orm import Session, make_transient

from tradebook.adapters.repositories.bulk_insert import add_together
from tradebook.adapters.repositories.entity_rows import (
    add_if_new,
    as_stored,
    attach,
    bring_up_to_date,
    columns_of,
    table_of,
    values_of,
)
from tradebook.adapters.repositories.page_queries import is_false, page_statement, page_values
from tradebook.adapters.repositories.read_sessions import ReadSession
from tradebook.domain.cash import Account
from tradebook.domain.entity import Entity
from tradebook.domain.errors import ConcurrentUpdate, NotFound
from tradebook.domain.portfolio import PortfolioPosition
from tradebook.domain.positions import Position
from tradebook.domain.seals import Seal
from tradebook.domain.trades import Trade
from tradebook.domain.validation import record_id as checked_id
from tradebook.service_layer.gc_pause import no_collecting
from tradebook.service_layer.ports.paging import BATCH, Filter, Place, Row, row_names, row_type
from tradebook.service_layer.ports.repositories import (
    Records,
    Repository,
)

E = TypeVar("E", bound=Entity)

_IDENTITY: Final[Mapping[type[Entity], Sequence[str]]] = {
    Account: ("account",),
    PortfolioPosition: ("portfolio_id", "symbol"),
    Position: ("symbol",),
    Seal: ("number",),
    Trade: ("symbol", "venue", "order_id", "execution_id", "revision"),
}
"""Where it is not `reference`."""

_FEW: Final = 10
"""From how many records on it is faster to add them together."""
_TOGETHER: Final = 10_000


class SqlRecords(Records[E], Generic[E]):
    """One kind of record of one account."""

    def __init__(self, session: Session, account: str, kind: type[E]) -> None:
        self.session = session
        self.account = account
        self.kind = kind

    @property
    def table(self) -> Table:
        """The records' table."""
        return table_of(self.kind)

    def where(self, *conditions: ColumnElement[bool]) -> Select[Any]:
        """Records of this account that meet the conditions."""
        return self._select().where(self.table.c.account == self.account, *conditions)

    def fetch(self, statement: Select[Any], values: Mapping[str, Any] | None = None) -> list[E]:
        """The records that a statement of `where` selects."""
        if isinstance(self.session, ReadSession):
            return self.session.entities(self.kind, statement, values)
        return list(self.session.scalars(statement, values))

    def _select(self) -> Select[Any]:
        return select(self.table) if self._reads_rows() else select(self.kind)

    def _reads_rows(self) -> bool:
        return isinstance(self.session, ReadSession)

    def get(self, record_id: int, *, lock: bool = False) -> E:
        statement = self._by_id(record_id)
        if lock:
            statement = statement.with_for_update(of=self.table)
            statement = statement.execution_options(populate_existing=True)
        found = self.fetch(statement)
        if not found:
            raise NotFound(self.kind.__name__, record_id, self.account)
        return found[0]

    def in_order(self, *, after: int = 0, limit: int = BATCH) -> list[E]:
        ids = self.table.c.id
        return self.fetch(self.where(ids > after).order_by(ids).limit(limit))

    def found(self, ids: Collection[int]) -> list[E]:
        column = self.table.c.id
        return self.fetch(self.where(column.in_(ids)).order_by(column)) if ids else []

    def _newest(self, wanted: Filter, place: Place | None, limit: int) -> list[E]:
        columns = tuple(self.table.c.keys()) if self._reads_rows() else None
        statement = page_statement(self.kind, columns, wanted, is_first=place is None)
        return self.fetch(statement, page_values(self.account, wanted, place, limit))

    def _newest_rows(self, wanted: Filter, place: Place | None, limit: int) -> list[Row]:
        self.session.flush()  # what is read past the ORM does not flush by itself
        names = tuple(row_names(self.kind))
        statement = page_statement(self.kind, names, wanted, is_first=place is None)
        values = page_values(self.account, wanted, place, limit)
        make = partial(tuple.__new__, row_type(self.kind))
        with no_collecting():
            return [*map(make, self.session.connection().execute(statement, values).all())]

    def _count(self, wanted: Filter) -> int:
        statement = select(func.count()).where(
            self.table.c.account == self.account, *self._conditions(wanted)
        )
        return self.session.scalar(statement) or 0

    def _conditions(self, wanted: Filter) -> Iterable[ColumnElement[bool]]:
        columns = self.table.c
        for name, value in wanted.equal.items():
            yield columns[name] == value if value is not False else is_false(columns[name])
        if wanted.since is not None:
            yield columns[wanted.dated_by] >= wanted.since
        if wanted.until is not None:
            yield columns[wanted.dated_by] < wanted.until

    def _by_id(self, id_: int) -> Select[Any]:
        return self.where(self.table.c.id == checked_id(id_))


class SqlRepository(SqlRecords[E], Repository[E]):
    """Written past the flush: what is taken already is recognised, what is gone is gone."""

    def get(self, record_id: int, *, lock: bool = False) -> E:
        if lock:
            return self._locked(checked_id(record_id))
        if not isinstance(self.session, ReadSession):
            return super().get(record_id)
        found = self.session.by_id(self.kind, self.account, checked_id(record_id))
        if not found:
            raise NotFound(self.kind.__name__, record_id, self.account)
        return found[0]

    def add(self, entity: E) -> E:
        if add_if_new(self.session, entity):
            return entity
        with self.session.no_autoflush:  # orders that a fill takes over wait for the ledger
            recorded = self.fetch(self.where(*self._identity(entity)))
        if len(recorded) != 1:
            raise ConcurrentUpdate(f"another {self.kind.__name__} with this identity just changed")
        return recorded[0]

    def add_all(self, entities: Sequence[E]) -> list[E]:
        added: list[E] = []
        for start in range(0, len(entities), _TOGETHER):
            some = entities[start : start + _TOGETHER]
            added += some if self._add_together(some) else super().add_all(some)
        return added

    def _add_together(self, entities: Sequence[E]) -> bool:
        """Add them where all are new, and enough for that to be faster."""
        if len(entities) < _FEW:
            return False
        rows = [values_of(entity) for entity in entities]
        ids = add_together(self.session.connection(), self.table, rows)
        for entity, id_ in zip(entities, ids or (), strict=False):
            entity.id = id_
            self._keep(entity)
        return ids is not None

    def _keep(self, entity: E) -> None:
        """Make what was added together persistent."""
        attach(self.session, entity)

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
        entity = as_stored(self.kind, dict(found._mapping))
        key = inspect(self.kind).identity_key_from_primary_key((self.account, record_id))
        if key in self.session.identity_map:
            bring_up_to_date(self.session, entity, columns_of(self.kind))
            loaded: E = self.session.identity_map[key]
            return loaded
        attach(self.session, entity)
        return entity

    def write(self, entity: E, fields: Collection[str]) -> None:
        columns = self.table.c
        changed = (
            update(self.table)
            .where(columns.account == self.account, columns.id == entity.id)
            .values({name: getattr(entity, name) for name in fields})
        )
        if self.session.connection().execute(changed).rowcount != 1:
            raise ConcurrentUpdate(
                f"{self.kind.__name__} {entity.id} was deleted by another writer"
            )
        make_transient(entity)  # nothing is left for a flush to write
        attach(self.session, entity)

    def remove(self, entity: E) -> None:
        self.session.flush()
        columns = self.table.c
        gone = delete(self.table).where(columns.account == self.account, columns.id == entity.id)
        if self.session.connection().execute(gone).rowcount != 1:
            raise ConcurrentUpdate(
                f"{self.kind.__name__} {entity.id} was deleted by another writer"
            )
        if entity in self.session:
            self.session.expunge(entity)

    def _identity(self, entity: E) -> Sequence[ColumnElement[bool]]:
        names = _IDENTITY.get(self.kind, ("reference",))
        if any(getattr(entity, name, None) is None for name in names):
            names = ("id",)
        return [self.table.c[name] == getattr(entity, name) for name in names]
