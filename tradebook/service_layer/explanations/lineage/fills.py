"""The part of a tree that is about fills: what each opened, closed and earned, its bust, its correction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from attrs import frozen

from tradebook.domain.events import BOOKINGS, BUSTS, Event, TradeCorrected
from tradebook.domain.fill_results import (
    Bust,
    Earned,
    FillEffect,
    earned,
    fill_effect,
    is_refolded,
)
from tradebook.domain.numbers import plain
from tradebook.domain.trades import BOOKED, Trade, TradeStatus
from tradebook.domain.validation import Json, asset_of
from tradebook.service_layer.explanations.lineage.explanation import (
    TRADES_READ,
    Amount,
    Explanation,
    NodeKind,
    amounts_in,
    known,
    note,
)
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

_REFOLDED: Final = (
    "a trade before this one was busted or corrected afterwards, and the position was folded again: its realized P&L "
    "is what that fold gave, exactly; what it opened and closed is in no record any more, only in that fold"
)
_UNSAID: Final = (
    "the event of its booking does not say what it opened and closed; its realized P&L is exact"
)


@frozen
class FillRecords:
    """The records that say what became of some trades.

    Attributes:
        events: that booked or busted each trade, by its id, oldest first.
        busts: by symbol, those after the earliest of its trades.
        corrections: the trade that corrects each trade, by the id of that one.
    """

    events: Mapping[int, Sequence[Event]]
    busts: Mapping[str, Sequence[Bust]]
    corrections: Mapping[int, Trade]

    @classmethod
    def read(
        cls, uow: AbstractUnitOfWork, trades: Sequence[Trade], around: Sequence[Trade] = ()
    ) -> FillRecords:
        """Read the records of `trades`, and the events of those `around`: the others of their orders, already read.

        Takes one statement for the events, and one for the busts of each symbol.
        """
        booked = [
            trade for trade in {t.id: t for t in (*trades, *around)}.values() if trade.sequence
        ]
        events = defaultdict(list)
        for event in uow.events.bookings_of([trade.id for trade in booked]) if booked else ():
            events[event.entity_id].append(event)
        first: dict[str, int] = {}
        for trade in trades:
            if trade.sequence is not None and trade.status is TradeStatus.EXECUTED:
                first[trade.symbol] = min(trade.sequence, first.get(trade.symbol, trade.sequence))
        return cls(
            events=events,
            busts={
                symbol: uow.trades.busts_after(symbol, sequence, limit=TRADES_READ)
                for symbol, sequence in first.items()
            },
            corrections={t.corrects_id: t for t in (*trades, *around) if t.corrects_id is not None},
        )

    def effect(self, trade: Trade) -> FillEffect | None:
        """Return what a trade opened and closed, where that still is what its event says."""
        booking = self._event(trade, BOOKINGS)
        return (
            None
            if booking is None or self.is_refolded(trade)
            else fill_effect(trade, booking.payload)
        )

    def is_refolded(self, trade: Trade) -> bool:
        """Return whether a trade was folded again after it was booked, or may have been: after 1,000 busts."""
        busts = self.busts.get(trade.symbol, ())
        return len(busts) >= TRADES_READ or is_refolded(trade.sequence or 0, busts)

    def booking(self, trade: Trade) -> Event | None:
        """Return the event that booked a trade."""
        return self._event(trade, BOOKINGS)

    def bust(self, trade: Trade) -> Event | None:
        """Return the event that busted a trade."""
        return self._event(trade, BUSTS)

    def _event(self, trade: Trade, types: Sequence[str]) -> Event | None:
        found = (e for e in self.events.get(trade.id, ()) if e.event_type in types)
        return next(found, None)


def terms_of(trade: Trade) -> str:
    """Write what a trade was: `SELL 60 AAPL at 151.2 USD`."""
    price = f" at {plain(trade.price)} {trade.currency}" if trade.has_price else ""
    return f"{trade.action} {plain(trade.quantity)} {trade.symbol}{price}"


def fill_amounts(trade: Trade) -> dict[str, Amount]:
    """Return the amounts of a trade; what it realized and its fee only where it counts."""
    amounts = {"quantity": Amount(trade.quantity, asset_of(trade))}
    if trade.has_price:
        amounts["price"] = Amount(trade.price, trade.currency)
    if trade.status is TradeStatus.EXECUTED:
        amounts["realized_pnl"] = Amount(trade.realized_pnl, trade.currency)
        amounts["fee"] = Amount(trade.fee, trade.fee_currency)
    return amounts


def fill_facts(trade: Trade, records: FillRecords) -> dict[str, object]:
    """Return what else there is to say of a trade, and who recorded it."""
    booking = records.booking(trade)
    return known(
        status=trade.status,
        order_id=trade.order_id,
        execution_id=trade.execution_id,
        venue=trade.venue,
        strategy=trade.strategy,
        revision=trade.revision or None,
        booked_at=trade.booked_at,
        recorded_by=None if booking is None else booking.actor,
        correlation_id=None if booking is None else booking.correlation_id,
        details=trade.details,
    )


def fill_node(trade: Trade, records: FillRecords, *above: Explanation) -> Explanation:
    """Return the node of one fill: what it opened and closed, its bust and correction, what it earned.

    Args:
        trade: booked or not.
        records: of it.
        above: nodes that come before these, such as the decision that it came from.
    """
    children = *above, *consequences(trade, records)
    return trade_node(NodeKind.FILL, trade, fill_facts(trade, records), children)


def trade_node(
    kind: NodeKind,
    trade: Trade,
    facts: Mapping[str, Json],
    children: tuple[Explanation, ...] = (),
) -> Explanation:
    """Return a node whose title and amounts are the terms of a trade; a status other than EXECUTED follows them."""
    status = "" if trade.status is TradeStatus.EXECUTED else f", {trade.status}"
    return Explanation(
        kind=kind,
        title=f"trade {trade.id}: {terms_of(trade)}{status}",
        id=trade.id,
        at=trade.executed_at,
        amounts=fill_amounts(trade),
        facts=facts,
        children=children,
    )


def consequences(trade: Trade, records: FillRecords) -> list[Explanation]:
    """Return the nodes of what a trade did to its position, what became of it, and what it earned."""
    if trade.status not in BOOKED:
        return [note(f"it is {trade.status}: nothing of it was booked, so it earned nothing")]
    nodes = []
    if trade.corrects_id is not None:
        nodes.append(_correction(trade, records))
    if trade.status is TradeStatus.BUSTED:
        return [*nodes, _bust(trade, records)]
    return [*nodes, *_effects(trade, records), *results([trade])]


def _effects(trade: Trade, records: FillRecords) -> list[Explanation]:
    effect = records.effect(trade)
    if effect is None:
        return [note(_REFOLDED if records.is_refolded(trade) else _UNSAID)]
    asset, moved = (
        asset_of(trade),
        f"{plain(effect.quantity_before)} to {plain(effect.quantity_after)}",
    )
    nodes = []
    if effect.closed:
        nodes.append(
            Explanation(
                kind=NodeKind.CLOSED,
                title=f"closed {plain(effect.closed)} {asset}: position {moved}",
                amounts={
                    "quantity": Amount(effect.closed, asset),
                    **amounts_in(
                        trade.currency,
                        proceeds=effect.proceeds,
                        cost_removed=effect.cost_removed,
                        realized_pnl=effect.realized_pnl,
                    ),
                },
                facts={"effect": effect.effect},
            )
        )
    if effect.opened:
        nodes.append(
            Explanation(
                kind=NodeKind.OPENED,
                title=f"opened {plain(effect.opened)} {asset}: position {moved}",
                amounts={
                    "quantity": Amount(effect.opened, asset),
                    **amounts_in(trade.currency, cost=effect.cost),
                },
                facts={"effect": effect.effect},
            )
        )
    return nodes


def _correction(trade: Trade, records: FillRecords) -> Explanation:
    booking = records.booking(trade)
    is_correction = booking is not None and booking.event_type == TradeCorrected.__name__
    changes = booking.payload.get("changes") if booking is not None and is_correction else None
    wrong = next(
        (e for e in records.events.get(trade.corrects_id or 0, ()) if e.event_type in BUSTS), None
    )
    return Explanation(
        kind=NodeKind.CORRECTION,
        title=f"revision {trade.revision}: corrects trade {trade.corrects_id}",
        id=trade.corrects_id,
        at=trade.booked_at,
        facts=known(
            corrected_by=None if booking is None else booking.actor,
            reason=None if wrong is None else wrong.payload.get("reason"),
            changes=changes,
        ),
    )


def _bust(trade: Trade, records: FillRecords) -> Explanation:
    event, right = records.bust(trade), records.corrections.get(trade.id)
    payload = {} if event is None else event.payload
    instead = (
        ""
        if right is None
        else f"; trade {right.id}, its revision {right.revision}, counts instead"
    )
    return Explanation(
        kind=NodeKind.BUST,
        title=f"busted: it counts no more, and earned nothing{instead}",
        id=None if right is None else right.id,
        at=trade.busted_at,
        facts=known(
            busted_by=trade.busted_by,
            reason=trade.bust_reason,
            position_before=payload.get("before"),
            position_after=payload.get("after"),
            undone_import=payload.get("undone_import"),
        ),
    )


def results(trades: Sequence[Trade]) -> list[Explanation]:
    """Return what trades earned, exactly, a node for each currency."""
    return [result(each) for each in earned(trades)]


def result(each: Earned) -> Explanation:
    """Return the node of earnings in one currency."""
    return Explanation(
        kind=NodeKind.RESULT,
        title=f"net {plain(each.net_pnl)} {each.currency}",
        amounts=amounts_in(
            each.currency,
            realized_pnl=each.realized_pnl,
            fees=each.fees,
            net_pnl=each.net_pnl,
        ),
    )
