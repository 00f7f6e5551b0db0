"""A bot's history, written by freqtrade's own ORM: each order goes the way that `FreqtradeBot` sends it.

`python -m tests.programs.freqtrade_history` writes tests/data/venues/freqtrade/orm.sql anew, with the version of freqtrade
that setup.cfg pins; `make integrations` compares.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

from freqtrade.enums import TradingMode
from freqtrade.persistence import Order, Trade, init_db

from tests.support.checkout import ROOT

DUMP: Final = ROOT / "tests" / "data" / "venues" / "freqtrade" / "orm.sql"
BEGIN: Final = datetime(2026, 1, 5, 8, tzinfo=UTC)
STRATEGIES: Final = ("Awesome", "SampleStrategy", "MeanReversion")
ENTRIES: Final = ("rsi_dip", "breakout", None, "force_entry")
EXITS: Final = ("roi", "exit_signal", "trailing_stop_loss", "force_exit", "partial_exit")


class Fill(NamedTuple):
    """An order, and what the exchange made of it.

    Attributes:
        side: enter, exit or stop.
        amount: of the order, in the base asset.
        price: its average.
        paid_in: the asset of its fee.
        rate: of its fee; None where the exchange told none.
        filled: less than the amount where the rest was cancelled.
        funding: of the time since the last fill.
        kind: the type of the order.
        has_average: whether the exchange told the price; freqtrade takes that of the order, the stop, or its own instead.
    """

    side: str
    amount: float
    price: float
    paid_in: str | None = None
    rate: float | None = None
    filled: float | None = None
    funding: float = 0.0
    kind: str = "limit"
    has_average: bool = True


class Story(NamedTuple):
    """A trade of freqtrade: its orders, and what the bot set before the first of them."""

    pair: str
    fills: list[Fill]
    is_short: bool = False
    leverage: float = 1.0


def _simple(pair: str, amount: float, first: float, last: float, rate: float, **more: Any) -> Story:
    """A trade of one entry and one exit, whose fees are in the quote currency."""
    fills = [
        Fill("enter", amount, first, "USDT", rate),
        Fill("exit", amount, last, "USDT", rate, funding=more.pop("funding", 0.0)),
    ]
    return Story(pair, fills, **more)


STORIES: Final = [
    # Spot, fees in the quote currency.
    _simple("BTC/USDT", 0.01234, 93211.37, 94870.11, 0.001),
    _simple("ETH/USDT", 0.7311, 3127.43, 3098.77, 0.001),
    _simple("SOL/USDT", 17.31, 134.71, 141.03, 0.00075),
    _simple("ADA/USDT", 3211.7, 0.39217, 0.40113, 0.001),
    _simple("XRP/USDT", 1433.3, 2.08117, 2.07993, 0.001),
    _simple("DOGE/USDT", 8123.0, 0.1437711, 0.1511903, 0.0004),
    _simple("PEPE/USDT", 61234567.0, 0.0000058713, 0.0000061939, 0.001),
    _simple("BTC/USDT", 0.00777, 95111.99, 91234.56, 0.001),
    # More entries, each averaged in, and exits of a part.
    Story(
        "ETH/USDT",
        [
            Fill("enter", 0.3, 3101.11, "USDT", 0.001),
            Fill("enter", 0.45, 2987.77, "USDT", 0.001),
            Fill("enter", 0.9, 2871.13, "USDT", 0.001),
            Fill("exit", 1.65, 3011.77, "USDT", 0.001),
        ],
    ),
    Story(
        "SOL/USDT",
        [
            Fill("enter", 30.0, 131.13, "USDT", 0.001),
            Fill("exit", 11.0, 137.71, "USDT", 0.001),
            Fill("exit", 7.7, 139.93, "USDT", 0.001),
            Fill("exit", 11.3, 129.99, "USDT", 0.001, kind="market"),
        ],
    ),
    Story(
        "LINK/USDT",
        [
            Fill("enter", 50.0, 13.377, "USDT", 0.001),
            Fill("exit", 20.0, 14.113, "USDT", 0.001),
            Fill("enter", 35.5, 12.791, "USDT", 0.001),
            Fill("exit", 31.1, 13.999, "USDT", 0.001),
            Fill("exit", 34.4, 13.371, "USDT", 0.001),
        ],
    ),
    # Rates that differ: freqtrade counts one for all entries (the first, from the third order on a later one), and that of
    # the first exit for all exits.
    Story(
        "TON/USDT",
        [
            Fill("enter", 100.0, 1.613, "USDT", 0.001),
            Fill("enter", 150.0, 1.571, "USDT", 0.0009),
            Fill("enter", 75.0, 1.533, "USDT", 0.00075),
            Fill("exit", 130.0, 1.647, "USDT", 0.0004),
            Fill("exit", 195.0, 1.659, "USDT", 0.001),
        ],
    ),
    # An entry of which a part was filled, one without a fill, an exit that was replaced.
    Story(
        "AVAX/USDT",
        [
            Fill("enter", 40.0, 13.93, filled=0.0),
            Fill("enter", 40.0, 13.91, "USDT", 0.001, filled=23.7),
            Fill("exit", 23.7, 14.77, filled=0.0),
            Fill("exit", 23.7, 14.55, "USDT", 0.001),
        ],
    ),
    # A stop loss on the exchange: a market order that names no price.
    Story(
        "DOT/USDT",
        [
            Fill("enter", 311.1, 2.1371, "USDT", 0.001),
            Fill("stop", 311.1, 2.0113, "USDT", 0.001, kind="stop_loss_limit"),
        ],
    ),
    # The fee is taken from what was bought; that of a second entry is one that freqtrade does not look for.
    Story(
        "LTC/USDT",
        [Fill("enter", 9.0, 81.37, "LTC", 0.001), Fill("exit", 8.991, 84.13, "USDT", 0.001)],
    ),
    Story(
        "ATOM/USDT",
        [
            Fill("enter", 200.0, 2.311, "ATOM", 0.001),
            Fill("enter", 300.0, 2.207, "ATOM", 0.001),
            Fill("enter", 100.0, 2.171, "ATOM", 0.001),
            Fill("exit", 199.5, 2.377, "USDT", 0.001),
            Fill("exit", 400.2, 2.401, "USDT", 0.001),
        ],
    ),
    # In a third asset, and unknown: freqtrade counts a rate in the stake currency.
    Story(
        "NEAR/USDT",
        [Fill("enter", 123.4, 1.711, "BNB", 0.00075), Fill("exit", 123.4, 1.787, "BNB", 0.00075)],
    ),
    Story(
        "UNI/USDT",
        [
            Fill("enter", 77.0, 5.731, has_average=False),
            Fill("exit", 77.0, 5.811, kind="market", has_average=False),
        ],
    ),
    # Futures: funding, leverage, shorts.
    _simple("BTC/USDT:USDT", 0.051, 92111.3, 93007.7, 0.0005, leverage=3.0, funding=-0.7711),
    _simple("ETH/USDT:USDT", 2.13, 3077.71, 3101.13, 0.0005, is_short=True, funding=0.41237),
    _simple(
        "SOL/USDT:USDT", 71.0, 139.73, 128.91, 0.0005, is_short=True, leverage=5.0, funding=1.003
    ),
    Story(
        "XRP/USDT:USDT",
        [
            Fill("enter", 1000.0, 2.0117, "USDT", 0.0002),
            Fill("enter", 1500.0, 2.0771, "USDT", 0.0002, funding=-0.1133),
            Fill("exit", 900.0, 2.0001, "USDT", 0.0002, funding=0.2201),
            Fill("exit", 1600.0, 1.9377, "USDT", 0.0002, funding=-0.0077),
        ],
        is_short=True,
        leverage=2.0,
    ),
    Story(
        "DOGE/USDT:USDT",
        [
            Fill("enter", 9000.0, 0.14117, "USDT", 0.0005),
            Fill("stop", 9000.0, 0.14771, "USDT", 0.0005, kind="stop_market", has_average=False),
        ],
        is_short=True,
    ),
    _simple("BTC/USDT:USDT", 0.013, 91777.7, 92999.9, 0.0005, is_short=True, funding=0.07),
    _simple("ADA/USDT:USDT", 5100.0, 0.3917, 0.4033, 0.0005, leverage=2.0, funding=-0.019),
    # Open: one untouched, one of which a part was sold, one short.
    Story("BNB/USDT", [Fill("enter", 1.7, 877.31, "USDT", 0.001)]),
    Story(
        "TRX/USDT",
        [Fill("enter", 4000.0, 0.2811, "USDT", 0.001), Fill("exit", 1500.0, 0.2877, "USDT", 0.001)],
    ),
    Story(
        "LTC/USDT:USDT", [Fill("enter", 12.0, 83.11, "USDT", 0.0005)], is_short=True, leverage=2.0
    ),
]


def write(path: Path) -> None:
    """Write the history of a bot into a new SQLite database."""
    init_db(f"sqlite:///{path}")
    for number, story in enumerate(STORIES):
        _play(number, story)
    _await_fill(next(trade for trade in Trade.get_open_trades() if trade.pair == "BNB/USDT"))
    Trade.commit()
    Trade.session.remove()


def _play(number: int, story: Story) -> None:
    at = BEGIN + timedelta(hours=7 * number)
    first = story.fills[0]
    base, _, quote = story.pair.partition(":")[0].partition("/")
    trade = Trade(
        exchange="binance",
        pair=story.pair,
        base_currency=base,
        stake_currency=quote,
        stake_amount=first.amount * first.price / story.leverage,
        amount=first.amount,
        amount_requested=first.amount,
        open_rate=first.price,
        open_rate_requested=first.price,
        fee_open=0.001,
        fee_close=0.001,
        open_date=at,
        strategy=STRATEGIES[number % len(STRATEGIES)],
        enter_tag=ENTRIES[number % len(ENTRIES)],
        timeframe=5,
        trading_mode=TradingMode.FUTURES if ":" in story.pair else TradingMode.SPOT,
        is_short=story.is_short,
        leverage=story.leverage,
        amount_precision=8,
        price_precision=10,
        precision_mode=2,
        precision_mode_price=2,
        contract_size=1.0,
    )
    trade.adjust_stop_loss(trade.open_rate, -0.1, initial=True)
    Trade.session.add(trade)
    for index, fill in enumerate(story.fills):
        _fill(trade, fill, f"{17_000_000 + 100 * number + index}", at + timedelta(hours=index))
        if not trade.is_open:
            trade.exit_reason = trade.exit_reason or EXITS[number % len(EXITS)]
    Trade.commit()


def _fill(trade: Trade, fill: Fill, order_id: str, at: datetime) -> None:
    """Place an order and let the exchange answer, as `FreqtradeBot.update_trade_state` takes it."""
    filled = fill.amount if fill.filled is None else fill.filled
    side = trade.entry_side if fill.side == "enter" else trade.exit_side
    placed = _ccxt_order(trade, fill, order_id, at, side)
    named = "stoploss" if fill.side == "stop" else side
    order = Order.parse_from_ccxt_object(placed, trade.pair, named, fill.amount, fill.price)
    order.ft_order_tag = trade.enter_tag if fill.side == "enter" else None
    trade.orders.append(order)
    if fill.funding:
        trade.set_funding_fees(fill.funding)

    status = "closed" if filled == fill.amount else "canceled"
    ended = int((at + timedelta(minutes=11, milliseconds=337)).timestamp() * 1000)
    answer = {
        **placed,
        "status": status,
        "filled": filled,
        "remaining": fill.amount - filled,
        "average": fill.price if filled and fill.has_average else None,
        "cost": filled * fill.price,
        "lastTradeTimestamp": ended,
    }
    trade.update_order(answer)
    order.order_update_date = datetime.fromtimestamp(ended / 1000, UTC)  # it took the clock's
    if not filled:
        return
    if fill.paid_in is not None and fill.rate is not None and not trade.fee_updated(side):
        is_base = fill.paid_in == trade.base_currency
        cost = round(filled * fill.rate * (1 if is_base else fill.price), 10)
        trade.update_fee(cost, fill.paid_in, fill.rate, side)
        order.ft_fee_base = cost if is_base else None
    trade.update_trade(order)
    if fill.side == "enter" and trade.nr_of_successful_entries > 1:
        trade.fee_open_currency = None


def _ccxt_order(trade: Trade, fill: Fill, order_id: str, at: datetime, side: str) -> dict[str, Any]:
    return {
        "id": order_id,
        "symbol": trade.pair,
        "type": fill.kind,
        "side": side,
        "price": None if fill.kind in ("market", "stop_market") else fill.price,
        "stopPrice": fill.price if fill.side == "stop" else None,
        "amount": fill.amount,
        "filled": 0.0,
        "remaining": fill.amount,
        "average": None,
        "cost": 0.0,
        "status": "open",
        "timestamp": int(at.timestamp() * 1000),
    }


def _await_fill(trade: Trade) -> None:
    """Place an exit order that is not filled."""
    fill = Fill("exit", trade.amount, 911.11)
    at = BEGIN + timedelta(days=20)
    placed = _ccxt_order(trade, fill, "17990000", at, trade.exit_side)
    order = Order.parse_from_ccxt_object(placed, trade.pair, trade.exit_side)
    order.order_update_date = at
    trade.orders.append(order)


def dumped(path: Path) -> Iterator[str]:
    """Yield a database as SQL: its tables of trades and orders."""
    with closing(sqlite3.connect(path)) as connection:
        for statement in connection.iterdump():
            if statement.split('"')[1:2] in (["trades"], ["orders"]) or (
                statement.startswith(("CREATE TABLE trades", "CREATE TABLE orders"))
            ):
                yield f"{statement}\n"


def main() -> None:
    """Write the dump anew."""
    with TemporaryDirectory() as folder:
        write(path := Path(folder) / "tradesv3.sqlite")
        DUMP.write_text("".join(dumped(path)))


if __name__ == "__main__":
    main()
