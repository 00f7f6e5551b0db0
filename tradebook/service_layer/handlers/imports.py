"""Handlers of imports as batches: begin and end one, and take back all that it recorded."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from attrs import define, evolve, field, frozen

from tradebook.domain.cash import CashFlow
from tradebook.domain.domain_event import JsonPayload
from tradebook.domain.errors import ConcurrentUpdate
from tradebook.domain.events import (
    CashFlowRecorded,
    ImportFinished,
    TradeBusted,
    TradeRecorded,
    TradeSubmitted,
)
from tradebook.domain.folding import TOTALS, values_of
from tradebook.domain.imports import (
    COUNTS,
    UNDO,
    Import,
    ImportSource,
    import_source,
)
from tradebook.domain.plain_values import optional_function
from tradebook.domain.trades import TradeStatus
from tradebook.domain.validation import Json, argument, json_object, record_id
from tradebook.service_layer.gc_pause import no_collecting
from tradebook.service_layer.handlers._common import words
from tradebook.service_layer.handlers.cash import bust_cash_flow
from tradebook.service_layer.handlers.rebuilding import Folding
from tradebook.service_layer.instrumentation import BUSTS, Progress, ProgressCallback, increment
from tradebook.service_layer.ports.paging import BATCH
from tradebook.service_layer.ports.repositories import CorrelatedEvent
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

_OWN: Final = {"bust_sequence", "realized_pnl"}
"""The changes of a bust that differ between the trades of an import."""


@frozen
class UndoneImport:
    """The result of `undo_import`.

    Attributes:
        undone: the import, now UNDONE.
        trades: the number of trades that were busted.
        cash_flows: the number of cash flows that were busted.
        corrected: the number of those trades that were corrections, made since, of trades of the import.
        open_orders: the number of orders that the import submitted and that are still open: they stay so.
    """

    undone: Import
    trades: int = 0
    cash_flows: int = 0
    corrected: int = 0
    open_orders: int = 0


def begin_import(uow: AbstractUnitOfWork, source: ImportSource | str) -> Import:
    """Record that an import begins; what is recorded inside `part_of` belongs to it."""
    named = argument("source", import_source, source)
    at = uow.now()
    new = Import(
        account=uow.account,
        created_at=at,
        source=named.name,
        digest=named.digest,
        reference=f"import {uow.new_id()}",
        actor=uow.context.actor,
        started_at=at,
    )
    recorded = uow.imports.add(new)
    if recorded is new:
        uow.record(new.started(), new)
    return recorded


@contextmanager
def part_of(uow: AbstractUnitOfWork, imported: Import) -> Iterator[None]:
    """Give the events of what is recorded inside the import's reference as their correlation id."""
    context = uow.context
    uow.context = evolve(context, correlation_id=imported.reference)
    try:
        yield
    finally:
        uow.context = context


def finish_import(
    uow: AbstractUnitOfWork,
    import_id: int,
    *,
    booked: int,
    duplicates: int,
    skipped: int = 0,
) -> Import:
    """Record that an import ended, and what came of its rows."""
    imported = uow.imports.get(import_id, lock=True)
    counts = {"booked": booked, "duplicates": duplicates, "skipped": skipped}
    finished = imported.finish(counts, uow.now())
    if finished is not None:
        uow.imports.write(imported, (*COUNTS, "status", "updated_at", "finished_at"))
    uow.record(finished, imported)
    return imported


def undo_import(
    uow: AbstractUnitOfWork,
    import_id: int,
    *,
    reason: str,
    progress: ProgressCallback | None = None,
) -> UndoneImport:
    """Take back all that an import recorded: position, P&L and cash become as if it had never been.

    Its trades and cash flows are busted, and stay on record with the reason. Of a trade that was corrected since,
    the correction is busted; what was busted before stays as it is. Orders that the import submitted stay open.
    Afterwards the fills of its orders may be recorded again, as new revisions. The same undo again changes nothing.

    Args:
        uow: the unit of work.
        import_id: the import's id.
        reason: kept with the import and each trade; not blank.
        progress: called with (trades folded, trades in all) as it goes.

    Returns:
        The import, and what was busted.

    Raises:
        NotFound: there is no such import.
        InvalidTransition: it was undone before for another reason.
    """
    reason = argument("reason", words, reason)
    report = argument("progress", optional_function, progress)
    imported = uow.imports.get(argument("import_id", record_id, import_id), lock=True)
    if imported.was_undone(reason):
        return UndoneImport(imported)
    recorded = _Recorded.of(uow, imported)
    undo = _Undo(uow, imported.id, reason, report)
    for symbol in sorted(recorded.trades):  # one order of locking, as in `book_trades`
        undo.bust_trades(symbol, recorded.trades[symbol])
    flows = undo.bust_cash_flows(recorded.cash_flows)
    undone = imported.undo(reason, by=uow.context.actor, at=uow.now())
    uow.imports.write(imported, UNDO)
    uow.record(undone, imported)
    increment(BUSTS, undo.busted)
    open_orders = undo.count_open(recorded.orders)
    return UndoneImport(imported, undo.busted, flows, undo.corrected, open_orders)


def events_of(uow: AbstractUnitOfWork, imported: Import) -> Iterator[CorrelatedEvent]:
    """Iterate over the events of what an import recorded, by id: those between its first and its last own event."""
    own = uow.events.of(Import.__name__, imported.id)
    ends = [event.id for event in own if event.event_type == ImportFinished.__name__]
    last = ends[0] if ends else None
    yield from uow.events.correlated(imported.reference, after=own[0].id, last=last)


@define
class _Recorded:
    """The ids of what an import recorded: trades by symbol, orders that it submitted, and cash flows."""

    trades: dict[str, list[int]] = field(factory=dict)
    orders: list[int] = field(factory=list)
    cash_flows: list[int] = field(factory=list)

    @classmethod
    def of(cls, uow: AbstractUnitOfWork, imported: Import) -> _Recorded:
        found = cls()
        for event in events_of(uow, imported):
            if event.event_type == TradeRecorded.__name__:
                found.trades.setdefault(str(event.symbol), []).append(event.entity_id)
            elif event.event_type == TradeSubmitted.__name__:
                found.orders.append(event.entity_id)
            elif event.event_type == CashFlowRecorded.__name__:
                found.cash_flows.append(event.entity_id)
        return found


@define
class _Undo:
    uow: AbstractUnitOfWork
    import_id: int
    reason: str
    report: ProgressCallback | None
    busted: int = 0
    corrected: int = 0

    def bust_trades(self, symbol: str, ids: Collection[int]) -> None:
        """Bust the trades with these ids, or their last revisions, and fold what is left of the symbol once."""
        uow = self.uow
        position = uow.ledger.open(symbol, ()).position  # locked before its trades are read
        wrong = self._counting(symbol, ids)
        if not wrong:
            return
        folding = Folding(uow, Progress(self.report, uow.trades.count_booked(symbol)))
        fold = folding.fold(symbol, position.entry_time(uow.now()), wrong)
        for start in range(0, len(wrong), BATCH):
            with no_collecting():
                self._bust(symbol, wrong[start : start + BATCH], fold.values_in(position.last_mark))

    def bust_cash_flows(self, ids: Collection[int]) -> int:
        """Bust the cash flows with these ids that were not busted before, and return their number."""
        flows = [self.uow.cash_flows.get(id_) for id_ in ids]
        left = [flow for flow in flows if not self._is_busted(flow)]
        for flow in left:
            bust_cash_flow(self.uow, cash_flow_id=flow.id, reason=self.reason)
        return len(left)

    def count_open(self, ids: Sequence[int]) -> int:
        """Return how many of the orders with these ids are still open."""
        parts = (ids[start : start + BATCH] for start in range(0, len(ids), BATCH))
        trades = (trade for part in parts for trade in self.uow.trades.found(part))
        return sum(trade.status is TradeStatus.PENDING for trade in trades)

    def _is_busted(self, flow: CashFlow) -> bool:
        reversals = self.uow.cash_flows.count(reference=flow.reversal_reference, busts_id=flow.id)
        return reversals > 0

    def _counting(self, symbol: str, ids: Collection[int]) -> list[int]:
        """Return the ids of the trades that count: these, or the last corrections of those that were corrected."""
        found: list[int] = []
        wanted = set(ids)
        # A correction comes after what it corrects.
        for trade in self.uow.trades.in_fold_order(symbol):
            if trade.corrects_id in wanted:
                wanted.add(trade.id)
            if trade.id in wanted and trade.status is TradeStatus.EXECUTED:
                found.append(trade.id)
                self.corrected += trade.corrects_id is not None
        return found

    def _bust(self, symbol: str, ids: Collection[int], values: dict[str, object]) -> None:
        uow, at, actor = self.uow, self.uow.now(), self.uow.context.actor
        opened = uow.ledger.open(symbol, ())
        # Converted once for all trades: that takes a quarter of the time of an undo otherwise.
        position, before = opened.position, JsonPayload(values_of(opened.position, TOTALS))
        position.refold(values)
        after = JsonPayload(values_of(position, TOTALS))
        bookings, shared = [], dict[str, Json]()
        for trade in uow.trades.found(ids):
            changes = position.bust(trade, at=at, by=actor, reason=self.reason)
            shared = shared or json_object({name: changes[name] for name in changes.keys() - _OWN})
            own = {name: changes[name] for name in changes.keys() & _OWN}
            busted = TradeBusted(
                symbol=symbol,
                order_id=trade.order_id,
                execution_id=trade.execution_id,
                revision=trade.revision,
                sequence=trade.bust_sequence or 0,
                reason=self.reason,
                before=before,
                after=after,
                changes=JsonPayload({**shared, **json_object(own)}),
                undone_import=self.import_id,
            )
            bookings.append((trade, uow.event(busted, trade)))
        if not uow.ledger.book(opened, bookings):
            raise ConcurrentUpdate(f"the position in {symbol} changed while the import was undone")
        self.busted += len(bookings)
