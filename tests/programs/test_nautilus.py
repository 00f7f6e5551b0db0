"""The actor of docs/integrations.md in a real backtest: every fill is in the book, and positions are NautilusTrader's own."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.model.events import OrderFilled, PositionClosed
from nautilus_trader.model.identifiers import InstrumentId, Venue
from nautilus_trader.model.instruments import Instrument
from nautilus_trader.model.objects import Money
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.trading.strategy import Strategy

from tests.support.command_line import Command
from tests.support.documented import documented_code
from tradebook import BookBusy, DatabaseManager, InvalidInput, Position, Trade
from tradebook.venues.nautilus import terms

ACTOR: Final[dict[str, Any]] = {"__name__": "book_actor"}
exec(documented_code("integrations.md", "NautilusTrader"), ACTOR)
BEGIN: Final = 1_770_000_000_123_456_789
CRYPTO: Final = [
    TestInstrumentProvider.ethusdt_binance(),
    TestInstrumentProvider.ethusdt_perp_binance(),
    TestInstrumentProvider.xrpusdt_linear_bybit(),
]
LISTED: Final = [
    TestInstrumentProvider.equity("AAPL", "XNAS"),
    TestInstrumentProvider.es_future(2026, 12),
]


class Trader(Strategy):
    """Buys, sells and turns positions over, with market orders and limits that are filled in parts."""

    def __init__(self, instruments: list[Instrument]) -> None:
        super().__init__()
        self.instruments, self.seen = instruments, 0
        self.closed: list[tuple[InstrumentId, Money]] = []  # a position that turns over is not kept

    def on_start(self) -> None:
        for instrument in self.instruments:
            self.subscribe_quote_ticks(instrument.id)

    def on_position_closed(self, event: PositionClosed) -> None:
        self.closed.append((event.instrument_id, event.realized_pnl))

    def on_quote_tick(self, tick: QuoteTick) -> None:
        self.seen += 1
        instrument = self.cache.instrument(tick.instrument_id)
        side = OrderSide.BUY if self.seen % 7 in (1, 2, 3) else OrderSide.SELL
        quantity = instrument.make_qty(1 + 2 * (self.seen % 4))
        if self.seen % 2:
            order = self.order_factory.market(instrument.id, side, quantity)
        else:
            price = tick.ask_price if side == OrderSide.BUY else tick.bid_price
            order = self.order_factory.limit(instrument.id, side, quantity, price)
        self.submit_order(order)


def ticks(instruments: list[Instrument]) -> Iterator[QuoteTick]:
    """Quotes that move, with less to take than some orders want."""
    for number in range(30):
        for index, instrument in enumerate(instruments):
            at = BEGIN + (len(instruments) * number + index) * 10**9
            bid, ask = 3000 + number * 37 % 101, 3001 + number * 37 % 101
            prices = instrument.make_price(bid), instrument.make_price(ask)
            size = instrument.make_qty(3)
            yield QuoteTick(instrument.id, *prices, size, size, at, at)


@pytest.fixture(params=[CRYPTO, LISTED], ids=["crypto", "listed"])
def engine(request: pytest.FixtureRequest, sqlite_book: str) -> Iterator[BacktestEngine]:
    """An engine that has not run, with the actor."""
    instruments: list[Instrument] = request.param
    currency = instruments[0].quote_currency
    made = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
    for name in {instrument.id.venue.value for instrument in instruments}:
        money = [Money(10_000_000, currency)]
        made.add_venue(Venue(name), OmsType.NETTING, AccountType.MARGIN, money)
    for instrument in instruments:
        made.add_instrument(instrument)
    made.add_data(list(ticks(instruments)))
    config = ACTOR["BookConfig"](database=sqlite_book, base_currency=currency.code)
    made.add_actor(ACTOR["BookActor"](config))
    made.add_strategy(Trader(instruments))
    yield made
    made.dispose()


def fills(engine: BacktestEngine) -> list[OrderFilled]:
    found = (event for order in engine.cache.orders() for event in order.events)
    return [event for event in found if isinstance(event, OrderFilled)]


def recorded(book: DatabaseManager) -> dict[str, tuple[Any, ...]]:
    return {
        trade.execution_id: (
            *(trade.order_id, trade.action.value, trade.quantity, trade.price),
            *(trade.fee, trade.fee_currency, trade.strategy, trade.venue),
        )
        for trade in book.iterate(Trade)
    }


def position_of(book: DatabaseManager, own: Any) -> Position:
    return book.get_all(Position, symbol=own.instrument_id.symbol.value)[0]


def test_every_fill_is_in_the_book_and_positions_are_those_of_nautilus(
    engine: BacktestEngine, sqlite_book: str
) -> None:
    engine.run()

    filled = fills(engine)
    assert len(filled) > 40
    with DatabaseManager(sqlite_book) as book:
        assert recorded(book) == {
            each.trade_id.value: (
                *(each.venue_order_id.value, each.order_side.name),
                *(each.last_qty.as_decimal(), each.last_px.as_decimal()),
                *(each.commission.as_decimal(), each.commission.currency.code),
                *(each.strategy_id.value, each.instrument_id.venue.value),
            )
            for each in filled
        }
        for own in engine.cache.positions():
            position = position_of(book, own)
            assert position.quantity == own.signed_decimal_qty()
        assert book.verify().proven


def test_realized_pnl_is_that_of_nautilus_to_its_last_digit(
    engine: BacktestEngine, sqlite_book: str
) -> None:
    engine.run()

    with DatabaseManager(sqlite_book) as book:
        for own in engine.cache.positions():
            position = position_of(book, own)
            closed = engine.trader.strategies()[0].closed
            total = sum(money.as_decimal() for name, money in closed if name == own.instrument_id)
            if own.is_open:
                total += own.realized_pnl.as_decimal()
            # It rounds the P&L of each fill to the decimals of the currency, from floats.
            last_place = Decimal(1).scaleb(-own.settlement_currency.precision)
            most = last_place * len(fills(engine))
            assert abs(position.realized_pnl - position.fees - total) <= most


def test_the_report_of_the_same_run_books_nothing_more(
    engine: BacktestEngine, sqlite_book: str, tmp_path: Path
) -> None:
    engine.run()
    report = tmp_path / "fills.csv"
    engine.trader.generate_fills_report().to_csv(report)

    answer = Command(sqlite_book).json("import", "--from", "nautilus", str(report))

    assert (answer["booked"], answer["duplicates"]) == (0, len(fills(engine)))


@pytest.mark.parametrize("engine", [CRYPTO], indirect=True)
def test_the_report_alone_gives_the_positions_and_balances_of_the_actor(
    engine: BacktestEngine, sqlite_book: str, tmp_path: Path
) -> None:
    engine.run()
    report = tmp_path / "fills.csv"
    engine.trader.generate_fills_report().to_csv(report)
    other, own = Command(f"sqlite:///{tmp_path / 'other.db'}"), Command(sqlite_book)

    other.json("import", "--from", "nautilus", str(report))

    def positions(command: Command) -> list[tuple[str, ...]]:
        names = ("symbol", "quantity", "cost_basis", "realized_pnl", "fees", "settlement")
        every = command.json("positions", "--all")["positions"]
        return sorted(tuple(each[name] for name in names) for each in every)

    assert positions(other) == positions(own)
    assert other.json("balances")["balances"] == own.json("balances")["balances"]


def test_what_the_book_refused_for_a_while_is_recorded_when_the_actor_stops(
    engine: BacktestEngine, sqlite_book: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, calls = DatabaseManager.record_trade, 0

    def sometimes(self: DatabaseManager, **given: Any) -> Any:
        nonlocal calls
        calls += 1
        if 10 < calls < 30:
            raise BookBusy("the book is locked")
        return record(self, **given)

    monkeypatch.setattr(DatabaseManager, "record_trade", sometimes)
    engine.run()

    with DatabaseManager(sqlite_book) as book:
        assert recorded(book).keys() == {each.trade_id.value for each in fills(engine)}
        assert book.verify().proven


def test_what_the_book_cannot_express_is_refused_by_name(
    engine: BacktestEngine,
) -> None:
    engine.run()
    fill = fills(engine)[0]
    for instrument, words in (
        (TestInstrumentProvider.xbtusd_bitmex(), "settles in USD"),
        (TestInstrumentProvider.option_spread(), "legs"),
        (None, "which the cache has not"),
    ):
        with pytest.raises(InvalidInput, match=words):
            terms(fill, instrument)
