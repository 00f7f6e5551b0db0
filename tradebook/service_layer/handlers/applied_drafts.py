"""Drafts of trades applied to an open position: submitted, booked, or recognised as recorded."""

from __future__ import annotations

from tradebook.domain.errors import InvalidTransition
from tradebook.domain.events import Event, TradeRecorded, TradeSubmitted
from tradebook.domain.trades import OrderKey, Trade, TradeStatus
from tradebook.service_layer.handlers.trade_terms import Draft
from tradebook.service_layer.ports.ledger import OpenPosition
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork


class AppliedDrafts:
    """The drafts applied to an open position, and the bookings that are to be written of them."""

    def __init__(self, uow: AbstractUnitOfWork, opened: OpenPosition) -> None:
        """Take the open position, and the trades that are recorded under the orders of the drafts."""
        self.uow = uow
        self.position = opened.position
        self.known = {trade.fill_key: trade for trade in opened.trades}
        self.pending = {t.order_key: t for t in opened.trades if t.status is TradeStatus.PENDING}
        self.orders: dict[OrderKey, Trade] = {}
        for trade in opened.trades:
            self.orders.setdefault(trade.order_key, trade)
        self.bookings: list[tuple[Trade, Event]] = []
        self.has_submitted = False

    def apply(self, draft: Draft) -> None:
        """Submit the draft, book it, or recognise the trade that it repeats."""
        self.position.complete(draft.trade, draft.terms)
        recorded = self.known.get(draft.trade.fill_key)
        order = self.pending.get(draft.trade.order_key)
        if draft.target is TradeStatus.PENDING:
            self._submit(draft, recorded)
        elif recorded is not None and recorded.status is not TradeStatus.PENDING:
            self._confirm(recorded, draft)
        elif order is not None:
            self._book(draft, self._fill(order, draft))
        else:
            self._book(draft, self.position.apply(draft.trade, self.uow.now()))
        self.known[draft.trade.fill_key] = draft.trade
        self.orders.setdefault(draft.trade.order_key, draft.trade)

    def _submit(self, draft: Draft, recorded: Trade | None) -> None:
        trade = draft.trade
        recorded = recorded or self.orders.get(trade.order_key) or self.uow.trades.add(trade)
        if recorded is not trade:
            # An order submitted again after its fill: the recorded terms are the fill's, so that only the action
            # must agree.
            is_pending = recorded.status is TradeStatus.PENDING
            recorded.confirm(trade, draft.terms if is_pending else ["action"])
            draft.trade = recorded
            return
        draft.is_new = self.has_submitted = True
        self.position.expect_fill()
        self.pending[trade.order_key] = trade
        submitted = TradeSubmitted(
            symbol=trade.symbol,
            order_id=trade.order_id,
            action=trade.action,
            quantity=trade.quantity,
            price=trade.price,
        )
        self.uow.record(submitted, trade)

    def _fill(self, order: Trade, draft: Draft) -> TradeRecorded:
        """Apply a fill of a pending order; the order takes its values once nothing can be refused any more."""
        fill = draft.trade
        fill.fills(order, draft.terms)
        self.position.complete(fill, draft.terms)
        event = self.position.apply(fill, self.uow.now())
        del self.known[order.fill_key], self.pending[order.order_key]
        changes = order.become(fill)
        draft.trade = order
        return event.with_changes(changes)

    def _book(self, draft: Draft, event: TradeRecorded) -> None:
        draft.is_new = True
        self.bookings.append((draft.trade, self.uow.event(event, draft.trade)))

    def _confirm(self, recorded: Trade, draft: Draft) -> None:
        if recorded.status in (TradeStatus.CANCELLED, TradeStatus.REJECTED):
            raise InvalidTransition(
                f"order {recorded.identity} is {recorded.status}; "
                "record a fill that came all the same with its own execution_id"
            )
        *corrected, last = self._revisions(recorded)
        for revision in corrected:  # a repeated fill may have the terms from before a correction
            if revision.agrees(draft.trade, draft.terms):
                last = revision
                break
        last.confirm(draft.trade, draft.terms)
        draft.trade = last

    def _revisions(self, first: Trade) -> list[Trade]:
        revisions = [first]
        key = first.fill_key
        while following := self.known.get(key._replace(revision=len(revisions))):
            revisions.append(following)
        return revisions
