"""The domain's repositories on a SQLAlchemy session, each seeing one account."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Generic, TypeVar

from sqlalchemy import ColumnElement, Select, Table, func, select
from sqlalchemy.orm import Session, selectinload

from tradebook.adapters import orm
from tradebook.adapters.sessions import add_if_new, insert_all, table_of
from tradebook.domain.agents import AgentAction, AgentDecision
from tradebook.domain.alerts import Alert, Severity
from tradebook.domain.cash import Account, CashFlow
from tradebook.domain.errors import ConcurrentUpdate, NotFound
from tradebook.domain.events import Event
from tradebook.domain.fields import Entity, record_id
from tradebook.domain.performance import PerformanceMetric
from tradebook.domain.portfolio import Portfolio, PortfolioPosition
from tradebook.domain.positions import Position, PositionStatus
from tradebook.domain.repositories import (
    AccountRepository,
    ActionRepository,
    AlertRepository,
    CashFlowRepository,
    DecisionRepository,
    EventRepository,
    MetricRepository,
    PortfolioRepository,
    PositionRepository,
    Repository,
    SignalRepository,
    TradeRepository,
)
from tradebook.domain.signals import Signal
from tradebook.domain.trades import Trade

E = TypeVar("E", bound=Entity)


class _Records(Generic[E]):
    """One kind of record of one account."""

    kind: type[E]

    def __init__(self, session: Session, account: str) -> None:
        self.session = session
        self.account = account

    @property
    def table(self) -> Table:
        """The records' table."""
        return table_of(self.kind)

    def where(self, *conditions: ColumnElement[bool]) -> Select[E]:
        """Records of this account that meet the conditions."""
        return select(self.kind).where(self.table.c.account == self.account, *conditions)

    def fetch(self, statement: Select[E]) -> list[E]:
        """The records that a statement selects."""
        return list(self.session.scalars(statement))

    def newest(self, time: str, *conditions: ColumnElement[bool], limit: int) -> list[E]:
        """The latest by a time column, newest first."""
        columns = self.table.c
        order = (columns[time].desc(), columns.id.desc())
        return self.fetch(self.where(*conditions).order_by(*order).limit(limit))

    def following(self, after: int, limit: int, *conditions: ColumnElement[bool]) -> list[E]:
        """By id, from the first above `after`."""
        ids = self.table.c.id
        return self.fetch(self.where(ids > after, *conditions).order_by(ids).limit(limit))


class _SqlRepository(_Records[E], Repository[E]):
    """`add` and `get`; a kind with an identity says how to find it."""

    def add(self, entity: E) -> E:
        if add_if_new(self.session, entity):
            return entity
        recorded = self.session.scalars(self.where(*self._identity(entity))).one_or_none()
        if recorded is None:
            raise ConcurrentUpdate(f"another {self.kind.__name__} with this identity just changed")
        return recorded

    def get(self, record_id: int, *, lock: bool = False) -> E:
        statement = self._by_id(record_id)
        if lock:
            statement = statement.with_for_update().execution_options(populate_existing=True)
        return self._one(statement, record_id)

    def _by_id(self, id_: int) -> Select[E]:
        return self.where(self.table.c.id == record_id(id_))

    def _one(self, statement: Select[E], id_: int) -> E:
        found = self.session.scalars(statement).one_or_none()
        if found is None:
            raise NotFound(self.kind.__name__, id_, self.account)
        return found

    def _identity(self, entity: E) -> Sequence[ColumnElement[bool]]:
        return [self.table.c.reference == getattr(entity, "reference", None)]


class SqlTradeRepository(_SqlRepository[Trade], TradeRepository):
    kind = Trade

    def _identity(self, entity: Trade) -> Sequence[ColumnElement[bool]]:
        columns = self.table.c
        return [
            columns.symbol == entity.symbol,
            columns.venue == entity.venue,
            columns.order_id == entity.order_id,
            columns.execution_id == entity.execution_id,
            columns.revision == entity.revision,
        ]

    def of_order(self, order_id: str) -> list[Trade]:
        columns = self.table.c
        return self.fetch(self.where(columns.order_id == order_id).order_by(columns.id))

    def latest(
        self, *, symbol: str | None = None, since: datetime | None = None, limit: int = 100
    ) -> list[Trade]:
        columns = self.table.c
        conditions = [] if symbol is None else [columns.symbol == symbol]
        if since is not None:
            conditions.append(columns.executed_at >= since)
        return self.newest("executed_at", *conditions, limit=limit)

    def booked(self, symbol: str, *, after: int = 0, limit: int = 1000) -> list[Trade]:
        columns = self.table.c
        statement = self.where(columns.symbol == symbol, columns.sequence > after)
        return self.fetch(statement.order_by(columns.sequence).limit(limit))

    def count_booked(self) -> int:
        columns = self.table.c
        statement = select(func.count()).where(
            columns.account == self.account, columns.sequence.is_not(None)
        )
        return self.session.scalar(statement) or 0


class SqlPositionRepository(_Records[Position], PositionRepository):
    kind = Position

    def by_symbol(self, symbol: str) -> Position | None:
        found = self.where(self.table.c.symbol == symbol, self.table.c.sequence > 0)
        return self.session.scalars(found).one_or_none()

    def all(self, *, open_only: bool = False) -> list[Position]:
        columns = self.table.c
        conditions = [columns.status == PositionStatus.OPEN] if open_only else []
        # In Python: databases sort text by their own collations.
        return sorted(
            self.fetch(self.where(columns.sequence > 0, *conditions)), key=lambda p: p.symbol
        )


class SqlCashFlowRepository(_SqlRepository[CashFlow], CashFlowRepository):
    kind = CashFlow

    def page(self, *, after: int = 0, limit: int = 1000) -> list[CashFlow]:
        return self.following(after, limit)

    def latest(self, *, limit: int = 100) -> list[CashFlow]:
        return self.newest("occurred_at", limit=limit)


class SqlPortfolioRepository(_Records[Portfolio], PortfolioRepository):
    kind = Portfolio

    def add(self, portfolio: Portfolio, positions: Sequence[PortfolioPosition]) -> None:
        add_if_new(self.session, portfolio)
        for position in positions:
            position.portfolio_id = portfolio.id
        insert_all(self.session, positions)

    def latest(self) -> Portfolio | None:
        return next(iter(self.newest("timestamp", limit=1)), None)

    def history(self, *, since: datetime | None = None, limit: int = 1000) -> list[Portfolio]:
        conditions = [] if since is None else [self.table.c.timestamp >= since]
        return self.newest("timestamp", *conditions, limit=limit)

    def page(self, *, after: int = 0, limit: int = 1000) -> list[Portfolio]:
        return self.following(after, limit)

    def positions_of(self, portfolio_ids: Collection[int]) -> list[PortfolioPosition]:
        columns = orm.portfolio_positions.c
        rows = self._positions(columns.portfolio_id.in_(portfolio_ids))
        return sorted(rows, key=lambda row: (row.portfolio_id, row.symbol))

    def positions_in(self, symbol: str) -> list[PortfolioPosition]:
        rows = self._positions(orm.portfolio_positions.c.symbol == symbol)
        return sorted(rows, key=lambda row: (row.sequence, row.portfolio_id))

    def _positions(self, condition: ColumnElement[bool]) -> list[PortfolioPosition]:
        statement = select(PortfolioPosition).where(
            orm.portfolio_positions.c.account == self.account, condition
        )
        return list(self.session.scalars(statement))


class SqlSignalRepository(_SqlRepository[Signal], SignalRepository):
    kind = Signal

    def of_ids(self, ids: Collection[int]) -> list[Signal]:
        wanted = [record_id(id_) for id_ in ids]
        if not wanted:
            return []
        found = {s.id: s for s in self.fetch(self.where(self.table.c.id.in_(wanted)))}
        for id_ in wanted:
            if id_ not in found:
                raise NotFound("Signal", id_, self.account)
        return [found[id_] for id_ in wanted]

    def latest(self, *, symbol: str | None = None, limit: int = 100) -> list[Signal]:
        conditions = [] if symbol is None else [self.table.c.symbol == symbol]
        return self.newest("generated_at", *conditions, limit=limit)


class SqlDecisionRepository(_SqlRepository[AgentDecision], DecisionRepository):
    kind = AgentDecision

    def add(self, entity: AgentDecision) -> AgentDecision:
        recorded = super().add(entity)
        if recorded is entity and entity.signals:
            links = [
                {"account": self.account, "decision_id": entity.id, "signal_id": signal.id}
                for signal in entity.signals
            ]
            self.session.connection().execute(orm.decision_signals.insert(), links)
        return recorded

    def with_signals(self, record_id: int) -> AgentDecision:
        statement = self._by_id(record_id).options(selectinload(AgentDecision.signals))  # type: ignore[arg-type]
        return self._one(statement.execution_options(populate_existing=True), record_id)

    def latest(self, *, agent: str | None = None, limit: int = 100) -> list[AgentDecision]:
        conditions = [] if agent is None else [self.table.c.agent == agent]
        return self.newest("decided_at", *conditions, limit=limit)


class SqlActionRepository(_SqlRepository[AgentAction], ActionRepository):
    kind = AgentAction

    def latest(self, *, agent: str | None = None, limit: int = 100) -> list[AgentAction]:
        conditions = [] if agent is None else [self.table.c.agent == agent]
        return self.newest("started_at", *conditions, limit=limit)


class SqlAlertRepository(_SqlRepository[Alert], AlertRepository):
    kind = Alert

    def add(self, entity: Alert) -> Alert:
        self.session.flush()  # an alert resolved in this unit of work no longer holds its key
        return super().add(entity)

    def _identity(self, entity: Alert) -> Sequence[ColumnElement[bool]]:
        return [self.table.c.dedup_key == entity.dedup_key, ~self.table.c.resolved]

    def unresolved(self, *, severity: Severity | None = None, limit: int = 1000) -> list[Alert]:
        conditions = [] if severity is None else [self.table.c.severity == severity]
        return self.newest("timestamp", ~self.table.c.resolved, *conditions, limit=limit)

    def latest(self, *, limit: int = 100) -> list[Alert]:
        return self.newest("timestamp", limit=limit)


class SqlMetricRepository(_SqlRepository[PerformanceMetric], MetricRepository):
    kind = PerformanceMetric

    def latest(self, *, name: str | None = None, limit: int = 100) -> list[PerformanceMetric]:
        conditions = [] if name is None else [self.table.c.name == name]
        return self.newest("period_end", *conditions, limit=limit)


class SqlEventRepository(_SqlRepository[Event], EventRepository):
    kind = Event

    def of(self, entity: str, entity_id: int) -> list[Event]:
        columns = self.table.c
        of_record = self.where(columns.entity == entity, columns.entity_id == entity_id)
        return self.fetch(of_record.order_by(columns.id))

    def page(self, *, after: int = 0, limit: int = 1000) -> list[Event]:
        return self.following(after, limit)


class SqlAccountRepository(_Records[Account], AccountRepository):
    kind = Account

    def add(self, account: Account) -> Account:
        if add_if_new(self.session, account):
            return account
        opened = self.current()
        assert opened is not None  # accounts are never removed
        return opened

    def current(self) -> Account | None:
        return self.session.scalars(self.where()).one_or_none()
