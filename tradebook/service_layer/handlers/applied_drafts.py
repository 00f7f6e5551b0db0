"""Drafts of trades applied to an open position: submitted, booked, or recognised as recorded."""

from __future__ import annotations

from tradebook.domain.errors import InvalidTransition
from tradebook.domain.events import DomainEvent, Event, TradeRecorded, TradeSubmitted
from tradebook.domain.orders import (
    by_order,
    confirm_submission,
    fill_order,
    leave_open,
    took_order_over,
    unfilled_row,
)
from tradebook.domain.trades import OrderKey, Trade, TradeStatus
from tradebook.service_layer.handlers.trade_terms import Draft
from tradebook.service_layer.ports.ledger import OpenPosition
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork


class AppliedDrafts:
    """The drafts applied to an open position, and what is to be written of them.

    Attributes:
        bookings: each trade that was booked, added as an order or lowered to a rest, with its event.
        has_submitted: whether an order was added.
    """

    def __init__(self, uow: AbstractUnitOfWork, opened: OpenPosition) -> None:
        """Take the open position, and the trades that are recorded under the orders of the drafts."""
        self.uow = uow
        self.position = opened.position
        self.known = {trade.fill_key: trade for trade in opened.trades}
        self.orders = by_order(opened.trades)
        self.pending = {t.order_key: t for t in opened.trades if t.status is TradeStatus.PENDING}
        self.bookings: list[tuple[Trade, Event]] = []
        self.has_submitted = False
        self._completed: set[OrderKey] = set()

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
            self._fill(order, draft)
        else:
            self._book(draft, self.position.apply(draft.trade, self.uow.now()))
        self.known[draft.trade.fill_key] = draft.trade
        if draft.is_new and draft.trade is not order:
            self.orders.setdefault(draft.trade.order_key, []).append(draft.trade)

    def _submit(self, draft: Draft, recorded: Trade | None) -> None:
        trade, rows = draft.trade, self.orders.get(draft.trade.order_key, [])
        ordered = trade.quantity
        row = unfilled_row(rows)
        if row is not None:
            confirm_submission(row, rows, trade, draft.terms)
        elif rows and (not leave_open(trade, rows) or self._was_completed(rows)):
            row = recorded or rows[0]
        row = row or self.uow.trades.add(trade)
        if row is not trade:
            draft.trade = row
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
            ordered=None if ordered == trade.quantity else ordered,
        )
        self._add(trade, submitted)

    def _was_completed(self, rows: list[Trade]) -> bool:
        """Return whether one of an order's fills took over its pending row: then it was submitted before."""
        if rows[0].order_key in self._completed:
            return True
        ids = [trade.id for trade in rows if trade.id is not None]
        return any(map(took_order_over, self.uow.events.bookings_of(ids)))

    def _fill(self, order: Trade, draft: Draft) -> None:
        key = order.fill_key
        filled = fill_order(
            self.position,
            order,
            draft.trade,
            draft.terms,
            recorded=self.orders[order.order_key],
            at=self.uow.now(),
        )
        draft.trade = filled.trade
        self._book(draft, filled.event)
        if filled.rest is not None:
            self._add(order, filled.rest)
            return
        del self.known[key], self.pending[order.order_key]
        self._completed.add(order.order_key)

    def _book(self, draft: Draft, event: TradeRecorded) -> None:
        draft.is_new = True
        self._add(draft.trade, event)

    def _add(self, trade: Trade, event: DomainEvent) -> None:
        self.bookings.append((trade, self.uow.event(event, trade)))

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
