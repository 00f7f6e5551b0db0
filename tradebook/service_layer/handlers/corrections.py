"""Handlers of late corrections: bust a trade, correct it, or rebuild a position from its trades."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal

from attrs import define, field, frozen

from tradebook.domain.entity import differences
from tradebook.domain.errors import (
    ConcurrentUpdate,
    InvalidInput,
    InvalidTransition,
    NotFound,
    shown,
)
from tradebook.domain.events import PositionRebuilt, RecordUpdated, TradeBusted, TradeCorrected
from tradebook.domain.folding import TOTALS, Fold, LastEntry, differing
from tradebook.domain.numbers import ZERO, Number
from tradebook.domain.plain_values import optional_function
from tradebook.domain.portfolio import BOOK
from tradebook.domain.positions import MarkSource, Position
from tradebook.domain.trades import BOOKED, TERMS, Trade, TradeAction, TradeStatus, evidence
from tradebook.domain.validation import (
    Json,
    argument,
    boolean,
    fill_identifier,
    json_object,
    optional_identifier,
)
from tradebook.service_layer.handlers._common import given, words
from tradebook.service_layer.handlers.trades import find_trade
from tradebook.service_layer.instrumentation import (
    BUSTS,
    TRADES,
    Progress,
    ProgressCallback,
    increment,
)
from tradebook.service_layer.ports.ledger import OpenPosition
from tradebook.service_layer.ports.paging import BATCH
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


@frozen
class Rebuilt:
    """The result of `rebuild`.

    Attributes:
        trades: the number of trades that were folded.
        positions: the symbols of the positions that were repaired.
        restated: the number of trades whose realized P&L was wrong.
        snapshots: the number of snapshots whose time was repaired.
    """

    trades: int
    positions: tuple[str, ...]
    restated: int
    snapshots: int = 0


def rebuild(
    uow: AbstractUnitOfWork,
    symbol: str | None = None,
    *,
    times: bool = False,
    progress: ProgressCallback | None = None,
) -> Rebuilt:
    """Fold positions from their trades again, and repair the differences that `verify` reports.

    Records an event for each record that is repaired, with its fields before and after. A mark of a trade becomes
    that of the newest trade; quotes that are newer, marks of older books and snapshots stay as they are, but for
    their times.

    With `times`, a clock that was ahead once no longer dates what comes later: the last entry of a position's
    ledger and its mark get the time of this call, where theirs is more than a day ahead of it; a snapshot gets
    the time at which its event was recorded, or, where that is ahead too, the time of the next one. Trades keep
    the times that their events prove, and count in views of the past by their order in the ledger.

    Args:
        uow: the unit of work.
        symbol: of one position; all of them, and with `times` all snapshots, by default.
        times: whether to repair times too. Check this machine's clock first: it decides which times are wrong.
        progress: called with (trades folded, trades in all) as it goes.

    Returns:
        The counts of trades, and the symbols that were repaired.

    Raises:
        NotFound: no trade of the symbol was ever booked.
        NotPermitted: row-level security hides the account from the role that is connected, or, with `times`,
            a snapshot is to be repaired and the role does not own its table.
    """
    symbol = argument("symbol", optional_identifier, symbol)
    times = argument("times", boolean, times)
    progress = argument("progress", optional_function, progress)
    uow.require_visible()
    total = uow.trades.count_booked(symbol)
    if symbol is not None and not total:
        raise NotFound("booked trade of", symbol, uow.account)
    folding = _Folding(uow, Progress(progress, total))
    mended: list[str] = []
    for each in uow.trades.booked_symbols() if symbol is None else [symbol]:
        opened = uow.ledger.open(each, ())
        before = folding.restated
        mark, clock = opened.position.last_mark, opened.position.updated_at
        if times and mark.at is not None and uow.is_ahead(mark.at):
            mark = mark._replace(at=uow.now(), source=MarkSource.QUOTE)
        if times and uow.is_ahead(clock):
            clock = uow.now()
        fold = folding.fold(each, clock)
        entry = folding.last
        if entry.at is not None and clock == opened.position.updated_at:
            clock = changed_last(uow, opened.position, entry.at)
        values = {**fold.values_in(mark), "sequence": entry.sequence, "updated_at": clock}
        if _mend(uow, opened, values, folding.restated - before):
            mended.append(each)
    snapshots = _redate_snapshots(uow) if times and symbol is None else 0
    return Rebuilt(folding.progress.done, tuple(mended), folding.restated, snapshots)


def changed_last(uow: AbstractUnitOfWork, position: Position, last_entry: datetime) -> datetime:
    """Return when a position was changed last: at its last entry, unless `rebuild` repaired the time later."""
    if position.updated_at == last_entry:
        return last_entry
    for event in uow.events.of(type(position).__name__, position.id):
        after = event.payload.get("after")
        repaired = after.get("updated_at") if isinstance(after, dict) else None
        if repaired == position.updated_at.isoformat():
            return position.updated_at
    return last_entry


def _redate_snapshots(uow: AbstractUnitOfWork) -> int:
    """Repair the times of the book's snapshots that are ahead of the clock, and return their number."""
    at = uow.now()
    later = uow.portfolios.iterate(since=at, source=BOOK)
    ahead = [portfolio for portfolio in later if uow.is_ahead(portfolio.timestamp)]
    for portfolio in ahead:  # the newest first: none is dated after the one that follows it
        taken = uow.events.of(type(portfolio).__name__, portfolio.id)
        at = min([at, *(event.occurred_at for event in taken)])
        changes = {"timestamp": [portfolio.timestamp, at]}
        portfolio.set_unchecked(timestamp=at)
        uow.portfolios.write(portfolio, ("timestamp",))
        uow.record(RecordUpdated(changes=json_object(changes)), portfolio)
    return len(ahead)


@define
class _Folding:
    """Folds the trades of symbols again and restates their realized P&L, in bounded memory."""

    uow: AbstractUnitOfWork
    progress: Progress
    restated: int = 0  # trades whose realized P&L was wrong
    last: LastEntry = field(factory=LastEntry)  # of the symbol that was folded last

    def fold(
        self,
        symbol: str,
        clock: datetime,
        wrong: Trade | None = None,
        right: Trade | None = None,
    ) -> Fold:
        """Fold the trades of a symbol, with `right`, or nothing, in the place of `wrong`."""
        fold = Fold(symbol, clock, self.uow.max_ahead)
        self.last = LastEntry()
        realized: dict[int, Decimal] = {}
        for trade in self.progress.over(self.uow.trades.in_fold_order(symbol)):
            self.last.add(trade)
            if wrong is None or trade.id != wrong.id:
                pnl = fold.apply(trade) if trade.status is TradeStatus.EXECUTED else ZERO
                if pnl != trade.realized_pnl:
                    realized[trade.id] = pnl
            elif right is not None:
                right.realized_pnl = fold.apply(right)
            if len(realized) == BATCH:
                self._restate(realized)
        self._restate(realized)
        return fold

    def _restate(self, realized: dict[int, Decimal]) -> None:
        self.uow.ledger.restate(realized)
        self.restated += len(realized)
        realized.clear()


def _replace(
    uow: AbstractUnitOfWork,
    opened: OpenPosition,
    wrong: Trade,
    right: Trade | None,
    reason: str,
    progress: ProgressCallback | None,
) -> None:
    """Bust `wrong`, and book `right`, if any, in its place."""
    position, before = opened.position, _values(opened.position, TOTALS)
    folding = _Folding(uow, Progress(progress, uow.trades.count_booked(position.symbol)))
    at, actor = uow.now(), uow.context.actor
    fold = folding.fold(position.symbol, position.entry_time(at), wrong, right)
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
        after=_values(position, TOTALS),
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


def _mend(
    uow: AbstractUnitOfWork, opened: OpenPosition, values: Mapping[str, object], restated: int
) -> bool:
    position = opened.position
    wrong = differing(position, values)
    if not wrong and not restated:
        return False
    before = _values(position, wrong)
    position.refold(values)
    position.version += 1
    if not uow.ledger.book(opened, []):
        raise ConcurrentUpdate(f"the position in {position.symbol} changed while it was rebuilt")
    event = PositionRebuilt(
        symbol=position.symbol,
        trades=restated,
        before=before,
        after=_values(position, wrong),
    )
    uow.record(event, position)
    return True


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


def _values(position: Position, names: Iterable[str]) -> dict[str, Json]:
    return json_object({name: getattr(position, name) for name in names})
