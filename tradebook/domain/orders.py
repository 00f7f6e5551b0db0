"""Orders: every trade under one order key. Its PENDING row is what is still open, each fill a trade of its own.

A fill that is smaller than the open quantity leaves the rest in the PENDING row; the last one takes the row over.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final, NamedTuple

from attrs import frozen

from tradebook.domain.entity import differences
from tradebook.domain.errors import DuplicateOrder, InvalidInput
from tradebook.domain.events import (
    Event,
    TradeCancelled,
    TradePartiallyFilled,
    TradeRecorded,
    TradeRejected,
)
from tradebook.domain.numbers import EXACT, ZERO, canonical, divide, exact, plain, sums_by_name
from tradebook.domain.positions import Position
from tradebook.domain.trades import BOOKED, TERMS, OrderKey, Trade, TradeAction, TradeStatus
from tradebook.domain.validation import Json

_OF_PART: Final = (
    "currency",
    "fee_currency",
    "multiplier",
    "settlement",
    "asset",
    "execution_id",
    "strategy",
    "decision_id",
    "details",
)
"""The fields that a fill takes from its order where its caller left them out; the last fill takes the fee too."""
_FILLED: Final = (
    *(*TERMS, "execution_id", "strategy", "decision_id", "details"),
    *("sequence", "booked_at", "realized_pnl", "updated_at", "status"),
)


_ENDINGS: Final = (TradeRecorded.__name__, TradeCancelled.__name__, TradeRejected.__name__)


class OrderStatus(StrEnum):
    """PENDING and PARTIALLY_FILLED while a part is open; FILLED, CANCELLED or REJECTED when none is."""

    PENDING = "PENDING"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"


@frozen
class Order:
    """An order with its fills, computed from the trades that are recorded under it.

    Attributes:
        symbol: the instrument.
        venue: where it was sent, `""` when one venue is all there is.
        order_id: the venue's or client's id of it.
        action: BUY or SELL.
        status: see `OrderStatus`. A bust lowers `filled` and opens nothing again: FILLED stays FILLED.
        ordered: what was ordered, in units of the instrument; of an order that was never submitted, what its
            fills said.
        filled: what the fills that count add up to.
        remaining: what is open; 0 once the order is filled, cancelled or rejected.
        price: of the open or cancelled rest; None for a market order, and once it is filled.
        average_price: of the fills, weighted by quantity, half-even to 10^-40; None before the first.
        fees: of the fills, by currency; negative is a rebate.
        fills: the trades that count, in the order of booking.
        recorded_at: when the first row of it was recorded, UTC.
        first_filled_at: the trade time of the earliest fill, UTC; None before it.
        last_filled_at: the trade time of the latest fill, UTC; None before it.
    """

    symbol: str
    venue: str
    order_id: str
    action: TradeAction
    status: OrderStatus
    ordered: Decimal
    filled: Decimal
    remaining: Decimal
    price: Decimal | None
    average_price: Decimal | None
    fees: Mapping[str, Decimal]
    fills: tuple[Trade, ...]
    recorded_at: datetime
    first_filled_at: datetime | None
    last_filled_at: datetime | None

    @property
    def overfilled(self) -> Decimal:
        """The quantity by which the fills exceed what was ordered; 0 for most orders."""
        return max(canonical(EXACT.subtract(self.filled, self.ordered)), ZERO)

    @classmethod
    def from_trades(cls, trades: Sequence[Trade], ordered: Decimal | None = None) -> Order:
        """Compute an order from all of its trades.

        Args:
            trades: recorded under one order key, at least one.
            ordered: what was ordered, as the event says that ended the order; for an open order the trades say it.
        """
        fills = sorted(
            (trade for trade in trades if trade.status is TradeStatus.EXECUTED),
            key=lambda trade: trade.sequence or 0,
        )
        row, first = unfilled_row(trades), trades[0]
        filled = total_quantity(fills)
        is_open = row is not None and row.status is TradeStatus.PENDING
        open_rows = [trade for trade in trades if trade.status is TradeStatus.PENDING]
        times = [trade.executed_at for trade in fills]
        return cls(
            symbol=first.symbol,
            venue=first.venue,
            order_id=first.order_id,
            action=first.action,
            status=_status(row, is_partly_filled=bool(filled)),
            ordered=ordered_quantity(trades) if is_open or ordered is None else ordered,
            filled=filled,
            remaining=total_quantity(open_rows),
            price=None if row is None else row.price,
            average_price=_average_price(fills, filled),
            fees=sums_by_name((trade.fee, trade.fee_currency) for trade in fills if trade.fee),
            fills=tuple(fills),
            recorded_at=min(trade.created_at for trade in trades),
            first_filled_at=min(times, default=None),
            last_filled_at=max(times, default=None),
        )


def _status(row: Trade | None, *, is_partly_filled: bool) -> OrderStatus:
    if row is None:
        return OrderStatus.FILLED
    if row.status is TradeStatus.PENDING and is_partly_filled:
        return OrderStatus.PARTIALLY_FILLED
    return OrderStatus(row.status.value)


def _average_price(fills: Iterable[Trade], filled: Decimal) -> Decimal | None:
    if not filled:
        return None
    with exact():
        paid = sum((trade.quantity * trade.price for trade in fills), start=ZERO)
    return divide(paid, filled)


def total_quantity(trades: Iterable[Trade]) -> Decimal:
    """Add up the quantities of trades."""
    with exact():
        return canonical(sum((trade.quantity for trade in trades), start=ZERO))


def ordered_quantity(trades: Iterable[Trade]) -> Decimal:
    """Return what was ordered: what was filled of it, as first reported, and what was not.

    Busted fills count, and corrected ones as they were: they open nothing again.
    """
    return total_quantity(trade for trade in trades if not trade.revision)


def unfilled_row(trades: Sequence[Trade]) -> Trade | None:
    """Return the row of an order that was not filled: what is open of it, or was when it was cancelled or rejected."""
    rows = [trade for trade in trades if trade.status not in BOOKED]
    pending = (trade for trade in rows if trade.status is TradeStatus.PENDING)
    return next(pending, rows[0] if rows else None)


def ended_with(events: Iterable[Event]) -> Decimal | None:
    """Return what was ordered, as the event says that ended an order; None where none of these says it."""
    said = [
        event.payload["ordered"]
        for event in events
        if "ordered" in event.payload and event.event_type in _ENDINGS
    ]
    return Decimal(str(said[-1])) if said else None


def took_order_over(event: Event) -> bool:
    """Return whether an event says that a fill took over the row of its pending order."""
    changes = event.payload.get("changes")
    before = changes.get("status", ()) if isinstance(changes, dict) else ()
    return isinstance(before, list) and before[0] == TradeStatus.PENDING


class FilledOrder(NamedTuple):
    """A fill of a pending order that moved its position.

    Attributes:
        trade: the trade to be written: the fill, or the order's row that the last fill took over.
        event: of the booking.
        rest: of the order's row, where a rest stays open.
    """

    trade: Trade
    event: TradeRecorded
    rest: TradePartiallyFilled | None


def fill_order(
    position: Position,
    order: Trade,
    fill: Trade,
    given: Collection[str],
    *,
    recorded: Iterable[Trade],
    at: datetime,
) -> FilledOrder:
    """Book a fill of a pending order on its position; nothing of it is refused once the order changes.

    Args:
        position: of the order's symbol.
        order: the PENDING row; keeps the rest, or takes the fill over.
        fill: not booked yet.
        given: the names of the fields that the fill's caller gave.
        recorded: all trades of the order.
        at: the time now.

    Raises:
        InvalidInput: the fill leaves a rest open, and has no execution id of its own.
        DuplicateOrder: the action is not that of the order.
        TradebookError: as `Position.apply`.
    """
    take_order_terms(fill, order, given)
    position.complete(fill, given)
    event = position.apply(fill, at)
    if fill.quantity < order.quantity:
        return FilledOrder(fill, event, _keep_rest(order, fill, at))
    excess = canonical(EXACT.subtract(fill.quantity, order.quantity))
    ordered = ordered_quantity(recorded)
    changes = become_fill(order, fill)
    event = event.with_values(changes=changes, ordered=ordered, overfilled=excess or None)
    return FilledOrder(order, event, None)


def take_order_terms(fill: Trade, order: Trade, given: Collection[str]) -> None:
    """Take from the pending order what the caller of its fill left out.

    A fee that was recorded with the order is the last fill's: each part would pay it again.

    Args:
        fill: not booked yet.
        order: not changed here.
        given: the names of the fields that the fill's caller gave.

    Raises:
        InvalidTransition: the order is not PENDING.
        InvalidInput: the fill leaves a rest open, and has no execution id of its own.
        DuplicateOrder: the action is not that of the order.
    """
    order.require_pending("filled")
    if differing := differences(order, fill, ["action"]):
        raise DuplicateOrder("order", order.identity, differing)
    is_part = fill.quantity < order.quantity
    for field in _OF_PART if is_part else ("fee", *_OF_PART):
        if field not in given:
            setattr(fill, field, getattr(order, field))
    if is_part and fill.fill_key == order.fill_key:
        raise InvalidInput(
            "execution_id",
            fill.execution_id,
            f"one that no other fill has: this one of {plain(fill.quantity)} leaves "
            f"{plain(EXACT.subtract(order.quantity, fill.quantity))} of order {order.identity} open",
        )


def become_fill(order: Trade, fill: Trade) -> dict[str, Json]:
    """Let the row of a pending order take over everything of the booked fill.

    Returns:
        For each field that changed (before, after).
    """
    changes = differences(order, fill, _FILLED)
    for field in _FILLED:
        setattr(order, field, getattr(fill, field))
    changes.pop("updated_at", None)
    return dict(changes)


def _keep_rest(order: Trade, fill: Trade, at: datetime) -> TradePartiallyFilled:
    before = order.quantity
    order.quantity = canonical(EXACT.subtract(before, fill.quantity))
    # Strictly increasing, also within one clock tick: it tells copies that were read before.
    order.updated_at = max(at, order.updated_at + timedelta(microseconds=1))
    return TradePartiallyFilled(
        order_id=order.order_id,
        execution_id=fill.execution_id,
        quantity=fill.quantity,
        changes={"quantity": [plain(before), plain(order.quantity)]},
    )


def confirm_submission(
    row: Trade, recorded: Iterable[Trade], order: Trade, given: Collection[str]
) -> None:
    """Accept an order that is submitted again: every term given must be what is recorded.

    Args:
        row: the order's `unfilled_row`.
        recorded: all trades of the order.
        order: as it came again.
        given: the names of the fields that its caller gave; of an order that was cancelled or rejected only the
            action must agree.

    Raises:
        DuplicateOrder: naming the terms that differ.
    """
    if row.status is not TradeStatus.PENDING:
        row.confirm(order, ["action"])
        return
    differing = differences(row, order, [t for t in TERMS if t in given and t != "quantity"])
    ordered = ordered_quantity(recorded)
    if "quantity" in given and order.quantity != ordered:
        differing["quantity"] = ordered, order.quantity
    if differing:
        raise DuplicateOrder("order", row.identity, differing)


def leave_open(order: Trade, recorded: Sequence[Trade]) -> bool:
    """Lower an order that is submitted after fills of it to what they left open; return whether that is anything.

    Raises:
        DuplicateOrder: the action is not that of the fills.
        InvalidInput: a fill has no execution id of its own, and the rest would have the same key.
    """
    recorded[0].confirm(order, ["action"])
    filled = ordered_quantity(recorded)
    if order.quantity <= filled:
        return False
    rest = canonical(EXACT.subtract(order.quantity, filled))
    if any(trade.fill_key == order.fill_key for trade in recorded):
        raise InvalidInput(
            "execution_id",
            order.execution_id,
            f"one that no fill has: order {order.identity} was filled by {plain(filled)} under this one, "
            f"which leaves {plain(rest)} open",
        )
    order.quantity = rest
    return True


def by_order(trades: Iterable[Trade]) -> dict[OrderKey, list[Trade]]:
    """Group trades by their order."""
    grouped: dict[OrderKey, list[Trade]] = {}
    for trade in trades:
        grouped.setdefault(trade.order_key, []).append(trade)
    return grouped
