"""Fills as plain values: booked on a position without an entity for each.

Building, checking and taking apart an entity costs some 50 microseconds a trade; a million of them a minute.
The rule is the one of `Position.apply`, `Balance.moved`; the contract tests compare both to the last digit.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from datetime import datetime, timedelta
from decimal import Decimal
from json import dumps
from json.encoder import encode_basestring_ascii as quoted
from operator import itemgetter
from typing import Any, Final, NamedTuple

from attrs import define, field

from tradebook.domain.accounting import Balance, entry_time
from tradebook.domain.assets import net_of_foreign_fee, with_fee
from tradebook.domain.canonical_json import digest
from tradebook.domain.errors import InvalidInput
from tradebook.domain.events import Effect, TradeRecorded
from tradebook.domain.numbers import ONE, canonical, plain
from tradebook.domain.positions import INSTRUMENT, MARK, Mark, MarkSource, status_of
from tradebook.domain.trades import (
    TRADE_COLUMNS,
    TRADE_DEFAULTS,
    OrderKey,
    Settlement,
    Trade,
    TradeAction,
    TradeStatus,
    evidence,
)
from tradebook.domain.validation import MAX_AHEAD, default_asset, is_ahead


class FillName(NamedTuple):
    """The identity of a fill: `FillKey` of a first revision, flat."""

    symbol: str
    venue: str
    order_id: str
    execution_id: str

    @classmethod
    def of(cls, trade: Trade) -> FillName:
        """Take the identity of a trade, its revision aside."""
        return cls(trade.symbol, trade.venue, trade.order_id, trade.execution_id)

    @property
    def order_key(self) -> OrderKey:
        """The order that it is a fill of."""
        return OrderKey(self.venue, self.symbol, self.order_id)


class Fill(NamedTuple):
    """A fill as its caller gave it.

    Attributes:
        name: its identity.
        values: the fields of a `Trade` that were given, by name, converted as `Trade` converts them.
    """

    name: FillName
    values: Mapping[str, Any]


class Booking(NamedTuple):
    """A new fill that moved its position, as plain values: a trade and its event to be written.

    Attributes:
        trade: all fields of the booked `Trade` by name, but its id.
        effect: on the position.
        quantity_before: the position's signed quantity before the fill.
        quantity_after: the same after it.
        is_first: whether it is the first of its decision in an import; that executes the decision, where it is
            undecided.
    """

    trade: dict[str, Any]
    effect: Effect
    quantity_before: Decimal
    quantity_after: Decimal
    is_first: bool = False

    def event(self, at: datetime) -> TradeRecorded:
        """Return the event that records this booking at a time."""
        return TradeRecorded(
            **evidence(self.trade, at),
            realized_pnl=self.trade["realized_pnl"],
            effect=self.effect,
            quantity_before=canonical(self.quantity_before),
            quantity_after=canonical(self.quantity_after),
        )


class RecordedFill(NamedTuple):
    """A recorded trade, as far as recognising a repeated fill takes.

    Attributes:
        name: its identity.
        revision: 0, or the number of a correction.
        status: of the trade.
        terms: its `TERMS` by name, where it is EXECUTED.
        id: of the trade.
        corrects_id: of the trade that it corrects.
    """

    name: FillName
    revision: int
    status: str
    terms: dict[str, Any]
    id: int
    corrects_id: int | None


@define
class RunningPosition:
    """A position while fills are booked on it.

    Attributes:
        opened: the position's fields by name, as they are stored.
        at: the time of the call, UTC.
        is_unused: whether no trade at all was recorded in its symbol when it was opened.
        max_ahead: how far ahead of `at` the time of a fill may be.
    """

    opened: Mapping[str, Any]
    at: datetime
    is_unused: bool = False
    max_ahead: timedelta = MAX_AHEAD
    balance: Balance = field(init=False)
    sequence: int = field(init=False)
    booked_at: datetime = field(init=False)
    opened_at: datetime | None = field(init=False)
    closed_at: datetime | None = field(init=False)
    mark: Mark = field(init=False)
    other_fees: dict[str, str] = field(init=False)
    constants: tuple[Any, ...] | None = field(init=False)
    _shared: dict[str, Any] | None = field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        """Take the running values from the stored ones."""
        opened = self.opened
        self.sequence = opened["sequence"]
        self.balance = Balance._make(_totals(opened))
        self.booked_at = entry_time(self.at, opened["sequence"], opened["updated_at"])
        self.opened_at, self.closed_at = opened["opened_at"], opened["closed_at"]
        self.mark = Mark._make(_mark(opened))
        self.other_fees = opened["other_fees"]
        self.constants = None if self.opened_at is None else _constants(opened)

    @property
    def has_moved(self) -> bool:
        """True when a fill was booked since the position was opened."""
        return bool(self.sequence != self.opened["sequence"])

    def copy(self) -> RunningPosition:
        """Return an independent copy."""
        return copy(self)

    def book(self, fill: Fill, base_currency: str) -> Booking | None:
        """Fold a fill into the position and return the booking to write; call it inside `exact()`.

        Args:
            fill: not recorded before, and of no pending order.
            base_currency: the price's currency in a symbol's first trade, when its caller names none.

        Returns:
            The booking to write; None, with nothing done, for a fill that `Position.apply` would refuse.
        """
        trade = self._complete(fill.values, base_currency)
        if trade is None:
            return None
        quantity, price = trade["quantity"], trade["price"]
        size = quantity if trade["action"] is TradeAction.BUY else quantity.copy_negate()
        unit_cash, fee = price * trade["multiplier"], trade["fee"]
        in_cash = trade["settlement"] is Settlement.CASH
        if fee and trade["fee_currency"] != trade["currency"]:
            in_kind = in_cash and trade["fee_currency"] == trade["asset"]
            try:
                size, fee = net_of_foreign_fee(size, unit_cash, fee, in_kind)
            except InvalidInput:
                return None
            if not in_kind:
                self.other_fees = with_fee(self.other_fees, trade["fee_currency"], trade["fee"])
        before = self.balance
        after, realized, effect = before.moved(size, unit_cash, fee, in_cash)
        executed_at = trade["executed_at"]
        if effect is not Effect.INCREASED and effect is not Effect.REDUCED:
            self._date(effect, executed_at)
        if self.mark.is_replaced_by(executed_at, MarkSource.TRADE):
            self.mark = Mark(price, executed_at, MarkSource.TRADE)
        self.balance = after
        self.sequence += 1
        trade["sequence"] = self.sequence
        trade["booked_at"] = trade["updated_at"] = self.booked_at
        trade["realized_pnl"] = canonical(realized)
        return Booking(trade, effect, before.quantity, after.quantity)

    def settled(self) -> dict[str, Any]:
        """Return the position's fields by name, with all that was booked."""
        return {
            **self.opened,
            **self.balance.totals(),
            **dict(zip(INSTRUMENT, self.constants or (), strict=False)),
            "status": status_of(self.balance.quantity),
            "opened_at": self.opened_at,
            "closed_at": self.closed_at,
            "other_fees": self.other_fees,
            **self.mark.fields(),
            "sequence": self.sequence,
            "version": self.opened["version"] + self.sequence - self.opened["sequence"],
            "updated_at": self.booked_at,
        }

    def _complete(self, given: Mapping[str, Any], base_currency: str) -> dict[str, Any] | None:
        """Return all fields of the trade but its id; None where its time or the symbol's constants refuse it."""
        shared = self._shared or self._shared_values(given, base_currency)
        trade = {**shared, "details": {}, **given}
        fixed = _constants(shared)
        if _constants(trade) != fixed:
            return None
        # The first comparison is all that a time of the past costs.
        executed_at = trade["executed_at"]
        if executed_at > self.at and is_ahead(executed_at, self.at, self.max_ahead):
            return None
        self._shared, self.constants = shared, fixed
        return trade

    def _shared_values(self, given: Mapping[str, Any], base_currency: str) -> dict[str, Any]:
        """Return the values that trades of the symbol have, unless their callers give others."""
        currency, multiplier, settlement, asset = self.constants or (
            given.get("currency", base_currency),
            given.get("multiplier", ONE),
            given.get("settlement", Settlement.CASH),
            given.get("asset", default_asset(given["symbol"])),
        )
        return {
            **TRADE_DEFAULTS,
            "status": TradeStatus.EXECUTED,
            "account": self.opened["account"],
            "created_at": self.at,
            "executed_at": self.at,
            "currency": currency,
            "fee_currency": currency,
            "multiplier": multiplier,
            "settlement": settlement,
            "asset": asset,
        }

    def _date(self, effect: Effect, executed_at: datetime) -> None:
        if effect is Effect.CLOSED:
            self.closed_at = executed_at
        else:
            self.opened_at, self.closed_at = executed_at, None


_mark: Final = itemgetter(*MARK)
_totals: Final = itemgetter(*Balance._fields)
_constants: Final = itemgetter(*INSTRUMENT)

VARYING: Final = (
    "updated_at",
    "booked_at",
    "details",
    "decision_id",
    "order_id",
    "execution_id",
    "action",
    "quantity",
    "price",
    "fee",
    "executed_at",
    "sequence",
    "realized_pnl",
)
"""The columns of a trade that differ from one fill of a symbol to the next."""

_varying_texts: Final = itemgetter(*VARYING[6:])
_ALWAYS: Final = (*VARYING[4:], "effect", "quantity_before", "quantity_after")
_UNQUOTED: Final = ("order_id", "execution_id", "sequence", "decision_id")
"""Placeholders of a payload without quotes: their values are JSON already."""


def texts_of(trade: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the values of `VARYING` from the action on as text, as JSON and COPY both have them."""
    action, quantity, price, fee, executed_at, sequence, realized_pnl = _varying_texts(trade)
    return (
        action._value_,  # Python's own attribute: `value` is a function that reads it, and slower
        f"{quantity:f}",
        f"{price:f}",
        f"{fee:f}",
        executed_at.isoformat(),
        str(sequence),
        f"{realized_pnl:f}",
    )


class SharedValues:
    """The values that all fills of a symbol share, by which writers keep templates of their rows.

    A column that is not named in `VARYING` is taken as shared: two bookings have one key only where all of
    its values are equal, so that a new column is right from the start.

    Args:
        columns: of the trades that are written.
    """

    def __init__(self, columns: tuple[str, ...] = TRADE_COLUMNS) -> None:
        """Take the columns that are shared."""
        self.columns = tuple(
            name for name in columns if name not in (*VARYING, "account", "created_at")
        )
        self._pick = itemgetter(*self.columns)

    def key(self, booking: Booking, at: datetime) -> tuple[Any, ...]:
        """Return what two bookings at the same time of call must share to have one template."""
        trade = booking.trade
        booked_at = trade["booked_at"]
        return (
            self._pick(trade),
            not trade["details"],
            trade["decision_id"] is None,
            booked_at is at or booked_at == at,
        )


def payload_template(booking: Booking, at: datetime) -> str:
    """Return a booking's payload as JSON, with a placeholder for each value that `payload_values` gives.

    Made once for all bookings that share a key of `SharedValues`: filling it takes 3 us,
    making and encoding a payload of its own 17 us.
    """
    payload = booking.event(at).payload()
    varying = [
        name for name in (*_ALWAYS, "decision_id", "details", "booked_at") if name in payload
    ]
    shared = {name: value for name, value in payload.items() if name not in varying}
    slots = (f'"{n}": %s' if n in _UNQUOTED else f'"{n}": "%s"' for n in varying)
    return f"{dumps(shared)[:-1].replace('%', '%%')}, {', '.join(slots)}}}"


def payload_values(booking: Booking, at: datetime, texts: tuple[str, ...]) -> tuple[Any, ...]:
    """Return the values for the placeholders of a `payload_template`; `texts` are the booking's `texts_of`."""
    trade, effect, before, after, _ = booking
    values: tuple[Any, ...] = (
        quoted(trade["order_id"]),
        quoted(trade["execution_id"]),
        *texts,
        effect._value_,
        plain(before),
        plain(after),
    )
    if trade["decision_id"] is not None:
        values += (trade["decision_id"],)
    if trade["details"]:
        values += (digest(trade["details"]).hex(),)
    booked_at = trade["booked_at"]
    if booked_at is not at and booked_at != at:
        values += (booked_at.isoformat(),)
    return values
