"""Recording trades: drafts are made of terms, recognised or applied to their position, and written."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypedDict, Unpack

from attrs import define, frozen

from tradebook.domain.errors import (
    ConcurrentUpdate,
    InvalidInput,
    InvalidTransition,
    TradebookError,
)
from tradebook.domain.events import Event, TradeRecorded, TradeSubmitted
from tradebook.domain.numbers import Number
from tradebook.domain.plain_values import entries, mapping, plain_text
from tradebook.domain.trades import (
    OrderKey,
    Settlement,
    Trade,
    TradeAction,
    TradeStatus,
    trade_status,
)
from tradebook.domain.validation import Json, argument, optional_order_identifier
from tradebook.service_layer.handlers._common import account_currency
from tradebook.service_layer.instrumentation import DUPLICATES, TRADES, current_call, increment
from tradebook.service_layer.ports.ledger import OpenPosition
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

_MAX_OPENINGS: Final = 100


class _RequiredTerms(TypedDict):
    # Not `Required[...]`: under postponed annotations `__required_keys__` would not see it.
    symbol: str
    action: TradeAction | str
    quantity: Number
    price: Number


class TradeTerms(_RequiredTerms, total=False):
    """The terms of a trade, as `record_trade` takes them; see `Trade` for units and signs.

    A term that is None counts as left out. Enumerations may be in lower case, a time an ISO 8601 text, an order
    id an integer.
    Constants of the instrument (currency, multiplier, settlement) that are left out are those of the
    symbol's first trade; for a new symbol the account's base currency, 1 and CASH.
    """

    fee: Number | None
    fee_currency: str | None
    currency: str | None
    multiplier: Number | None
    settlement: Settlement | str | None
    executed_at: datetime | str | None
    order_id: str | int | None
    execution_id: str | int | None
    venue: str | None
    strategy: str | None
    decision_id: int | None
    details: dict[str, Json] | None
    status: TradeStatus | str | None


_DEFAULTED: Final = TradeTerms.__optional_keys__ - {"decision_id"}  # None says that there is none


@define
class ListEntry:
    """An entry of a list that a caller gave: a context in which errors are those of this entry.

    Attributes:
        name: of the list; `""` for a record that was given by itself.
        index: in the list, from 0.
        order_id: of a trade; None where it has none that is valid.
    """

    name: str
    index: int
    order_id: str | None = None

    def __enter__(self) -> None:
        """Begin to work on the entry."""

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        """Name the entry in an error of the book."""
        if self.name and isinstance(error, TradebookError):
            error.locate(self.name, self.index, self.order_id)


ALONE: Final = ListEntry("", 0)
"""The entry of a record that was given by itself: its errors name no index."""


def valid_order_id(given: object) -> str | None:
    """Return the order id of a trade in the form of the book; None where there is none, or none that is valid."""
    try:
        return optional_order_identifier(given)  # type: ignore[arg-type]
    except InvalidInput:
        return None


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


def entries_of(trades: Iterable[object], start: int = 0) -> list[ListEntry]:
    """Return the places of trades in the caller's list, of which `start` came before."""
    return [
        ListEntry(
            "trades", index, valid_order_id(terms.get("order_id")) if type(terms) is dict else None
        )
        for index, terms in enumerate(trades, start)
    ]


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


@define
class Draft:
    """A trade on its way into the book, with the terms that its caller gave."""

    terms: Mapping[str, Any]
    target: TradeStatus  # PENDING or EXECUTED
    trade: Trade  # or the recorded one that it repeats or takes over
    place: ListEntry
    is_new: bool = False

    @classmethod
    def from_terms(cls, uow: AbstractUnitOfWork, terms: TradeTerms, place: ListEntry) -> Draft:
        """Check the terms of a caller, and make the trade of them."""
        given = _checked(terms)
        if given.get("order_id") is None:
            given["order_id"] = uow.new_id()
        target = _target(given.pop("status", TradeStatus.EXECUTED))
        return cls(given, target, _new_trade(uow, given), place)

    def price_in(self, currency: str) -> None:
        """Take the price to be in `currency`, unless the caller named another."""
        if "currency" in self.terms:
            return
        self.trade.currency = currency
        if "fee_currency" not in self.terms:
            self.trade.fee_currency = currency


def _checked(terms: TradeTerms) -> dict[str, Any]:
    if type(terms) is dict and set(map(type, terms)) == {str}:
        named = given_only(terms)
    else:
        given = argument("trades", mapping, terms).items()
        named = given_only({argument("trades", plain_text, term): value for term, value in given})
    unknown = named.keys() - TradeTerms.__annotations__.keys()
    if unknown:
        names = ", ".join(TradeTerms.__annotations__)
        raise InvalidInput(min(unknown), "this name", f"one of {names}")
    missing = TradeTerms.__required_keys__ - named.keys()
    if missing:
        raise InvalidInput(min(missing), None, "a value: it is required")
    return named


def given_only(terms: Mapping[str, Any]) -> dict[str, Any]:
    """Copy terms without those that are None and have a default."""
    return {
        term: value for term, value in terms.items() if value is not None or term not in _DEFAULTED
    }


def _target(status: TradeStatus | str) -> TradeStatus:
    try:
        target = trade_status(status)
    except InvalidInput:
        target = TradeStatus.BUSTED
    if target not in (TradeStatus.PENDING, TradeStatus.EXECUTED):
        raise InvalidInput("status", status, "EXECUTED, or PENDING for an order not yet filled")
    return target


def _new_trade(uow: AbstractUnitOfWork, terms: Mapping[str, Any]) -> Trade:
    defaults = {"currency": uow.base_currency, "executed_at": uow.now()}
    trade = Trade(**{**defaults, **terms}, account=uow.account, created_at=uow.now())
    uow.require_past("executed_at", trade.executed_at)
    return trade


def _book(uow: AbstractUnitOfWork, symbol: str, drafts: Sequence[Draft]) -> None:
    """Record drafts of one symbol, in their order, all or none."""
    for _ in range(_MAX_OPENINGS):
        opened = uow.ledger.open(symbol, {draft.trade.order_key for draft in drafts})
        if _book_on(uow, opened, drafts):
            return
        for draft in drafts:
            # Booking changed the trade, and nothing of it was written.
            draft.trade, draft.is_new = _new_trade(uow, draft.terms), False
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
    applied = _Applied(uow, opened)
    for draft in drafts:
        with draft.place:
            applied.apply(draft)
    has_moved = opened.position.version != opened.opened["version"]
    if has_moved and not uow.ledger.book(opened, applied.bookings):
        if applied.has_submitted:  # an order that was added cannot be taken back here
            raise ConcurrentUpdate(f"the position in {opened.position.symbol} just changed")
        return False
    for trade, _ in applied.bookings:
        if trade.decision_id is not None:  # perhaps the decision of an order that was taken over
            id_ = trade.decision_id
            decision = decisions.get(id_) or uow.decisions.get(id_, lock=True)
            uow.record(decision.execute(trade.id, uow.now()), decision)
    return True


class _Applied:
    """The drafts applied to an open position, and the bookings that are to be written of them."""

    def __init__(self, uow: AbstractUnitOfWork, opened: OpenPosition) -> None:
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
