"""Binance's spot API as ccxt asks it: orders wait until a test fills them."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from time import time
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

_FILTERS: Final = [
    {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000", "tickSize": "0.01"},
    {"filterType": "LOT_SIZE", "minQty": "0.0001", "maxQty": "9000", "stepSize": "0.0001"},
]
_MARKET: Final = {
    "status": "TRADING",
    "baseAssetPrecision": 8,
    "quotePrecision": 8,
    "quoteAssetPrecision": 8,
    "orderTypes": ["LIMIT", "MARKET", "STOP_LOSS_LIMIT"],
    "isSpotTradingAllowed": True,
    "isMarginTradingAllowed": False,
    "filters": _FILTERS,
    "permissions": ["SPOT"],
}
BASES: Final = ("ETH", "BTC", "SOL")


class BinanceSpot:
    """The account of one key.

    Attributes:
        balances: by asset.
        orders: as the API answers them, by their number.
        fills: of all orders, oldest first.
    """

    def __init__(self) -> None:
        self.balances: dict[str, Decimal] = defaultdict(Decimal, USDT=Decimal(100_000))
        self.orders: dict[int, dict[str, Any]] = {}
        self.fills: list[dict[str, Any]] = []

    def answer(self, url: str, method: str = "GET", body: str | None = None) -> Any:
        """Answer a request."""
        asked = urlsplit(url)
        query = {name: each[0] for name, each in parse_qs(asked.query or body or "").items()}
        endpoint = asked.path.removeprefix("/api/v3/")
        if endpoint == "order":
            return self._place(query) if method == "POST" else self._order(query, method)
        return getattr(self, f"_{endpoint.replace('/', '_')}")(query)

    def fill(self, *parts: tuple[str, str], paid_in: str = "USDT", status: str = "FILLED") -> None:
        """Fill the latest order: each part a quantity and a price, its fee a thousandth."""
        number, order = list(self.orders.items())[-1]
        base, sign = order["symbol"].removesuffix("USDT"), 1 if order["side"] == "BUY" else -1
        for quantity, price in parts:
            amount, notional = Decimal(quantity), Decimal(quantity) * Decimal(price)
            fee = (amount if paid_in == base else notional) / 1000
            self.balances[base] += sign * amount
            self.balances["USDT"] -= sign * notional
            self.balances[paid_in] -= fee
            self.fills.append(
                {
                    "symbol": order["symbol"],
                    "id": 500 + len(self.fills),
                    "orderId": number,
                    "price": price,
                    "qty": quantity,
                    "quoteQty": str(notional),
                    "commission": str(fee),
                    "commissionAsset": paid_in,
                    "time": _now(),
                    "isBuyer": sign > 0,
                    "isMaker": False,
                }
            )
            order["executedQty"] = str(Decimal(order["executedQty"]) + amount)
            order["cummulativeQuoteQty"] = str(Decimal(order["cummulativeQuoteQty"]) + notional)
        order |= {"status": status, "updateTime": _now()}

    def _place(self, query: dict[str, str]) -> dict[str, Any]:
        number = 7001 + len(self.orders)
        self.orders[number] = {
            "symbol": query["symbol"],
            "orderId": number,
            "clientOrderId": query["newClientOrderId"],
            **dict.fromkeys(("time", "updateTime", "transactTime"), _now()),
            "price": query.get("price", "0"),
            "origQty": query["quantity"],
            "executedQty": "0",
            "cummulativeQuoteQty": "0",
            "status": "NEW",
            "type": query["type"],
            "side": query["side"],
            "timeInForce": "GTC",
        }
        return self.orders[number]

    def _order(self, query: dict[str, str], method: str) -> dict[str, Any]:
        order = self.orders[int(query["orderId"])]
        if method == "DELETE":
            order |= {"status": "CANCELED", "updateTime": _now()}
        return order

    def _myTrades(self, query: dict[str, str]) -> list[dict[str, Any]]:  # noqa: N802 - the API's
        return [fill for fill in self.fills if fill["symbol"] == query["symbol"]]

    def _exchangeInfo(self, query: dict[str, str]) -> dict[str, Any]:  # noqa: N802
        symbols = [
            {**_MARKET, "symbol": f"{base}USDT", "baseAsset": base, "quoteAsset": "USDT"}
            for base in BASES
        ]
        return {"timezone": "UTC", "serverTime": _now(), "symbols": symbols}

    def _time(self, query: dict[str, str]) -> dict[str, Any]:
        return {"serverTime": _now()}

    def _account(self, query: dict[str, str]) -> dict[str, Any]:
        held = self.balances.items()
        every = [{"asset": name, "free": str(free), "locked": "0"} for name, free in held]
        return {"balances": every, "updateTime": 0, "permissions": ["SPOT"]}

    def _ticker_24hr(self, query: dict[str, str]) -> dict[str, Any]:
        price = {"bidPrice": "3000", "askPrice": "3000", "lastPrice": "3000"}
        return {"symbol": query["symbol"], **price, "closeTime": _now()}


def _now() -> int:
    return int(time() * 1000)
