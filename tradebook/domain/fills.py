"""Many fills as plain values: what `Position.apply` does to a trade, without an entity for each.

An entity costs some 50 microseconds to build, check, and take apart again; a million of them a minute.
The rule is the same one, `Balance.moved`; that the outcome is, digit for digit, the contract tests say.
"""

from __future__ import annotations

from copy import copy
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple, TypeAlias

from attrs import define, field

from tradebook.domain.accounting import Balance
from tradebook.domain.events import Effect
from tradebook.domain.numbers import ONE
from tradebook.domain.positions import INSTRUMENT, Position, PositionStatus
from tradebook.domain.trades import OrderKey, Settlement, TradeAction
from tradebook.domain.validation import Json

Terms: TypeAlias = tuple[Any, ...]
"""The values of `TERMS`, in their order."""


_LEFT_OUT: Final = (None, None, None)


class FillName(NamedTuple):
    """Which fill it is: `FillKey` of a first revision, flat."""

    symbol: str
    venue: str
    order_id: str
    execution_id: str

    @property
    def order_key(self) -> OrderKey:
        """The order that it is a fill of."""
        return OrderKey(self.venue, self.symbol, self.order_id)


class Fill(NamedTuple):
    """A fill as its caller gave it, converted as `Trade` converts; terms that were left out are None."""

    name: FillName
    terms: Terms
    strategy: str
    details: dict[str, Json]


class Posting(NamedTuple):
    """A fill that moved its position, to be written as a booked trade with its event.

    Attributes:
        name: which fill.
        terms: all of them.
        strategy, details: of the trade.
        sequence: of its entry in the position's ledger.
        booked_at: its booking time.
        realized_pnl: price P&L that it realized.
        effect: on the position.
        before, after: the position's signed quantities.
    """

    name: FillName
    terms: Terms
    strategy: str
    details: dict[str, Json]
    sequence: int
    booked_at: datetime
    realized_pnl: Decimal
    effect: Effect
    before: Decimal
    after: Decimal


class RecordedFill(NamedTuple):
    """A trade as it is recorded: enough to recognise a fill that comes again."""

    name: FillName
    revision: int
    status: str
    terms: Terms


@define
class Running:
    """A position while fills are booked on it.

    Attributes:
        position: as it was opened; `settle` brings it up to date.
        is_unused: whether nothing at all was recorded in its symbol when it was opened.
        version: of the position as it is stored.
    """

    position: Position
    is_unused: bool
    at: datetime
    version: int = field(init=False)
    balance: Balance = field(init=False)
    sequence: int = field(init=False)
    booked_at: datetime = field(init=False)
    opened_at: datetime | None = field(init=False)
    closed_at: datetime | None = field(init=False)
    mark: tuple[Decimal | None, datetime | None] = field(init=False)
    constants: tuple[Any, ...] | None = field(init=False)

    def __attrs_post_init__(self) -> None:
        position = self.position
        self.version, self.sequence = position.version, position.sequence
        self.balance = position.balance
        self.booked_at = position.entry_time(self.at)
        self.opened_at, self.closed_at = position.opened_at, position.closed_at
        self.mark = position.current_price, position.marked_at
        self.constants = None
        if position.has_trades:
            self.constants = tuple(getattr(position, name) for name in INSTRUMENT)

    @property
    def has_moved(self) -> bool:
        """Whether anything was booked that the position does not show yet."""
        return self.sequence != self.position.sequence

    def copy(self) -> Running:
        """Another one, that goes its own way from here."""
        return copy(self)

    def post(self, fill: Fill, base_currency: str) -> Posting | None:
        """Book a fill, inside `exact()`.

        Args:
            fill: not recorded before, and of no pending order.
            base_currency: of the price of a symbol's first trade, when its caller names none.

        Returns:
            What to write; None, with nothing done, for what `Position.apply` would refuse.
        """
        terms = self._completed(fill.terms, base_currency)
        if terms is None:
            return None
        action, quantity, price, fee, _, _, multiplier, settlement, executed_at = terms
        before = self.balance
        after, realized, done = before.moved(
            quantity if action is TradeAction.BUY else quantity.copy_negate(),
            price * multiplier,
            fee,
            settlement is Settlement.CASH,
        )
        if done is not Effect.INCREASED and done is not Effect.REDUCED:
            self._date(done, price, executed_at)
        self.balance, self.constants = after, terms[5:8]
        self.sequence = sequence = self.sequence + 1
        return Posting(
            fill.name,
            terms,
            fill.strategy,
            fill.details,
            sequence,
            self.booked_at,
            realized,
            done,
            before.quantity,
            after.quantity,
        )

    def settle(self) -> Position:
        """The position, with all that was booked."""
        position, booked = self.position, self.sequence - self.position.sequence
        values = {
            **self.balance._asdict(),
            **dict(zip(INSTRUMENT, self.constants or (), strict=False)),
            "status": PositionStatus.OPEN if self.balance.quantity else PositionStatus.CLOSED,
            "opened_at": self.opened_at,
            "closed_at": self.closed_at,
            "current_price": self.mark[0],
            "marked_at": self.mark[1],
            "sequence": self.sequence,
            "version": position.version + booked,
            "updated_at": self.booked_at,
        }
        position.refold(values)
        return position

    def _completed(self, terms: Terms, base_currency: str) -> Terms | None:
        action, quantity, price, fee, fee_currency, *_, executed_at = terms
        given = terms[5:8]
        fixed = self.constants or (
            given[0] or base_currency,
            given[1] or ONE,
            given[2] or Settlement.CASH,
        )
        if given not in (_LEFT_OUT, fixed) and any(
            value is not None and value != constant
            for value, constant in zip(given, fixed, strict=True)
        ):
            return None
        currency = fixed[0]
        if fee_currency is None:
            fee_currency = currency
        elif fee and fee_currency != currency:
            return None
        return (action, quantity, price, fee, fee_currency, *fixed, executed_at)

    def _date(self, done: Effect, price: Decimal, executed_at: datetime) -> None:
        if done is Effect.CLOSED:
            self.closed_at = executed_at
            return
        self.opened_at, self.closed_at = executed_at, None
        marked_at = self.mark[1]
        if done is Effect.OPENED and (marked_at is None or executed_at >= marked_at):
            self.mark = price, executed_at
