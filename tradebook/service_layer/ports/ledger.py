"""The Ledger: what the book needs of a store to book trades on positions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from attrs import field, frozen

from tradebook.domain.events import Event
from tradebook.domain.fills import Posting, RecordedFill, Running
from tradebook.domain.portfolio import Holdings
from tradebook.domain.positions import Position
from tradebook.domain.trades import OrderKey, Trade


class BulkLedger(ABC):
    """The Ledger for many fills: positions are locked as they are met, and written at the end."""

    @abstractmethod
    def open(self, symbols: Collection[str]) -> list[tuple[Position, bool]]:
        """Working copies of the positions in these symbols, and whether nothing was ever recorded there.

        They stand until the unit of work ends.
        """

    @abstractmethod
    def recorded(self, orders: Collection[OrderKey]) -> Iterable[RecordedFill]:
        """What is recorded under these orders."""

    @abstractmethod
    def prepare(self, postings: Sequence[Posting]) -> Any:
        """What `post` takes: postings as rows. It may be made while the last ones are still being written."""

    @abstractmethod
    def post(self, prepared: Any) -> None:
        """Write booked trades and their events, perhaps while the caller goes on; `settled` says how it went."""

    @abstractmethod
    def settled(self) -> bool:
        """Wait for the last `post`. False: one of its fills was recorded already, and nothing of it was written."""

    @abstractmethod
    def write(self, running: Collection[Running]) -> None:
        """Write positions that have moved.

        Raises:
            ConcurrentUpdate: another writer was first.
        """

    @abstractmethod
    def close(self) -> None:
        """Wait for what is being written; how it went no longer matters."""


@frozen
class OpenPosition:
    """A symbol's page of the ledger, as it stood when it was opened.

    Attributes:
        position: a working copy; nothing reaches the book but through `Ledger.book`.
        trades: what is recorded under the orders that were asked for.
        version, updated_at, mark: of the position, when the page was opened.
    """

    position: Position
    trades: tuple[Trade, ...]
    version: int = field()
    updated_at: datetime = field()
    mark: tuple[Decimal | None, datetime | None] = field()

    @version.default
    def _version(self) -> int:
        return self.position.version

    @updated_at.default
    def _updated_at(self) -> datetime:
        return self.position.updated_at

    @mark.default
    def _mark(self) -> tuple[Decimal | None, datetime | None]:
        return self.position.current_price, self.position.marked_at


class Ledger(ABC):
    """Positions, booked trades and their events, which only change together."""

    @abstractmethod
    def open(self, symbol: str, orders: Collection[OrderKey]) -> OpenPosition:
        """A symbol's page, to book on.

        Args:
            symbol: never traded is fine: the page then has a flat position of sequence 0.
            orders: whose trades are wanted.
        """

    def guess(self, symbol: str) -> OpenPosition | None:  # noqa: ARG002, a store need not guess
        """A symbol's page as it may be, to book on it one fill that is probably new.

        Returns:
            A page without trades, whose position may be out of date: `book` finds out, and says False.
            None where nothing is known of the symbol.
        """
        return None

    @abstractmethod
    def book(self, page: OpenPosition, bookings: Sequence[tuple[Trade, Event]]) -> bool:
        """Write a position with the trades that moved it and their events, all or nothing.

        Args:
            page: as it was opened, but that the trades were applied to its position.
            bookings: each trade with its event, which gets the trade's id.

        Returns:
            False when the page no longer stands as opened (nothing was written): open it again.
        """

    def bulk(self) -> BulkLedger | None:
        """For many fills at a time; None where only `open` and `book` are."""
        return None

    @abstractmethod
    def restate(self, realized_pnl: Mapping[int, Decimal]) -> None:
        """Write what booked trades of an open page realized, by trade id."""

    @abstractmethod
    def marked(self, symbols: Collection[str]) -> list[Position]:
        """Working copies of the positions in these symbols, by symbol, to mark."""

    @abstractmethod
    def mark(self, positions: Collection[Position]) -> None:
        """Write the marks of these positions, except where the book has a later one."""

    @abstractmethod
    def holdings(self) -> Holdings:
        """All positions and cash, read at one instant."""
