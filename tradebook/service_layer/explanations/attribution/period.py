"""The period of an attribution, and the positions of the book at its start and at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from attrs import define, frozen

from tradebook.domain.accounting import BookedTrade
from tradebook.domain.errors import InvalidInput, InvalidTransition
from tradebook.domain.group_books import Sums
from tradebook.domain.numbers import EXACT, ZERO
from tradebook.domain.positions import Position
from tradebook.domain.validation import argument, optional_utc
from tradebook.service_layer.queries.as_of import PastPosition, past_positions
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

_TICK: Final = timedelta(microseconds=1)
_FIRST: Final = datetime.min.replace(tzinfo=UTC)


@frozen
class Period:
    """A period of time; `start` is in it, `end` is not. None stands for all before, and for all until now."""

    start: datetime | None
    end: datetime | None

    @classmethod
    def from_arguments(cls, start: datetime | None, end: datetime | None) -> Period:
        """Check the arguments of a query."""
        period = cls(argument("start", _bound, start), argument("end", _bound, end))
        if period.start is not None and period.end is not None and period.start > period.end:
            raise InvalidInput("start", period.start, f"a time up to `end`, {period.end}")
        return period

    @property
    def is_limited(self) -> bool:
        """True where it has a start or an end."""
        return self.start is not None or self.end is not None

    def has(self, time: datetime) -> bool:
        """Return whether a time is in the period."""
        return not self.is_before(time) and not self.is_after(time)

    def is_before(self, time: datetime) -> bool:
        """Return whether a time is before the start."""
        return self.start is not None and time < self.start

    def is_after(self, time: datetime) -> bool:
        """Return whether a time is the end or later."""
        return self.end is not None and time >= self.end


def _bound(value: datetime | None) -> datetime | None:
    time = optional_utc(value)
    if time == _FIRST:
        raise InvalidInput("", value, "a time after the first moment of the calendar")
    return time


@frozen
class Bounds:
    """The book at the start and at the end of a period, position by position.

    Attributes:
        account: the account.
        start: begins the fold of a position as of the start; None where the period has none.
        end: the same as of the end; None where the end is the book as it is now.
    """

    account: str
    start: Callable[[str], PastPosition] | None
    end: Callable[[str], PastPosition] | None

    @classmethod
    def read(cls, uow: AbstractUnitOfWork, period: Period) -> Bounds:
        """Read the marks as of the start and the end of a period."""
        start, end = (
            None if time is None else past_positions(uow, time - _TICK)
            for time in (period.start, period.end)
        )
        return cls(uow.account, start, end)

    def of(self, live: Position) -> PositionBounds:
        """Begin the folds of a position.

        Args:
            live: the position as it is now.
        """
        start = None if self.start is None else self.start(live.symbol)
        end = None if self.end is None else self.end(live.symbol)
        return PositionBounds(self.account, live, start, end)


@define
class PositionBounds:
    """The book's position in one symbol at the start and at the end of a period.

    Attributes:
        account: of the position.
        live: the position as it is now.
        past_start, past_end: folds as of the start and the end of the period, where it has them.
    """

    account: str
    live: Position
    past_start: PastPosition | None
    past_end: PastPosition | None

    def read(self, trade: BookedTrade) -> None:
        """Fold the next trade in fold order, a busted one too."""
        if self.past_start is not None:
            self.past_start.read(trade)
        if self.past_end is not None:
            self.past_end.read(trade)

    @property
    def start(self) -> Position | None:
        """The position before the period, after all its trades were read; None where there was none."""
        return None if self.past_start is None else self.past_start.position(self.account)

    @property
    def end(self) -> Position | None:
        """The position at the end of the period, after all its trades were read; None where there was none."""
        return self.live if self.past_end is None else self.past_end.position(self.account)


def unit_value(position: Position | None, *, is_needed: bool) -> Decimal:
    """Return the price of one unit at the mark times the multiplier; 0 where it is not needed.

    Raises:
        InvalidTransition: the position has no current price, so that nothing open in it can be valued.
    """
    if not is_needed or position is None:
        return ZERO
    if position.current_price is None:
        raise InvalidTransition(f"{position.symbol} has no current price; mark it first")
    return EXACT.multiply(position.current_price, position.multiplier)


def book_sums(end: Position | None, start: Position | None) -> Iterator[tuple[str, Sums]]:
    """Return what a position earned between two times, by currency: its own figures, then fees in other currencies."""
    if end is not None:
        yield from _figures(end)
    if start is not None:
        for currency, sums in _figures(start):
            yield currency, sums.converted(Decimal.copy_negate)


def _figures(position: Position) -> Iterator[tuple[str, Sums]]:
    value = unit_value(position, is_needed=bool(position.quantity))
    unrealized = EXACT.subtract(EXACT.multiply(position.quantity, value), position.cost_basis)
    (fees, currency), *others = position.fees_paid
    realized = position.realized_pnl
    yield currency, Sums(realized_pnl=realized, unrealized_pnl=unrealized, fees=fees)
    yield from ((fee_currency, Sums(fees=fee)) for fee, fee_currency in others)
