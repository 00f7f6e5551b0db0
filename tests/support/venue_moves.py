"""The balances that the samples of tests/data/venues say, from their own columns: no code of the book or its presets."""

from __future__ import annotations

import csv
import json
import re
import sqlite3
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, NamedTuple
from xml.etree import ElementTree as ET

from tests.support.checkout import ROOT

SAMPLES: Final = ROOT / "tests" / "data" / "venues"
Record = dict[str, str]


class Balances:
    """The balance of each asset; contracts move cash only, by what closing them earns."""

    def __init__(self) -> None:
        self._amounts: dict[str, Fraction] = defaultdict(Fraction)
        self._held: dict[str, Fraction] = defaultdict(Fraction)
        self._entries: dict[str, Fraction] = {}

    def move(self, asset: str, amount: str | Fraction) -> None:
        self._amounts[asset] += Fraction(amount)

    def trade(self, side: str, asset: str, quantity: str, currency: str, price: str) -> None:
        signed = Fraction(quantity) * (1 if side.lower() == "buy" else -1)
        self.move(asset, signed)
        self.move(currency, -signed * Fraction(price))

    def contract(
        self, side: str, symbol: str, quantity: str, currency: str, price: str, size: int = 1
    ) -> None:
        signed = Fraction(quantity) * (1 if side.lower() == "buy" else -1)
        held, cost = self._held[symbol], Fraction(price)
        if held * signed >= 0:
            before = self._entries.get(symbol, Fraction(0)) * held
            self._entries[symbol] = (before + cost * signed) / (held + signed)
        else:
            closed = min(abs(held), abs(signed)) * (1 if held > 0 else -1)
            self.move(currency, closed * (cost - self._entries[symbol]) * size)
            if abs(signed) > abs(held):
                self._entries[symbol] = cost
        self._held[symbol] = held + signed

    def nonzero(self) -> dict[str, Fraction]:
        return {asset: amount for asset, amount in self._amounts.items() if amount}

    def contracts(self) -> dict[str, Fraction]:
        return {symbol: held for symbol, held in self._held.items() if held}


def records_of(path: Path) -> list[Record]:
    """Read a sample in the order of its times."""
    if path.suffix == ".json":
        read = json.loads(path.read_text())
        rows = list(read["fills"] if isinstance(read, dict) else read)
    elif path.suffix == ".xml":
        rows = [each.attrib for each in ET.parse(path).iter() if each.tag in ELEMENTS]
    else:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
    return sorted(rows, key=_time)


ELEMENTS: Final = ("Trade", "CashTransaction")


def _time(row: Record) -> str:
    names = [
        "Date(UTC)",
        "time",
        "trade_time",
        "datetime",
        "created_at",
        "transaction_time",
        "date",
        "ts_event",
        "dateTime",
    ]
    return str(next((row[name] for name in (*names, "created at") if name in row), ""))


def _glued(text: str) -> tuple[str, str]:
    found = re.fullmatch(r"([\d.]+) ?(\w+)", text)
    assert found
    return found[1], found[2]


def _binance_new(held: Balances, row: Record) -> None:
    (quantity, asset), (_, currency), (fee, paid_in) = (
        _glued(row[name]) for name in ("Executed", "Amount", "Fee")
    )
    held.trade(row["Side"], asset, quantity, currency, row["Price"].replace(",", ""))
    held.move(paid_in, -Fraction(fee))


def _binance_old(held: Balances, row: Record) -> None:
    pair = row["Market"]
    currency = next(each for each in ("USDT", "BTC", "EUR") if pair.endswith(each))
    held.trade(row["Type"], pair.removesuffix(currency), row["Amount"], currency, row["Price"])
    held.move(row["Fee Coin"], -Fraction(row["Fee"]))


def _binance_income(held: Balances, row: Record) -> None:
    if row["incomeType"] not in ("COMMISSION", "REALIZED_PNL"):
        held.move(row["asset"], row["income"])


def _binance_api(held: Balances, row: Record) -> None:
    pair = row["symbol"]
    currency = next(each for each in ("USDT", "USDC", "BTC", "EUR") if pair.endswith(each))
    asset, side = pair.removesuffix(currency), "buy" if row["isBuyer"] else "sell"
    held.trade(side, asset, row["qty"], currency, row["price"])
    held.move(row["commissionAsset"], -Fraction(row["commission"]))


def _ccxt_ledger(held: Balances, row: dict[str, Any]) -> None:
    if row["type"] not in ("trade", "fee", "margin", "loan"):
        sign = 1 if row["direction"] == "in" else -1
        held.move(row["currency"], sign * Fraction(str(row["amount"])))
        held.move(row["currency"], -Fraction(str((row["fee"] or {"cost": 0})["cost"])))


_KRAKEN: Final = {
    "XXBTZEUR": ("BTC", "EUR"),
    "XBT/USD": ("BTC", "USD"),
    "XTZEUR": ("XTZ", "EUR"),
    "ADAUSDT": ("ADA", "USDT"),
    "XETHXXBT": ("ETH", "BTC"),
}
_KRAKEN_ASSETS: Final = {"ZEUR": "EUR", "ZUSD": "USD", "XXBT": "BTC", "DOT.S": "DOT", "XXLM": "XLM"}


def _kraken_trades(held: Balances, row: Record) -> None:
    if not float(row["margin"]):
        asset, currency = _KRAKEN[row["pair"]]
        held.trade(row["type"], asset, row["vol"], currency, row["price"])
        held.move(currency, -Fraction(row["fee"]))


def _kraken_ledgers(held: Balances, row: Record) -> None:
    inside = ("spottostaking", "stakingfromspot", "allocation")
    apart = ("trade", "spend", "receive", "margin", "nfttrade")
    if row["txid"] and row["subtype"] not in inside and row["type"] not in apart:
        asset = _KRAKEN_ASSETS.get(row["asset"], row["asset"])
        held.move(asset, Fraction(row["amount"]) - Fraction(row["fee"]))


def _coinbase(held: Balances, row: Record) -> None:
    held.move(row["size unit"], Fraction(row["size"]) * (1 if row["side"] == "BUY" else -1))
    held.move(row["price/fee/total unit"], row["total"])  # with the fee


def _coinbase_api(held: Balances, row: Record) -> None:
    if row["trade_type"] == "FILL" and not row["size_in_quote"]:
        asset, currency = row["product_id"].split("-")
        held.trade(row["side"], asset, row["size"], currency, row["price"])
        held.move(currency, -Fraction(row["commission"]))


def _nautilus(held: Balances, row: Record) -> None:
    symbol = row["instrument_id"].rpartition(".")[0]
    fill = (row["order_side"], symbol, row["last_qty"], row["currency"], row["last_px"])
    if symbol.endswith("-PERP"):
        held.contract(*fill)
    else:
        side, _, *rest = fill
        held.trade(side, symbol.removesuffix("USDT").partition("/")[0], *rest)
    fee, paid_in = _glued(row["commission"])
    held.move(paid_in, -Fraction(fee))


def _alpaca(held: Balances, row: Record) -> None:
    kind, symbol = row["activity_type"], row.get("symbol", "")
    size = 100 if len(symbol) > 10 else 1
    if kind == "FILL":
        side = "buy" if row["side"] == "buy" else "sell"
        price = str(Fraction(row["price"]) * size)
        held.trade(side, symbol.partition("/")[0], row["qty"], "USD", price)
    elif kind in ("OPEXP", "OPASN", "OPTRD"):
        held.move(symbol, row["qty"])
        held.move("USD", row["net_amount"])
    elif kind == "CFEE":
        held.move("BTC", row["qty"])
    elif kind not in ("SSP", "XYZ"):
        held.move("USD", row["net_amount"])


def _ibkr(held: Balances, row: Record) -> None:
    if row.get("levelOfDetail") not in ("EXECUTION", "DETAIL"):
        return
    if "amount" in row:
        held.move(row["currency"], row["amount"])
    elif row["assetCategory"] != "BOND" and row["buySell"] in ("BUY", "SELL"):
        held.move(row["ibCommissionCurrency"], row["ibCommission"])
        held.move(row["currency"], row["taxes"])
        quantity, size = row["quantity"].strip("-"), int(row["multiplier"])
        fill = (row["buySell"], row["symbol"], quantity, row["currency"], row["tradePrice"])
        if row["assetCategory"] == "FUT":
            held.contract(*fill, size)
        else:
            asset = "EUR" if row["assetCategory"] == "CASH" else row["symbol"]
            price = str(Fraction(row["tradePrice"]) * size)
            held.trade(row["buySell"], asset, quantity, row["currency"], price)


_CASH_SECTIONS: Final = ("Deposits & Withdrawals", "Dividends", "Withholding Tax", "Interest")


def _ibkr_activity(sample: str) -> Balances:
    """Read the statement: its proceeds and commissions, and the amounts of its other sections."""
    held = Balances()
    with (SAMPLES / sample).open(newline="", encoding="utf-8-sig") as file:
        for section, kind, *cells in csv.reader(file):
            if kind != "Data" or cells[0].startswith("Total"):
                continue
            if section == "Trades" and cells[0] == "Order" and cells[1] not in ("Futures", "Forex"):
                held.move(cells[3], cells[5].replace(",", ""))
                held.move(cells[2], cells[8])
                held.move(cells[2], cells[9])
            elif section == "Fees":
                held.move(cells[1], cells[4])
            elif section in _CASH_SECTIONS:
                held.move(cells[0], cells[3].replace(",", ""))
    return held


def _database(sample: str) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    connection.executescript((SAMPLES / sample).read_text())
    return connection


def _freqtrade(sample: str) -> Balances:
    held = Balances()
    with closing(_database(sample)) as connection:
        for row in connection.execute(
            "SELECT * FROM orders JOIN trades ON trades.id = ft_trade_id ORDER BY order_filled_date"
        ):
            if row["filled"]:
                pair = row["ft_pair"]
                asset = pair.partition("/")[0]
                is_entry = row["ft_order_side"] == ("sell" if row["is_short"] else "buy")
                rate = row["fee_open"] if is_entry else row["fee_close"]
                names = ("average", "price", "stop_price", "ft_price")
                quantity = repr(row["filled"])
                price = repr(next(row[name] for name in names if row[name]))
                if row["ft_fee_base"]:
                    held.move(asset, -Fraction(repr(row["ft_fee_base"])))
                else:
                    notional = Fraction(quantity) * Fraction(price)
                    held.move("USDT", -notional * Fraction(repr(rate)))
                held.move("USDT", repr(row["funding_fee"] or 0))
                if ":" in pair:
                    held.contract(row["side"], pair, quantity, "USDT", price)
                else:
                    held.trade(row["side"], asset, quantity, "USDT", price)
    return held


class Profit(NamedTuple):
    """The profit of a closed trade, as freqtrade's database states it.

    Attributes:
        said: its `close_profit_abs`.
        exits: the number of its exits.
        not_counted: of a fee that was taken from what was bought: freqtrade counts its rate of what arrived instead.
    """

    said: Fraction
    exits: int
    not_counted: Fraction


def freqtrade_profits(sample: str) -> dict[str, Profit]:
    """Return the profits of the closed trades of freqtrade, by the number of the trade."""
    found = {}
    with closing(_database(sample)) as connection:
        for trade in connection.execute("SELECT * FROM trades WHERE NOT is_open").fetchall():
            orders = connection.execute(
                "SELECT *, ft_order_side = ? AS enters FROM orders WHERE ft_trade_id = ? AND filled",
                ("sell" if trade["is_short"] else "buy", trade["id"]),
            ).fetchall()
            not_counted = Fraction(0)
            for row in orders:
                if fee := Fraction(repr(row["ft_fee_base"] or 0.0)):
                    arrived = Fraction(repr(row["filled"])) - fee
                    rate, price = Fraction(repr(trade["fee_open"])), Fraction(repr(row["average"]))
                    not_counted += (fee - arrived * rate) * price
            exits = sum(not row["enters"] for row in orders)
            said = Fraction(repr(trade["close_profit_abs"]))
            found[str(trade["id"])] = Profit(said, exits, not_counted)
    return found


def _hummingbot(sample: str) -> Balances:
    held, scale = Balances(), 10**6
    with closing(_database(sample)) as connection:
        for row in connection.execute("SELECT * FROM TradeFill ORDER BY timestamp"):
            quote, fee = row["quote_asset"], json.loads(row["trade_fee"])
            quantity, price = Fraction(row["amount"], scale), Fraction(row["price"], scale)
            fill = (str(quantity), quote, str(price))
            if "perpetual" in row["market"]:
                symbol = f"{row['base_asset']}/{quote}:{quote}"
                held.contract(row["trade_type"], symbol, *fill)
            else:
                held.trade(row["trade_type"], row["base_asset"], *fill)
            held.move(quote, -quantity * price * Fraction(fee["percent"]))
            for flat in fee["flat_fees"]:
                held.move(flat["token"], -Fraction(flat["amount"]))
        for row in connection.execute("SELECT * FROM FundingPayment"):
            held.move("USDT", repr(row["amount"]))
    return held


class Sample(NamedTuple):
    """What a sample says: the balances after it, and how many records are trades, cash flows and left out."""

    moves: Callable[[Balances, Record], None] | Callable[[str], Balances]
    trades: int
    flows: int
    left_out: int


CASES: Final = {
    "alpaca/activities.json": Sample(_alpaca, 11, 11, 2),
    "binance/spot-new.csv": Sample(_binance_new, 22, 0, 0),
    "binance/spot-old.csv": Sample(_binance_old, 21, 0, 0),
    "binance/income.json": Sample(_binance_income, 0, 15, 6),
    "binance/my-trades.json": Sample(_binance_api, 24, 0, 0),
    "ccxt/ledger-kinds.json": Sample(_ccxt_ledger, 0, 26, 5),
    "coinbase/api-fills.json": Sample(_coinbase_api, 21, 0, 3),
    "coinbase/fills.csv": Sample(_coinbase, 22, 0, 0),
    "freqtrade/orm.sql": Sample(_freqtrade, 69, 8, 3),
    "freqtrade/trades.sql": Sample(_freqtrade, 21, 3, 2),
    "hummingbot/fills.sql": Sample(_hummingbot, 24, 4, 0),
    "ibkr/activity.csv": Sample(_ibkr_activity, 9, 9, 4),
    "ibkr/flex.xml": Sample(_ibkr, 13, 11, 6),
    "kraken/trades.csv": Sample(_kraken_trades, 22, 0, 1),
    "kraken/ledgers.csv": Sample(_kraken_ledgers, 0, 15, 10),
    "nautilus/fills.csv": Sample(_nautilus, 22, 0, 0),
}


def expected_balances(sample: str) -> dict[str, Fraction]:
    """Return the balances that the records of a sample say."""
    return _moved(sample).nonzero()


def expected_contracts(sample: str) -> dict[str, Fraction]:
    """Return the contracts that are open after the records of a sample, by symbol; short is negative."""
    return _moved(sample).contracts()


def _moved(sample: str) -> Balances:
    moves: Any = CASES[sample].moves
    if moves in (_freqtrade, _hummingbot, _ibkr_activity):
        read: Balances = moves(sample)
        return read
    held = Balances()
    for row in records_of(SAMPLES / sample):
        moves(held, row)
    return held
