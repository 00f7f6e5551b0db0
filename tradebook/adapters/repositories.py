"""The domain's repositories on a SQLAlchemy session, each seeing one account."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    and_,
    delete,
    func,
    or_,
    select,
)
from sqlalchemy.orm import Session

from tradebook.adapters import orm
from tradebook.adapters.adding import add_together
from tradebook.adapters.pages import is_false, page_statement, page_values
from tradebook.adapters.rows import ReadingSession
from tradebook.adapters.sessions import (
    add_if_new,
    attach,
    insert_all,
    remember,
    table_of,
    values_of,
)
from tradebook.domain.alerts import Alert
from tradebook.domain.booked import BookedTrade
from tradebook.domain.cash import Account
from tradebook.domain.errors import ConcurrentUpdate, NotFound
from tradebook.domain.events import BOOKINGS, BUSTS, Event
from tradebook.domain.fields import Entity
from tradebook.domain.fields import record_id as checked_id
from tradebook.domain.paging import BATCH, Filter, Place
from tradebook.domain.portfolio import Portfolio, PortfolioPosition
from tradebook.domain.positions import Position, PositionStatus
from tradebook.domain.repositories import (
    AccountRepository,
    Corrections,
    EventRepository,
    PortfolioRepository,
    PositionRepository,
    Records,
    Repository,
    SignalRepository,
    TradeRepository,
)
from tradebook.domain.rows import Row, row_names, row_type
from tradebook.domain.seals import Seal
from tradebook.domain.signals import Signal
from tradebook.domain.trades import Trade
from tradebook.service_layer.garbage import no_collecting

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
_SYMBOLS: Final = 100
"""How many are asked for in one statement."""


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
        if isinstance(self.session, ReadingSession):
            return self.session.entities(self.kind, statement, values)
        return list(self.session.scalars(statement, values))

    def _select(self) -> Select[Any]:
        return select(self.table) if self._reads_rows() else select(self.kind)

    def _reads_rows(self) -> bool:
        return isinstance(self.session, ReadingSession)

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
        if lock or not isinstance(self.session, ReadingSession):
            return super().get(record_id, lock=lock)
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


class SqlTradeRepository(SqlRepository[Trade], TradeRepository):
    def of_order(self, order_id: str) -> list[Trade]:
        columns = self.table.c
        return self.fetch(self.where(columns.order_id == order_id).order_by(columns.id))

    def booked(self, symbol: str, *, after: int = 0, limit: int = BATCH) -> list[BookedTrade]:
        self.session.flush()  # as for a page
        columns = self.table.c
        statement = (
            select(*(columns[name] for name in BookedTrade._fields))
            .where(columns.account == self.account, columns.symbol == symbol)
            .where(columns.sequence > after)
            .order_by(columns.sequence)
            .limit(limit)
        )
        return [*map(BookedTrade._make, self.session.connection().execute(statement))]

    def count_booked(self, symbol: str | None = None) -> int:
        columns = self.table.c
        of_symbol = [] if symbol is None else [columns.symbol == symbol]
        statement = select(func.count()).where(
            columns.account == self.account, columns.sequence.is_not(None), *of_symbol
        )
        return self.session.scalar(statement) or 0

    def booked_symbols(self) -> list[str]:
        columns = self.table.c
        booked = columns.account == self.account, columns.sequence.is_not(None)
        return sorted(self.session.scalars(select(columns.symbol).where(*booked).distinct()))

    def correcting(self, ids: Collection[int]) -> list[Trade]:
        corrected = self.table.c.corrects_id
        return self.fetch(self.where(corrected.is_not(None), corrected.in_(ids)))

    def corrections(self, symbol: str) -> Corrections:
        columns = self.table.c
        busts = columns.bust_sequence.is_not(None)
        bookings = columns.corrects_id.is_not(None)
        return Corrections(
            busts=self._numbers(columns.bust_sequence, symbol, busts),
            bookings=self._numbers(columns.sequence, symbol, bookings),
        )

    def busted_after(self, sequences: Mapping[str, int]) -> list[Trade]:
        columns = self.table.c
        found: list[Trade] = []
        symbols = sorted(sequences)
        for start in range(0, len(symbols), _SYMBOLS):
            later = [
                and_(
                    columns.symbol == symbol,
                    columns.sequence <= sequences[symbol],
                    columns.bust_sequence > sequences[symbol],
                )
                for symbol in symbols[start : start + _SYMBOLS]
            ]
            found += self.fetch(self.where(columns.bust_sequence.is_not(None), or_(*later)))
        return sorted(found, key=lambda trade: (trade.symbol, trade.bust_sequence or 0))

    def _numbers(
        self, column: ColumnElement[int], symbol: str, condition: ColumnElement[bool]
    ) -> list[int]:
        columns = self.table.c
        of_symbol = columns.account == self.account, columns.symbol == symbol
        return sorted(self.session.scalars(select(column).where(*of_symbol, condition)))


class SqlPositionRepository(SqlRepository[Position], PositionRepository):
    def by_symbol(self, symbol: str) -> Position | None:
        columns = self.table.c
        found = self.where(columns.symbol == symbol, columns.sequence > 0)
        return next(iter(self.fetch(found)), None)

    def all(self, *, open_only: bool = False) -> list[Position]:
        columns = self.table.c
        conditions = [columns.status == PositionStatus.OPEN] if open_only else []
        # In Python: databases sort text by their own collations.
        return sorted(
            self.fetch(self.where(columns.sequence > 0, *conditions)), key=lambda p: p.symbol
        )


class SqlPortfolioRepository(SqlRepository[Portfolio], PortfolioRepository):
    def add(self, entity: Portfolio, positions: Sequence[PortfolioPosition] = ()) -> Portfolio:
        add_if_new(self.session, entity)
        for position in positions:
            position.portfolio_id = entity.id
        insert_all(self.session, positions)
        return entity

    def positions_of(self, portfolio_ids: Collection[int]) -> list[PortfolioPosition]:
        columns = orm.portfolio_positions.c
        rows = self._positions(columns.portfolio_id.in_(portfolio_ids))
        return sorted(rows, key=lambda row: (row.portfolio_id, row.symbol))

    def positions_in(self, symbol: str) -> list[PortfolioPosition]:
        rows = self._positions(orm.portfolio_positions.c.symbol == symbol)
        return sorted(rows, key=lambda row: (row.sequence, row.portfolio_id))

    def _positions(self, condition: ColumnElement[bool]) -> list[PortfolioPosition]:
        rows = SqlRecords(self.session, self.account, PortfolioPosition)
        return rows.fetch(rows.where(condition))


class SqlSignalRepository(SqlRepository[Signal], SignalRepository):
    def of_ids(self, ids: Collection[int]) -> list[Signal]:
        wanted = [checked_id(id_) for id_ in ids]
        if not wanted:
            return []
        found = {s.id: s for s in self.fetch(self.where(self.table.c.id.in_(wanted)))}
        for id_ in wanted:
            if id_ not in found:
                raise NotFound("Signal", id_, self.account)
        return [found[id_] for id_ in wanted]


class SqlAlertRepository(SqlRepository[Alert]):
    def add_all(self, entities: Sequence[Alert]) -> list[Alert]:
        self.session.flush()
        return super().add_all(entities)

    def add(self, entity: Alert) -> Alert:
        self.session.flush()  # an alert resolved in this unit of work no longer holds its key
        return super().add(entity)

    def _identity(self, entity: Alert) -> Sequence[ColumnElement[bool]]:
        return [self.table.c.dedup_key == entity.dedup_key, is_false(self.table.c.resolved)]


class SqlEventRepository(SqlRepository[Event], EventRepository):
    def add_all(self, entities: Sequence[Event]) -> list[Event]:
        added = super().add_all(entities)
        if added:
            remember(self.session, added[-1], added[-1].id)
        return added

    def _keep(self, entity: Event) -> None:
        """Nobody changes it."""

    def of(self, entity: str, entity_id: int) -> list[Event]:
        columns = self.table.c
        of_record = self.where(columns.entity == entity, columns.entity_id == entity_id)
        return self.fetch(of_record.order_by(columns.id))

    def newest_id(self) -> int:
        columns = self.table.c
        statement = select(func.max(columns.id)).where(columns.account == self.account)
        return self.session.scalar(statement) or 0

    def count_up_to(self, id_: int) -> int:
        columns = self.table.c
        of_account = columns.account == self.account
        statement = select(func.count()).where(of_account, columns.id <= id_)
        return self.session.scalar(statement) or 0

    def bookings_of(self, trade_ids: Collection[int]) -> list[Event]:
        columns = self.table.c
        found = self.where(*self._bookings(), columns.entity_id.in_(trade_ids))
        return self.fetch(found.order_by(columns.id))

    def count_bookings(self) -> int:
        of_account = self.table.c.account == self.account
        statement = select(func.count()).where(of_account, *self._bookings())
        return self.session.scalar(statement) or 0

    def _bookings(self) -> Sequence[ColumnElement[bool]]:
        columns = self.table.c
        return columns.entity == Trade.__name__, columns.event_type.in_(BOOKINGS + BUSTS)


class SqlAccountRepository(SqlRepository[Account], AccountRepository):
    def current(self) -> Account | None:
        return next(iter(self.fetch(self.where())), None)
