"""How trades get onto the pages of the ledger: drafts, recognised, applied and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypedDict

from attrs import define

from tradebook.domain.agents import AgentDecision
from tradebook.domain.errors import (
    ConcurrentUpdate,
    InvalidInput,
    InvalidTransition,
)
from tradebook.domain.events import Event, TradeRecorded, TradeSubmitted
from tradebook.domain.numbers import Number
from tradebook.domain.plain_values import mapping, plain_text
from tradebook.domain.trades import (
    OrderKey,
    Settlement,
    Trade,
    TradeAction,
    TradeStatus,
    trade_status,
)
from tradebook.domain.validation import Json, argument
from tradebook.service_layer.handlers._common import open_account
from tradebook.service_layer.ports.ledger import OpenPosition
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

_MOST_OPENINGS: Final = 100


class _RequiredTerms(TypedDict):
    # Not `Required[...]`: under postponed annotations `__required_keys__` would not see it.
    symbol: str
    action: TradeAction | str
    quantity: Number
    price: Number


class TradeTerms(_RequiredTerms, total=False):
    """What `record_trade` takes; see `Trade` for units and signs.

    Constants of the instrument (currency, multiplier, settlement) that are left out are those of the
    symbol's first trade; for a new symbol the account's base currency, 1 and CASH.
    """

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


@define
class Draft:
    """A trade on its way into the book, with the names of the terms that its caller gave."""

    terms: Mapping[str, Any]
    target: TradeStatus
    trade: Trade
    is_new: bool = False

    @classmethod
    def of(cls, uow: AbstractUnitOfWork, terms: TradeTerms) -> Draft:
        given = _named(terms)
        if given.get("order_id") is None:
            given["order_id"] = uow.new_id()
        target = _target(given.pop("status", TradeStatus.EXECUTED))
        return cls(given, target, _built(uow, given))

    def begin_again(self, uow: AbstractUnitOfWork) -> None:
        self.trade, self.is_new = _built(uow, self.terms), False

    def price_in(self, currency: str) -> None:
        """Take the price to be in `currency`, unless the caller named another."""
        if "currency" in self.terms:
            return
        self.trade.currency = currency
        if "fee_currency" not in self.terms:
            self.trade.fee_currency = currency


def _named(terms: TradeTerms) -> dict[str, Any]:
    named = {
        argument("trades", plain_text, term): value
        for term, value in argument("trades", mapping, terms).items()
    }
    unknown = named.keys() - TradeTerms.__annotations__.keys()
    if unknown:
        raise InvalidInput(
            min(unknown), "this name", "one of " + ", ".join(TradeTerms.__annotations__)
        )
    missing = TradeTerms.__required_keys__ - named.keys()
    if missing:
        raise InvalidInput(min(missing), None, "a value: it is required")
    return named


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


def book(uow: AbstractUnitOfWork, symbol: str, drafts: Sequence[Draft]) -> None:
    """Record drafts of one symbol, in their order, all or none."""
    for _ in range(_MOST_OPENINGS):
        page = uow.ledger.open(symbol, {draft.trade.order_key for draft in drafts})
        if _book_on(uow, page, drafts):
            return
        for draft in drafts:
            draft.begin_again(uow)
    raise ConcurrentUpdate(f"the position in {symbol} kept changing while trades were booked on it")


def _book_on(uow: AbstractUnitOfWork, page: OpenPosition, drafts: Sequence[Draft]) -> bool:
    if not page.position.has_trades:
        base_currency = open_account(uow).base_currency
        for draft in drafts:
            draft.price_in(base_currency)
    decisions = _decisions(uow, drafts)
    posting = _Posting(uow, page)
    for draft in drafts:
        posting.post(draft)
    if page.position.version != page.version and not uow.ledger.book(page, posting.bookings):
        if posting.has_submitted:
            raise ConcurrentUpdate(f"the position in {page.position.symbol} just changed")
        return False
    for trade, _ in posting.bookings:
        if trade.decision_id is not None:
            decision = decisions.get(trade.decision_id) or uow.decisions.get(
                trade.decision_id, lock=True
            )
            uow.record(decision.execute(trade.id, uow.now()), decision)
    return True


def _decisions(uow: AbstractUnitOfWork, drafts: Sequence[Draft]) -> dict[int, AgentDecision]:
    ids = {d.trade.decision_id for d in drafts if d.trade.decision_id is not None}
    return {id_: uow.decisions.get(id_, lock=True) for id_ in sorted(ids)}


class _Posting:
    """Applies drafts to an open page, and collects what is to be written."""

    def __init__(self, uow: AbstractUnitOfWork, page: OpenPosition) -> None:
        self.uow = uow
        self.position = page.position
        self.known = {trade.fill_key: trade for trade in page.trades}
        self.pending = {t.order_key: t for t in page.trades if t.status is TradeStatus.PENDING}
        self.orders: dict[OrderKey, Trade] = {}
        for trade in page.trades:
            self.orders.setdefault(trade.order_key, trade)
        self.bookings: list[tuple[Trade, Event]] = []
        self.has_submitted = False

    def post(self, draft: Draft) -> None:
        """Submit the draft, book it, or recognise what it repeats."""
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
            # Submitted again after its end, an order still has its own terms, a fill the fill's.
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
        """Apply a fill of a pending order, which takes it over once nothing can be refused."""
        fill = draft.trade
        fill.fills(order, draft.terms)
        self.position.complete(fill, draft.terms)
        happened = self.position.apply(fill, self.uow.now())
        del self.known[order.fill_key], self.pending[order.order_key]
        changes = order.become(fill)
        draft.trade = order
        return happened.with_changes(changes)

    def _book(self, draft: Draft, happened: TradeRecorded) -> None:
        draft.is_new = True
        self.bookings.append((draft.trade, self.uow.event(happened, draft.trade)))

    def _confirm(self, recorded: Trade, draft: Draft) -> None:
        if recorded.status in (TradeStatus.CANCELLED, TradeStatus.REJECTED):
            raise InvalidTransition(
                f"order {recorded.identity} is {recorded.status}; "
                "record a fill that came all the same with its own execution_id"
            )
        *corrected, last = self._revisions(recorded)
        for revision in corrected:  # as it first came, or with terms that were corrected since
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
