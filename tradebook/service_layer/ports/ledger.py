"""The ports through which trades are booked on positions in a store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from attrs import frozen

from tradebook.domain.events import Event
from tradebook.domain.fills import Booking, RecordedFill, RunningPosition
from tradebook.domain.portfolio import Holdings
from tradebook.domain.positions import Position
from tradebook.domain.trades import OrderKey, Trade
from tradebook.service_layer.call_context import CallContext


class BulkLedger(ABC):
    """The ledger for many fills: positions are locked when they are first met, and written at the end."""

    @abstractmethod
    def open(self, symbols: Collection[str]) -> list[RunningPosition]:
        """Lock the positions in these symbols until the unit of work ends, and return them."""

    @abstractmethod
    def recorded(self, orders: Collection[OrderKey]) -> Iterable[RecordedFill]:
        """Return the trades that are recorded under these orders."""

    @abstractmethod
    def lock_decisions(self, ids: Collection[int]) -> Collection[int]:
        """Lock decisions until the unit of work ends; return those that `begin_write` can execute or leave."""

    @abstractmethod
    def prepare(self, bookings: Sequence[Booking]) -> Any:
        """Render bookings for `begin_write`; the batch before may still be on its way."""

    @abstractmethod
    def begin_write(self, prepared: Any) -> None:
        """Begin to write trades, their decisions and the events; `is_written` waits for the end."""

    @abstractmethod
    def is_written(self) -> bool:
        """Wait for the last `begin_write`; False, with nothing written, where one of its fills was recorded.

        False, too, where `lock_decisions` does not return one of its decisions.
        """

    @abstractmethod
    def write(self, positions: Collection[RunningPosition]) -> None:
        """Write positions that have moved.

        Raises:
            ConcurrentUpdate: another writer was first.
        """

    @abstractmethod
    def close(self) -> None:
        """Wait for a write that is on its way, whatever comes of it."""


@frozen
class OpenPosition:
    """A symbol's position, opened to book on.

    Attributes:
        position: a working copy; nothing reaches the book but through `Ledger.book`.
        trades: the trades recorded under the orders that were wanted.
        opened: the position's fields by name, as they are stored.
        base_currency: of the account; None where it is not open yet, or the position has trades.
    """

    position: Position
    trades: tuple[Trade, ...]
    opened: Mapping[str, Any]
    base_currency: str | None = None


class Ledger(ABC):
    """The store of positions, booked trades and their events, which only change together."""

    @abstractmethod
    def open(self, symbol: str, orders: Collection[OrderKey]) -> OpenPosition:
        """Open the position in a symbol, to book on it.

        Args:
            symbol: one that never traded has a flat position of sequence 0.
            orders: the orders whose trades are wanted.
        """

    @abstractmethod
    def book(self, opened: OpenPosition, bookings: Sequence[tuple[Trade, Event]]) -> bool:
        """Write a position with the trades that moved it and their events, all or nothing.

        Args:
            opened: as it was opened, but that the trades were applied to its position.
            bookings: each trade that was booked, with its event, which gets the trade's id; and pending orders that
                were added or lowered to a rest, with theirs.

        Returns:
            False, with nothing written, where the stored position is no longer as it was opened.
        """

    def bulk(self, context: CallContext) -> BulkLedger | None:  # noqa: ARG002, for those that have one
        """Return the ledger for many fills; None where the store has only `open` and `book`.

        Args:
            context: the time, actor and correlation id of the events.
        """
        return None

    @abstractmethod
    def restate(self, realized_pnl: Mapping[int, Decimal]) -> None:
        """Write the realized P&L of booked trades of an open position, by trade id."""

    @abstractmethod
    def marked(self, symbols: Collection[str]) -> list[Position]:
        """Return working copies of the positions in these symbols, sorted by symbol, to mark them."""

    @abstractmethod
    def mark(self, positions: Collection[Position]) -> None:
        """Write the marks of these positions, except where a later mark is stored."""

    @abstractmethod
    def holdings(self, account: str | None = None) -> Holdings:
        """Return all positions and cash, read at one instant.

        Args:
            account: another account than the unit of work's; only queries across accounts
                (`queries.accounts`) name one.
        """
