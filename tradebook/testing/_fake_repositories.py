"""The repositories and the `Ledger` in memory, on one fake transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial
from operator import attrgetter
from typing import Any, Final

from tradebook.domain.accounting import BookedTrade
from tradebook.domain.agents import AgentDecision
from tradebook.domain.cash import Account, CashFlow, cash_totals
from tradebook.domain.decision_inputs import DecisionInput
from tradebook.domain.entity import Entity
from tradebook.domain.events import BOOKINGS, BUSTS, CREATIONS, DELETIONS, Event, TradeSubmitted
from tradebook.domain.fill_results import Bust
from tradebook.domain.portfolio import BOOK, Holdings, Portfolio, PortfolioPosition, PositionRow
from tradebook.domain.positions import MARK, Position, PositionStatus
from tradebook.domain.seals import Seal
from tradebook.domain.signals import Signal
from tradebook.domain.trades import OrderKey, Trade, TradeStatus
from tradebook.service_layer.ports import repositories as ports
from tradebook.service_layer.ports.ledger import Ledger, OpenPosition
from tradebook.service_layer.ports.paging import BATCH
from tradebook.service_layer.ports.watermark import UNKNOWN, TransactionSnapshot
from tradebook.testing._fake_prices import snapshot_prices, trade_prices
from tradebook.testing._fake_records import (
    FakeDecisionInputRepository,
    FakeDecisionRepository,
    FakeRepository,
    FakeSignalRepository,
)
from tradebook.testing._fake_session import FakeSession
from tradebook.testing.fake_store import Values, may_replace_mark, values_of


class FakeTradeRepository(FakeRepository[Trade], ports.TradeRepository):
    def of_order(self, order_id: str) -> list[Trade]:
        return self._session.find(Trade, lambda row: row["order_id"] == order_id)

    def of_order_key(self, key: OrderKey, *, limit: int) -> list[Trade]:
        def is_of_order(row: Values) -> bool:
            return OrderKey(row["venue"], row["symbol"], row["order_id"]) == key

        found = self._session.find(Trade, is_of_order)
        return sorted(found, key=attrgetter("execution_id", "revision"))[:limit]

    def keys_of(self, order_id: str, *, limit: int) -> list[OrderKey]:
        return [trade.order_key for trade in self.of_order(order_id)[:limit]]

    def of_open_orders(self) -> list[Trade]:
        rows = self._session.rows(Trade)
        ids = {row["order_id"] for row in rows if row["status"] is TradeStatus.PENDING}
        return self._session.find(Trade, lambda row: row["order_id"] in ids)

    def unbooked(self) -> Iterator[list[Trade]]:
        yield self._session.find(Trade, lambda row: row["sequence"] is None)

    def booked(self, symbol: str, *, after: int = 0, limit: int = BATCH) -> list[BookedTrade]:
        found = self._session.find(
            Trade,
            lambda row: row["symbol"] == symbol and (row["sequence"] or 0) > after,
            by="sequence",
            limit=limit,
        )
        return [BookedTrade.from_trade(trade) for trade in found]

    def _of_decisions(
        self, decision_ids: Sequence[int], after: int, limit: int
    ) -> list[BookedTrade]:
        def is_wanted(row: Values) -> bool:
            is_executed = row["status"] is TradeStatus.EXECUTED
            return is_executed and row["decision_id"] in wanted and row["id"] > after

        wanted = set(decision_ids)
        found = self._session.find(Trade, is_wanted, by="decision_id", limit=limit)
        return [BookedTrade.from_trade(trade) for trade in found]

    def _prices(self, *page: Any) -> list[ports.RecordedPrice]:
        return trade_prices(self._session, *page)

    def count_booked(self, symbol: str | None = None) -> int:
        return sum(symbol in (None, row["symbol"]) for row in self._booked())

    def booked_symbols(self) -> list[str]:
        return sorted({row["symbol"] for row in self._booked()})

    def correcting(self, ids: Collection[int]) -> list[Trade]:
        return self._session.find(Trade, lambda row: row["corrects_id"] in ids)

    def corrections(self, symbol: str) -> ports.Corrections:
        rows = [row for row in self._booked() if row["symbol"] == symbol]
        busts = [row["bust_sequence"] for row in rows if row["bust_sequence"]]
        bookings = [row["sequence"] for row in rows if row["corrects_id"]]
        return ports.Corrections(sorted(busts), sorted(bookings))

    def last_entry(self, symbol: str, time: datetime) -> int:
        rows = [row for row in self._session.rows(Trade) if row["symbol"] == symbol]
        dates = (("sequence", "booked_at"), ("bust_sequence", "busted_at"))
        entries = [(row[entry], row[at]) for row in rows for entry, at in dates]
        return max((entry for entry, at in entries if at is not None and at <= time), default=0)

    def busted_after(self, sequences: Mapping[str, int]) -> list[Trade]:
        def is_later(row: Values) -> bool:
            entry = sequences.get(row["symbol"], 0)
            return bool(row["bust_sequence"]) and row["sequence"] <= entry < row["bust_sequence"]

        found = self._session.find(Trade, is_later)
        return sorted(found, key=lambda trade: (trade.symbol, trade.bust_sequence or 0))

    def newest_booked(self, symbol: str, *, limit: int) -> list[Trade]:
        return self._session.find(
            Trade,
            lambda row: row["symbol"] == symbol and row["sequence"] is not None,
            by="sequence",
            newest_first=True,
            limit=limit,
        )

    def busts_after(self, symbol: str, sequence: int, *, limit: int) -> list[Bust]:
        rows = [row for row in self._booked() if row["symbol"] == symbol and row["bust_sequence"]]
        busts = (Bust(row["sequence"], row["bust_sequence"]) for row in rows)
        later = (bust for bust in busts if bust.bust_sequence > sequence)
        return sorted(later, key=attrgetter("bust_sequence"))[:limit]

    def _booked(self) -> Iterator[Values]:
        return (row for row in self._session.rows(Trade) if row["sequence"] is not None)


class FakePositionRepository(FakeRepository[Position], ports.PositionRepository):
    def by_symbol(self, symbol: str) -> Position | None:
        found = self._session.find(
            Position, lambda row: _is_traded(row) and row["symbol"] == symbol
        )
        return next(iter(found), None)

    def all(self, *, open_only: bool = False) -> list[Position]:
        wanted = (PositionStatus.OPEN,) if open_only else tuple(PositionStatus)
        return self._session.find(
            Position, lambda row: _is_traded(row) and row["status"] in wanted, by="symbol"
        )


class FakePortfolioRepository(FakeRepository[Portfolio], ports.PortfolioRepository):
    def add(self, entity: Portfolio, positions: Sequence[PositionRow] = ()) -> Portfolio:
        self._session.insert(entity)
        for row in positions:
            position = PortfolioPosition(**{**row, "portfolio_id": entity.id})
            self._session.insert(position)
            row.update(id=position.id, portfolio_id=entity.id)
        return entity

    def positions_of(self, portfolio_ids: Collection[int]) -> list[PortfolioPosition]:
        wanted = set(portfolio_ids)
        rows = self._session.find(PortfolioPosition, lambda row: row["portfolio_id"] in wanted)
        return sorted(rows, key=lambda row: (row.portfolio_id, row.symbol))

    def positions_in(self, symbol: str) -> list[PortfolioPosition]:
        rows = self._session.find(PortfolioPosition, lambda row: row["symbol"] == symbol)
        return sorted(rows, key=lambda row: (row.sequence, row.portfolio_id))

    def _prices(self, *page: Any) -> list[ports.RecordedPrice]:
        return snapshot_prices(self._session, *page)


class FakeEventRepository(FakeRepository[Event], ports.EventRepository):
    def of(self, entity: str, entity_id: int) -> list[Event]:
        return self._session.find(
            Event, lambda row: (row["entity"], row["entity_id"]) == (entity, entity_id)
        )

    def last_given_id(self) -> None:
        return None

    def newest_id(self) -> int:
        return max((row["id"] for row in self._session.rows(Event)), default=0)

    def count_up_to(self, id_: int) -> int:
        return sum(row["id"] <= id_ for row in self._session.rows(Event))

    def bookings_of(self, trade_ids: Collection[int]) -> list[Event]:
        wanted = set(trade_ids)
        return self._session.find(
            Event, lambda row: _is_booking(row) and row["entity_id"] in wanted
        )

    def undone_of(self, trade_ids: Collection[int]) -> set[int]:
        events = self.bookings_of(trade_ids)
        return {e.entity_id for e in events if e.payload.get("undone_import") is not None}

    def about(self, entity: str, ids: Collection[int]) -> list[Event]:
        wanted = set(ids)
        return self._session.find(
            Event, lambda row: row["entity"] == entity and row["entity_id"] in wanted
        )

    def _correlated(
        self, correlation_id: str, after: int, last: int | None, limit: int
    ) -> list[ports.CorrelatedEvent]:
        def is_wanted(row: Values) -> bool:
            is_between = row["id"] > after and (last is None or row["id"] <= last)
            return is_between and bool(row["correlation_id"] == correlation_id)

        found = self._session.find(Event, is_wanted, limit=limit)
        return [
            ports.CorrelatedEvent(e.id, e.event_type, e.entity_id, e.payload.get("symbol"))
            for e in found
        ]

    def submissions(self) -> dict[str, int | None]:
        rows = self._session.rows(Event)
        symbols = [r["payload"]["symbol"] for r in rows if r["event_type"] == _SUBMITTED]
        return {symbol: symbols.count(symbol) for symbol in set(symbols)}

    def count_recorded(self) -> dict[str, int]:
        def named(types: Collection[str]) -> set[tuple[str, int]]:
            rows = self._session.rows(Event)
            return {(r["entity"], r["entity_id"]) for r in rows if r["event_type"] in types}

        return Counter(kind for kind, _ in named(CREATIONS) - named(DELETIONS))


_SUBMITTED: Final = TradeSubmitted.__name__


def _is_booking(event: Values) -> bool:
    return event["entity"] == Trade.__name__ and event["event_type"] in BOOKINGS + BUSTS


class FakeSealRepository(FakeRepository[Seal], ports.SealRepository):
    def last(self) -> Seal | None:
        found = self._session.find(Seal, by="number", newest_first=True, limit=1)
        return next(iter(found), None)

    def next_id(self) -> int:
        return self._session.next_id(Seal)

    def numbered(self, *, after: int = 0, limit: int = BATCH) -> list[Seal]:
        return self._session.find(Seal, lambda row: row["number"] > after, by="number", limit=limit)

    def covering(self, low: int, high: int) -> list[Seal]:
        return self._session.find(
            Seal, lambda row: row["from_id"] <= high and row["to_id"] >= low, by="number"
        )

    def count_covered(self) -> int:
        return sum(row["count"] for row in self._session.rows(Seal))

    def transaction_snapshot(self) -> TransactionSnapshot:
        return UNKNOWN  # units of work draw ids long before they commit


class FakeAccountRepository(FakeRepository[Account], ports.AccountRepository):
    def current(self) -> Account | None:
        return next(iter(self._session.find(Account)), None)

    def everywhere(self) -> list[Account]:
        rows = self._session.rows_everywhere(Account)
        found = [self._session.copy(Account, row) for row in rows]
        return sorted(found, key=lambda account: account.account)


REPOSITORY_CLASSES: Final[Mapping[type[Entity], type[FakeRepository[Any]]]] = {
    Account: FakeAccountRepository,
    AgentDecision: FakeDecisionRepository,
    DecisionInput: FakeDecisionInputRepository,
    Event: FakeEventRepository,
    Portfolio: FakePortfolioRepository,
    Position: FakePositionRepository,
    Seal: FakeSealRepository,
    Signal: FakeSignalRepository,
    Trade: FakeTradeRepository,
}
"""The repositories of kinds with methods of their own; of all others `FakeRepository`."""


class FakeLedger(Ledger):
    """Books without locks: of two units of work that book on one position, the second fails to commit."""

    def __init__(self, session: FakeSession, account: str, at: datetime) -> None:
        self._session = session
        self._account = account
        self._at = at

    def open(self, symbol: str, orders: Collection[OrderKey]) -> OpenPosition:
        row = self._row(symbol) or self._flat(symbol)
        wanted = set(orders)
        trades = self._session.find(
            Trade, lambda row: OrderKey(row["venue"], row["symbol"], row["order_id"]) in wanted
        )
        position = self._session.copy(Position, row)
        return OpenPosition(position, tuple(trades), row, self._base_currency())

    def book(self, page: OpenPosition, bookings: Sequence[tuple[Trade, Event]]) -> bool:
        # An order that is filled in parts by one batch comes with an event for each.
        position, trades = page.position, list({id(trade): trade for trade, _ in bookings}.values())
        row = self._row(position.symbol)
        if row is None or row["version"] != page.opened["version"] or self._clash(trades):
            for trade in trades:
                if self._session.holds(trade):
                    self._session.refresh(Trade, trade.id)
            return False
        is_as_opened = all(row[name] == page.opened[name] for name in MARK)
        is_newest = is_as_opened or may_replace_mark(row, vars(position))
        mark = {} if is_newest else {name: row[name] for name in MARK}
        self._session.put(Position, {**values_of(position), **mark})
        for trade, event in bookings:
            if self._session.holds(trade):
                self._session.save(trade)
            else:
                self._session.insert(trade)
            event.entity_id = trade.id
            self._session.add(event)
        return True

    def restate(self, realized_pnl: Mapping[int, Decimal]) -> None:
        for row in list(self._session.rows(Trade)):
            if row["id"] in realized_pnl:
                self._session.put(Trade, {**row, "realized_pnl": realized_pnl[row["id"]]})

    def marked(self, symbols: Collection[str]) -> list[Position]:
        wanted = set(symbols)
        return self._copies(row for row in self._session.rows(Position) if row["symbol"] in wanted)

    def mark(self, positions: Collection[Position]) -> None:
        for position in positions:
            row = self._row(position.symbol)
            if row is not None and may_replace_mark(row, vars(position)):
                mark = {name: getattr(position, name) for name in MARK}
                self._session.put(Position, {**row, **mark})

    def holdings(self, account: str | None = None) -> Holdings:
        rows = partial(self._session.rows, account=account)
        return Holdings(
            positions=tuple(self._copies(rows(Position))),
            cash=cash_totals((r["currency"], r["kind"], r["amount"]) for r in rows(CashFlow)),
            base_currency=self._base_currency(account),
            cash_flows=_count_and_last(rows(CashFlow)),
            snapshot_at=max(
                (r["timestamp"] for r in rows(Portfolio) if r["source"] == BOOK), default=None
            ),
        )

    def _base_currency(self, account: str | None = None) -> str | None:
        return next((row["base_currency"] for row in self._session.rows(Account, account)), None)

    def _row(self, symbol: str) -> Values | None:
        return next((r for r in self._session.rows(Position) if r["symbol"] == symbol), None)

    def _flat(self, symbol: str) -> Values:
        flat = Position(account=self._account, symbol=symbol, created_at=self._at)
        flat.id = self._session.next_id(Position)
        row = values_of(flat)
        self._session.put(Position, row)
        return row

    def _copies(self, rows: Iterable[Values]) -> list[Position]:
        ordered = sorted(filter(_is_traded, rows), key=lambda row: row["symbol"])
        return [self._session.copy(Position, row) for row in ordered]

    def _clash(self, trades: list[Trade]) -> bool:
        fills = {trade.fill_key for trade in trades}
        # A fill may take the key of the pending trade that it replaces in the same booking.
        allowed = {None, *(trade.id for trade in trades if self._session.holds(trade))}
        return len(fills) < len(trades) or any(
            self._session.holder(trade) not in allowed for trade in trades
        )


def _is_traded(position: Values) -> bool:
    return bool(position["sequence"])


def _count_and_last(rows: Iterable[Values]) -> tuple[int, int]:
    ids = [row["id"] for row in rows]
    return len(ids), max(ids, default=0)
