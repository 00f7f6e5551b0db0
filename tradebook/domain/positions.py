"""Positions: the holding of each symbol with its cost and its P&L."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final, NamedTuple

from attrs import Factory, define, field

from tradebook.domain.accounting import Balance, BookedTrade, entry_time
from tradebook.domain.assets import (
    fees_by_currency,
    third_fee,
    with_fee,
)
from tradebook.domain.entity import Entity, named_fields
from tradebook.domain.errors import InstrumentMismatch
from tradebook.domain.events import Effect, TradeRecorded
from tradebook.domain.numbers import (
    EXACT,
    ONE,
    ZERO,
    Number,
    amount,
    canonical,
    divide,
    exact,
    number,
    optional_number,
    positive,
)
from tradebook.domain.trades import Settlement, Trade, evidence, settlement_kind
from tradebook.domain.validation import (
    Json,
    asset_of,
    enum_member,
    identifier,
    optional_utc,
    record_id,
    symbol_asset,
    utc,
)


class PositionStatus(StrEnum):
    """OPEN while the quantity is not zero."""

    OPEN = "OPEN"
    CLOSED = "CLOSED"


def position_status(value: PositionStatus | str) -> PositionStatus:
    """Convert a name to OPEN or CLOSED."""
    return enum_member(PositionStatus, value)


class MarkSource(StrEnum):
    """TRADE: the price of a booked trade. QUOTE: a price that was given, by a feed or an edit."""

    TRADE = "TRADE"
    QUOTE = "QUOTE"


def optional_mark_source(value: MarkSource | str | None) -> MarkSource | None:
    """Convert a name to TRADE or QUOTE, or pass None through."""
    return None if value is None else enum_member(MarkSource, value)


class Mark(NamedTuple):
    """The last price of a position.

    Attributes:
        price: for one unit; none before the first.
        at: the time of the price, UTC.
        source: of the price; none in books from before there were sources, where it counts as a quote.
    """

    price: Decimal | None = None
    at: datetime | None = None
    source: MarkSource | None = None

    def is_replaced_by(self, at: datetime, source: MarkSource) -> bool:
        """Return whether a price of this time and source becomes the mark: a newer one does.

        Of the same time a quote replaces any mark, and a trade that of an earlier trade.
        """
        if self.at is None or at > self.at:
            return True
        return at == self.at and (source is MarkSource.QUOTE or self.source is MarkSource.TRADE)

    def refolded(self, newest: Mark) -> Mark:
        """Return the mark once the trades were folded again, and the newest of them gives the mark `newest`."""
        if self.at is not None and self.source is None:
            return self
        is_newer = newest.at is not None and self.is_replaced_by(newest.at, MarkSource.TRADE)
        # The stored mark may be that of a trade that does not count any more.
        return newest if is_newer or self.source is MarkSource.TRADE else self

    def fields(self) -> dict[str, object]:
        """Return the fields of a position that hold the mark."""
        return dict(zip(MARK, self, strict=True))


NO_MARK: Final = Mark()


def status_of(quantity: Decimal) -> PositionStatus:
    """Return the status of a position with this signed quantity."""
    return PositionStatus.OPEN if quantity else PositionStatus.CLOSED


INSTRUMENT: Final = ("currency", "multiplier", "settlement", "asset")
"""The constants of a symbol, fixed by its first booked trade."""


def instrument(trade: Trade | BookedTrade) -> dict[str, object]:
    """Return the constants of its symbol that a trade has, by name."""
    return {
        "currency": trade.currency,
        "multiplier": trade.multiplier,
        "settlement": trade.settlement,
        "asset": asset_of(trade),
    }


MARK: Final = ("current_price", "marked_at", "mark_source")
"""The fields that hold the mark; they change together."""


@define(slots=False, eq=False, kw_only=True, field_transformer=named_fields)
class Position(Entity):
    """The one position in a symbol, for ever: it closes and opens again, and keeps its totals.

    Attributes:
        symbol: the instrument.
        quantity: signed; negative is short. Its sign, never that of `cost_basis`, is the direction.
        cost_basis: what the open quantity cost, in `currency`; its sign follows quantity times price.
        realized_pnl: price P&L of what was closed, in `currency`, before fees.
        fees: paid, less rebates, in `currency`; a fee that was taken in `asset` counts at the price of its trade.
        cash_flow: what the position did to cash in `currency`; negative is paid.
        currency: of all amounts.
        multiplier: what a price move of 1 earns for one unit.
        settlement: CASH or MARGINED.
        asset: what the quantity is units of: `ETH` of `ETH/USDT`.
        other_fees: paid, less rebates, in any other currency: the amount by currency, as text. They moved the
            account's cash in those currencies, and are in none of the amounts above.
        current_price: the mark, for one unit; none before the first.
        marked_at: the time of the mark, UTC.
        mark_source: TRADE or QUOTE; none for the marks of older books.
        status: OPEN or CLOSED.
        opened_at: trade time of the fill that opened it last, UTC.
        closed_at: trade time of the fill that closed it; none while open.
        sequence: the last entry in its ledger: each booking takes one, and each bust.
        version: counts the changes that make a booking start over: bookings, busts, orders submitted; not marks.
        updated_at: the booking time of the last trade, UTC; marks do not move it.
    """

    symbol: str = field(converter=identifier)
    quantity: Decimal = field(default=ZERO, converter=amount)
    cost_basis: Decimal = field(default=ZERO, converter=amount)
    realized_pnl: Decimal = field(default=ZERO, converter=amount)
    fees: Decimal = field(default=ZERO, converter=amount)
    cash_flow: Decimal = field(default=ZERO, converter=amount)
    currency: str = field(default="USD", converter=identifier)
    multiplier: Decimal = field(default=ONE, converter=positive)
    settlement: Settlement = field(default=Settlement.CASH, converter=settlement_kind)
    asset: str = field(default=Factory(symbol_asset, takes_self=True), converter=identifier)
    other_fees: dict[str, str] = field(factory=dict, converter=fees_by_currency)
    current_price: Decimal | None = field(default=None, converter=optional_number)
    marked_at: datetime | None = field(default=None, converter=optional_utc)
    mark_source: MarkSource | None = field(default=None, converter=optional_mark_source)
    status: PositionStatus = field(default=PositionStatus.CLOSED, converter=position_status)
    opened_at: datetime | None = field(default=None, converter=optional_utc)
    closed_at: datetime | None = field(default=None, converter=optional_utc)
    sequence: int = field(default=0, converter=record_id)
    version: int = field(default=0, converter=record_id)

    @property
    def is_paid(self) -> bool:
        """True where the notional is paid: settlement CASH."""
        return self.settlement is Settlement.CASH

    @property
    def has_trades(self) -> bool:
        """True when a booked trade counts; currency, multiplier and settlement are then fixed."""
        return self.opened_at is not None

    @property
    def balance(self) -> Balance:
        """The running totals, as a value."""
        return Balance(self.quantity, self.cost_basis, self.realized_pnl, self.fees, self.cash_flow)

    @property
    def last_mark(self) -> Mark:
        """The mark, as a value."""
        return Mark(self.current_price, self.marked_at, self.mark_source)

    @property
    def entry_price(self) -> Decimal | None:
        """Average cost of one unit, half-even to 10^-40: cost_basis / (quantity * multiplier)."""
        if not self.quantity:
            return None
        return divide(self.cost_basis, EXACT.multiply(self.quantity, self.multiplier))

    @property
    def market_value(self) -> Decimal | None:
        """Quantity times mark times multiplier, in `currency`; negative when short, None without a mark."""
        if not self.quantity:
            return ZERO
        if self.current_price is None:
            return None
        value = EXACT.multiply(EXACT.multiply(self.quantity, self.current_price), self.multiplier)
        return canonical(value)

    @property
    def unrealized_pnl(self) -> Decimal | None:
        """Market value less cost basis, in `currency`, before fees; None without a mark."""
        value = self.market_value
        return None if value is None else canonical(EXACT.subtract(value, self.cost_basis))

    @property
    def net_pnl(self) -> Decimal | None:
        """Realized plus unrealized P&L less `fees`, in `currency`; None without a mark.

        `other_fees` are not deducted: that takes rates, as `take_snapshot` has them.
        """
        unrealized = self.unrealized_pnl
        if unrealized is None:
            return None
        with exact():
            return canonical(self.realized_pnl + unrealized - self.fees)

    @property
    def fees_paid(self) -> list[tuple[Decimal, str]]:
        """All fees as (amount, currency): those in the position's currency first, then `other_fees`."""
        others = [(Decimal(fee), currency) for currency, fee in self.other_fees.items()]
        return [(self.fees, self.currency), *others]

    @property
    def cash_moved(self) -> list[tuple[Decimal, str]]:
        """What the position did to the account's cash, as (amount, currency); negative is paid."""
        own, *others = self.fees_paid
        paid = [(fee.copy_negate(), currency) for fee, currency in others]
        return [(self.cash_flow, own[1]), *paid]

    def apply(self, trade: Trade, at: datetime) -> TradeRecorded:
        """Book a pending trade: open, add, reduce, close or flip.

        Args:
            trade: becomes EXECUTED, with its sequence, booking time and realized P&L.
            at: the time now; the booking time is never before the last one.

        Returns:
            The event of the booking.

        Raises:
            InstrumentMismatch: currency, multiplier or settlement differ from the first trade's.
            InvalidTransition: the trade is not PENDING.
            InvalidInput: there is no price, or the fee is taken from the asset and leaves nothing of the quantity.
        """
        self._require_same_instrument(trade)
        trade.require_price()
        before = self.quantity
        after, realized, done = self.balance.apply(trade)
        booked_at = self.entry_time(at)
        trade.book(sequence=self.sequence + 1, booked_at=booked_at, realized_pnl=realized)
        if not self.has_trades:
            self.set_unchecked(**instrument(trade))
        self._enter(booked_at)
        self.set_unchecked(**after.totals(), status=status_of(after.quantity))
        if trade.fee_currency != trade.currency and (fee := third_fee(trade)):
            self.set_unchecked(other_fees=with_fee(self.other_fees, trade.fee_currency, fee))
        self._date(done, trade)
        return TradeRecorded(
            **evidence(vars(trade), utc(at)),
            effect=done,
            quantity_before=before,
            quantity_after=self.quantity,
            realized_pnl=trade.realized_pnl,
        )

    def expect_fill(self) -> None:
        """Count a submitted order in the version: a fill booked on an earlier version would not take it over."""
        self.version += 1

    def bust(self, trade: Trade, *, at: datetime, by: str, reason: str) -> dict[str, Json]:
        """Bust a trade, which stays on record; the caller then sets the fold of the others with `refold`.

        Returns:
            For each field of the trade that changed (before, after).

        Raises:
            InvalidTransition: the trade is not EXECUTED.
        """
        busted_at = self.entry_time(at)
        changes = trade.bust(sequence=self.sequence + 1, at=busted_at, by=by, reason=reason)
        self._enter(busted_at)
        return changes

    def book_correction(self, trade: Trade, *, at: datetime, realized_pnl: Decimal) -> None:
        """Book the correction of a trade; the caller then sets the new fold with `refold`."""
        booked_at = self.entry_time(at)
        trade.book(sequence=self.sequence + 1, booked_at=booked_at, realized_pnl=realized_pnl)
        self._enter(booked_at)

    def entry_time(self, at: datetime) -> datetime:
        """Return the time of the next entry in the ledger: never before the last one's."""
        return entry_time(utc(at), self.sequence, self.updated_at)

    def refold(self, values: Mapping[str, object]) -> None:
        """Set the fields that follow from the trades: the `values_in` of their fold."""
        for field_name, value in values.items():
            setattr(self, field_name, value)

    def complete(self, trade: Trade, given: Collection[str]) -> None:
        """Fill in the symbol's constants where the caller of `trade` did not give them."""
        if not self.has_trades:
            return
        for constant in INSTRUMENT:
            if constant not in given and getattr(trade, constant) != getattr(self, constant):
                setattr(trade, constant, getattr(self, constant))
        if "fee_currency" not in given and trade.fee_currency != trade.currency:
            trade.fee_currency = trade.currency

    def mark(self, price: Number, at: datetime) -> bool:
        """Value the position at `price`, for one unit, quoted at `at`.

        Returns:
            Whether the mark was taken: one older than the present mark is ignored.
        """
        return self._mark(number(price), utc(at), MarkSource.QUOTE)

    def _mark(self, price: Decimal, at: datetime, source: MarkSource) -> bool:
        is_newer = self.last_mark.is_replaced_by(at, source)
        if is_newer:
            self.set_unchecked(**Mark(price, at, source).fields())
        return is_newer

    def _require_same_instrument(self, trade: Trade) -> None:
        if not self.has_trades:
            return
        for constant, given in instrument(trade).items():
            fixed = getattr(self, constant)
            if fixed != given:
                raise InstrumentMismatch(self.symbol, constant, fixed, given)

    def _enter(self, at: datetime) -> None:
        self.set_unchecked(sequence=self.sequence + 1, version=self.version + 1, updated_at=at)

    def _date(self, done: Effect, trade: Trade) -> None:
        at = trade.executed_at
        self._mark(trade.price, at, MarkSource.TRADE)
        if done in (Effect.OPENED, Effect.FLIPPED):
            self.set_unchecked(opened_at=at, closed_at=None)
        elif done is Effect.CLOSED:
            self.set_unchecked(closed_at=at)
