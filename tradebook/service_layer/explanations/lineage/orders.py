"""The part of a tree that is about orders, and `why`: an order explained, from its decision to what it earned."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import frozen

from tradebook.domain.errors import NotFound
from tradebook.domain.numbers import plain
from tradebook.domain.orders import Order, ended_with, unfilled_row
from tradebook.domain.trades import BOOKED, OrderKey, Trade, TradeStatus
from tradebook.domain.validation import (
    argument,
    asset_of,
    optional_identifier,
    order_identifier,
    short_text,
)
from tradebook.service_layer.explanations.lineage.decision_nodes import (
    DecisionRecords,
    decision_node,
    no_decision,
)
from tradebook.service_layer.explanations.lineage.explanation import (
    SHOWN,
    TRADES_READ,
    Amount,
    Explanation,
    NodeKind,
    known,
    limited,
    note,
)
from tradebook.service_layer.explanations.lineage.fills import FillRecords, fill_node, results
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork


@frozen
class OrderTrades:
    """The trades of one order.

    Attributes:
        key: of the order.
        trades: in the order of booking, those not booked last.
        is_whole: false where the order has more of them, which were not read.
    """

    key: OrderKey
    trades: Sequence[Trade]
    is_whole: bool

    @classmethod
    def read(cls, uow: AbstractUnitOfWork, key: OrderKey) -> OrderTrades:
        """Read the trades of an order, in one statement."""
        found = uow.trades.of_order_key(key, limit=TRADES_READ + 1)
        return cls(key, in_booking_order(found[:TRADES_READ]), len(found) <= TRADES_READ)

    def order(self, uow: AbstractUnitOfWork, records: FillRecords) -> Order | None:
        """Return the order; None where not all of its trades were read.

        Args:
            uow: reads the events of a row that was cancelled or rejected, which say what was ordered.
            records: of all trades of the order.
        """
        if not self.is_whole:
            return None
        row = unfilled_row(self.trades)
        if row is None:
            events = [event for trade in self.trades for event in records.events.get(trade.id, ())]
        elif row.status is TradeStatus.PENDING:
            events = []
        else:
            events = uow.events.of(Trade.__name__, row.id)
        return Order.from_trades(self.trades, ended_with(events))


def in_booking_order(trades: Iterable[Trade]) -> list[Trade]:
    """Sort trades of one symbol by their entry in its ledger; those that were not booked come last."""
    return sorted(trades, key=lambda trade: (trade.sequence is None, trade.sequence or 0, trade.id))


def order_node(found: OrderTrades, order: Order | None, *below: Explanation) -> Explanation:
    """Return the node of an order: what was ordered, filled and remains, with nodes below it."""
    key = found.key
    at_venue = f" at {key.venue}" if key.venue else ""
    title = f"order {key.order_id} for {key.symbol}{at_venue}"
    where = known(order_id=key.order_id, symbol=key.symbol, venue=key.venue)
    if order is None:
        more = f"the order has more than {TRADES_READ:,} trades, which are not added up here"
        return Explanation(
            kind=NodeKind.ORDER, title=title, facts=where, children=(*below, note(more))
        )
    asset, first = asset_of(found.trades[0]), found.trades[0]
    amounts = {
        name: Amount(getattr(order, name), asset) for name in ("ordered", "filled", "remaining")
    }
    if order.average_price is not None:
        amounts["average_price"] = Amount(order.average_price, first.currency)
    if order.overfilled:
        amounts["overfilled"] = Amount(order.overfilled, asset)
    fees = {currency: plain(fee) for currency, fee in order.fees.items()}
    return Explanation(
        kind=NodeKind.ORDER,
        title=f"{title}: {order.action} {plain(order.ordered)}, {order.status}",
        at=order.recorded_at,
        amounts=amounts,
        facts=known(**where, status=order.status, fees=fees),
        children=below,
    )


def brief_fills(found: OrderTrades, explained: Trade) -> list[Explanation]:
    """Return a short node for each booked trade of an order, and mark the one that is explained."""

    def brief(trade: Trade) -> Explanation:
        mine = " (this trade)" if trade.id == explained.id else ""
        status = "" if trade.status is TradeStatus.EXECUTED else f", {trade.status}"
        return Explanation(
            kind=NodeKind.FILL,
            title=f"filled {plain(trade.quantity)} at {plain(trade.price)} {trade.currency} by trade "
            f"{trade.id}{status}{mine}",
            id=trade.id,
            at=trade.executed_at,
        )

    booked = [trade for trade in found.trades if trade.status in BOOKED]
    return limited(booked, brief, "fills", is_whole=found.is_whole)


def why(
    uow: AbstractUnitOfWork,
    order_id: str | int,
    *,
    symbol: str | None = None,
    venue: str | None = None,
) -> list[Explanation]:
    """Explain the orders with an id: the decisions behind each, its fills, and what these closed and earned.

    Args:
        uow: a read-only unit of work, which has one consistent view.
        order_id: the venue's or client's id of the order; several symbols or venues may have one with this id.
        symbol: only the order for this instrument.
        venue: only the order at this venue.

    Returns:
        A tree for each order, by symbol and venue; at most 20 of them.

    Raises:
        NotFound: there is no trade with this order id.
        InvalidInput: a value is refused.
    """
    order_id = argument("order_id", order_identifier, order_id)
    symbol = argument("symbol", optional_identifier, symbol)
    venue = None if venue is None else argument("venue", short_text, venue)
    found = uow.trades.keys_of(order_id, limit=TRADES_READ + 1)
    keys = {key for key in found if symbol in (None, key.symbol) and venue in (None, key.venue)}
    if not keys:
        raise NotFound("order", order_id, uow.account)
    return limited(
        sorted(keys, key=lambda key: (key.symbol, key.venue)),
        lambda key: _explained(uow, OrderTrades.read(uow, key)),
        "orders",
        is_whole=len(found) <= TRADES_READ,
    )


def _explained(uow: AbstractUnitOfWork, found: OrderTrades) -> Explanation:
    records = FillRecords.read(uow, found.trades)
    ids = list(dict.fromkeys(t.decision_id for t in found.trades if t.decision_id is not None))
    reasons = DecisionRecords.read(uow, ids[:SHOWN])
    decisions = limited(ids, lambda id_: decision_node(id_, reasons), "decisions")
    booked = [trade for trade in found.trades if trade.status in BOOKED]
    fills = limited(
        booked, lambda trade: fill_node(trade, records), "fills", is_whole=found.is_whole
    )
    order = found.order(uow, records)
    return order_node(
        found,
        order,
        *(decisions or [no_decision("order", found.trades[0], records)]),
        *(fills or [note("nothing of it is filled, so it earned nothing")]),
        *(results(found.trades) if found.is_whole else ()),
    )
