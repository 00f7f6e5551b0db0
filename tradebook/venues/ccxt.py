"""Trades and ledger entries of ccxt as terms of the book, and `sync`, which fetches what the book lacks.

The structures are those of ccxt's manual, https://docs.ccxt.com/#/?id=trade-structure and ?id=ledger-structure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from time import sleep
from typing import Any, Final, TypedDict

from attrs import define, field

from tradebook.domain.errors import InvalidInput
from tradebook.domain.trades import Trade
from tradebook.domain.validation import argument, identifier, optional_utc
from tradebook.service_layer.book import Book
from tradebook.service_layer.handlers import TradeTerms
from tradebook.service_layer.instrumentation import ProgressCallback
from tradebook.venues.cells import exact_number
from tradebook.venues.retries import repeated

_OVERLAP: Final = timedelta(minutes=5)
"""Fetched again before the last recorded fill: a venue may list fills late, and what is recorded is recognised."""
_KINDS: Final = {
    "deposit": "DEPOSIT",
    "withdrawal": "WITHDRAWAL",
    "transaction": "TRANSFER",
    "transfer": "TRANSFER",
    "fee": "FEE",
    "rebate": "FEE",
    "cashback": "ADJUSTMENT",
    "referral": "ADJUSTMENT",
    "funding": "FUNDING",
    "dividend": "DIVIDEND",
    "interest": "INTEREST",
    "tax": "TAX",
}
"""The kind of cash flow for each type of ledger entry; a `trade` is recorded by its fills."""


def terms(trade: Mapping[str, Any], *, venue: str = "", contract_size: Any = None) -> TradeTerms:
    """Return the terms of one trade of `fetch_my_trades`.

    The fill's id becomes the `execution_id`, the order's the `order_id`; a market with a settlement currency
    (`BTC/USDT:USDT`) is MARGINED. The first fee is the trade's; see `other_fees` for more.

    Args:
        trade: one of ccxt's unified trades.
        venue: the name to record it under, such as `binance`.
        contract_size: of a derivative, from `exchange.market(symbol)["contractSize"]`; 1 by default.

    Raises:
        InvalidInput: a field that a fill needs is missing, naming it.
    """
    market = market_terms(_needed(trade, "symbol"))
    paid = _fees(trade)
    first: Mapping[str, Any] = paid[0] if paid else {"cost": 0, "currency": None}
    fill = str(trade.get("id") or "")
    return TradeTerms(
        symbol=market["symbol"],
        action=_needed(trade, "side"),
        quantity=_needed(trade, "amount"),
        price=_needed(trade, "price"),
        fee=first["cost"],
        fee_currency=first["currency"] or None,
        currency=market["currency"],
        settlement=market["settlement"],
        multiplier=1 if contract_size is None else contract_size,
        executed_at=_time(trade),
        order_id=str(trade.get("order") or fill or _needed(trade, "id")),
        execution_id=fill,
        venue=venue,
    )


class MarketTerms(TypedDict):
    """The terms that the name of a market says."""

    symbol: str
    currency: str | None
    settlement: str


def market_terms(symbol: str) -> MarketTerms:
    """Return what ccxt's name of a market says: `BTC/USDT:USDT` is MARGINED, and settles in USDT.

    Raises:
        InvalidInput: it is that of an inverse contract, or no name.
    """
    name = argument("symbol", identifier, symbol)
    market, _, settle = name.partition(":")
    settle = settle.partition("-")[0]
    quote = market.partition("/")[2]
    if settle and settle != quote:
        raise InvalidInput(
            "symbol",
            name,
            f"a market that settles in {quote}: an inverse contract earns in its base",
        )
    return MarketTerms(
        symbol=name,
        currency=settle or quote or None,
        settlement="MARGINED" if settle else "CASH",
    )


def other_fees(trade: Mapping[str, Any], *, venue: str = "") -> Iterator[dict[str, Any]]:
    """Yield the fees of a trade beyond the first, as arguments of `record_cash_flow`."""
    for number, fee in enumerate(_fees(trade)[1:], start=2):
        yield {
            "kind": "FEE",
            "amount": -exact_number(fee["cost"]),
            "currency": fee["currency"],
            "symbol": trade["symbol"],
            "occurred_at": _time(trade),
            "reference": f"{venue} fee {number} of {trade['symbol']} {trade.get('id')}".strip(),
        }


def cash_flow_terms(entry: Mapping[str, Any], *, venue: str = "") -> dict[str, Any] | None:
    """Return an entry of `fetch_ledger` as arguments of `record_cash_flow`; None for the cash of a trade.

    Raises:
        InvalidInput: the type of the entry is none that the book has a kind for, naming it.
    """
    said = str(_needed(entry, "type")).lower()
    if said in ("trade", "margin"):
        return None
    if said not in _KINDS:
        raise InvalidInput("type", said, f"one of {', '.join(sorted(_KINDS))}, or trade")
    amount = abs(exact_number(_needed(entry, "amount")))
    outwards = entry.get("direction") == "out"
    return {
        "kind": _KINDS[said],
        "amount": -amount if outwards else amount,
        "currency": _needed(entry, "currency"),
        "occurred_at": _time(entry),
        "reference": f"{venue} {_needed(entry, 'id')}".strip(),
    }


@define
class Synced:
    """The result of `sync`.

    Attributes:
        booked: the number of fills that are new in the book.
        duplicates: the number of fills that were fetched again and recognised.
        cash_flows: the number of ledger entries and further fees that are recorded.
        requests: the number of requests that the venue answered.
        passed_over: what the book has no form for, in words; empty where everything was taken.
    """

    booked: int = 0
    duplicates: int = 0
    cash_flows: int = 0
    requests: int = 0
    passed_over: list[str] = field(factory=list)


def sync(
    book: Book,
    exchange: Any,
    symbols: Sequence[str],
    since: datetime | str | None = None,
    *,
    ledger: bool = False,
    limit: int = 500,
    progress: ProgressCallback | None = None,
) -> Synced:
    """Fetch the account's fills from a venue, and book those that the book lacks.

    It goes on after the last recorded fill of each symbol, so that a call that was cut off, or made again, books nothing
    twice. Requests that fail for the network or a rate limit are repeated; each page is committed by itself.

    Args:
        book: where to record.
        exchange: an exchange of ccxt with the keys of the account; its rate limit is kept.
        symbols: ccxt's names of the markets, such as `BTC/USDT`. No venue lists all of an account's fills at once.
        since: the time of the first fill to fetch, UTC, where the book has none of a symbol; the first that the venue
            has by default.
        ledger: whether to record deposits, funding and other entries of `fetch_ledger` too.
        limit: fills in one request, at most; venues have limits of their own.
        progress: called with (symbols done, symbols in all) as it goes.

    Returns:
        What was recorded, and what the book has no form for.

    Raises:
        InvalidInput: a market that the venue does not have, or one that the book cannot express.
        TradebookError: a fill contradicts what is recorded.
    """
    start = argument("since", optional_utc, since)
    run = _Sync(book, exchange, str(exchange.id), limit)
    run.ask(exchange.load_markets)
    for number, symbol in enumerate(symbols, start=1):
        run.fills(symbol, start)
        if progress is not None:
            progress(number, len(symbols))
    if ledger:
        run.ledger(start)
    return run.done


@define
class _Sync:
    book: Book
    exchange: Any
    venue: str
    limit: int
    done: Synced = field(factory=Synced)

    def ask(self, request: Callable[..., Any], *args: Any) -> Any:
        """Send a request, again where the network or a rate limit refuses it; wait before it as the venue asks."""
        transient = _transient_errors()

        def send() -> Any:
            if not getattr(self.exchange, "enableRateLimit", False):
                sleep(self.pause)
            return request(*args)

        answer = repeated(send, lambda error: isinstance(error, transient), self.pause)
        self.done.requests += 1
        return answer

    @property
    def pause(self) -> float:
        """The seconds between two requests."""
        return float(getattr(self.exchange, "rateLimit", 0) or 0) / 1000

    def fills(self, symbol: str, since: datetime | None) -> None:
        """Book the fills of one market, page by page."""
        market = self.exchange.market(symbol)
        size = market.get("contractSize") if market.get("contract") else None
        recorded = self.book.get_all(Trade, 1, symbol=symbol, venue=self.venue, status="EXECUTED")
        if recorded:
            since = recorded[0].executed_at - _OVERLAP
        for page in self._pages(self.exchange.fetch_my_trades, symbol, since=since):
            drafts = [terms(trade, venue=self.venue, contract_size=size) for trade in page]
            result = self.book.record_trades(drafts)
            self.done.booked += result.booked
            self.done.duplicates += result.duplicates
            for trade in page:
                for fee in other_fees(trade, venue=self.venue):
                    self._record(fee)

    def ledger(self, since: datetime | None) -> None:
        """Record the entries of the account's ledger but trades."""
        for page in self._pages(self.exchange.fetch_ledger, None, since=since):
            for entry in page:
                try:
                    flow = cash_flow_terms(entry, venue=self.venue)
                except InvalidInput as error:
                    self.done.passed_over.append(f"ledger entry {entry.get('id')}: {error}")
                    continue
                if flow is not None:
                    self._record(flow)

    def _record(self, flow: dict[str, Any]) -> None:
        self.book.record_cash_flow(flow.pop("kind"), flow.pop("amount"), **flow)
        self.done.cash_flows += 1

    def _pages(
        self, fetch: Callable[..., Any], about: str | None, *, since: datetime | None
    ) -> Iterator[list[dict[str, Any]]]:
        """Fetch page after page, oldest first; several entries may have the time of the last one of a page."""
        at = None if since is None else int(since.timestamp() * 1000)
        seen: set[str] = set()
        while True:
            page = self.ask(fetch, about, at, self.limit)
            new = [entry for entry in page if str(entry["id"]) not in seen]
            if new:
                yield sorted(new, key=lambda entry: entry["timestamp"])
            if not page:
                return
            last = max(int(entry["timestamp"]) for entry in page)
            seen = {str(entry["id"]) for entry in page if int(entry["timestamp"]) == last}
            if not new and len(page) < self.limit:
                return
            at = last if new else last + 1  # a whole page of one millisecond


def _transient_errors() -> tuple[type[Exception], ...]:
    try:
        from ccxt.base.errors import NetworkError
    except ImportError:  # an exchange that is not of ccxt, such as a fake of a test
        return (ConnectionError, TimeoutError)
    return (NetworkError, ConnectionError, TimeoutError)


def _fees(trade: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    several = trade.get("fees") or ([trade["fee"]] if trade.get("fee") else [])
    return [fee for fee in several if fee.get("cost")]


def _needed(record: Mapping[str, Any], name: str) -> Any:
    value = record.get(name)
    if value is None:
        raise InvalidInput(name, None, f"a value: ccxt gave none in {record.get('id')!r}")
    return value


def _time(record: Mapping[str, Any]) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(
        milliseconds=int(_needed(record, "timestamp"))
    )
