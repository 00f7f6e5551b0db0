"""Booking trades by the million: as `record_trades`, in memory that does not grow with them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing
from datetime import datetime
from itertools import islice
from operator import length_hint
from typing import Final, NamedTuple

from attrs import define, field, frozen

from tradebook.domain.errors import BookBusy, ConcurrentUpdate, InvalidInput
from tradebook.domain.fills import Fill, FillName, Posting, Running, Terms
from tradebook.domain.numbers import exact
from tradebook.domain.plain_values import is_instance, mapping, optional_function
from tradebook.domain.trades import OrderKey, TradeStatus
from tradebook.domain.validation import argument
from tradebook.service_layer.gc_pause import no_collecting
from tradebook.service_layer.handlers._common import open_account
from tradebook.service_layer.handlers.booking import TradeTerms
from tradebook.service_layer.handlers.import_rows import FillReader
from tradebook.service_layer.handlers.trades import RecordedTrades, book_trades
from tradebook.service_layer.instrumentation import DUPLICATES, TRADES, ProgressCallback, increment
from tradebook.service_layer.ports.ledger import BulkLedger
from tradebook.service_layer.ports.paging import BATCH_OF_TRADES, page_limit
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

_ENTITIES: Final = 1000
"""How many trades are booked as entities at a time, where there is no other way."""
_MOST_POSITIONS: Final = 10_000
_AROUND: Final = 10
"""Trades after one that only an entity can book that are booked so as well: it seldom comes alone."""


@frozen
class ImportedTrades:
    """What `import_trades` did.

    Attributes:
        booked: how many were new.
        duplicates: how many had been recorded before, on the same terms.
        symbols: whose positions moved.
    """

    booked: int
    duplicates: int
    symbols: frozenset[str]


def import_trades(
    uow: AbstractUnitOfWork,
    trades: Iterable[TradeTerms],
    *,
    progress: ProgressCallback | None = None,
    batch: int = BATCH_OF_TRADES,
) -> ImportedTrades:
    """Record any number of executions, all or none, as `record_trade` does each; returns counts only.

    Args:
        uow: the unit of work.
        trades: in the order in which they happened; read a part at a time.
        progress: called with (trades done, trades given) after each batch; the second is what was read so far where
            `trades` has no length.
        batch: how many are read, and written, at a time.

    Raises:
        TradebookError: as `record_trade`, for a trade after those that `progress` was told of; then
            leave the unit of work without committing.
    """
    report = argument("progress", optional_function, progress)
    batch = page_limit(batch, "batch")
    done = _Done(report, length_hint(trades))
    bulk = uow.ledger.bulk()
    if bulk is None:
        for given in _batches(trades, min(batch, _ENTITIES)):
            done.add_recorded(uow, book_trades(uow, given), len(given))
    else:
        with closing(bulk):
            importer = _Importer(uow, bulk, done)
            for given in _batches(trades, batch):
                with no_collecting():
                    importer.book(given)
            importer.finish()
    increment(TRADES, done.booked)
    increment(DUPLICATES, done.duplicates)
    return ImportedTrades(done.booked, done.duplicates, frozenset(done.symbols))


class Rereadable:
    """Trades that are read anew by each try of a call.

    Raises:
        BookBusy: when an iterator, which can be read once only, would have to be read again.
    """

    def __init__(self, trades: Iterable[TradeTerms]) -> None:
        if not is_instance(trades, Iterable):
            raise InvalidInput("", trades, "a list of trades, or what can be iterated over")
        self._trades = trades
        self._is_spent = False

    def __iter__(self) -> Iterator[TradeTerms]:
        if self._is_spent:
            raise BookBusy(
                "another writer was first, and the trades came from an iterator, which cannot be read "
                "again; nothing was booked: start again, or give a list"
            )
        trades = iter(self._trades)
        self._is_spent = trades is self._trades
        return trades

    def __length_hint__(self) -> int:
        return length_hint(self._trades)


def _batches(trades: Iterable[TradeTerms], size: int) -> Iterator[list[TradeTerms]]:
    remaining = iter(trades)
    while batch := list(islice(remaining, size)):
        for terms in batch:
            if type(terms) is not dict:
                argument("trades", mapping, terms)
        yield batch


@define
class _Done:
    report: ProgressCallback | None
    total: int
    given: int = 0
    booked: int = 0
    duplicates: int = 0
    symbols: set[str] = field(factory=set)

    def add(self, given: int, booked: int, symbols: Iterable[str]) -> None:
        self.given += given
        self.booked += booked
        self.duplicates += given - booked
        self.symbols.update(symbols)
        if self.report is not None:
            self.report(self.given, max(self.total, self.given))

    def add_recorded(self, uow: AbstractUnitOfWork, recorded: RecordedTrades, given: int) -> None:
        moved = (trade.symbol for trade in recorded.trades if _is_booked_by(uow, trade.booked_at))
        self.add(given, recorded.booked, moved)


def _is_booked_by(uow: AbstractUnitOfWork, booked_at: datetime | None) -> bool:
    return booked_at is not None and booked_at >= uow.now()


class _Row(NamedTuple):
    terms: TradeTerms
    fill: Fill | None


@define
class _Part:
    """Rows that are folded and written together.

    Attributes:
        rows: as they came.
        before: the positions that they move, as they were.
        postings: what is to be written.
        prepared: the same, as rows.
    """

    rows: list[_Row] = field(factory=list)
    before: dict[str, Running] = field(factory=dict)
    postings: list[Posting] = field(factory=list)
    prepared: object = None


class _Importer:
    """Folds batches of fills on positions that it keeps, while the batch before is being written.

    A symbol in which nothing was recorded before needs no search for fills that came before: that one of
    them comes twice in the import itself, the unique key says when it is written; then they are searched
    for from there on. What is no plain fill is booked as an entity.
    """

    def __init__(self, uow: AbstractUnitOfWork, bulk: BulkLedger, done: _Done) -> None:
        self.uow = uow
        self.bulk = bulk
        self.done = done
        self.reader = FillReader(uow.now())
        self.running: dict[str, Running] = {}
        self.searching = False
        self.writing = _Part()
        self.known: dict[FillName, Terms] = {}
        self.entangled: set[OrderKey] = set()
        self.base_currency = uow.base_currency

    def book(self, batch: Sequence[TradeTerms]) -> None:
        named = map(self._named, batch)
        self._book([_Row(terms, self.reader.read(terms)) for terms in named])

    def finish(self) -> None:
        self._settle()
        self._write(list(self.running))

    def _book(self, rows: Sequence[_Row]) -> None:
        place = 0
        self._prepare(rows)
        while place < len(rows):
            part = self._fold(rows, place)
            part.prepared = self.bulk.prepare(part.postings)
            if not self._settle(part):
                self._prepare(rows[place:])
                continue
            self._post(part)
            place += len(part.rows)
            if place < len(rows):
                if not self._settle():
                    self._prepare(rows[place:])
                place += self._book_entities(rows[place : place + _AROUND])

    def _named(self, terms: TradeTerms) -> TradeTerms:
        """The terms with an order id: their own, or one made up now, once for each."""
        if terms.get("order_id") is not None:
            return terms
        return {**terms, "order_id": self.uow.new_id()}

    # Positions

    def _prepare(self, rows: Sequence[_Row]) -> None:
        self._open({row.fill.name.symbol for row in rows if row.fill is not None})
        self._search(rows)

    def _open(self, symbols: set[str]) -> None:
        if symbols <= self.running.keys():
            return
        self._settle()
        if len(self.running) + len(symbols) > _MOST_POSITIONS:
            self._write(list(self.running))
        for position, is_unused in self.bulk.open(sorted(symbols - self.running.keys())):
            self.running[position.symbol] = Running(position, is_unused, self.uow.now())
        self.base_currency = open_account(self.uow).base_currency

    def _write(self, symbols: Collection[str]) -> None:
        """Write positions, and forget them."""
        known = [self.running.pop(symbol) for symbol in symbols if symbol in self.running]
        self.bulk.write([running for running in known if running.has_moved])

    # What came before

    def _search(self, rows: Sequence[_Row]) -> None:
        self.known.clear()
        self.entangled.clear()
        orders = {
            fill.name.order_key
            for _, fill in rows
            if fill is not None and self._may_be_recorded(fill)
        }
        if not orders:
            return
        if not self._settle():
            self._search(rows)
            return
        for recorded in self.bulk.recorded(orders):
            if recorded.revision or recorded.status != TradeStatus.EXECUTED:
                self.entangled.add(recorded.name.order_key)
            else:
                self.known[recorded.name] = recorded.terms

    def _may_be_recorded(self, fill: Fill) -> bool:
        return self.searching or not self.running[fill.name.symbol].is_unused

    # Folding

    def _fold(self, rows: Sequence[_Row], start: int) -> _Part:
        """From a row on, up to the first that only an entity can book."""
        part = _Part()
        with exact():
            for place in range(start, len(rows)):
                row = rows[place]
                if row.fill is None or not self._take(row.terms, row.fill, part):
                    break
                part.rows.append(row)
        return part

    def _take(self, terms: TradeTerms, fill: Fill, part: _Part) -> bool:
        which = fill.name
        if self.entangled and which.order_key in self.entangled:
            return False
        recorded = self.known.get(which)
        if recorded is not None:
            return self.reader.agree(terms, fill.terms, recorded)
        running = self.running[which.symbol]
        if which.symbol not in part.before:
            part.before[which.symbol] = running.copy()
        posting = running.post(fill, self.base_currency)
        if posting is None:
            return False
        self.known[which] = posting.terms
        part.postings.append(posting)
        return True

    # Writing

    def _post(self, part: _Part) -> None:
        self.writing = part
        if part.postings:
            self.bulk.post(part.prepared)
            part.prepared = None

    def _settle(self, folded: _Part | None = None) -> bool:
        """Wait until the last part is written.

        When a fill in it was recorded before, it is booked again, and what was `folded` after it is void.

        Returns:
            Whether it was written as it was folded.
        """
        part, self.writing = self.writing, _Part()
        if not part.postings or self.bulk.settled():
            if part.rows:
                self.done.add(len(part.rows), len(part.postings), part.before)
            return True
        if self.searching:
            raise ConcurrentUpdate("a trade of the import was recorded at the same time")
        self.searching = True
        for later in (folded or _Part(), part):
            self.running.update(later.before)
        self._book(part.rows)
        self._settle()
        return False

    def _book_entities(self, rows: Sequence[_Row]) -> int:
        """Book rows as entities, on positions that are written; returns how many."""
        terms = [row.terms for row in rows]
        symbols = {str(given.get("symbol")) for given in terms}
        self._write(symbols)
        recorded = book_trades(self.uow, terms)
        self._open({trade.symbol for trade in recorded.trades})
        self.entangled.update(trade.order_key for trade in recorded.trades)
        self.done.add_recorded(self.uow, recorded, len(rows))
        return len(rows)
