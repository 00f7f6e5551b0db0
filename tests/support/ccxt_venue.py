"""A venue that trades, keeps its own balances, and answers in the shapes of ccxt.

It shares no arithmetic with the book: balances are fractions, changed as a venue changes them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any, Final

BEGIN: Final = datetime(2026, 3, 2, 9, tzinfo=UTC)


class Venue:
    """An account at a venue with a spot and a perpetual market.

    Attributes:
        trades: as `fetch_my_trades` returns them, oldest first.
        ledger: deposits and funding, as `fetch_ledger` returns them.
    """

    def __init__(self) -> None:
        self.trades: list[dict[str, Any]] = []
        self.ledger: list[dict[str, Any]] = []
        self._balances: dict[str, Fraction] = defaultdict(Fraction)
        self._contracts: dict[str, Fraction] = defaultdict(Fraction)
        self._entries: dict[str, Fraction] = {}
        self._at = BEGIN

    def fill(
        self,
        order: str,
        symbol: str,
        side: str,
        amount: float,
        price: float,
        fee: tuple[float, str],
        *,
        maker: bool = False,
    ) -> None:
        """Execute a part of an order, or all of it."""
        base, quote = symbol.partition(":")[0].split("/")
        cost, currency = fee
        if ":" in symbol:
            self._balances[quote] += self._realized(symbol, side, amount, price)
        else:
            sign = 1 if side == "buy" else -1
            self._balances[base] += sign * _exact(amount)
            self._balances[quote] -= sign * _exact(amount) * _exact(price)
        self._balances[currency] -= _exact(cost)
        self.trades.append(
            {
                **self._dated(),
                "id": str(70_000 + len(self.trades)),
                "order": order,
                "symbol": symbol,
                "type": "limit",
                "side": side,
                "takerOrMaker": "maker" if maker else "taker",
                "price": price,
                "amount": amount,
                "cost": price * amount,
                "fee": {"cost": cost, "currency": currency},
                "info": {},
            }
        )

    def pay(self, kind: str, amount: float, currency: str, symbol: str | None = None) -> None:
        """Move cash without a trade: a deposit, or funding; negative is paid by the account."""
        self._balances[currency] += _exact(amount)
        self.ledger.append(
            {
                **self._dated(),
                "id": f"{kind}-{len(self.ledger)}",
                "type": kind,
                "direction": "in" if amount > 0 else "out",
                "amount": abs(amount),
                "currency": currency,
                "info": {"symbol": symbol},
            }
        )

    def fetch_balance(self) -> dict[str, Any]:
        """Return the balances of everything that ever moved."""
        totals = {asset: float(amount) for asset, amount in self._balances.items()}
        return {
            "info": {},
            "free": totals,
            "used": dict.fromkeys(totals, 0.0),
            "total": totals,
            **{a: {"free": t, "used": 0.0, "total": t} for a, t in totals.items()},
        }

    def exact_balances(self) -> dict[str, Fraction]:
        """Return the balances without the rounding that floats may bring."""
        return dict(self._balances)

    def in_order(self) -> Iterator[dict[str, Any]]:
        """Yield trades and entries of the ledger as they happened."""
        yield from sorted([*self.trades, *self.ledger], key=lambda each: each["timestamp"])

    def _dated(self) -> dict[str, Any]:
        self._at += timedelta(seconds=90)
        return {
            "timestamp": int(self._at.timestamp() * 1000),
            "datetime": self._at.isoformat().replace("+00:00", "Z"),
        }

    def _realized(self, symbol: str, side: str, amount: float, price: float) -> Fraction:
        """Change the contracts held at an average price, and return what was earned."""
        held, size = self._contracts[symbol], _exact(amount) * (1 if side == "buy" else -1)
        entry = self._entries.get(symbol, Fraction(0))
        after = held + size
        earned = Fraction(0)
        if held * size >= 0:
            self._entries[symbol] = (held * entry + size * _exact(price)) / after
        else:
            closed = min(abs(held), abs(size)) * (1 if held > 0 else -1)
            earned = closed * (_exact(price) - entry)
            if after * held < 0:
                self._entries[symbol] = _exact(price)
        self._contracts[symbol] = after
        return earned


def _exact(value: float) -> Fraction:
    return Fraction(repr(value))


def traded_account() -> Venue:
    """Return an account after 30 fills: fees in base, quote and a third asset, rebates, partial fills, funding."""
    venue = Venue()
    spot, euro, perpetual = "BTC/USDT", "ETH/EUR", "ETH/USDT:USDT"
    venue.pay("deposit", 250_000.0, "USDT")
    venue.pay("deposit", 40_000.0, "EUR")
    venue.pay("deposit", 2.5, "BNB")
    for amount, price in [
        (0.31, 60123.45),
        (0.19, 60125.0),
        (0.5, 60130.1),
    ]:  # one order, three fills
        venue.fill("s-1", spot, "buy", amount, price, (amount / 1000, "BTC"))
    venue.fill("s-2", spot, "buy", 0.25, 59990.0, (0.01827, "BNB"))
    venue.fill("s-3", spot, "sell", 0.4, 61250.5, (24.5002, "USDT"))
    venue.fill("s-4", spot, "buy", 0.12345678, 60001.01, (-0.00002469, "BTC"), maker=True)
    venue.fill("s-5", spot, "sell", 0.2, 61800.0, (-1.236, "USDT"), maker=True)
    venue.fill("s-6", spot, "sell", 0.1, 61900.0, (-0.0009, "BNB"), maker=True)
    for amount, price in [(0.05, 62000.0), (0.07, 61999.9)]:
        venue.fill("s-7", spot, "sell", amount, price, (0.000072, "BTC"))
    for amount, price in [(3.5, 2210.4), (1.5, 2210.5)]:
        venue.fill("e-1", euro, "buy", amount, price, (0.0035, "ETH"))
    venue.fill("e-2", euro, "buy", 2.0, 2190.25, (4.3805, "EUR"))
    venue.fill("e-3", euro, "sell", 3.25, 2260.0, (0.008, "BNB"))
    venue.fill("e-4", euro, "buy", 0.755, 2199.99, (0.000755, "ETH"))
    venue.fill("e-5", euro, "sell", 1.0, 2301.5, (2.3015, "EUR"))
    venue.fill("e-6", euro, "sell", 0.5, 2305.0, (0.0005, "ETH"))
    for amount, price in [(4.0, 2400.0), (6.0, 2405.0)]:
        venue.fill("p-1", perpetual, "buy", amount, price, (amount * 0.96, "USDT"))
    venue.pay("funding", -3.4175, "USDT", perpetual)
    venue.fill("p-2", perpetual, "sell", 5.0, 2450.0, (-0.6125, "USDT"), maker=True)
    venue.pay("funding", 1.208, "USDT", perpetual)
    venue.fill("p-3", perpetual, "sell", 8.0, 2440.0, (0.0041, "BNB"))  # through zero
    venue.fill("p-4", perpetual, "buy", 1.5, 2435.5, (1.4613, "USDT"))
    venue.fill("p-5", perpetual, "buy", 1.5, 2430.25, (1.45815, "USDT"))
    for amount, price in [(0.001, 63000.0), (0.002, 63000.5), (0.003, 63001.0)]:
        venue.fill("s-8", spot, "sell", amount, price, (0.00001, "BNB"))
    venue.fill("s-9", spot, "buy", 0.01, 62950.0, (0.00001, "BTC"))
    venue.fill("e-7", euro, "sell", 0.25, 2310.0, (-0.05775, "EUR"), maker=True)
    venue.fill("p-6", perpetual, "buy", 2.0, 2420.0, (1.936, "USDT"))
    venue.fill("p-7", perpetual, "sell", 2.0, 2428.125, (-0.24281, "USDT"), maker=True)
    return venue
