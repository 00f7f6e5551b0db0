"""The repositories of the kinds of records of which the book needs more than `Repository` does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from attrs import frozen

from tradebook.domain.accounting import BookedTrade
from tradebook.domain.cash import Account
from tradebook.domain.events import Event
from tradebook.domain.fill_results import Bust
from tradebook.domain.portfolio import Portfolio, PortfolioPosition, PositionRow
from tradebook.domain.positions import Position
from tradebook.domain.seals import Seal
from tradebook.domain.trades import OrderKey, Trade, TradeStatus
from tradebook.service_layer.ports.paging import (
    BATCH,
)
from tradebook.service_layer.ports.records import Repository
from tradebook.service_layer.ports.watermark import TransactionSnapshot


@frozen
class Corrections:
    """The entries in a symbol's ledger that are busts, and those that are corrections, sorted."""

    busts: list[int]
    bookings: list[int]


class RecordedPrice(NamedTuple):
    """A price that a record of the book states.

    Attributes:
        at: its time, UTC.
        price: of one unit, in the position's currency.
        id: of the record.
    """

    at: datetime
    price: Decimal
    id: int


class PricedRecords(ABC):
    """Records that state at which prices symbols stood."""

    def prices(
        self, symbol: str, start: datetime, end: datetime, *, batch: int = BATCH
    ) -> Iterator[RecordedPrice]:
        """Iterate over the prices of a symbol from `start` to `end`, both included, by time and id."""
        found = self._prices(symbol, start, end, None, batch)
        while found:
            yield from found
            is_last = len(found) < batch
            found = [] if is_last else self._prices(symbol, start, end, found[-1], batch)

    @abstractmethod
    def _prices(
        self, symbol: str, start: datetime, end: datetime, after: RecordedPrice | None, limit: int
    ) -> list[RecordedPrice]: ...


class TradeRepository(Repository[Trade], PricedRecords):
    """The trades; their identity is `Trade.fill_key`. Those that are EXECUTED state prices."""

    @abstractmethod
    def of_order(self, order_id: str) -> list[Trade]:
        """Read every trade with this order id, by id; order ids may collide across symbols and venues."""

    @abstractmethod
    def of_order_key(self, key: OrderKey, *, limit: int) -> list[Trade]:
        """Read the trades of one order by execution id and revision, at most `limit` of them."""

    @abstractmethod
    def keys_of(self, order_id: str, *, limit: int) -> list[OrderKey]:
        """Read the keys of `limit` trades at most with this order id, one for each trade, in no order."""

    @abstractmethod
    def of_open_orders(self) -> list[Trade]:
        """Read every trade with the order id of a PENDING one, by id."""

    @abstractmethod
    def unbooked(self) -> Iterator[list[Trade]]:
        """Iterate over the trades that were never booked, by id, in reads of `BATCH`."""

    @abstractmethod
    def booked(self, symbol: str, *, after: int = 0, limit: int = BATCH) -> list[BookedTrade]:
        """Read booked trades of a symbol by `sequence`, from the first above `after`."""

    @abstractmethod
    def count_booked(self, symbol: str | None = None) -> int:
        """Count the trades that were ever booked, of one symbol or of all."""

    @abstractmethod
    def booked_symbols(self) -> list[str]:
        """Return the symbols of all booked trades, sorted."""

    @abstractmethod
    def correcting(self, ids: Collection[int]) -> list[Trade]:
        """Read the trades that correct those with these ids."""

    @abstractmethod
    def corrections(self, symbol: str) -> Corrections:
        """Return the entries in a symbol's ledger that are busts or corrections."""

    @abstractmethod
    def last_entry(self, symbol: str, time: datetime) -> int:
        """Return the last entry in a symbol's ledger that is dated up to a time; 0 where none is."""

    @abstractmethod
    def busted_after(self, sequences: Mapping[str, int]) -> list[Trade]:
        """Read the trades that were booked up to an entry in their ledger, and busted after it.

        Args:
            sequences: the entry, by symbol.

        Returns:
            The trades, sorted by symbol and by the entry that busted them.
        """

    @abstractmethod
    def newest_booked(self, symbol: str, *, limit: int) -> list[Trade]:
        """Read the last booked trades of a symbol by descending `sequence`, busted ones among them."""

    @abstractmethod
    def busts_after(self, symbol: str, sequence: int, *, limit: int) -> list[Bust]:
        """Read the first busts in a symbol's ledger after an entry, whenever their trades were booked."""

    def of_decisions(
        self, decision_ids: Collection[int], *, batch: int = BATCH
    ) -> Iterator[BookedTrade]:
        """Iterate over the executed trades of decisions, by decision and id, in reads of `batch`."""
        waiting, after = sorted(set(decision_ids)), 0
        while waiting:
            # After a full page the rest of its last decision comes first, alone: one range of the index.
            found = self._of_decisions(waiting[:1] if after else waiting, after, batch)
            yield from found
            if len(found) == batch:
                after = found[-1].id
                waiting = waiting[bisect_left(waiting, found[-1].decision_id or 0) :]
            else:
                waiting, after = (waiting[1:] if after else []), 0

    @abstractmethod
    def _of_decisions(
        self, decision_ids: Sequence[int], after: int, limit: int
    ) -> list[BookedTrade]: ...

    def in_fold_order(self, symbol: str, *, batch: int = BATCH) -> Iterator[BookedTrade]:
        """Iterate over all booked trades of a symbol, each correction right after the trade it corrects.

        Busted trades are included: the caller decides which of them count. Reads are of `batch` trades.
        """
        page = self.booked(symbol, limit=batch)
        while page:
            corrections = self.correcting_any_of(page)
            for trade in page:
                if trade.corrects_id is None:
                    yield trade
                    following = corrections.get(trade.id)
                    while following is not None:
                        yield BookedTrade.from_trade(following)
                        following = corrections.get(following.id)
            is_last = len(page) < batch
            page = [] if is_last else self.booked(symbol, after=page[-1].sequence, limit=batch)

    def correcting_any_of(
        self, trades: Collection[Trade] | Collection[BookedTrade]
    ) -> dict[int | None, Trade]:
        """Read the corrections of trades, and the corrections of those, by the id that they correct."""
        found: dict[int | None, Trade] = {}
        busted = [trade.id for trade in trades if trade.status is TradeStatus.BUSTED]
        while busted:
            next_ones = self.correcting(busted)
            found |= {trade.corrects_id: trade for trade in next_ones}
            busted = [trade.id for trade in next_ones if trade.status is TradeStatus.BUSTED]
        return found


class PositionRepository(Repository[Position]):
    """The positions; their identity is `symbol`. Only the Ledger changes quantities and costs."""

    @abstractmethod
    def by_symbol(self, symbol: str) -> Position | None:
        """Return the position in a symbol, or None when it was never traded."""

    @abstractmethod
    def all(self, *, open_only: bool = False) -> list[Position]:
        """Read the positions that were ever traded, or the open ones, sorted by symbol."""


class PortfolioRepository(Repository[Portfolio], PricedRecords):
    """The snapshots of the portfolio, and their positions, whose marks are prices."""

    @abstractmethod
    def add(self, entity: Portfolio, positions: Sequence[PositionRow] = ()) -> Portfolio:
        """Record a snapshot with the rows of its positions, and put their ids into the rows."""

    @abstractmethod
    def positions_of(self, portfolio_ids: Collection[int]) -> list[PortfolioPosition]:
        """Read the positions of snapshots, sorted by snapshot and symbol."""

    @abstractmethod
    def positions_in(self, symbol: str) -> list[PortfolioPosition]:
        """Read the positions of all snapshots in a symbol, sorted by `sequence`."""


class CorrelatedEvent(NamedTuple):
    """An event as far as finding what it recorded takes.

    Attributes:
        id: of the event.
        event_type: what happened.
        entity_id: the id of the record.
        symbol: that its payload names.
    """

    id: int
    event_type: str
    entity_id: int
    symbol: str | None


class EventRepository(Repository[Event]):
    """The audit trail, which is append-only."""

    @abstractmethod
    def of(self, entity: str, entity_id: int) -> list[Event]:
        """Read the events of one record, oldest first."""

    @abstractmethod
    def last_given_id(self) -> int | None:
        """Return the last id that the database gave, to any account; None where that is not known.

        SQLite and the fake give ids above every one that was inserted, so there every id counts as given.
        """

    @abstractmethod
    def newest_id(self) -> int:
        """Return the highest id that the database gave, 0 when there is no event."""

    @abstractmethod
    def count_up_to(self, id_: int) -> int:
        """Count the events with this id or a lower one."""

    @abstractmethod
    def bookings_of(self, trade_ids: Collection[int]) -> list[Event]:
        """Read the events that booked or busted these trades, sorted by id."""

    @abstractmethod
    def undone_of(self, trade_ids: Collection[int]) -> set[int]:
        """Return those of these trades that the undo of their import busted: they may be booked anew."""

    @abstractmethod
    def about(self, entity: str, ids: Collection[int]) -> list[Event]:
        """Read the events of several records of one kind, sorted by id."""

    def correlated(
        self, correlation_id: str, *, after: int, last: int | None, batch: int = BATCH
    ) -> Iterator[CorrelatedEvent]:
        """Iterate over the events of a correlation id between two ids, by id.

        Args:
            correlation_id: of the events; no index serves it, so that all events between the ids are read.
            after: the id that they follow.
            last: the last id; None for the newest.
            batch: events per read.
        """
        while found := self._correlated(correlation_id, after, last, batch):
            yield from found
            after = found[-1].id

    @abstractmethod
    def _correlated(
        self, correlation_id: str, after: int, last: int | None, limit: int
    ) -> list[CorrelatedEvent]: ...

    @abstractmethod
    def submissions(self) -> dict[str, int | None]:
        """Count the orders that were ever submitted, by symbol.

        None stands for a number that is not known: events that were written before the book had evidence may
        be of a version in which positions did not count orders.
        """

    @abstractmethod
    def count_recorded(self) -> dict[str, int]:
        """Count the records that there must be, by kind: those that events created, and none deleted."""


class SealRepository(Repository[Seal]):
    """The seals; their identity is `number`."""

    @abstractmethod
    def last(self) -> Seal | None:
        """Return the seal with the highest number."""

    @abstractmethod
    def next_id(self) -> int:
        """Take the id of the next seal, which its hash covers."""

    @abstractmethod
    def numbered(self, *, after: int = 0, limit: int = BATCH) -> list[Seal]:
        """Read seals in the order of their numbers, from the first above `after`."""

    @abstractmethod
    def covering(self, low: int, high: int) -> list[Seal]:
        """Read the seals that may cover events with ids from `low` to `high`."""

    @abstractmethod
    def count_covered(self) -> int:
        """Return the sum of the counts of events that the seals state."""

    @abstractmethod
    def transaction_snapshot(self) -> TransactionSnapshot:
        """Read which transactions of the database have ended and which are running now."""


class AccountRepository(Repository[Account]):
    """The account of this unit of work; it is its own identity."""

    @abstractmethod
    def current(self) -> Account | None:
        """Return the account, or None before its first use."""

    @abstractmethod
    def everywhere(self) -> list[Account]:
        """Read all accounts of the store that the role sees, sorted by name.

        Only queries across accounts (`queries.accounts`) call this.
        """
