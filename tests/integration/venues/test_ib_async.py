"""Fills as `ib_async` makes them become trades of the book, once, with IBKR's corrections."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.support.command_line import Command
from tests.support.venue_moves import SAMPLES
from tradebook import DatabaseManager, InvalidInput, Trade
from tradebook.testing import FakeBook
from tradebook.venues import ib_async as venue

ib_async = pytest.importorskip("ib_async")
pytestmark = pytest.mark.full

NOON = datetime(2026, 3, 2, 17, 30, tzinfo=UTC)
UNSET = 1.7976931348623157e308


def fill(
    number: int,
    contract: Any = None,
    *,
    revision: int = 1,
    commission: float = 1.0,
    **execution: Any,
) -> Any:
    """A fill with its commission report."""
    id_ = f"0001f4e8.5f2b.{number:02}.{revision:02}"
    said = {
        "side": "BOT",
        "shares": 100.0,
        "price": 150.25,
        "permId": 700 + number // 2,
        **execution,
    }
    made = ib_async.Execution(execId=id_, time=NOON + timedelta(seconds=number), **said)
    report = ib_async.CommissionReport(execId=id_, commission=commission, currency="USD")
    stock = contract or ib_async.Stock("AAPL", "SMART", "USD")
    return ib_async.Fill(stock, made, report, made.time)


def test_each_fill_is_booked_once_whatever_the_order_and_how_often_it_comes() -> None:
    book = FakeBook()
    fills = [fill(n, side="BOT" if n % 3 else "SLD", price=150 + n / 4) for n in range(25)]
    first = venue.sync(book, reversed(fills))
    again = venue.sync(book, fills)
    assert (first.booked, again.booked, again.duplicates) == (25, 0, 25)
    times = [t.executed_at for t in sorted(book.iterate(Trade), key=lambda t: t.sequence or 0)]
    assert times == sorted(times)
    assert book.get_position_by_symbol("AAPL").quantity == 100 * (16 - 9)  # type: ignore[union-attr]
    assert book.verify().proven


def test_a_correction_takes_the_place_of_the_fill() -> None:
    book = FakeBook()
    venue.sync(book, [fill(1)])
    done = venue.sync(book, [fill(1), fill(1, revision=2, price=149.5)])
    assert (done.booked, done.corrected) == (0, 1)
    [counts] = book.get_all(Trade, status="EXECUTED")
    assert (counts.price, counts.revision) == (Decimal("149.5"), 1)
    assert venue.sync(book, [fill(1, revision=2, price=149.5)]).corrected == 0


def test_a_fill_waits_for_its_commission() -> None:
    book = FakeBook()
    unknown = fill(1)._replace(commissionReport=ib_async.CommissionReport())
    done = venue.sync(book, [unknown, fill(2, commission=UNSET)])
    assert done.waiting == [unknown.execution.execId, "0001f4e8.5f2b.02.01"]
    assert book.count(Trade) == 0
    with pytest.raises(InvalidInput, match="comes after the fill"):
        venue.terms(unknown)
    assert venue.sync(book, [fill(1), fill(2)]).booked == 2


@pytest.mark.parametrize(
    ("contract", "expected"),
    [
        (ib_async.Stock("SAP", "IBIS", "EUR"), ("SAP", "EUR", "CASH", 1)),
        (
            ib_async.Option("AAPL", "20261218", 250, "C", "SMART", multiplier="100", currency="USD",
                            localSymbol="AAPL  261218C00250000"),
            ("AAPL  261218C00250000", "USD", "CASH", 100),
        ),
        (
            ib_async.Future("ES", "202612", "CME", localSymbol="ESZ6", multiplier="50", currency="USD"),
            ("ESZ6", "USD", "MARGINED", 50),
        ),
        (ib_async.Forex("EURUSD"), ("EUR/USD", "USD", "CASH", 1)),
    ],
    ids=["stock", "option", "future", "forex"],
)  # fmt: skip
def test_instruments_have_their_names_and_constants(
    contract: Any, expected: tuple[Any, ...]
) -> None:
    made = FakeBook().record_trade(**venue.terms(fill(1, contract)))
    found = (made.symbol, made.currency, made.settlement, made.multiplier)
    assert found == expected


def test_what_the_book_has_no_form_for_is_told() -> None:
    book = FakeBook()
    done = venue.sync(book, [fill(1, ib_async.Bag(symbol="AAPL", currency="USD"))])
    assert "combination" in done.passed_over[0]
    with pytest.raises(InvalidInput, match="BOT or SLD"):
        venue.terms(fill(1, side="?"))


def test_a_flex_statement_agrees_with_the_fills_of_the_api(sqlite_book: str) -> None:
    """The API and the statement name orders otherwise, and executions alike."""
    tradebook = Command(sqlite_book)
    statement = ("--from", "ibkr", str(SAMPLES / "ibkr" / "statement.xml"))
    tradebook.json("import", *statement)
    with DatabaseManager(sqlite_book) as book, DatabaseManager(sqlite_book, account="api") as api:
        done = venue.sync(api, [as_the_api_says(trade) for trade in book.get_trades()])
    assert done.booked == 5

    found = tradebook.json("reconcile", *statement, "--account", "api", exit_code=1)
    said = tradebook("import", *statement, "--account", "api", stdin="n\n").stderr

    assert found["trades"] == 5
    assert [each["entity"] for each in found["discrepancies"]] == ["CashFlow"] * 4
    assert "booked under other order ids" in said


def as_the_api_says(trade: Trade) -> Any:
    base, slash, quote = trade.symbol.partition("/")
    contract = ib_async.Forex(base + quote) if slash else ib_async.Stock(base, "SMART", "USD")
    id_ = f"{trade.execution_id}.01"
    execution = ib_async.Execution(
        execId=id_,
        time=trade.executed_at,
        side="BOT" if trade.action == "BUY" else "SLD",
        shares=float(trade.quantity),
        price=float(trade.price),
        permId=900 + trade.id,
    )
    report = ib_async.CommissionReport(
        execId=id_, commission=float(trade.fee), currency=trade.fee_currency
    )
    return ib_async.Fill(contract, execution, report, execution.time)
