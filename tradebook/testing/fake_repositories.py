"""The domain's repositories and its Ledger in memory, on one fake transaction."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar

from tradebook.domain.agents import AgentAction, AgentDecision
from tradebook.domain.alerts import Alert, Severity
from tradebook.domain.cash import Account, CashFlow, cash_totals
from tradebook.domain.events import Event
from tradebook.domain.fields import Entity
from tradebook.domain.performance import PerformanceMetric
from tradebook.domain.portfolio import Holdings, Portfolio, PortfolioPosition
from tradebook.domain.positions import Position, PositionStatus
from tradebook.domain.repositories import (
    AccountRepository,
    ActionRepository,
    AlertRepository,
    CashFlowRepository,
    DecisionRepository,
    EventRepository,
    Ledger,
    MetricRepository,
    Page,
    PortfolioRepository,
    PositionRepository,
    Repository,
    SignalRepository,
    TradeRepository,
)
from tradebook.domain.signals import Signal
from tradebook.domain.trades import OrderKey, Trade
from tradebook.testing.fake_session import FakeSession, is_saved
from tradebook.testing.fake_store import MARK, Values, values_of

E = TypeVar("E", bound=Entity)


class _FakeRepository(Repository[E], Generic[E]):
    kind: type[E]

    def __init__(self, session: FakeSession) -> None:
        self._session = session

    def add(self, entity: E) -> E:
        return self._session.add(entity)

    def get(self, record_id: int, *, lock: bool = False) -> E:  # noqa: ARG002  # `commit` checks
        return self._session.get(self.kind, record_id)

    def _newest(
        self, by: str, limit: int, where: Callable[[Values], bool] = lambda _: True
    ) -> list[E]:
        return self._session.find(self.kind, where, by=by, newest_first=True, limit=limit)

    def _following(self, after: int, limit: int) -> list[E]:
        return self._session.find(self.kind, lambda row: row["id"] > after, limit=limit)


def _matches(**wanted: Any) -> Callable[[Values], bool]:
    """Whether a row has these values; None stands for any."""
    given = {name: value for name, value in wanted.items() if value is not None}
    return lambda row: all(row[name] == value for name, value in given.items())


class FakeTradeRepository(_FakeRepository[Trade], TradeRepository):
    kind = Trade

    def of_order(self, order_id: str) -> list[Trade]:
        return self._session.find(Trade, _matches(order_id=order_id))

    def latest(
        self, *, symbol: str | None = None, since: datetime | None = None, limit: int = 100
    ) -> list[Trade]:
        of_symbol = _matches(symbol=symbol)
        return self._newest(
            "executed_at",
            limit,
            lambda row: of_symbol(row) and (since is None or row["executed_at"] >= since),
        )

    def booked(self, symbol: str, *, after: int = 0, limit: int = 1000) -> list[Trade]:
        return self._session.find(
            Trade,
            lambda row: row["symbol"] == symbol and (row["sequence"] or 0) > after,
            by="sequence",
            limit=limit,
        )

    def count_booked(self) -> int:
        return sum(row["sequence"] is not None for row in self._session.rows(Trade))


class FakePositionRepository(PositionRepository):
    def __init__(self, session: FakeSession) -> None:
        self._session = session

    def by_symbol(self, symbol: str) -> Position | None:
        return next(iter(self._session.find(Position, _matches(symbol=symbol))), None)

    def all(self, *, open_only: bool = False) -> list[Position]:
        status = PositionStatus.OPEN if open_only else None
        return self._session.find(Position, _matches(status=status), by="symbol")


class FakeCashFlowRepository(_FakeRepository[CashFlow], CashFlowRepository):
    kind = CashFlow

    def page(self, *, after: int = 0, limit: int = 1000) -> list[CashFlow]:
        return self._following(after, limit)

    def latest(self, *, limit: int = 100) -> list[CashFlow]:
        return self._newest("occurred_at", limit)


class FakePortfolioRepository(PortfolioRepository):
    def __init__(self, session: FakeSession) -> None:
        self._session = session

    def add(self, portfolio: Portfolio, positions: Sequence[PortfolioPosition]) -> None:
        self._session.insert(portfolio)
        for position in positions:
            position.portfolio_id = portfolio.id
            self._session.insert(position)

    def latest(self) -> Portfolio | None:
        return next(iter(self.history(limit=1)), None)

    def history(self, *, since: datetime | None = None, limit: int = 1000) -> list[Portfolio]:
        return self._session.find(
            Portfolio,
            lambda row: since is None or row["timestamp"] >= since,
            by="timestamp",
            newest_first=True,
            limit=limit,
        )

    def page(self, *, after: int = 0, limit: int = 1000) -> list[Portfolio]:
        return self._session.find(Portfolio, lambda row: row["id"] > after, limit=limit)

    def positions_of(self, portfolio_ids: Collection[int]) -> list[PortfolioPosition]:
        wanted = set(portfolio_ids)
        rows = self._session.find(PortfolioPosition, lambda row: row["portfolio_id"] in wanted)
        return sorted(rows, key=lambda row: (row.portfolio_id, row.symbol))

    def positions_in(self, symbol: str) -> list[PortfolioPosition]:
        rows = self._session.find(PortfolioPosition, _matches(symbol=symbol))
        return sorted(rows, key=lambda row: (row.sequence, row.portfolio_id))


class FakeSignalRepository(_FakeRepository[Signal], SignalRepository):
    kind = Signal

    def of_ids(self, ids: Collection[int]) -> list[Signal]:
        return [self.get(id_) for id_ in ids]

    def latest(self, *, symbol: str | None = None, limit: int = 100) -> list[Signal]:
        return self._newest("generated_at", limit, _matches(symbol=symbol))


class FakeDecisionRepository(_FakeRepository[AgentDecision], DecisionRepository):
    """Decisions always have their signals here; on a database only those of `with_signals` do."""

    kind = AgentDecision

    def with_signals(self, record_id: int) -> AgentDecision:
        return self.get(record_id)

    def latest(self, *, agent: str | None = None, limit: int = 100) -> list[AgentDecision]:
        return self._newest("decided_at", limit, _matches(agent=agent))


class FakeActionRepository(_FakeRepository[AgentAction], ActionRepository):
    kind = AgentAction

    def latest(self, *, agent: str | None = None, limit: int = 100) -> list[AgentAction]:
        return self._newest("started_at", limit, _matches(agent=agent))


class FakeAlertRepository(_FakeRepository[Alert], AlertRepository):
    kind = Alert

    def unresolved(self, *, severity: Severity | None = None, limit: int = 1000) -> list[Alert]:
        return self._newest("timestamp", limit, _matches(resolved=False, severity=severity))

    def latest(self, *, limit: int = 100) -> list[Alert]:
        return self._newest("timestamp", limit)


class FakeMetricRepository(_FakeRepository[PerformanceMetric], MetricRepository):
    kind = PerformanceMetric

    def latest(self, *, name: str | None = None, limit: int = 100) -> list[PerformanceMetric]:
        return self._newest("period_end", limit, _matches(name=name))


class FakeEventRepository(_FakeRepository[Event], EventRepository):
    kind = Event

    def of(self, entity: str, entity_id: int) -> list[Event]:
        return self._session.find(Event, _matches(entity=entity, entity_id=entity_id))

    def page(self, *, after: int = 0, limit: int = 1000) -> list[Event]:
        return self._following(after, limit)


class FakeAccountRepository(AccountRepository):
    def __init__(self, session: FakeSession) -> None:
        self._session = session

    def add(self, account: Account) -> Account:
        return self._session.add(account)

    def current(self) -> Account | None:
        return next(iter(self._session.find(Account)), None)


class FakeLedger(Ledger):
    """Nobody waits here: of two units of work that book on one position, the second fails to commit."""

    def __init__(self, session: FakeSession, account: str, at: datetime) -> None:
        self._session = session
        self._account = account
        self._at = at

    def open(self, symbol: str, orders: Collection[OrderKey]) -> Page:
        row = self._row(symbol)
        position = (
            Position(account=self._account, symbol=symbol, created_at=self._at)
            if row is None
            else self._session.copy(Position, row)
        )
        wanted = set(orders)
        trades = self._session.find(
            Trade, lambda row: OrderKey(row["venue"], row["symbol"], row["order_id"]) in wanted
        )
        return Page(position, tuple(trades))

    def book(self, position: Position, bookings: Sequence[tuple[Trade, Event]]) -> bool:
        trades = [trade for trade, _ in bookings]
        row = self._row(position.symbol)
        booked_before = 0 if row is None else row["version"]
        if booked_before != position.version - len(trades) or self._clash(trades):
            for trade in trades:
                if self._session.holds(trade):
                    self._session.refresh(Trade, trade.id)
            return False
        self._write(position, row)
        for trade, event in bookings:
            if self._session.holds(trade):
                self._session.save(trade)
            else:
                self._session.insert(trade)
            event.entity_id = trade.id
            self._session.add(event)
        return True

    def marked(self, symbols: Collection[str]) -> list[Position]:
        wanted = set(symbols)
        rows = [row for row in self._session.rows(Position) if row["symbol"] in wanted]
        return self._copies(rows)

    def mark(self, positions: Collection[Position]) -> None:
        for position in positions:
            row = self._row(position.symbol)
            if row is not None and _is_not_older(position, row):
                mark = {name: getattr(position, name) for name in MARK}
                self._session.put_position({**row, **mark})

    def holdings(self) -> Holdings:
        return Holdings(
            positions=tuple(self._copies(list(self._session.rows(Position)))),
            cash=cash_totals(
                (r["currency"], r["kind"], r["amount"]) for r in self._session.rows(CashFlow)
            ),
        )

    def _row(self, symbol: str) -> Values | None:
        return next((r for r in self._session.rows(Position) if r["symbol"] == symbol), None)

    def _copies(self, rows: list[Values]) -> list[Position]:
        ordered = sorted(rows, key=lambda row: row["symbol"])
        return [self._session.copy(Position, row) for row in ordered]

    def _clash(self, trades: list[Trade]) -> bool:
        fills = {trade.fill_key for trade in trades}
        # A pending trade that is taken over gives up its key in the same booking.
        allowed = {None, *(trade.id for trade in trades if self._session.holds(trade))}
        return len(fills) < len(trades) or any(
            self._session.holder(trade) not in allowed for trade in trades
        )

    def _write(self, position: Position, row: Values | None) -> None:
        if not is_saved(position):
            position.id = self._session.next_id(Position)
        values = values_of(position)
        if row is not None and not _is_not_older(position, row):
            values |= {name: row[name] for name in MARK}
        self._session.put_position(values)


def _is_not_older(position: Position, row: Values) -> bool:
    """Whether the mark of `position` may replace that of the row."""
    if position.marked_at is None:
        return False
    return row["marked_at"] is None or bool(position.marked_at >= row["marked_at"])
