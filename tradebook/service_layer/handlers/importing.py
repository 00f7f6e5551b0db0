"""Imports of any number of trades: booked as by `record_trades`, in bounded memory."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from operator import length_hint
from typing import Any, Final, NamedTuple

from attrs import define, evolve, field, frozen

from tradebook.domain.errors import BookBusy, ConcurrentUpdate, InvalidInput
from tradebook.domain.fills import Booking, Fill, FillName, RecordedFill, RunningPosition
from tradebook.domain.imports import Import, ImportSource
from tradebook.domain.numbers import exact
from tradebook.domain.plain_values import function, mapping
from tradebook.domain.trades import BOOKED, OrderKey, TradeStatus
from tradebook.domain.validation import argument
from tradebook.service_layer.gc_pause import no_collecting
from tradebook.service_layer.handlers._common import open_account
from tradebook.service_layer.handlers.booking import book_trades
from tradebook.service_layer.handlers.imports import begin_import, finish_import, part_of
from tradebook.service_layer.handlers.new_fills import FillReader
from tradebook.service_layer.handlers.trade_terms import (
    ListEntry,
    TradeTerms,
    entries_of,
    valid_order_id,
)
from tradebook.service_layer.instrumentation import DUPLICATES, TRADES, ProgressCallback, increment
from tradebook.service_layer.ports.ledger import BulkLedger
from tradebook.service_layer.ports.paging import BATCH_OF_TRADES, page_limit
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

_ENTITIES: Final = 1000
"""The number of trades that are booked as entities at a time, where the store has no bulk ledger."""
_MOST_POSITIONS: Final = 10_000
_AROUND: Final = 10
"""The number of trades that are booked as entities from the first one on that has to be: they come in groups."""


@frozen
class ImportedTrades:
    """The result of `import_trades`.

    Attributes:
        booked: the number of trades that are new.
        duplicates: the number of trades that had been recorded before, on the same terms.
        symbols: the symbols whose positions moved.
        import_id: the id of the `Import` that they belong to; None where no source was named.
    """

    booked: int
    duplicates: int
    symbols: frozenset[str]
    import_id: int | None = None


def import_trades(
    uow: AbstractUnitOfWork,
    trades: Iterable[TradeTerms],
    *,
    progress: ProgressCallback | None = None,
    batch: int = BATCH_OF_TRADES,
    source: ImportSource | str | None = None,
) -> ImportedTrades:
    """Record any number of executions, all or none, as `record_trade` does each; returns counts only.

    Args:
        uow: the unit of work.
        trades: in the order in which they happened; read a part at a time.
        progress: called with (trades done, trades given) after each batch; the second is what was read so far where
            `trades` has no length.
        batch: the number of trades that are read, and written, at a time.
        source: the name of the file that they come from, or an `ImportSource`: records an `Import`, which
            `undo_import` takes back. The events of its trades then have its reference as correlation id.

    Raises:
        TradebookError: as `record_trade`, with the `index` and `order_id` of the refused trade; then leave the
            unit of work without committing.
    """
    if source is None:
        return _import(uow, trades, progress, batch)
    imported = begin_import(uow, source)
    done = import_part(uow, imported, trades, progress=progress, batch=batch)
    finish_import(uow, imported.id, booked=done.booked, duplicates=done.duplicates)
    return evolve(done, import_id=imported.id)


def import_part(
    uow: AbstractUnitOfWork,
    imported: Import,
    trades: Iterable[TradeTerms],
    *,
    progress: ProgressCallback | None = None,
    batch: int = BATCH_OF_TRADES,
) -> ImportedTrades:
    """Record some of the executions of an import that `begin_import` began, as `import_trades` does."""
    with part_of(uow, imported):
        return _import(uow, trades, progress, batch)


def _import(
    uow: AbstractUnitOfWork,
    trades: Iterable[TradeTerms],
    progress: ProgressCallback | None,
    batch: int,
) -> ImportedTrades:
    report = None if progress is None else argument("progress", function, progress)
    if batch is not BATCH_OF_TRADES:
        batch = page_limit(batch, "batch")
    done = _Done(report, length_hint(trades))
    bulk = uow.ledger.bulk(uow.context)
    if bulk is None:
        for given in _batches(trades, min(batch, _ENTITIES)):
            recorded = book_trades(uow, given, entries_of(given, done.given))
            done.add(len(given), recorded.booked, recorded.symbols)
    else:
        with closing(bulk):
            importer = _Importer(uow, bulk, done)
            for given in _batches(trades, batch):
                with no_collecting():
                    importer.book(given)
            importer.finish()
    duplicates = done.given - done.booked
    increment(TRADES, done.booked)
    increment(DUPLICATES, duplicates)
    return ImportedTrades(done.booked, duplicates, frozenset(done.symbols))


class Rereadable:
    """Trades that are read again by each attempt of a call.

    Raises:
        BookBusy: when an iterator, which can be read once only, would have to be read again.
    """

    def __init__(self, trades: Iterable[TradeTerms]) -> None:
        """Take the trades; refuse what cannot be iterated over."""
        if not issubclass(type(trades), Iterable):  # `isinstance` would believe its `__class__`
            raise InvalidInput("", trades, "a list of trades, or what can be iterated over")
        self._trades = trades
        self._is_spent = False

    def __iter__(self) -> Iterator[TradeTerms]:
        """Begin to read the trades."""
        if self._is_spent:
            raise BookBusy(
                "another writer was first, and the trades came from an iterator, which cannot be read "
                "again; nothing was booked: start again, or give a list"
            )
        trades = iter(self._trades)
        self._is_spent = trades is self._trades
        return trades

    def __length_hint__(self) -> int:
        """Return the number of trades, 0 where it is not known."""
        return length_hint(self._trades)


def _batches(trades: Iterable[TradeTerms], size: int) -> Iterator[list[TradeTerms]]:
    remaining, start = iter(trades), 0
    while batch := list(islice(remaining, size)):
        for index, terms in enumerate(batch, start):
            if type(terms) is not dict:
                with ListEntry("trades", index):
                    argument("trades", mapping, terms)
        yield batch
        start += len(batch)


@define
class _Done:
    report: ProgressCallback | None
    total: int
    given: int = 0
    booked: int = 0
    symbols: set[str] = field(factory=set)

    def add(self, given: int, booked: int, symbols: Iterable[str]) -> None:
        self.given += given
        self.booked += booked
        self.symbols.update(symbols)
        if self.report is not None:
            self.report(self.given, max(self.total, self.given))


class _Row(NamedTuple):
    number: int  # its index in the caller's list
    order_id: Any  # as it was given
    terms: TradeTerms
    fill: Fill | None


@define
class _Part:
    """The rows that are folded and written together, the positions as they were before, and their new decisions."""

    rows: list[_Row] = field(factory=list)
    before: dict[str, RunningPosition] = field(factory=dict)
    decisions: set[int] = field(factory=set)
    bookings: list[Booking] = field(factory=list)


class _Importer:
    """Books batches of fills on positions that stay in memory, while the batch before is being written.

    In a symbol without any trade no fill can have been recorded, so that none is searched for. Where the import
    itself has one twice, the unique key finds it when the batch is written: the batch is booked again, and from
    there on recorded fills are searched for. What is no plain fill is booked as an entity. That decisions exist is
    checked as late, and in the same way.
    """

    def __init__(self, uow: AbstractUnitOfWork, bulk: BulkLedger, done: _Done) -> None:
        self.uow = uow
        self.bulk = bulk
        self.done = done
        self.reader = FillReader()
        self.running: dict[str, RunningPosition] = {}
        self.searching = False
        self.writing = _Part()
        self.known: dict[FillName, Mapping[str, Any]] = {}
        self.renewed: dict[FillName, int] = {}  # the revision of a fill whose import was undone
        self.entangled: set[OrderKey] = set()
        self.decisions: set[int] = set()  # those that trades of the import were booked for
        self.refused: set[int] = set()  # decisions that the bulk ledger does not take
        self.base_currency = uow.base_currency
        self.read = 0  # rows of batches before this one

    def book(self, batch: Sequence[TradeTerms]) -> None:
        rows = []
        for number, terms in enumerate(batch, self.read):
            order_id = terms.get("order_id")
            if order_id is None:  # a row that is read twice keeps its id
                terms = {**terms, "order_id": self.uow.new_id()}
            rows.append(_Row(number, order_id, terms, self.reader.read(terms)))
        self.read += len(rows)
        self._book(rows)
        self.known.clear()  # while the collector pauses: it would walk all of them

    def finish(self) -> None:
        self._settle()
        self._write(list(self.running))

    def _book(self, rows: Sequence[_Row]) -> None:
        place = 0
        self._prepare(rows)
        while place < len(rows):
            part = self._fold(rows, place)
            prepared = self.bulk.prepare(part.bookings)
            if not self._settle(part):
                self._prepare(rows[place:])
                continue
            if part.bookings:
                self.bulk.begin_write(prepared)
            self.writing = part
            place += len(part.rows)
            if place < len(rows):
                if not self._settle():
                    self._prepare(rows[place:])
                place += self._book_entities(rows[place : self._end_of_entities(rows, place)])

    def _prepare(self, rows: Sequence[_Row]) -> None:
        self._open({row.fill.name.symbol for row in rows if row.fill is not None})
        self._search(rows)
        self._search_decisions(rows)

    def _open(self, symbols: set[str]) -> None:
        if symbols <= self.running.keys():
            return
        self._settle()
        if len(self.running) + len(symbols) > _MOST_POSITIONS:
            self._write(list(self.running))
        opened = self.bulk.open(sorted(symbols - self.running.keys()))
        self.running.update({position.opened["symbol"]: position for position in opened})
        if any(position.constants is None for position in opened):
            self.base_currency = open_account(self.uow).base_currency

    def _write(self, symbols: Collection[str]) -> None:
        """Write positions, and drop them from memory."""
        known = [self.running.pop(symbol) for symbol in symbols if symbol in self.running]
        self.bulk.write([running for running in known if running.has_moved])

    def _search(self, rows: Sequence[_Row]) -> None:
        self.known.clear()
        self.renewed.clear()
        self.entangled.clear()
        fills = (row.fill for row in rows if row.fill is not None)
        orders = {
            fill.name.order_key
            for fill in fills
            if self.searching or not self.running[fill.name.symbol].is_unused
        }
        if not orders:
            return
        if not self._settle():
            self._search(rows)
            return
        last: dict[FillName, RecordedFill] = {}
        for recorded in self.bulk.recorded(orders):
            if recorded.status not in BOOKED or recorded.corrects_id is not None:
                self.entangled.add(recorded.name.order_key)
            if recorded.name not in last or recorded.revision > last[recorded.name].revision:
                last[recorded.name] = recorded
        busted = [fill.id for fill in last.values() if fill.status == TradeStatus.BUSTED]
        undone = self.uow.events.undone_of(busted) if busted else ()
        for name, recorded in last.items():
            if recorded.status == TradeStatus.EXECUTED:
                self.known[name] = recorded.terms
            elif recorded.id in undone:
                self.renewed[name] = recorded.revision + 1
            else:
                self.entangled.add(name.order_key)

    def _search_decisions(self, rows: Sequence[_Row]) -> None:
        self.refused.clear()
        if self.searching:
            ids = (row.fill.values.get("decision_id") for row in rows if row.fill is not None)
            if wanted := {id_ for id_ in ids if id_ is not None} - self.decisions:
                self._settle()
                self.refused = wanted.difference(self.bulk.lock_decisions(wanted))

    def _fold(self, rows: Sequence[_Row], start: int) -> _Part:
        """Book rows from one on, up to the first that has to be booked as an entity."""
        part = _Part()
        with exact():
            for place in range(start, len(rows)):
                row = rows[place]
                if row.fill is None or not self._take(row.fill, part):
                    break
                part.rows.append(row)
        return part

    def _take(self, fill: Fill, part: _Part) -> bool:
        which = fill.name
        if self.entangled and which.order_key in self.entangled:
            return False
        recorded = self.known.get(which)
        if recorded is not None:
            return self.reader.agree(fill.values, recorded)
        decision = fill.values.get("decision_id")
        if decision in self.refused:
            return False
        if which in self.renewed:
            fill = Fill(which, {**fill.values, "revision": self.renewed[which]})
        running = self.running[which.symbol]
        if which.symbol not in part.before:
            part.before[which.symbol] = running.copy()
        booking = running.book(fill, self.base_currency)
        if booking is None:
            return False
        if decision is not None and decision not in self.decisions:
            booking = booking._replace(is_first=True)
            self.decisions.add(decision)
            part.decisions.add(decision)
        self.known[which] = booking.trade
        part.bookings.append(booking)
        return True

    def _settle(self, folded: _Part | None = None) -> bool:
        """Wait until the last part is written; return whether it was written as it was folded.

        If a fill in it was recorded before, or a decision is refused, it is booked again, and the `folded` one is void.
        """
        part, self.writing = self.writing, _Part()
        if not part.bookings or self.bulk.is_written():
            if part.rows:
                self.done.add(len(part.rows), len(part.bookings), part.before)
            return True
        if self.searching:
            raise ConcurrentUpdate("a trade of the import was recorded at the same time")
        self.searching = True
        for void in (folded or _Part(), part):
            self.running.update(void.before)
            self.decisions -= void.decisions
        self._book(part.rows)
        self._settle()
        return False

    def _end_of_entities(self, rows: Sequence[_Row], start: int) -> int:
        end = start + _AROUND
        while end < min(len(rows), start + _ENTITIES) and self._is_entangled(rows[end]):
            end += 1
        return end

    def _is_entangled(self, row: _Row) -> bool:
        return row.fill is None or row.fill.name.order_key in self.entangled

    def _book_entities(self, rows: Sequence[_Row]) -> int:
        """Book rows as entities, on positions that are written first; return their number."""
        terms = [row.terms for row in rows]
        symbols = {str(given.get("symbol")) for given in terms}
        self._write(symbols)
        places = [ListEntry("trades", row.number, valid_order_id(row.order_id)) for row in rows]
        recorded = book_trades(self.uow, terms, places)
        self._open({trade.symbol for trade in recorded.trades})
        self.entangled.update(trade.order_key for trade in recorded.trades)
        self.done.add(len(rows), recorded.booked, recorded.symbols)
        return len(rows)
