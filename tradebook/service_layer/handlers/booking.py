"""Recording trades: drafts are made of terms, applied to their position, and written."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, Unpack

from attrs import frozen

from tradebook.domain.agents import AgentDecision
from tradebook.domain.errors import ConcurrentUpdate
from tradebook.domain.plain_values import entries
from tradebook.domain.trades import Trade
from tradebook.domain.validation import argument
from tradebook.service_layer.handlers._common import account_currency
from tradebook.service_layer.handlers.applied_drafts import AppliedDrafts
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
    for symbol in sorted(by_symbol):  # one order of locking, so that two batches cannot deadlock
        _book(uow, symbol, by_symbol[symbol])
    new = [draft.trade for draft in drafts if draft.is_new]
    moved = frozenset(trade.symbol for trade in new if trade.booked_at is not None)
    return RecordedTrades([d.trade for d in drafts], len(new), len(drafts) - len(new), moved)


def _book(uow: AbstractUnitOfWork, symbol: str, drafts: Sequence[Draft]) -> None:
    """Record drafts of one symbol, in their order, all or none."""
    for _ in range(_MAX_OPENINGS):
        opened = uow.ledger.open(symbol, {draft.trade.order_key for draft in drafts})
        if _book_on(uow, opened, drafts):
            return
        for draft in drafts:
            # Booking changed the trade, and nothing of it was written.
            draft.trade, draft.is_new = new_trade(uow, draft.terms), False
    raise ConcurrentUpdate(f"the position in {symbol} kept changing while trades were booked on it")


def _book_on(uow: AbstractUnitOfWork, opened: OpenPosition, drafts: Sequence[Draft]) -> bool:
    if not opened.position.has_trades:
        base_currency = opened.base_currency
        if base_currency is None or uow.is_currency_named:
            base_currency = account_currency(uow, base_currency)
        for draft in drafts:
            draft.price_in(base_currency)
    # Decisions are locked before anything is written, in the order of their ids.
    wanted = {d.trade.decision_id: d.place for d in reversed(drafts)}
    decisions = {}
    for id_ in sorted(id_ for id_ in wanted if id_ is not None):
        with wanted[id_]:
            decisions[id_] = uow.decisions.get(id_, lock=True)
    applied = AppliedDrafts(uow, opened)
    for draft in drafts:
        with draft.place:
            applied.apply(draft)
    has_moved = opened.position.version != opened.opened["version"]
    if has_moved and not uow.ledger.book(opened, applied.bookings):
        if applied.has_submitted:  # an order that was added cannot be taken back here
            raise ConcurrentUpdate(f"the position in {opened.position.symbol} just changed")
        return False
    _execute_decisions(uow, [trade for trade, _ in applied.bookings], decisions)
    return True


def _execute_decisions(
    uow: AbstractUnitOfWork, trades: Iterable[Trade], locked: Mapping[int, AgentDecision]
) -> None:
    for trade in trades:
        id_ = trade.decision_id  # perhaps that of an order that was filled
        if id_ is not None and trade.booked_at is not None:
            decision = locked.get(id_) or uow.decisions.get(id_, lock=True)
            uow.record(decision.execute(trade.id, uow.now()), decision)
