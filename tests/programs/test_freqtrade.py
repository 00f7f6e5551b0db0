"""The strategy of docs/integrations.md in a real bot, trading live on an exchange that answers as Binance does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import ccxt
import ccxt.pro
import pytest
from freqtrade.enums import ExitCheckTuple, ExitType, RunMode, State
from freqtrade.freqtradebot import FreqtradeBot
from freqtrade.persistence import Trade as BotTrade

from tests.programs.binance_spot import BinanceSpot
from tests.programs.freqtrade_history import DUMP, dumped, write
from tests.support.command_line import Command
from tests.support.documented import documented_code
from tradebook import BookBusy, DatabaseManager, Trade

STRATEGY: Final = """

class Traded(Recorded):
    timeframe = "5m"
    stoploss = -0.5
    minimal_roi = {}
    position_adjustment_enable = True

    def populate_indicators(self, dataframe, metadata):
        return dataframe

    populate_entry_trend = populate_exit_trend = populate_indicators
"""
SPOT: Final = {
    "enableRateLimit": False,
    "options": {
        "fetchMarkets": {"types": ["spot"]},
        "fetchCurrencies": False,
        "fetchMargins": False,
    },
}


@pytest.fixture
def venue(monkeypatch: pytest.MonkeyPatch) -> BinanceSpot:
    """An exchange that answers every request of ccxt."""
    made = BinanceSpot()

    def fetch(
        _self: Any, url: str, method: str = "GET", headers: Any = None, body: Any = None
    ) -> Any:
        return made.answer(url, method, body)

    async def fetch_async(*args: Any, **options: Any) -> Any:
        return fetch(*args, **options)

    monkeypatch.setattr(ccxt.binance, "fetch", fetch)
    monkeypatch.setattr(ccxt.pro.binance, "fetch", fetch_async)
    return made


@pytest.fixture
def start(venue: BinanceSpot, tmp_path: Path, sqlite_book: str) -> Iterator[Callable[..., Any]]:
    """A function that starts a bot with the documented strategy, on the same database each time."""
    (tmp_path / "traded.py").write_text(documented_code("integrations.md", "freqtrade") + STRATEGY)
    started: list[FreqtradeBot] = []

    def start(**more: Any) -> FreqtradeBot:
        pricing = {"price_side": "same", "use_order_book": False}
        config = {
            "tradebook": sqlite_book,
            "strategy": "Traded",
            "strategy_path": str(tmp_path),
            "user_data_dir": tmp_path,
            "datadir": tmp_path,
            "runmode": RunMode.LIVE,
            "dry_run": False,
            "db_url": f"sqlite:///{tmp_path / 'tradesv3.sqlite'}",
            "stake_currency": "USDT",
            "stake_amount": 1000,
            "max_open_trades": 3,
            "tradable_balance_ratio": 0.99,
            "dry_run_wallet": 10_000,
            "timeframe": "5m",
            "exchange": {
                "name": "binance",
                "key": "k",
                "secret": "s",
                "pair_whitelist": ["ETH/USDT", "BTC/USDT", "SOL/USDT"],
                "pair_blacklist": [],
                "enable_ws": False,
                "ccxt_config": SPOT,
            },
            "entry_pricing": pricing,
            "exit_pricing": pricing,
            "pairlists": [{"method": "StaticPairList"}],
            "unfilledtimeout": {"entry": 10, "exit": 10, "unit": "minutes"},
            "initial_state": "running",
            "original_config": {},
            **more,
        }
        started.append(FreqtradeBot(config))
        assert started[-1].state is State.RUNNING
        return started[-1]

    yield start
    for bot in started:
        if bot.strategy.book is not None:
            bot.strategy.book.close()
        bot.exchange.close()
    BotTrade.session.remove()


def the_trade(pair: str = "ETH/USDT") -> BotTrade:
    [found] = [trade for trade in BotTrade.get_open_trades() if trade.pair == pair]
    return found


def exit_part(
    bot: FreqtradeBot, trade: BotTrade, price: float, amount: float | None = None
) -> None:
    check = ExitCheckTuple(exit_type=ExitType.FORCE_EXIT)
    assert bot.execute_trade_exit(trade, price, exit_check=check, sub_trade_amt=amount)


def trade_a_while(bot: FreqtradeBot, venue: BinanceSpot) -> None:
    """Enter in two orders, one of them filled in parts, and leave in two; another trade stays open."""
    assert bot.execute_entry("ETH/USDT", 1000, price=3000.0, enter_tag="rsi_dip")
    venue.fill(("0.2", "3000"), ("0.1333", "2999.5"), paid_in="ETH")
    bot.manage_open_orders()
    assert bot.execute_entry(
        "ETH/USDT", 1000, price=2900.0, trade=the_trade(), mode="pos_adjust", enter_tag="again"
    )
    venue.fill(("0.3448", "2899.9"))  # freqtrade does not look for the fee of a second entry
    bot.manage_open_orders()
    assert bot.execute_entry("SOL/USDT", 500, price=140.0)
    venue.fill(("3.5714", "139.99"))
    bot.manage_open_orders()
    exit_part(bot, the_trade(), 3100.0, 0.25)
    venue.fill(("0.25", "3100.5"))
    bot.manage_open_orders()
    exit_part(bot, the_trade(), 3200.0)
    venue.fill((venue.orders[7005]["origQty"], "3201.1"))
    bot.manage_open_orders()
    assert {trade.pair for trade in BotTrade.get_open_trades()} == {"SOL/USDT"}


def quantities(book: DatabaseManager) -> dict[str, Decimal]:
    return {trade.order_id: trade.quantity for trade in book.iterate(Trade)}


def executed(venue: BinanceSpot) -> dict[str, Decimal]:
    return {
        str(number): Decimal(order["executedQty"])
        for number, order in venue.orders.items()
        if Decimal(order["executedQty"])
    }


def test_every_order_is_in_the_book_as_it_fills(
    start: Callable[..., FreqtradeBot], venue: BinanceSpot, sqlite_book: str
) -> None:
    bot = start()
    trade_a_while(bot, venue)

    book = bot.strategy.book
    assert quantities(book) == executed(venue)
    for trade in book.iterate(Trade):
        fills = [each for each in venue.fills if str(each["orderId"]) == trade.order_id]
        notional = sum(Decimal(each["quoteQty"]) for each in fills)
        assert abs(trade.quantity * trade.price - notional) < Decimal("1e-9")
        paid = sum(Decimal(each["commission"]) for each in fills)
        assert trade.fee_currency == fills[0]["commissionAsset"]
        assert abs(trade.fee - paid) < Decimal("1e-6")
        assert (trade.venue, trade.strategy) == ("binance", "Traded")
    first = book.get_all(Trade, order_id="7001")[0]
    assert first.details["enter_tag"] == "rsi_dip"
    held = {each.asset: each.balance for each in book.get_balances()}
    assert held["ETH"] == venue.balances["ETH"]
    assert held["SOL"] == venue.balances["SOL"]
    assert abs(held["USDT"] + 100_000 - venue.balances["USDT"]) < Decimal("1e-6")
    assert book.verify().proven


def test_the_database_of_the_bot_then_imports_as_the_same_trades(
    start: Callable[..., FreqtradeBot], venue: BinanceSpot, sqlite_book: str, tmp_path: Path
) -> None:
    bot = start()
    trade_a_while(bot, venue)
    path, other = str(tmp_path / "tradesv3.sqlite"), Command(f"sqlite:///{tmp_path / 'other.db'}")

    answer = Command(sqlite_book).json("import", "--from", "freqtrade", path)
    other.json("import", "--from", "freqtrade", path)

    assert (answer["booked"], answer["duplicates"]) == (0, 5)

    def trades(command: Command) -> dict[str, list[Any]]:
        alike = (
            "symbol",
            "venue",
            "action",
            "quantity",
            "price",
            "currency",
            "fee",
            "fee_currency",
        )
        named = (*alike, "settlement", "executed_at", "strategy")
        return {
            each["order_id"]: [
                *(each[name] for name in named),
                *(each["details"].get(name) for name in ("freqtrade_trade", "enter_tag")),
            ]
            for each in command.json("trades", "--limit", "100")["trades"]
        }

    assert trades(other) == trades(Command(sqlite_book))


def test_an_order_without_a_fill_is_not_recorded_and_a_cancelled_one_with_its_part(
    start: Callable[..., FreqtradeBot], venue: BinanceSpot
) -> None:
    bot = start()
    assert bot.execute_entry("BTC/USDT", 1000, price=90_000.0)
    bot.cancel_all_open_orders()
    assert quantities(bot.strategy.book) == {}
    assert bot.execute_entry("ETH/USDT", 1000, price=3000.0)
    venue.fill(("0.05", "3000"), status="PARTIALLY_FILLED")
    bot.cancel_all_open_orders()
    assert quantities(bot.strategy.book) == {"7002": Decimal("0.05")}


def test_what_the_book_missed_is_recorded_with_the_next_fill(
    start: Callable[..., FreqtradeBot], venue: BinanceSpot, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot = start()
    with monkeypatch.context() as patch:
        patch.setattr(DatabaseManager, "record_trade", _is_busy)
        assert bot.execute_entry("ETH/USDT", 1000, price=3000.0)
        venue.fill(("0.3333", "3000"))
        bot.manage_open_orders()
    assert quantities(bot.strategy.book) == {}
    exit_part(bot, the_trade(), 3100.0)
    venue.fill(("0.3333", "3100"))
    bot.manage_open_orders()
    assert quantities(bot.strategy.book) == executed(venue)


def _is_busy(_book: DatabaseManager, **_terms: Any) -> Trade:
    raise BookBusy("the book is locked")


def test_a_bot_that_starts_records_what_was_traded_without_the_book(
    start: Callable[..., FreqtradeBot], venue: BinanceSpot, sqlite_book: str, tmp_path: Path
) -> None:
    trade_a_while(start(tradebook=str(tmp_path / "another.db")), venue)

    bot = start()

    assert quantities(bot.strategy.book) == executed(venue)
    assert bot.strategy.book.verify().proven


def test_a_dry_run_records_nothing(start: Callable[..., FreqtradeBot]) -> None:
    assert start(runmode=RunMode.DRY_RUN, dry_run=True).strategy.book is None


def test_the_fixture_is_what_the_orm_writes(tmp_path: Path) -> None:
    path = tmp_path / "tradesv3.sqlite"
    write(path)

    assert "".join(dumped(path)) == DUMP.read_text()
