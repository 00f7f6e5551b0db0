"""Every limit at its edge: what is just allowed is kept digit for digit, one more is refused by name."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import pytest

from tests.support.backends import within
from tests.support.checkout import ROOT
from tests.support.public_calls import BUY
from tradebook import (
    Alert,
    CallContext,
    InvalidInput,
    Portfolio,
    Signal,
    Trade,
    handlers,
    limits,
)
from tradebook.service_layer.book import Book

LIMITS: Final = ROOT / "docs" / "limits.md"
WIDE: Final = "".join(chr(0x10000 + 5003 * n) for n in range(limits.MAX_NAME_BYTES // 4))
"""Characters of four bytes, as many as fit, which no index can compress."""


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def recorded_details(book: Book, value: Any) -> Any:
    return book.get(Signal, book.record_signal("AAPL", "BUY", details=value).id).details  # type: ignore[union-attr]


def recorded_price(book: Book, value: Any) -> Any:
    return book.get(Signal, book.record_signal("AAPL", "BUY", price=value).id).price  # type: ignore[union-attr]


def recorded_message(book: Book, value: Any) -> Any:
    return book.get(Alert, book.raise_alert("a", "INFO", value).id).message  # type: ignore[union-attr]


def recorded_key(book: Book, value: Any) -> Any:
    """Of a trade, in every column of its key."""
    keys = dict.fromkeys(("symbol", "venue", "order_id", "execution_id"), value)
    trade = book.get(Trade, book.record_trade(**BUY, **keys).id)  # type: ignore[arg-type]
    assert trade is not None
    assert {trade.venue, trade.order_id, trade.execution_id} == {value}
    assert book.get_position_by_symbol(value).symbol == value  # type: ignore[union-attr]
    return trade.symbol


def recorded_total(book: Book, value: Any) -> Any:
    made = book.create(Portfolio(cash_balance=value, total_value=value))
    return book.get(Portfolio, made.id).total_value  # type: ignore[union-attr]


def recorded_time(book: Book, value: Any) -> Any:
    trade = book.get(Trade, book.record_trade(**{**BUY, "executed_at": value}, symbol="OLD").id)
    return trade.executed_at  # type: ignore[union-attr]


def signal_ahead(book: Book, seconds: Any) -> Any:
    """Record a signal that is this many seconds beyond the bound on times ahead; the clock goes on meanwhile."""
    clock = datetime(2026, 1, 1, tzinfo=UTC)
    at = clock + timedelta(seconds=limits.MAX_SECONDS_AHEAD + seconds)
    with book.unit_of_work(context=CallContext(at=clock)) as uow:
        within(uow, handlers.record_signal, "AAPL", "BUY", generated_at=at)
        uow.commit()
    return seconds


def page_of(book: Book, limit: Any) -> Any:
    book.get_all(Trade, limit)
    return limit


def asked_id(book: Book, record_id: Any) -> Any:
    assert book.get(Trade, record_id) is None
    return record_id


def characters(count: int) -> dict[str, str]:
    """JSON of so many characters and nodes: an object, its key and its text."""
    return {"a": "x" * (count - 3)}


def items(count: int) -> dict[str, list[str]]:
    """JSON of so many characters and nodes: an object, its key, a list, and texts of 99 characters and one less."""
    many, left = divmod(count - 3, 100)
    return {"a": ["x" * 99] * many + ["x" * (left - 1)]}


EDGES: dict[str, list[tuple[Callable[[Book, Any], Any], Any, Any]]] = {
    "MAX_NAME": [
        (recorded_key, "k" * limits.MAX_NAME, "k" * (limits.MAX_NAME + 1)),
        (recorded_details, {"k" * limits.MAX_NAME: 1}, {"k" * (limits.MAX_NAME + 1): 1}),
    ],
    "MAX_NAME_BYTES": [(recorded_key, WIDE, WIDE + "\u00e9")],
    "MAX_TEXT": [(recorded_message, "\u00e9" * limits.MAX_TEXT, "x" * (limits.MAX_TEXT + 1))],
    "MAX_JSON": [
        (recorded_details, characters(limits.MAX_JSON), characters(limits.MAX_JSON + 1)),
        (recorded_details, items(limits.MAX_JSON), items(limits.MAX_JSON + 1)),
    ],
    "MAX_JSON_DEPTH": [
        (recorded_details, {"a": nested(limits.MAX_JSON_DEPTH - 1)},
         {"a": nested(limits.MAX_JSON_DEPTH)}),
    ],
    "MAX_JSON_DIGITS": [
        (recorded_details, {"a": 1 - 10**limits.MAX_JSON_DIGITS}, {"a": 10**limits.MAX_JSON_DIGITS}),
    ],
    "MAX_DIGITS": [
        (recorded_price, Decimal("9" * limits.MAX_DIGITS), Decimal("9" * (limits.MAX_DIGITS + 1))),
        (recorded_price, Decimal("9" * 20 + "." + "9" * 18), Decimal("9" * 21 + "." + "9" * 18)),
        (recorded_price, Decimal("0.00" + "9" * 38), Decimal("0.0" + "9" * 39)),
    ],
    "MAX_DECIMALS": [
        (recorded_price, Decimal("-1e-40"), Decimal("1e-41")),
        (recorded_price, Decimal("1" * 18 + "e-40"), Decimal("1" * 18 + "e-41")),
        (recorded_price, Decimal("1" * 17 + "e-56"), Decimal("1" * 17 + "e-57")),
    ],
    "MAX_WHOLE_DIGITS": [
        (recorded_price, Decimal("-1e308"), Decimal("1e309")),
        (recorded_price, Decimal("9" * 38 + "e271"), Decimal("9" * 38 + "e272")),
    ],
    "MAX_AMOUNT_PLACES": [
        (recorded_total, Decimal("9" * limits.MAX_AMOUNT_PLACES), Decimal("1e1500")),
        (recorded_total, Decimal("-9e-1500"), Decimal("1e-1501")),
        (recorded_total, Decimal("9" * 1500 + "." + "9" * 1500), Decimal("1." + "0" * 1500 + "1")),
    ],
    "MAX_SECONDS_AHEAD": [(signal_ahead, 0, 1)],
    "MAX_LIMIT": [(page_of, limits.MAX_LIMIT, limits.MAX_LIMIT + 1), (page_of, 1, 0)],
    "MAX_ID": [(asked_id, limits.MAX_ID, limits.MAX_ID + 1), (asked_id, 0, -1)],
}  # fmt: skip
"""For each limit: how a value is kept, one that just is, and one that is not."""


def constants() -> dict[str, int]:
    """Every limit there is."""
    return {name: value for name, value in vars(limits).items() if name.startswith("MAX_")}


@pytest.mark.parametrize("limit", EDGES)
def test_what_is_at_the_limit_is_kept_and_one_more_is_refused(book: Book, limit: str) -> None:
    for keep, allowed, too_much in EDGES[limit]:
        assert keep(book, allowed) == allowed
        with pytest.raises(InvalidInput) as refused:
            keep(book, too_much)
        assert refused.value.field
        assert len(str(refused.value)) < 400


def test_the_first_moment_of_the_calendar_is_kept_and_the_last_refused(book: Book) -> None:
    time = datetime(1, 1, 1, tzinfo=UTC)
    with pytest.raises(InvalidInput, match="a day after this machine's clock"):
        recorded_time(book, datetime.max.replace(tzinfo=UTC))
    assert recorded_time(book, time) == time
    assert [t.executed_at for t in book.get_trades(since=time)][-1:] == [time]
    assert book.verify().proven


def test_an_order_with_as_much_json_as_fits_can_be_filled_changed_and_deleted(book: Book) -> None:
    details = characters(limits.MAX_JSON)
    deep = {"a": nested(limits.MAX_JSON_DEPTH - 1)}
    for symbol, given in (("LONG", details), ("DEEP", deep)):
        book.record_trade(symbol=symbol, order_id="o", status="PENDING", details=given, **BUY)
        filled = book.record_trade(symbol=symbol, order_id="o", details={"b": given["a"]}, **BUY)
        assert filled.details == {"b": given["a"]}
        book.bust_trade(trade_id=filled.id, reason="again")
        order = book.record_trade(symbol=symbol, status="PENDING", details=given, **BUY)
        order.details = {"c": given["a"]}
        assert book.update(order).details == {"c": given["a"]}
        book.delete(order)
    assert book.verify().proven


def test_every_limit_has_an_edge_that_is_tried() -> None:
    assert constants().keys() == EDGES.keys()


def test_the_readme_says_what_the_limits_are() -> None:
    table = LIMITS.read_text()
    told = dict(re.findall(r"^\| `(MAX_\w+)` \| ([\d,^ -]+) \|", table, re.MULTILINE))
    numbers = {name: f"{value:,}" for name, value in constants().items()}
    assert told == {**numbers, "MAX_ID": "2^63 - 1"}
