"""Trades: record, execute, cancel, reject."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Required, TypedDict, Unpack, cast

from attrs import define, frozen

from tradebook.domain.agents import AgentDecision
from tradebook.domain.errors import InvalidInput, InvalidTransition, NotFound
from tradebook.domain.events import (
    Event,
    TradeCancelled,
    TradeRecorded,
    TradeRejected,
    TradeSubmitted,
)
from tradebook.domain.fields import Json
from tradebook.domain.numbers import Number
from tradebook.domain.repositories import Page
from tradebook.domain.trades import (
    FillKey,
    Settlement,
    Trade,
    TradeAction,
    TradeStatus,
    trade_status,
)
from tradebook.service_layer.handlers.accounts import open_account
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork


class TradeTerms(TypedDict, total=False):
    """What `record_trade` takes; see `Trade` for units and signs.

    Constants of the instrument (currency, multiplier, settlement) that are left out are those of the
    symbol's first trade; for a new symbol the account's base currency, 1 and CASH.
    """

    symbol: Required[str]
    action: Required[TradeAction | str]
    quantity: Required[Number]
    price: Required[Number]
    fee: Number
    fee_currency: str
    currency: str
    multiplier: Number
    settlement: Settlement | str
    executed_at: datetime
    order_id: str
    execution_id: str
    venue: str
    strategy: str
    decision_id: int | None
    details: dict[str, Json]
    status: TradeStatus | str


@frozen
class RecordedTrades:
    """What `record_trades` did.

    Attributes:
        trades: the recorded trades, one for each given, in the order given.
        booked: how many were new.
        duplicates: how many had been recorded before, on the same terms.
    """

    trades: list[Trade]
    booked: int
    duplicates: int


def record_trade(uow: AbstractUnitOfWork, **terms: Unpack[TradeTerms]) -> Trade:
    """Record one execution, and move its position and P&L; the same fill again changes nothing.

    Args:
        uow: the unit of work.
        **terms: see `TradeTerms`. `status="PENDING"` records an order that is not filled yet; a fill
            recorded under its order later takes its place.

    Returns:
        The recorded trade: this one, or the one that was booked before on the same terms.

    Raises:
        DuplicateOrder: the same fill is recorded with other terms.
        InstrumentMismatch: currency, multiplier or settlement are not those of the symbol.
        InvalidInput: a value is refused.
        NotFound: `decision_id` names no decision of this account.
    """
    return record_trades(uow, [terms]).trades[0]


def record_trades(uow: AbstractUnitOfWork, trades: Iterable[TradeTerms]) -> RecordedTrades:
    """Record many executions, all or none, as `record_trade` does each.

    Args:
        uow: the unit of work.
        trades: in the order in which they happened; the order within a symbol is the order of booking.

    Returns:
        What was recorded, and how much of it was new.

    Raises:
        TradebookError: as `record_trade`; then leave the unit of work without committing.
    """
    drafts = [_Draft.of(uow, terms) for terms in trades]
    pages: dict[str, list[_Draft]] = {}
    for draft in drafts:
        pages.setdefault(draft.trade.symbol, []).append(draft)
    for symbol in sorted(pages):  # one order of locking, or two batches could wait for each other
        while not _record_on_page(uow, symbol, pages[symbol]):
            for draft in pages[symbol]:
                draft.begin_again(uow)
    booked = sum(draft.is_new for draft in drafts)
    return RecordedTrades([d.trade for d in drafts], booked, len(drafts) - booked)


def execute_trade(
    uow: AbstractUnitOfWork,
    *,
    order_id: str | None = None,
    trade_id: int | None = None,
    price: Number | None = None,
    quantity: Number | None = None,
    fee: Number | None = None,
    executed_at: datetime | None = None,
    execution_id: str | None = None,
) -> Trade:
    """Book a pending trade, with the price, quantity, fee and time at which it was filled.

    Args:
        uow: the unit of work.
        order_id, trade_id: which trade; one of the two.
        price, quantity, fee, executed_at, execution_id: of the fill; what is left out stays as recorded,
            the time is now.

    Returns:
        The booked trade; when it was booked before on the same terms, that one.

    Raises:
        NotFound: there is no such trade.
        InvalidTransition: it was cancelled or rejected.
        DuplicateOrder: it was executed on other terms.
    """
    order = _find(uow, order_id, trade_id)
    given = {
        "price": price,
        "quantity": quantity,
        "fee": fee,
        "executed_at": executed_at,
        "execution_id": execution_id,
    }
    terms = {name: value for name, value in given.items() if value is not None}
    if order.status is TradeStatus.PENDING:
        terms.setdefault("quantity", order.quantity)
        terms.setdefault("price", order.price)
        terms.setdefault("executed_at", uow.now())
    defaults = {
        "symbol": order.symbol,
        "venue": order.venue,
        "order_id": order.order_id,
        "execution_id": order.execution_id,
        "action": order.action,
        "quantity": order.quantity,
        "price": order.price,
    }
    return record_trade(uow, **cast("TradeTerms", {**defaults, **terms}))


def cancel_trade(
    uow: AbstractUnitOfWork,
    *,
    order_id: str | None = None,
    trade_id: int | None = None,
    reason: str = "",
) -> Trade:
    """Cancel a pending trade; cancelling it again changes nothing.

    Raises:
        NotFound: there is no such trade.
        InvalidTransition: it was executed or rejected.
    """
    return _end(uow, order_id, trade_id, lambda trade: trade.cancel(reason, uow.now()))


def reject_trade(
    uow: AbstractUnitOfWork,
    *,
    order_id: str | None = None,
    trade_id: int | None = None,
    reason: str = "",
) -> Trade:
    """Record that the venue refused a pending trade; doing so again changes nothing.

    Raises:
        NotFound: there is no such trade.
        InvalidTransition: it was executed or cancelled.
    """
    return _end(uow, order_id, trade_id, lambda trade: trade.reject(reason, uow.now()))


@define
class _Draft:
    """A trade on its way into the book, with the names of the terms that its caller gave."""

    terms: Mapping[str, Any]
    target: TradeStatus
    trade: Trade
    is_new: bool = False

    @classmethod
    def of(cls, uow: AbstractUnitOfWork, terms: TradeTerms) -> _Draft:
        _check_names(terms)
        given: dict[str, Any] = dict(terms)
        if given.get("order_id") is None:
            given["order_id"] = uow.new_id()
        target = _target(given.pop("status", TradeStatus.EXECUTED))
        return cls(given, target, _built(uow, given))

    def begin_again(self, uow: AbstractUnitOfWork) -> None:
        self.trade, self.is_new = _built(uow, self.terms), False


def _check_names(terms: TradeTerms) -> None:
    unknown = terms.keys() - TradeTerms.__annotations__.keys()
    if unknown:
        raise InvalidInput(
            min(unknown), "this name", "one of " + ", ".join(TradeTerms.__annotations__)
        )
    missing = TradeTerms.__required_keys__ - terms.keys()
    if missing:
        raise InvalidInput(min(missing), None, "a value: it is required")


def _target(status: TradeStatus | str) -> TradeStatus:
    try:
        target = trade_status(status)
    except InvalidInput:
        target = TradeStatus.BUSTED
    if target not in (TradeStatus.PENDING, TradeStatus.EXECUTED):
        raise InvalidInput("status", status, "EXECUTED, or PENDING for an order not yet filled")
    return target


def _built(uow: AbstractUnitOfWork, terms: Mapping[str, Any]) -> Trade:
    defaults = {"currency": uow.base_currency, "executed_at": uow.now()}
    return Trade(**{**defaults, **terms}, account=uow.account, created_at=uow.now())


def _record_on_page(uow: AbstractUnitOfWork, symbol: str, drafts: list[_Draft]) -> bool:
    page = uow.ledger.open(symbol, {draft.trade.order_key for draft in drafts})
    if not page.position.sequence:
        open_account(uow)
    decisions = _decisions(uow, drafts)
    known = {trade.fill_key: trade for trade in page.trades}
    bookings: list[tuple[Trade, Event]] = []
    for draft in drafts:
        page.position.complete(draft.trade, draft.terms)
        if draft.target is TradeStatus.PENDING:
            _submit(uow, draft)
        else:
            booking = _booking(uow, page, known, draft)
            bookings += [booking] if booking else []
        known[draft.trade.fill_key] = draft.trade
    if bookings and not uow.ledger.book(page.position, bookings):
        return False
    for trade, _ in bookings:
        if trade.decision_id is not None:
            decision = decisions[trade.decision_id]
            uow.record(decision.execute(trade.id, uow.now()), decision)
    return True


def _submit(uow: AbstractUnitOfWork, draft: _Draft) -> None:
    trade = draft.trade
    recorded = uow.trades.add(trade)
    if recorded is not trade:
        recorded.confirm(trade, draft.terms)
        draft.trade = recorded
        return
    draft.is_new = True
    submitted = TradeSubmitted(
        symbol=trade.symbol,
        order_id=trade.order_id,
        action=trade.action,
        quantity=trade.quantity,
        price=trade.price,
    )
    uow.record(submitted, trade)


def _booking(
    uow: AbstractUnitOfWork, page: Page, known: dict[FillKey, Trade], draft: _Draft
) -> tuple[Trade, Event] | None:
    """The draft's trade applied to the page, or None when it was recorded before."""
    recorded = known.get(draft.trade.fill_key) or _pending(known, draft.trade)
    if recorded is None:
        happened = page.position.apply(draft.trade, uow.now())
    elif recorded.status is TradeStatus.PENDING:
        happened = _fill(uow, page, known, recorded, draft)
    else:
        _confirm(recorded, draft)
        return None
    draft.is_new = True
    return draft.trade, uow.event(happened, draft.trade)


def _fill(
    uow: AbstractUnitOfWork, page: Page, known: dict[FillKey, Trade], order: Trade, draft: _Draft
) -> TradeRecorded:
    """Apply a fill of a pending order, which takes it over once nothing can be refused any more."""
    draft.trade.fills(order, draft.terms)
    page.position.complete(draft.trade, draft.terms)
    happened = page.position.apply(draft.trade, uow.now())
    del known[order.fill_key]
    order.become(draft.trade)
    draft.trade = order
    return happened


def _confirm(recorded: Trade, draft: _Draft) -> None:
    if recorded.status in (TradeStatus.CANCELLED, TradeStatus.REJECTED):
        raise InvalidTransition(
            f"order {recorded.identity} is {recorded.status}; "
            "record a fill that came all the same with its own execution_id"
        )
    recorded.confirm(draft.trade, draft.terms)
    draft.trade = recorded


def _pending(known: dict[FillKey, Trade], fill: Trade) -> Trade | None:
    """The pending trade of the fill's order: the first fill takes its place."""
    for trade in known.values():
        if trade.order_key == fill.order_key and trade.status is TradeStatus.PENDING:
            return trade
    return None


def _decisions(uow: AbstractUnitOfWork, drafts: list[_Draft]) -> dict[int, AgentDecision]:
    ids = {draft.trade.decision_id for draft in drafts} - {None}
    return {i: uow.decisions.get(i, lock=True) for i in sorted(cast("set[int]", ids))}


def _find(uow: AbstractUnitOfWork, order_id: str | None, trade_id: int | None) -> Trade:
    if (order_id is None) == (trade_id is None):
        raise InvalidInput("order_id", order_id, "either an order_id or a trade_id")
    if trade_id is not None:
        return uow.trades.get(trade_id)
    assert order_id is not None
    trades = uow.trades.of_order(order_id)
    if not trades:
        raise NotFound("order", order_id, uow.account)
    if len({trade.order_key for trade in trades}) > 1:
        raise InvalidInput(
            "order_id", order_id, "a trade_id: several symbols or venues have this order id"
        )
    pending = [trade for trade in trades if trade.status is TradeStatus.PENDING]
    return (pending or trades)[0]


def _end(
    uow: AbstractUnitOfWork,
    order_id: str | None,
    trade_id: int | None,
    end: Callable[[Trade], TradeCancelled | TradeRejected | None],
) -> Trade:
    found = _find(uow, order_id, trade_id)
    page = uow.ledger.open(found.symbol, {found.order_key})  # a fill may be on its way
    trade = next(t for t in page.trades if t.id == found.id)
    uow.record(end(trade), trade)
    return trade
