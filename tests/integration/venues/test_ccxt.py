"""`sync` against ccxt's own parser of Binance, on a transport that answers in the venue's raw form, and fails."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tradebook import CashFlow, DatabaseManager, InvalidInput, Trade
from tradebook.testing import FakeBook
from tradebook.venues import ccxt as venue

ccxt = pytest.importorskip("ccxt")
pytestmark = pytest.mark.full  # importing all of its exchanges takes half a second

BEGIN = 1_772_445_600_000
_FILTERS = [
    {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000", "tickSize": "0.01"},
    {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000", "stepSize": "0.00001"},
]
_MARKET = {
    "status": "TRADING",
    "baseAssetPrecision": 8,
    "quotePrecision": 8,
    "quoteAssetPrecision": 8,
    "orderTypes": ["LIMIT", "MARKET"],
    "isSpotTradingAllowed": True,
    "isMarginTradingAllowed": False,
    "filters": _FILTERS,
    "permissions": ["SPOT"],
}


def raw(number: int, symbol: str = "BTCUSDT", at: int | None = None) -> dict[str, Any]:
    """A fill as Binance's `GET /api/v3/myTrades` answers it, with fees in three assets."""
    return {
        "symbol": symbol,
        "id": 28_000 + number,
        "orderId": 100_000 + number // 3,  # three fills for each order
        "orderListId": -1,
        "price": f"{60_000 + number}.10000000",
        "qty": f"0.0{number % 9 + 1}000000",
        "quoteQty": "0",
        "commission": f"0.0000{number % 7 + 1}000",
        "commissionAsset": ("BTC", "USDT", "BNB")[number % 3],
        "time": BEGIN + number * 1000 if at is None else at,
        "isBuyer": number % 4 != 3,
        "isMaker": number % 2 == 0,
        "isBestMatch": True,
    }


class Binance(ccxt.binance):  # type: ignore[misc]
    """ccxt's Binance, whose requests are answered from a list of fills; some fail first."""

    def __init__(
        self, fills: list[dict[str, Any]], failures: list[Exception] | None = None
    ) -> None:
        spot = {
            "fetchMarkets": {"types": ["spot"]},
            "fetchCurrencies": False,
            "fetchMargins": False,
        }
        super().__init__({"apiKey": "k", "secret": "s", "options": spot, "rateLimit": 0})
        self.raw_fills, self.failures, self.asked = fills, failures or [], 0

    def fetch(self, url: str, *_args: Any, **_options: Any) -> Any:
        asked = urlsplit(url)
        if asked.path.endswith("/exchangeInfo"):
            pairs = (("BTC", "USDT"), ("ETH", "USDT"))
            markets = [
                {**_MARKET, "symbol": b + q, "baseAsset": b, "quoteAsset": q} for b, q in pairs
            ]
            return {"timezone": "UTC", "serverTime": BEGIN, "symbols": markets}
        assert asked.path.endswith("/myTrades"), url
        self.asked += 1
        if self.failures:
            raise self.failures.pop(0)
        query = {name: values[0] for name, values in parse_qs(asked.query).items()}
        found = [
            fill
            for fill in self.raw_fills
            if fill["symbol"] == query["symbol"] and fill["time"] >= int(query.get("startTime", 0))
        ]
        return found[: int(query["limit"])]


@pytest.fixture
def book(tmp_path: Path) -> Iterator[DatabaseManager]:
    with DatabaseManager(f"sqlite:///{tmp_path / 'book.db'}", base_currency="USDT") as made:
        yield made


def ids(book: Any) -> list[str]:
    return sorted(trade.execution_id for trade in book.iterate(Trade))


FILLS = [raw(number) for number in range(40)]
SINCE = datetime.fromtimestamp(BEGIN / 1000, UTC)


def test_every_fill_is_booked_once_in_pages_of_any_size(book: DatabaseManager) -> None:
    for limit in (7, 3, 500):
        exchange = Binance([*FILLS, raw(50, "ETHUSDT")])
        venue.sync(book, exchange, ["BTC/USDT", "ETH/USDT"], SINCE, limit=limit)
        assert ids(book) == sorted(str(28_000 + n) for n in [*range(40), 50])
    assert book.verify().proven
    fees = {(t.fee_currency, t.fee) for t in book.iterate(Trade, symbol="BTC/USDT")}
    assert ("BNB", Decimal("0.00003")) in fees
    expected = sum(
        (Decimal(f["qty"]) if f["isBuyer"] else -Decimal(f["qty"]) for f in FILLS), Decimal(0)
    ) - sum((Decimal(f["commission"]) for f in FILLS if f["commissionAsset"] == "BTC"), Decimal(0))
    balances = {each.asset: each.balance for each in book.get_balances()}
    assert balances["BTC"] == expected


def test_a_network_that_fails_and_a_rate_limit_lose_and_double_nothing(
    book: DatabaseManager,
) -> None:
    failures = [
        ccxt.RequestTimeout("slow"),
        ccxt.RateLimitExceeded("429"),
        ccxt.ExchangeNotAvailable("503"),
    ]
    done = venue.sync(book, Binance(FILLS, failures), ["BTC/USDT"], SINCE, limit=10)
    assert (done.booked, ids(book)) == (40, sorted(str(28_000 + n) for n in range(40)))


def test_a_call_that_was_cut_off_goes_on_where_it_stopped(book: DatabaseManager) -> None:
    exchange = Binance(FILLS)
    pages = 0

    def cut_off(url: str, *args: Any, **options: Any) -> Any:
        nonlocal pages
        pages += 1
        if pages == 4:
            raise ccxt.AuthenticationError("the key was revoked")
        return Binance.fetch(exchange, url, *args, **options)

    exchange.fetch = cut_off
    with pytest.raises(ccxt.AuthenticationError):
        venue.sync(book, exchange, ["BTC/USDT"], SINCE, limit=10)
    assert 0 < book.count(Trade) < 40
    again = Binance(FILLS)
    done = venue.sync(book, again, ["BTC/USDT"], SINCE, limit=10)
    assert book.count(Trade) == 40
    assert done.booked < 40
    book.verify()


def test_a_second_call_asks_for_little_and_books_what_is_new(book: DatabaseManager) -> None:
    many = [raw(n, at=BEGIN + n * 60_000) for n in range(300)]
    venue.sync(book, Binance(many), ["BTC/USDT"], SINCE, limit=50)
    exchange = Binance([*many, raw(300, at=BEGIN + 300 * 60_000)])
    done = venue.sync(book, exchange, ["BTC/USDT"], SINCE, limit=50)
    assert done.booked == 1
    assert done.duplicates <= 7  # of the last five minutes
    assert exchange.asked <= 2


def test_fills_of_one_millisecond_on_both_sides_of_a_page_are_all_there(
    book: DatabaseManager,
) -> None:
    same = [raw(n, at=BEGIN + n // 5) for n in range(33)]
    for limit in (6, 8):
        venue.sync(book, Binance(same), ["BTC/USDT"], SINCE, limit=limit)
    assert book.count(Trade) == 33


def test_a_market_that_the_venue_does_not_have_is_named(book: DatabaseManager) -> None:
    with pytest.raises(ccxt.BadSymbol, match="XYZ"):
        venue.sync(book, Binance([]), ["XYZ/USDT"])


def test_the_ledger_becomes_cash_flows_and_what_has_no_form_is_told() -> None:
    entry = {"id": "1", "timestamp": BEGIN, "currency": "USDT", "amount": 5.5, "direction": "in"}

    class Ledger:
        id = "venue"

        def load_markets(self) -> None: ...

        def fetch_ledger(self, _code: None, since: int | None, _limit: int) -> list[dict[str, Any]]:
            every = [
                {**entry, "type": "deposit"},
                {**entry, "id": "2", "type": "trade"},
                {**entry, "id": "3", "type": "fee", "direction": "out", "timestamp": BEGIN + 5},
                {**entry, "id": "4", "type": "airdrop", "timestamp": BEGIN + 9},
            ]
            return [each for each in every if since is None or each["timestamp"] >= since]

    book = FakeBook()
    for _ in range(2):
        done = venue.sync(book, Ledger(), [], ledger=True)
    flows = sorted((f.kind, f.amount, f.reference) for f in book.get_all(CashFlow))
    assert flows == [("DEPOSIT", Decimal("5.5"), "venue 1"), ("FEE", Decimal("-5.5"), "venue 3")]
    [passed] = done.passed_over
    assert "ledger entry 4" in passed
    assert "airdrop" in passed


def test_a_fill_with_several_fees_pays_all_of_them_and_a_derivative_has_its_size() -> None:
    trade = {
        "id": "9",
        "order": "o",
        "symbol": "ETH/USDT:USDT",
        "side": "buy",
        "amount": 2,
        "price": 100,
        "timestamp": BEGIN,
        "fees": [{"cost": 0.1, "currency": "USDT"}, {"cost": 0.002, "currency": "BNB"}],
    }
    book = FakeBook()
    made = book.record_trade(**venue.terms(trade, venue="v", contract_size=0.01))
    assert (made.settlement, made.currency, made.multiplier) == (
        "MARGINED",
        "USDT",
        Decimal("0.01"),
    )
    assert made.executed_at == SINCE
    [more] = venue.other_fees(trade, venue="v")
    assert (more["amount"], more["currency"]) == (Decimal("-0.002"), "BNB")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"symbol": "BTC/USD:BTC"}, "inverse contract"),
        ({"price": None}, "ccxt gave none"),
        ({"timestamp": None}, "timestamp"),
        ({"symbol": None}, "symbol"),
    ],
)
def test_what_is_no_fill_of_the_book_is_refused_by_name(change: dict[str, Any], words: str) -> None:
    whole = {"id": "1", "symbol": "A/B", "side": "buy", "amount": 1, "price": 1, "timestamp": BEGIN}
    with pytest.raises(InvalidInput, match=words):
        venue.terms({**whole, **change})
    assert venue.terms(whole)["executed_at"] == SINCE + timedelta()
