"""What the book needs of a store: abstract repositories, and the Ledger through which trades are booked.

Each belongs to one unit of work and sees one account. `add` keeps an entity unless its identity is
taken, and returns what is recorded under it, so a caller compares with `is`. `get` raises `NotFound`.
`lock=True` keeps other writers from the record until the unit of work ends.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Generic, TypeVar

from attrs import frozen

from tradebook.domain.agents import AgentAction, AgentDecision
from tradebook.domain.alerts import Alert, Severity
from tradebook.domain.cash import Account, CashFlow
from tradebook.domain.events import Event
from tradebook.domain.fields import Entity
from tradebook.domain.performance import PerformanceMetric
from tradebook.domain.portfolio import Holdings, Portfolio, PortfolioPosition
from tradebook.domain.positions import Position
from tradebook.domain.signals import Signal
from tradebook.domain.trades import OrderKey, Trade

E = TypeVar("E", bound=Entity)


class Repository(ABC, Generic[E]):
    """A collection of one kind of record."""

    @abstractmethod
    def add(self, entity: E) -> E:
        """Record `entity`, unless its identity is taken.

        Returns:
            `entity` itself, now with its id, or the record that has its identity.
        """

    @abstractmethod
    def get(self, record_id: int, *, lock: bool = False) -> E:
        """The record with this id.

        Raises:
            NotFound: there is none in this account.
        """


class TradeRepository(Repository[Trade]):
    """Trades; identity is `Trade.fill_key`."""

    @abstractmethod
    def of_order(self, order_id: str) -> list[Trade]:
        """Every trade with this order id, by id; order ids may collide across symbols and venues."""

    @abstractmethod
    def latest(
        self, *, symbol: str | None = None, since: datetime | None = None, limit: int = 100
    ) -> list[Trade]:
        """The latest by trade time, newest first."""

    @abstractmethod
    def booked(self, symbol: str, *, after: int = 0, limit: int = 1000) -> list[Trade]:
        """Booked trades of a symbol by `sequence`, from the first above `after`."""

    @abstractmethod
    def count_booked(self) -> int:
        """How many trades were ever booked."""


class PositionRepository(ABC):
    """Positions, to read; only the Ledger writes them."""

    @abstractmethod
    def by_symbol(self, symbol: str) -> Position | None:
        """The position in a symbol, or None when it was never traded."""

    @abstractmethod
    def all(self, *, open_only: bool = False) -> list[Position]:
        """Positions that were ever traded, by symbol."""


class CashFlowRepository(Repository[CashFlow]):
    """Cash flows; identity is `reference`."""

    @abstractmethod
    def page(self, *, after: int = 0, limit: int = 1000) -> list[CashFlow]:
        """Cash flows by id, from the first above `after`."""

    @abstractmethod
    def latest(self, *, limit: int = 100) -> list[CashFlow]:
        """The latest by `occurred_at`, newest first."""


class PortfolioRepository(ABC):
    """Snapshots and their positions."""

    @abstractmethod
    def add(self, portfolio: Portfolio, positions: Sequence[PortfolioPosition]) -> None:
        """Keep a snapshot."""

    @abstractmethod
    def latest(self) -> Portfolio | None:
        """The last snapshot by time, or None."""

    @abstractmethod
    def history(self, *, since: datetime | None = None, limit: int = 1000) -> list[Portfolio]:
        """Snapshots, newest first."""

    @abstractmethod
    def page(self, *, after: int = 0, limit: int = 1000) -> list[Portfolio]:
        """Snapshots by id, from the first above `after`."""

    @abstractmethod
    def positions_of(self, portfolio_ids: Collection[int]) -> list[PortfolioPosition]:
        """The positions in some snapshots, by snapshot and symbol."""

    @abstractmethod
    def positions_in(self, symbol: str) -> list[PortfolioPosition]:
        """What snapshots say of a symbol, by `sequence`."""


class SignalRepository(Repository[Signal]):
    """Signals; identity is `reference` where given."""

    @abstractmethod
    def of_ids(self, ids: Collection[int]) -> list[Signal]:
        """The signals with these ids, in the order of `ids`.

        Raises:
            NotFound: naming the first that is not there.
        """

    @abstractmethod
    def latest(self, *, symbol: str | None = None, limit: int = 100) -> list[Signal]:
        """The latest by `generated_at`, newest first."""


class DecisionRepository(Repository[AgentDecision]):
    """Decisions, with the signals they were based on; identity is `reference` where given."""

    @abstractmethod
    def with_signals(self, record_id: int) -> AgentDecision:
        """The decision with its signals loaded.

        Raises:
            NotFound: there is none in this account.
        """

    @abstractmethod
    def latest(self, *, agent: str | None = None, limit: int = 100) -> list[AgentDecision]:
        """The latest by `decided_at`, newest first."""


class ActionRepository(Repository[AgentAction]):
    """Agents' steps; identity is `reference` where given."""

    @abstractmethod
    def latest(self, *, agent: str | None = None, limit: int = 100) -> list[AgentAction]:
        """The latest by `started_at`, newest first."""


class AlertRepository(Repository[Alert]):
    """Alerts; identity is `dedup_key` where given, while unresolved."""

    @abstractmethod
    def unresolved(self, *, severity: Severity | None = None, limit: int = 1000) -> list[Alert]:
        """Alerts that nobody dealt with, newest first."""

    @abstractmethod
    def latest(self, *, limit: int = 100) -> list[Alert]:
        """The latest by `timestamp`, newest first."""


class MetricRepository(Repository[PerformanceMetric]):
    """Performance metrics."""

    @abstractmethod
    def latest(self, *, name: str | None = None, limit: int = 100) -> list[PerformanceMetric]:
        """The latest by `period_end`, newest first."""


class EventRepository(Repository[Event]):
    """The audit trail: append-only."""

    @abstractmethod
    def of(self, entity: str, entity_id: int) -> list[Event]:
        """What happened to one record, oldest first."""

    @abstractmethod
    def page(self, *, after: int = 0, limit: int = 1000) -> list[Event]:
        """Events by id, from the first above `after`."""


class AccountRepository(ABC):
    """The account of this unit of work."""

    @abstractmethod
    def add(self, account: Account) -> Account:
        """Open the account, unless it is open; returns the one that is."""

    @abstractmethod
    def current(self) -> Account | None:
        """The account, or None before its first use."""


@frozen
class Page:
    """A symbol's page of the ledger, as it stood when it was opened.

    Attributes:
        position: a working copy; nothing reaches the book but through `Ledger.book`.
        trades: what is recorded under the orders that were asked for.
    """

    position: Position
    trades: tuple[Trade, ...]


class Ledger(ABC):
    """Positions, booked trades and their events, which only change together."""

    @abstractmethod
    def open(self, symbol: str, orders: Collection[OrderKey]) -> Page:
        """A symbol's page, to book on.

        Args:
            symbol: never traded is fine: the page then has a flat position of sequence 0.
            orders: whose trades are wanted.
        """

    @abstractmethod
    def book(self, position: Position, bookings: Sequence[tuple[Trade, Event]]) -> bool:
        """Write a position with the trades that moved it and their events, all or nothing.

        Args:
            position: of the page that was opened, with the trades applied.
            bookings: each trade with its event, which gets the trade's id.

        Returns:
            False when the page no longer stands as opened (nothing was written): open it again.
        """

    @abstractmethod
    def marked(self, symbols: Collection[str]) -> list[Position]:
        """Working copies of the positions in these symbols, by symbol, to mark."""

    @abstractmethod
    def mark(self, positions: Collection[Position]) -> None:
        """Write the marks of these positions, except where the book has a later one."""

    @abstractmethod
    def holdings(self) -> Holdings:
        """All positions and cash, read at one instant."""
