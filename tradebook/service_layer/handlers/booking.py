"""Recording trades: drafts are made of terms, applied to their position, and written."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Final, Unpack

from attrs import frozen

from tradebook.domain.agents import AgentDecision
from tradebook.domain.domain_event import DomainEvent
from tradebook.domain.errors import ConcurrentUpdate, InvalidTransition, NotFound
from tradebook.domain.events import Event, TradeRecorded, TradeSubmitted
from tradebook.domain.orders import (
    by_order,
    confirm_submission,
    fill_order,
    leave_open,
    took_order_over,
    unfilled_row,
)
from tradebook.domain.plain_values import entries
from tradebook.domain.trades import OrderKey, Trade, TradeStatus
from tradebook.domain.validation import argument
from tradebook.service_layer.handlers._common import account_currency
from tradebook.service_layer.handlers.trade_terms import (
    ALONE,
    Draft,
    ListEntry,
    TradeTerms,
    entries_of,
    new_trade,
)
from tradebook.service_layer.instrumentation import DUPLICATES, TRADES, current_call, increment
from tradebook.service_layer.ports.ledger import OpenPosition
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

_MAX_OPENINGS: Final = 100


@frozen
class RecordedTrades:
    """The result of `record_trades`.

    Attributes:
        trades: the recorded trades, one for each given, in the order given.
        booked: the number of trades that are new.
        duplicates: the number of trades that had been recorded before, on the same terms.
        symbols: the symbols whose positions moved.
    """

    trades: list[Trade]
    booked: int
    duplicates: int
    symbols: frozenset[str] = frozenset()


def record_trade(uow: AbstractUnitOfWork, **terms: Unpack[TradeTerms]) -> Trade:
    """Record one execution, and move its position and P&L; the same fill again changes nothing.

    Args:
        uow: the unit of work.
        **terms: see `TradeTerms`. `status="PENDING"` records an order that is not filled yet, or what is left
            open of it by fills that came before it; a market order has no price. A fill under its order that is
            smaller than what is open needs an `execution_id`, and leaves the rest open; the last one takes the
            place of the pending trade.

    Returns:
        The recorded trade: this one, or the one that was booked before on the same terms.

    Raises:
        DuplicateOrder: the same fill is recorded with other terms.
        InstrumentMismatch: currency, multiplier, settlement or asset are not those of the symbol.
        InvalidInput: a value is refused, or a fill that leaves a rest open has no execution id of its own.
        NotFound: `decision_id` names no decision of this account.
    """
    return record_entries(uow, [terms], [ALONE]).trades[0]


def record_trades(uow: AbstractUnitOfWork, trades: Iterable[TradeTerms]) -> RecordedTrades:
    """Record many executions, all or none, as `record_trade` does each.

    Args:
        uow: the unit of work.
        trades: in the order in which they happened; the order within a symbol is the order of booking.

    Returns:
        The recorded trades, and how many of them are new.

    Raises:
        TradebookError: as `record_trade`, with the `index` and `order_id` of the refused trade; then leave the
            unit of work without committing.
    """
    given = argument("trades", entries, trades)
    return record_entries(uow, given, entries_of(given))


def record_entries(
    uow: AbstractUnitOfWork, trades: Collection[TradeTerms], places: Collection[ListEntry]
) -> RecordedTrades:
    """Record trades, of which errors name their places."""
    recorded = book_trades(uow, trades, places)
    if current_call.get() is not None:
        increment(TRADES, recorded.booked)
        increment(DUPLICATES, recorded.duplicates)
    return recorded


def book_trades(
    uow: AbstractUnitOfWork, trades: Collection[TradeTerms], places: Collection[ListEntry]
) -> RecordedTrades:
    """Record trades without counting them for observers; errors name their places."""
    drafts: list[Draft] = []
    for terms, place in zip(trades, places, strict=True):
        with place:
            drafts.append(Draft.from_terms(uow, terms, place))
    by_symbol: dict[str, list[Draft]] = {}
    for draft in drafts:
        by_symbol.setdefault(draft.trade.symbol, []).append(draft)
    decisions: dict[int, AgentDecision] = {}
    for symbol in sorted(by_symbol):  # one order of locking, so that two batches cannot deadlock
        decisions |= _book(uow, symbol, by_symbol[symbol])
    _execute_decisions(uow, drafts, decisions)
    new = [draft.trade for draft in drafts if draft.is_new]
    moved = frozenset(trade.symbol for trade in new if trade.booked_at is not None)
    return RecordedTrades([d.trade for d in drafts], len(new), len(drafts) - len(new), moved)


def _book(
    uow: AbstractUnitOfWork, symbol: str, drafts: Sequence[Draft]
) -> Mapping[int, AgentDecision]:
    """Record drafts of one symbol, in their order, all or none; return the decisions that they name, locked."""
    for _ in range(_MAX_OPENINGS):
        opened = uow.ledger.open(symbol, {draft.trade.order_key for draft in drafts})
        decisions = _book_on(uow, opened, drafts)
        if decisions is not None:
            return decisions
        for draft in drafts:
            # Booking changed the trade, and nothing of it was written.
            draft.trade, draft.is_new = new_trade(uow, draft.terms), False
    raise ConcurrentUpdate(f"the position in {symbol} kept changing while trades were booked on it")


def _book_on(
    uow: AbstractUnitOfWork, opened: OpenPosition, drafts: Sequence[Draft]
) -> Mapping[int, AgentDecision] | None:
    if not opened.position.has_trades:
        base_currency = opened.base_currency
        if base_currency is None or uow.is_currency_named:
            base_currency = account_currency(uow, base_currency)
        for draft in drafts:
            draft.price_in(base_currency)
    # Decisions are locked before anything is written, in the order of their ids.
    wanted = {d.trade.decision_id: d.place for d in drafts[::-1] if d.trade.decision_id is not None}
    decisions = (
        {decision.id: decision for decision in uow.decisions.found(sorted(wanted), lock=True)}
        if wanted
        else {}
    )
    for id_, place in wanted.items():
        if id_ not in decisions:
            with place:
                raise NotFound(AgentDecision.__name__, id_, uow.account)
    applied = _AppliedDrafts(uow, opened)
    for draft in drafts:
        with draft.place:
            applied.apply(draft)
    has_moved = opened.position.version != opened.opened["version"]
    if has_moved and not uow.ledger.book(opened, applied.bookings):
        if applied.has_submitted:  # an order that was added cannot be taken back here
            raise ConcurrentUpdate(f"the position in {opened.position.symbol} just changed")
        return None
    return decisions


def _execute_decisions(
    uow: AbstractUnitOfWork, drafts: Iterable[Draft], locked: Mapping[int, AgentDecision]
) -> None:
    """Execute each decision by the first trade that was booked for it, in the order given."""
    happened: list[tuple[DomainEvent, AgentDecision]] = []
    for draft in drafts:
        id_ = draft.trade.decision_id  # perhaps that of an order that was filled
        if id_ is not None and draft.is_new and draft.target is TradeStatus.EXECUTED:
            decision = locked.get(id_) or uow.decisions.get(id_, lock=True)
            executed = decision.execute(draft.trade.id, uow.now())
            if executed is not None:
                happened.append((executed, decision))
    if happened:
        uow.record_all(happened)


class _AppliedDrafts:
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
        self.orders = by_order(opened.trades) if opened.trades else {}
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
            self._confirm_or_renew(recorded, draft)
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

    def _confirm_or_renew(self, recorded: Trade, draft: Draft) -> None:
        """Recognise the trade that a draft repeats; book it anew where the undo of an import took that back."""
        revisions = self._revisions(recorded)
        last = revisions[-1]
        if last.status is not TradeStatus.BUSTED or last.id not in self._undone:
            self._confirm(recorded, revisions, draft)
            return
        draft.trade.revision = last.revision + 1
        self._book(draft, self.position.apply(draft.trade, self.uow.now()))

    @cached_property
    def _undone(self) -> Collection[int]:
        """The ids of the trades that were busted by the undo of an import."""
        ids = [trade.id for trade in self.known.values() if trade.status is TradeStatus.BUSTED]
        return self.uow.events.undone_of(ids) if ids else ()

    def _confirm(self, recorded: Trade, revisions: Sequence[Trade], draft: Draft) -> None:
        if recorded.status in (TradeStatus.CANCELLED, TradeStatus.REJECTED):
            raise InvalidTransition(
                f"order {recorded.identity} is {recorded.status}; "
                "record a fill that came all the same with its own execution_id"
            )
        *corrected, last = revisions
        for revision in corrected:  # a repeated fill may have the terms from before a correction
            if revision.agrees(draft.trade, draft.terms):
                last = revision
                break
        last.confirm(draft.trade, draft.terms)
        draft.trade = last

    def _revisions(self, first: Trade) -> list[Trade]:
        """Return a fill and its corrections; of one that was booked anew, the last time and its corrections."""
        revisions = [first]
        key = first.fill_key
        while following := self.known.get(key._replace(revision=revisions[-1].revision + 1)):
            revisions = [*revisions, following] if following.corrects_id else [following]
        return revisions
