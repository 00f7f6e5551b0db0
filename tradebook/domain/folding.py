"""Folds of the trades of one symbol, in the order of their `sequence`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from attrs import define, evolve, field

from tradebook.domain.accounting import Balance, BookedTrade
from tradebook.domain.assets import third_fee, with_fee
from tradebook.domain.events import Effect
from tradebook.domain.numbers import canonical
from tradebook.domain.positions import (
    NO_MARK,
    Mark,
    MarkSource,
    Position,
    instrument,
    status_of,
)
from tradebook.domain.trades import Trade
from tradebook.domain.validation import MAX_AHEAD, Json, is_ahead, json_object

AMOUNTS: Final = Balance._fields
TOTALS: Final = (*AMOUNTS, "other_fees")
"""The fields of a position that each trade may change."""
_END: Final = datetime.max.replace(tzinfo=UTC)


@define
class Fold:
    """The totals of a position, computed from its trades.

    Attributes:
        symbol: whose trades.
        balance: the running totals.
        opened_at: trade time of the fill that opened it last; none before the first.
        closed_at: trade time of the fill that closed it; none while open.
        constants: the currency, multiplier and settlement of the first trade; empty before it.
        other_fees: the fees in third assets, by currency.
        mark: the price and time of the newest trade.
        clock: the time of the last entry in the ledger; a trade whose time `is_ahead` of it was dated by a clock
            that was wrong, and gives no mark.
        max_ahead: how far ahead of that a trade's time may be.
    """

    symbol: str
    clock: datetime = _END
    max_ahead: timedelta = MAX_AHEAD
    balance: Balance = field(factory=Balance)
    opened_at: datetime | None = None
    closed_at: datetime | None = None
    constants: Mapping[str, object] = field(factory=dict)
    other_fees: Mapping[str, str] = field(factory=dict)
    mark: Mark = NO_MARK

    def apply(self, trade: Trade | BookedTrade) -> Decimal:
        """Fold one trade, and return the price P&L that it realized, before fees."""
        self.balance, realized, done = self.balance.apply(trade)
        if not self.constants:
            self.constants = instrument(trade)
        if trade.fee_currency != trade.currency and (fee := third_fee(trade)):
            self.other_fees = with_fee(self.other_fees, trade.fee_currency, fee)
        if done in (Effect.OPENED, Effect.FLIPPED):
            self.opened_at, self.closed_at = trade.executed_at, None
        elif done is Effect.CLOSED:
            self.closed_at = trade.executed_at
        at = trade.executed_at
        if self.mark.is_replaced_by(at, MarkSource.TRADE) and not is_ahead(
            at, self.clock, self.max_ahead
        ):
            self.mark = Mark(trade.price, at, MarkSource.TRADE)
        return canonical(realized)

    def copy(self) -> Fold:
        """Return an independent copy of the fold."""
        return evolve(self)

    def values(self) -> dict[str, object]:
        """Return the fields of the position that follow from these trades alone, by name."""
        return {
            **self.balance.totals(),
            "other_fees": dict(self.other_fees),
            "status": status_of(self.balance.quantity),
            "opened_at": self.opened_at,
            "closed_at": self.closed_at,
            **self.constants,
        }

    def values_in(self, mark: Mark) -> dict[str, object]:
        """Return `values`, and the fields of the mark that replaces `mark`, which the position has."""
        return {**self.values(), **mark.refolded(self.mark).fields()}


@define
class LastEntry:
    """The last entry in a symbol's ledger, of a booking or a bust, among the trades that were added.

    Attributes:
        sequence: its number; 0 before the first.
        at: its time, UTC; None before the first.
    """

    sequence: int = 0
    at: datetime | None = None

    def add(self, trade: Trade | BookedTrade) -> None:
        """Take the entries of one booked trade into account."""
        if trade.sequence is not None and trade.sequence > self.sequence:
            self.sequence, self.at = trade.sequence, trade.booked_at
        if trade.bust_sequence is not None and trade.bust_sequence > self.sequence:
            self.sequence, self.at = trade.bust_sequence, trade.busted_at


def values_of(position: Position, names: Iterable[str]) -> dict[str, Json]:
    """Return fields of a position by name, as an event keeps them."""
    return json_object({name: getattr(position, name) for name in names})


def differing(position: Position, values: Mapping[str, object]) -> Collection[str]:
    """Return the names of the fields of a position that differ from these values."""
    return [name for name, value in values.items() if getattr(position, name) != value]
