"""What the book needs of a store: abstract repositories.

Each belongs to one unit of work and sees one account. `add` keeps an entity unless its identity is
taken, and returns what is recorded under it, so a caller compares with `is`. `get` raises `NotFound`.
`lock=True` keeps other writers from the record until the unit of work ends.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from operator import attrgetter
from typing import Generic, TypeVar

from attrs import frozen

from tradebook.domain.accounting import BookedTrade
from tradebook.domain.agents import AgentDecision
from tradebook.domain.cash import Account
from tradebook.domain.entity import Entity
from tradebook.domain.events import Event
from tradebook.domain.portfolio import Portfolio, PortfolioPosition
from tradebook.domain.positions import Position
from tradebook.domain.seals import Seal
from tradebook.domain.signals import Signal
from tradebook.domain.trades import Trade, TradeStatus
from tradebook.service_layer.ports.paging import (
    BATCH,
    DEFAULT_LIMIT,
    Filter,
    Page,
    Place,
    Row,
    page_limit,
    place_after,
    row_names,
    row_type,
    walk,
)
from tradebook.service_layer.ports.watermark import TransactionSnapshot

E = TypeVar("E", bound=Entity)


class Records(ABC, Generic[E]):
    """The records of one kind, to read.

    Lists take `since` (inclusive) and `until` (exclusive), and the values that fields must have, by
    name: `page(symbol="AAPL", status="EXECUTED")`; None stands for none.
    """

    kind: type[E]

    @abstractmethod
    def get(self, record_id: int, *, lock: bool = False) -> E:
        """The record with this id.

        Raises:
            NotFound: there is none in this account.
        """

    def page(
        self,
        *,
        limit: int = DEFAULT_LIMIT,
        after: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        **equal: object,
    ) -> Page[E]:
        """The newest `limit` records, or those that follow the page whose `after` is given.

        Raises:
            InvalidInput: a name or value that the kind does not have, or another list's `after`.
        """
        wanted = Filter.of(self.kind, since, until, equal)
        place = place_after(self.kind, after)
        return Page.of(self.kind, self._newest(wanted, place, page_limit(limit) + 1), limit)

    def rows(
        self,
        *,
        limit: int = DEFAULT_LIMIT,
        after: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        **equal: object,
    ) -> Page[Row]:
        """A `page` as plain values."""
        wanted = Filter.of(self.kind, since, until, equal)
        place = place_after(self.kind, after)
        return Page.of(self.kind, self._newest_rows(wanted, place, page_limit(limit) + 1), limit)

    def iterate(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        batch: int = BATCH,
        **equal: object,
    ) -> Iterator[E]:
        """All of a list, newest first, read `batch` records at a time."""
        limit = page_limit(batch, "batch")
        return walk(
            lambda after: self.page(limit=limit, after=after, since=since, until=until, **equal)
        )

    def count(
        self, *, since: datetime | None = None, until: datetime | None = None, **equal: object
    ) -> int:
        """How many records a list has."""
        return self._count(Filter.of(self.kind, since, until, equal))

    @abstractmethod
    def in_order(self, *, after: int = 0, limit: int = BATCH) -> list[E]:
        """Records by id, from the first above `after`."""

    @abstractmethod
    def found(self, ids: Collection[int]) -> list[E]:
        """Those of the records with these ids that there are, by id."""

    @abstractmethod
    def _newest(self, wanted: Filter, place: Place | None, limit: int) -> list[E]:
        """The newest of a list that come after a place in it, by `ordered_by` and id."""

    def _newest_rows(self, wanted: Filter, place: Place | None, limit: int) -> list[Row]:
        values = map(attrgetter(*row_names(self.kind)), self._newest(wanted, place, limit))
        return [*map(partial(tuple.__new__, row_type(self.kind)), values)]

    @abstractmethod
    def _count(self, wanted: Filter) -> int: ...


class Repository(Records[E]):
    """A collection of one kind of record."""

    @abstractmethod
    def add(self, entity: E) -> E:
        """Record `entity`, unless its identity is taken.

        Returns:
            `entity` itself, now with its id, or the record that has its identity.
        """

    def add_all(self, entities: Sequence[E]) -> list[E]:
        """As `add` each; faster, where all of them are new."""
        return [self.add(entity) for entity in entities]

    @abstractmethod
    def remove(self, entity: E) -> None:
        """Delete a record for good; whether it may be, the caller has asked the locked record.

        Raises:
            ConstraintViolated: another record refers to it (on leaving the unit of work).
            ConcurrentUpdate: another writer was first.
        """


@frozen
class Corrections:
    """The entries in a symbol's ledger that are busts, and those that booked corrections, sorted."""

    busts: list[int]
    bookings: list[int]


class TradeRepository(Repository[Trade]):
    """Trades; identity is `Trade.fill_key`."""

    @abstractmethod
    def of_order(self, order_id: str) -> list[Trade]:
        """Every trade with this order id, by id; order ids may collide across symbols and venues."""

    @abstractmethod
    def booked(self, symbol: str, *, after: int = 0, limit: int = BATCH) -> list[BookedTrade]:
        """Booked trades of a symbol by `sequence`, from the first above `after`."""

    @abstractmethod
    def count_booked(self, symbol: str | None = None) -> int:
        """How many trades were ever booked, of one symbol or of all."""

    @abstractmethod
    def booked_symbols(self) -> list[str]:
        """The symbols of all booked trades, sorted."""

    @abstractmethod
    def correcting(self, ids: Collection[int]) -> list[Trade]:
        """The trades that correct these."""

    @abstractmethod
    def corrections(self, symbol: str) -> Corrections:
        """Which entries in a symbol's ledger were no ordinary bookings."""

    @abstractmethod
    def busted_after(self, sequences: Mapping[str, int]) -> list[Trade]:
        """Trades that were busted after an entry in their ledger, and booked up to it.

        Args:
            sequences: the entry, by symbol.

        Returns:
            The trades by symbol and the entry that busted them.
        """

    def in_fold_order(self, symbol: str, *, batch: int = BATCH) -> Iterator[BookedTrade]:
        """Every trade of a symbol that was ever booked, each correction right after what it corrects.

        Read `batch` trades at a time; which of them count, the caller decides.
        """
        page = self.booked(symbol, limit=batch)
        while page:
            corrections = self.correcting_any_of(page)
            for trade in page:
                if trade.corrects_id is None:
                    yield trade
                    following = corrections.get(trade.id)
                    while following is not None:
                        yield BookedTrade.of(following)
                        following = corrections.get(following.id)
            is_last = len(page) < batch
            page = [] if is_last else self.booked(symbol, after=page[-1].sequence, limit=batch)

    def correcting_any_of(
        self, trades: Collection[Trade] | Collection[BookedTrade]
    ) -> dict[int | None, Trade]:
        """Corrections, and corrections of those, by what they correct."""
        found: dict[int | None, Trade] = {}
        busted = [trade.id for trade in trades if trade.status is TradeStatus.BUSTED]
        while busted:
            next_ones = self.correcting(busted)
            found |= {trade.corrects_id: trade for trade in next_ones}
            busted = [trade.id for trade in next_ones if trade.status is TradeStatus.BUSTED]
        return found


class PositionRepository(Repository[Position]):
    """Positions; identity is `symbol`. What is held, only the Ledger changes."""

    @abstractmethod
    def by_symbol(self, symbol: str) -> Position | None:
        """The position in a symbol, or None when it was never traded."""

    @abstractmethod
    def all(self, *, open_only: bool = False) -> list[Position]:
        """Positions that were ever traded, by symbol."""


class PortfolioRepository(Repository[Portfolio]):
    """Snapshots and their positions."""

    @abstractmethod
    def add(self, entity: Portfolio, positions: Sequence[PortfolioPosition] = ()) -> Portfolio:
        """Keep a snapshot."""

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


class DecisionRepository(Repository[AgentDecision]):
    """Decisions; identity is `reference` where given.

    Attributes:
        with_signals: the same decisions, each with the signals it was based on.
    """

    with_signals: Records[AgentDecision]


class EventRepository(Repository[Event]):
    """The audit trail: append-only."""

    @abstractmethod
    def of(self, entity: str, entity_id: int) -> list[Event]:
        """What happened to one record, oldest first."""

    @abstractmethod
    def newest_id(self) -> int:
        """The highest id; 0 when there is no event."""

    @abstractmethod
    def count_up_to(self, id_: int) -> int:
        """How many events have this id or a lower one."""

    @abstractmethod
    def bookings_of(self, trade_ids: Collection[int]) -> list[Event]:
        """The events by which these trades were booked or busted, by id."""

    @abstractmethod
    def count_bookings(self) -> int:
        """How many events say that a trade was booked or busted."""


class SealRepository(Repository[Seal]):
    """Seals; identity is `number`."""

    @abstractmethod
    def last(self) -> Seal | None:
        """The one with the highest number."""

    @abstractmethod
    def numbered(self, *, after: int = 0, limit: int = BATCH) -> list[Seal]:
        """Seals by number, from the first above `after`."""

    @abstractmethod
    def covering(self, low: int, high: int) -> list[Seal]:
        """The seals that may cover events with ids from `low` to `high`."""

    @abstractmethod
    def count_covered(self) -> int:
        """How many events all seals cover, as they say themselves."""

    @abstractmethod
    def moment(self) -> TransactionSnapshot:
        """What the database knows of its transactions now."""


class AccountRepository(Repository[Account]):
    """The account of this unit of work, its own identity."""

    @abstractmethod
    def current(self) -> Account | None:
        """The account, or None before its first use."""
