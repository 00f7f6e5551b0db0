"""`rebuild`: fold positions from their trades again, and repair what differs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from decimal import Decimal

from attrs import define, field, frozen

from tradebook.domain.errors import ConcurrentUpdate, NotFound
from tradebook.domain.events import PositionRebuilt, RecordUpdated
from tradebook.domain.folding import Fold, LastEntry, differing, values_of
from tradebook.domain.numbers import ZERO
from tradebook.domain.plain_values import optional_function
from tradebook.domain.portfolio import BOOK
from tradebook.domain.positions import MarkSource, Position
from tradebook.domain.trades import Trade, TradeStatus
from tradebook.domain.validation import (
    Json,
    argument,
    boolean,
    json_object,
    optional_identifier,
)
from tradebook.service_layer.instrumentation import Progress, ProgressCallback
from tradebook.service_layer.ports.ledger import OpenPosition
from tradebook.service_layer.ports.paging import BATCH
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork


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
    folding = Folding(uow, Progress(progress, total))
    submitted = uow.events.submissions()
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
        values["version"] = counted_version(uow, opened.position, entry.sequence, submitted)
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


def counted_version(
    uow: AbstractUnitOfWork, position: Position, entries: int, submitted: Mapping[str, int | None]
) -> int:
    """Return the version that a position must have: it counts entries, submitted orders and repairs.

    Args:
        uow: the unit of work.
        position: the position.
        entries: the number of the last entry in its ledger.
        submitted: see `EventRepository.submissions`; where that is unknown, the version counts as right.
    """
    orders = submitted.get(position.symbol, 0)
    if orders is None or position.version == entries + orders:
        return position.version
    of_position = uow.events.of(type(position).__name__, position.id)
    repairs = [e for e in of_position if e.event_type == PositionRebuilt.__name__]
    return entries + orders + sum(1 + _number(e.payload.get("skipped")) for e in repairs)


def _number(said: Json) -> int:
    return said if isinstance(said, int) else 0


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
class Folding:
    """Folds the trades of symbols again and restates their realized P&L, in bounded memory."""

    uow: AbstractUnitOfWork
    progress: Progress
    restated: int = 0  # trades whose realized P&L was wrong
    last: LastEntry = field(factory=LastEntry)  # of the symbol that was folded last

    def fold(
        self,
        symbol: str,
        clock: datetime,
        without: Collection[int] = (),
        right: Trade | None = None,
    ) -> Fold:
        """Fold the trades of a symbol without those of some ids, with `right` in the place of the one of them."""
        wrong = frozenset(without)
        fold = Fold(symbol, clock, self.uow.max_ahead)
        self.last = LastEntry()
        realized: dict[int, Decimal] = {}
        for trade in self.progress.over(self.uow.trades.in_fold_order(symbol)):
            self.last.add(trade)
            if trade.id not in wrong:
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


def _mend(
    uow: AbstractUnitOfWork, opened: OpenPosition, values: Mapping[str, object], restated: int
) -> bool:
    position = opened.position
    wrong = differing(position, values)
    if not wrong and not restated:
        return False
    before, newest = values_of(position, wrong), position.version
    position.refold(values)
    counted = position.version + 1
    # Never a version again that there was: writers on an older page, and caches, would take it for theirs.
    position.version = max(counted, newest + 1)
    if not uow.ledger.book(opened, []):
        raise ConcurrentUpdate(f"the position in {position.symbol} changed while it was rebuilt")
    event = PositionRebuilt(
        symbol=position.symbol,
        trades=restated,
        before=before,
        after=values_of(position, wrong),
        skipped=position.version - counted or None,
    )
    uow.record(event, position)
    return True
