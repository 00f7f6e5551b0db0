"""Account activities of Alpaca as terms of the book, and `sync`, which fetches what the book lacks.

The fields are those of https://docs.alpaca.markets/reference/getaccountactivities: trade activities (`FILL`), and
non-trade activities, each of one `activity_type`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, Final

from attrs import define, field

from tradebook.domain.cash import CashFlow
from tradebook.domain.errors import InvalidInput
from tradebook.domain.trades import Trade
from tradebook.domain.validation import argument, optional_utc, utc
from tradebook.service_layer.book import Book
from tradebook.service_layer.handlers import TradeTerms
from tradebook.venues.retries import repeated

VENUE: Final = "alpaca"
"""As in the preset of the same name, whose files `sync` goes on from."""
_PAGE: Final = 100
"""The most activities in one answer."""
_PAUSE: Final = 0.3
"""Seconds before a request is repeated; Alpaca takes 200 a minute."""
_ACTIONS: Final = {"buy": "BUY", "buy_to_cover": "BUY", "sell": "SELL", "sell_short": "SELL"}
_OPTION: Final = re.compile(r"[A-Z]{1,6}\d{6}[CP]\d{8}").fullmatch
_KINDS: Final = {
    "CSD": "DEPOSIT",
    "CSW": "WITHDRAWAL",
    "TRANS": "TRANSFER",
    "JNL": "TRANSFER",
    "JNLC": "TRANSFER",
    "ACATC": "TRANSFER",
    "DIV": "DIVIDEND",
    "CGD": "DIVIDEND",
    "DIVCGL": "DIVIDEND",
    "DIVCGS": "DIVIDEND",
    "DIVROC": "DIVIDEND",
    "DIVTXEX": "DIVIDEND",
    "CIL": "ADJUSTMENT",
    "MISC": "ADJUSTMENT",
    "PTR": "ADJUSTMENT",
    "DIVFT": "TAX",
    "DIVNRA": "TAX",
    "DIVTW": "TAX",
    "INTNRA": "TAX",
    "INTTW": "TAX",
    "INT": "INTEREST",
    "FEE": "FEE",
    "DIVFEE": "FEE",
    "PTC": "FEE",
}
"""The kind of cash flow for each type of activity that moves cash and no securities."""


def terms(activity: Mapping[str, Any]) -> TradeTerms:
    """Return the terms of one activity of type FILL.

    Its id becomes the `execution_id`. Alpaca lists fees as activities of their own, so a fill has none. An option, named as
    `AAPL240119C00200000`, has the multiplier 100.

    Raises:
        InvalidInput: a field that a fill needs is missing or unknown, naming it.
    """
    side = str(_needed(activity, "side"))
    if side not in _ACTIONS:
        raise InvalidInput("side", side, f"one of {', '.join(_ACTIONS)}")
    symbol = str(_needed(activity, "symbol"))
    return TradeTerms(
        symbol=symbol,
        action=_ACTIONS[side],
        quantity=_needed(activity, "qty"),
        price=_needed(activity, "price"),
        currency="USD",
        multiplier=100 if _OPTION(symbol) else 1,
        executed_at=_needed(activity, "transaction_time"),
        order_id=_needed(activity, "order_id"),
        execution_id=_needed(activity, "id"),
        venue=VENUE,
    )


def cash_flow_terms(activity: Mapping[str, Any]) -> dict[str, Any]:
    """Return an activity that moves cash alone as arguments of `record_cash_flow`.

    Raises:
        InvalidInput: its type moves securities, or is not known, naming it.
    """
    said = str(_needed(activity, "activity_type"))
    if said not in _KINDS:
        raise InvalidInput("activity_type", said, f"FILL, or one of {', '.join(sorted(_KINDS))}")
    day = date.fromisoformat(str(_needed(activity, "date"))[:10])
    return {
        "kind": _KINDS[said],
        "amount": Decimal(str(_needed(activity, "net_amount"))),
        "currency": "USD",
        "symbol": activity.get("symbol") or None,
        "occurred_at": datetime.combine(day, time(), UTC),
        "reference": f"{VENUE}:{_needed(activity, 'id')}",
    }


@define
class Synced:
    """The result of `sync`.

    Attributes:
        booked: the number of fills that are new in the book.
        duplicates: the number of fills that were fetched again and recognised.
        cash_flows: the number of other activities that are recorded.
        passed_over: what the book has no form for, such as a stock split, in words.
    """

    booked: int = 0
    duplicates: int = 0
    cash_flows: int = 0
    passed_over: list[str] = field(factory=list)


def sync(book: Book, client: Any, since: datetime | str | None = None) -> Synced:
    """Fetch the account's activities, and record those that the book lacks.

    It goes on at the day of the last fill or cash flow that was recorded, so that a call that was cut off, or made again,
    records nothing twice. Each page of 100 activities is recorded before the next is asked for. A request that fails for
    the network, a rate limit or an error of the venue is repeated up to six times.

    Args:
        book: where to record.
        client: a `TradingClient` of alpaca-py, or any object whose `get(path, parameters)` answers parsed JSON.
        since: the first day to fetch, UTC, where the book has nothing of Alpaca; all of them by default.

    Returns:
        What was recorded, and what the book has no form for.
    """
    start = _last_recorded(book) or argument("since", optional_utc, since)
    done = Synced()
    for page in _pages(client, start):
        fills = [activity for activity in page if activity.get("activity_type") == "FILL"]
        recorded = book.record_trades([terms(fill) for fill in fills])
        done.booked += recorded.booked
        done.duplicates += recorded.duplicates
        for activity in page:
            if activity.get("activity_type") != "FILL":
                _record(book, done, activity)
    return done


def _record(book: Book, done: Synced, activity: Mapping[str, Any]) -> None:
    try:
        flow = cash_flow_terms(activity)
        book.record_cash_flow(flow.pop("kind"), flow.pop("amount"), **flow)
    except InvalidInput as error:
        done.passed_over.append(f"activity {activity.get('id')}: {error}")
    else:
        done.cash_flows += 1


def _last_recorded(book: Book) -> datetime | None:
    fills = book.get_all(Trade, 1, venue=VENUE, status="EXECUTED")
    times = [trade.executed_at for trade in fills]
    for flow in book.iterate(CashFlow):
        if flow.reference.startswith(f"{VENUE}:"):
            times.append(flow.occurred_at)
            break
    return max(times) if times else None


def _pages(client: Any, since: datetime | None) -> Iterator[list[Mapping[str, Any]]]:
    asked: dict[str, Any] = {"direction": "asc", "page_size": _PAGE}
    if since is not None:
        asked["after"] = utc(since).replace(hour=0, minute=0, second=0, microsecond=0).isoformat()
    while page := repeated(
        lambda: client.get("/account/activities", dict(asked)), _is_transient, _PAUSE
    ):
        yield page
        if len(page) < _PAGE:
            return
        asked["page_token"] = page[-1]["id"]


def _is_transient(error: BaseException) -> bool:
    """Return whether a request failed on its way (`requests` raises OSError), or the venue answered with 5xx or 429."""
    status = getattr(error, "status_code", None)
    if status is None:
        return isinstance(error, OSError) and not isinstance(error, PermissionError)
    return int(status) >= 500 or int(status) == 429


def _needed(activity: Mapping[str, Any], name: str) -> Any:
    value = activity.get(name)
    if value is None:
        raise InvalidInput(name, None, f"a value: activity {activity.get('id')!r} has none")
    return value
