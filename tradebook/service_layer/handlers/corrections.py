"""Handlers of late corrections: bust a trade, or correct it."""

from __future__ import annotations

from datetime import datetime

from tradebook.domain.entity import differences
from tradebook.domain.errors import (
    ConcurrentUpdate,
    InvalidInput,
    InvalidTransition,
    NotFound,
    shown,
)
from tradebook.domain.events import TradeBusted, TradeCorrected
from tradebook.domain.folding import TOTALS, values_of
from tradebook.domain.numbers import Number
from tradebook.domain.plain_values import optional_function
from tradebook.domain.trades import BOOKED, TERMS, Trade, TradeAction, TradeStatus, evidence
from tradebook.domain.validation import (
    argument,
    fill_identifier,
    json_object,
)
from tradebook.service_layer.handlers._common import given, words
from tradebook.service_layer.handlers.rebuilding import Folding
from tradebook.service_layer.handlers.trades import find_trade
from tradebook.service_layer.instrumentation import (
    BUSTS,
    TRADES,
    Progress,
    ProgressCallback,
    increment,
)
from tradebook.service_layer.ports.ledger import OpenPosition
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork


def bust_trade(
    uow: AbstractUnitOfWork,
    *,
    order_id: str | int | None = None,
    trade_id: int | None = None,
    execution_id: str | int | None = None,
    reason: str,
    progress: ProgressCallback | None = None,
) -> Trade:
    """Bust a booked trade: position, P&L and cash become as if it had never been booked.

    The trade stays on record, BUSTED, with actor, time and reason. Snapshots stay as they were. The
    same bust again changes nothing.

    Args:
        uow: the unit of work.
        order_id: the order's id; this or `trade_id`.
        trade_id: the trade's id.
        execution_id: the fill's, of an order that has several.
        reason: kept with the trade; not blank.
        progress: called with (trades folded, trades in all) as it goes.

    Returns:
        The busted trade.

    Raises:
        NotFound: there is no such trade.
        InvalidTransition: it was never booked, or busted before for another reason.
    """
    reason = argument("reason", words, reason)
    progress = argument("progress", optional_function, progress)
    opened, wrong = _booked(uow, order_id, trade_id, execution_id)
    if wrong.status is not TradeStatus.BUSTED:
        _replace(uow, opened, wrong, None, reason, progress)
        return wrong
    last = _last_revision(opened, wrong)
    if last is not wrong:
        raise InvalidTransition(
            f"{_busted(wrong)} and corrected by trade {last.id}, its revision {last.revision}; "
            "bust that one"
        )
    if wrong.bust_reason != reason:
        raise InvalidTransition(_busted(wrong))
    return wrong


def correct_trade(
    uow: AbstractUnitOfWork,
    *,
    order_id: str | int | None = None,
    trade_id: int | None = None,
    execution_id: str | int | None = None,
    action: TradeAction | str | None = None,
    quantity: Number | None = None,
    price: Number | None = None,
    fee: Number | None = None,
    fee_currency: str | None = None,
    executed_at: datetime | str | None = None,
    reason: str,
    progress: ProgressCallback | None = None,
) -> Trade:
    """Correct a booked trade: position, P&L and cash become as if it had been booked so at first.

    The wrong trade stays on record, BUSTED; its next revision, which names it, counts in its place. A
    trade that has these terms already is left alone, so the same correction again changes nothing.

    Args:
        uow: the unit of work.
        order_id: the order's id; this or `trade_id`. Of a trade corrected before, its last revision counts.
        trade_id: the trade's id.
        execution_id: the fill's, of an order that has several.
        action: BUY or SELL; what is left out stays, here and below.
        quantity: above 0, in units of the instrument.
        price: for one unit, in the trade's currency.
        fee: in `fee_currency`; negative is a rebate.
        fee_currency: where the fee was taken: in the trade's currency, its asset, or any other.
        executed_at: the trade time; a naive time is taken as UTC.
        reason: kept with the trade; not blank.
        progress: called with (trades folded, trades in all) as it goes.

    Returns:
        The trade that counts now.

    Raises:
        NotFound: there is no such trade.
        InvalidTransition: it was never booked, or busted without a correction.
        InvalidInput: a term is refused, or none is given.
    """
    reason = argument("reason", words, reason)
    progress = argument("progress", optional_function, progress)
    changes = given(
        action=action,
        quantity=quantity,
        price=price,
        fee=fee,
        fee_currency=fee_currency,
        executed_at=executed_at,
    )
    if not changes:
        terms = "action, quantity, price, fee, fee_currency, executed_at"
        raise InvalidInput("price", None, f"one of {terms}, to correct")
    opened, wrong = _booked(uow, order_id, trade_id, execution_id)
    wrong = _last_revision(opened, wrong)
    right = wrong.corrected(changes, uow.now())
    if executed_at is not None:
        uow.require_past("executed_at", right.executed_at)
    if not differences(wrong, right, TERMS):
        return wrong
    if wrong.status is TradeStatus.BUSTED:
        raise InvalidTransition(f"{_busted(wrong)}; record what counts as a fill of its own")
    _replace(uow, opened, wrong, right, reason, progress)
    return right


def _replace(
    uow: AbstractUnitOfWork,
    opened: OpenPosition,
    wrong: Trade,
    right: Trade | None,
    reason: str,
    progress: ProgressCallback | None,
) -> None:
    """Bust `wrong`, and book `right`, if any, in its place."""
    position, before = opened.position, values_of(opened.position, TOTALS)
    folding = Folding(uow, Progress(progress, uow.trades.count_booked(position.symbol)))
    at, actor = uow.now(), uow.context.actor
    fold = folding.fold(position.symbol, position.entry_time(at), [wrong.id], right)
    changes = position.bust(wrong, at=at, by=actor, reason=reason)
    if right is not None:
        position.book_correction(right, at=at, realized_pnl=right.realized_pnl)
    position.refold(fold.values_in(position.last_mark))
    busted = TradeBusted(
        symbol=wrong.symbol,
        order_id=wrong.order_id,
        execution_id=wrong.execution_id,
        revision=wrong.revision,
        sequence=wrong.bust_sequence or 0,
        reason=reason,
        before=before,
        after=values_of(position, TOTALS),
        changes=changes,
        corrected_by=None if right is None else right.revision,
    )
    bookings = [(wrong, uow.event(busted, wrong))]
    if right is not None:
        corrected = TradeCorrected(
            **evidence(vars(right), at),
            realized_pnl=right.realized_pnl,
            changes=json_object(differences(wrong, right, TERMS)),
        )
        bookings.append((right, uow.event(corrected, right)))
    if not uow.ledger.book(opened, bookings):
        raise ConcurrentUpdate(f"the position in {position.symbol} changed while it was folded")
    increment(BUSTS)
    increment(TRADES, 0 if right is None else 1)


def _booked(
    uow: AbstractUnitOfWork,
    order_id: str | int | None,
    trade_id: int | None,
    execution_id: str | int | None,
) -> tuple[OpenPosition, Trade]:
    """Return the booked trade with its open position; by an order id, its last revision."""
    if execution_id is not None:
        execution_id = argument("execution_id", fill_identifier, execution_id)
    found = find_trade(uow, order_id, trade_id)
    opened = uow.ledger.open(found.symbol, {found.order_key})
    fills = [
        trade
        for trade in opened.trades
        if trade.status in BOOKED
        and trade_id in (None, trade.id)
        and execution_id in (None, trade.execution_id)
    ]
    if not fills:
        if execution_id is not None:
            raise NotFound("execution", execution_id, uow.account)
        raise InvalidTransition(
            f"order {found.identity} is {found.status} and was never booked; "
            "cancel_trade cancels a PENDING one"
        )
    if len({trade.execution_id for trade in fills}) > 1:
        raise InvalidInput(
            "execution_id", execution_id, f"that of one of the {len(fills)} fills of {order_id!r}"
        )
    return opened, max(fills, key=lambda trade: trade.revision)


def _last_revision(opened: OpenPosition, trade: Trade) -> Trade:
    following = {other.corrects_id: other for other in opened.trades}
    while trade.id in following:
        trade = following[trade.id]
    return trade


def _busted(trade: Trade) -> str:
    by = f" by {trade.busted_by}" if trade.busted_by else ""
    return f"order {trade.identity} was busted before, at {trade.busted_at}{by}: {shown(trade.bust_reason)}"
