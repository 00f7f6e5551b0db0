"""What an import of trades would do: its fills folded in memory, on the positions of the book."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import ExitStack, closing
from itertools import islice
from typing import Any, Final, cast

from attrs import define, evolve, field, fields, frozen

from tradebook.domain.balances import AssetBalance, balances_of
from tradebook.domain.errors import DuplicateOrder, InvalidInput, InvalidTransition, TradebookError
from tradebook.domain.fills import Fill, FillName, RecordedFill, RunningPosition
from tradebook.domain.numbers import exact
from tradebook.domain.positions import Position
from tradebook.domain.trades import TERMS, Settlement, Trade, TradeStatus
from tradebook.service_layer.handlers._common import present_currency
from tradebook.service_layer.handlers.new_fills import FillReader
from tradebook.service_layer.handlers.trade_terms import TradeTerms
from tradebook.service_layer.instrumentation import ProgressCallback
from tradebook.service_layer.ports.ledger import BulkLedger
from tradebook.service_layer.ports.paging import BATCH_OF_TRADES
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

_FIELDS: Final = [each.name for each in fields(Position)]


@frozen
class RefusedTrade:
    """A trade that the book would refuse.

    Attributes:
        index: its place among those given, from 0.
        error: the reason.
    """

    index: int
    error: TradebookError


@frozen
class ImportPreview:
    """What an import would do.

    Attributes:
        new: the number of trades that would be booked.
        duplicates: the number of trades that are recorded already, on the same terms.
        refused: the trades that the book would refuse.
        shorts: the symbols, settled in cash, of which more would be sold than held.
        positions: those that would move, as they would be, sorted by symbol.
        balances: of every asset of the account, as they would be.
    """

    new: int
    duplicates: int
    refused: list[RefusedTrade]
    shorts: frozenset[str]
    positions: list[Position]
    balances: list[AssetBalance]


def preview_import(
    uow: AbstractUnitOfWork,
    trades: Iterable[TradeTerms],
    *,
    progress: ProgressCallback | None = None,
) -> ImportPreview:
    """Tell what `import_trades` would do with trades that have order ids, and write nothing.

    Args:
        uow: a read-only unit of work.
        trades: in the order in which they happened, none of them twice; read a part at a time.
        progress: called with (trades done, trades read) after each part.
    """
    with ExitStack() as stack:
        bulk = uow.ledger.bulk(uow.context)
        if bulk is not None:
            stack.enter_context(closing(bulk))
        preview = _Preview(uow, bulk)
        remaining = iter(trades)
        while batch := list(islice(remaining, BATCH_OF_TRADES)):
            preview.fold(batch)
            if progress is not None:
                progress(preview.read, preview.read)
    return preview.result()


@define
class _Preview:
    uow: AbstractUnitOfWork
    bulk: BulkLedger | None
    reader: FillReader = field(factory=FillReader)
    read: int = 0
    new: int = 0
    duplicates: int = 0
    refused: list[RefusedTrade] = field(factory=list)
    shorts: set[str] = field(factory=set)
    running: dict[str, RunningPosition] = field(factory=dict)
    undone: Collection[int] = ()  # the trades of this part that the undo of an import busted
    base_currency: str = field(init=False)
    stored: dict[str, Position] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.base_currency = present_currency(self.uow)
        self.stored = {position.symbol: position for position in self.uow.positions.all()}

    def fold(self, batch: Sequence[TradeTerms]) -> None:
        fills = [self.reader.read(terms) for terms in batch]
        known = self._recorded([fill.name for fill in fills if fill is not None])
        with exact():
            for terms, fill in zip(batch, fills, strict=True):
                try:
                    if fill is None or not self._book(fill, known.get(fill.name)):
                        self._refuse(terms)
                except TradebookError as error:
                    self.refused.append(RefusedTrade(self.read, error))
                self.read += 1

    def result(self) -> ImportPreview:
        moved = {
            s: self._position(running) for s, running in self.running.items() if running.has_moved
        }
        holdings = self.uow.ledger.holdings()
        after = evolve(holdings, positions=tuple((self.stored | moved).values()))
        positions = [moved[symbol] for symbol in sorted(moved)]
        shorts = frozenset(self.shorts)
        return ImportPreview(
            self.new, self.duplicates, self.refused, shorts, positions, balances_of(after)
        )

    def _book(self, fill: Fill, recorded: list[RecordedFill] | None) -> bool:
        """Fold a fill, or recognise it; return False where only the domain's entities say what is wrong."""
        if recorded is not None and self._repeats(fill, recorded):
            self.duplicates += 1
            return True
        booking = self.running[fill.name.symbol].book(fill, self.base_currency)
        if booking is None:
            return False
        self.new += 1
        goes_short = booking.quantity_after < 0 <= booking.quantity_before
        if goes_short and booking.trade["settlement"] is Settlement.CASH:
            self.shorts.add(fill.name.symbol)
        return True

    def _recorded(self, names: Iterable[FillName]) -> dict[FillName, list[RecordedFill]]:
        """Return what is recorded under the orders of fills; symbols are opened on the way."""
        orders = set()
        for name in names:
            if name.symbol not in self.running:
                self._open(name.symbol)
            if not self.running[name.symbol].is_unused:
                orders.add(name.order_key)
        found: dict[FillName, list[RecordedFill]] = {}
        if self.bulk is not None and orders:
            for recorded in self.bulk.recorded(orders):
                found.setdefault(recorded.name, []).append(recorded)
        elif orders:
            for trade in self.uow.trades.iterate():
                if trade.order_key in orders:
                    read = {term: getattr(trade, term) for term in TERMS}
                    name, revision, status = FillName.of(trade), trade.revision, trade.status
                    one = RecordedFill(name, revision, status, read, trade.id, trade.corrects_id)
                    found.setdefault(one.name, []).append(one)
        busted = [
            each.id
            for fills in found.values()
            for each in fills
            if each.status == TradeStatus.BUSTED
        ]
        self.undone = self.uow.events.undone_of(busted) if busted else ()
        return found

    def _open(self, symbol: str) -> None:
        at, stored = self.uow.now(), self.stored.get(symbol)
        position = stored or Position(account=self.uow.account, symbol=symbol, created_at=at)
        is_unused = stored is None and not self.uow.trades.count(symbol=symbol)
        opened = {name: getattr(position, name) for name in _FIELDS}
        self.running[symbol] = RunningPosition(opened, at, is_unused, self.uow.max_ahead)

    def _repeats(self, fill: Fill, recorded: list[RecordedFill]) -> bool:
        last = max(recorded, key=lambda each: each.revision)
        name = fill.name
        if last.status == TradeStatus.PENDING:
            return False
        if last.status == TradeStatus.BUSTED:
            return last.id not in self.undone
        if last.status != TradeStatus.EXECUTED:
            raise InvalidTransition(f"order {name.order_id!r} for {name.symbol} is {last.status}")
        # A repeated fill may have the terms from before a correction, which are not read here.
        if len(recorded) > 1 or self.reader.agree(fill.values, last.terms):
            return True
        differing = {
            term: (last.terms[term], value)
            for term, value in fill.values.items()
            if term in last.terms and last.terms[term] != value
        }
        raise DuplicateOrder("order", f"{name.order_id!r} for {name.symbol}", differing)

    def _refuse(self, terms: TradeTerms) -> None:
        """Raise the error with which the book refuses a trade."""
        trade = Trade(account=self.uow.account, created_at=self.uow.now(), **cast("Any", terms))
        self.uow.require_past("executed_at", trade.executed_at)
        running = self.running.get(trade.symbol)
        if running is not None:
            position = self._position(running)
            position.complete(trade, terms)
            position.apply(trade, self.uow.now())
        raise InvalidInput("", terms.get("order_id"), "a fill, with a price and a time")

    def _position(self, running: RunningPosition) -> Position:
        values = running.settled()
        position = Position(account=self.uow.account, symbol=values["symbol"])
        position.set_unchecked(**values)
        return position
