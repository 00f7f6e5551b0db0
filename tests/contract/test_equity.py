"""Equity curves on every backend: each point is what the book said, or says, of its time."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.diary import BEGIN, RATES, Diary, trading_day
from tradebook import InvalidInput, MissingRate, handlers
from tradebook.domain import frequencies
from tradebook.domain.equity import AMOUNTS
from tradebook.service_layer.book import Book
from tradebook.service_layer.performance import equity
from tradebook.service_layer.performance.curve import EquityCurve

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def diary(book: Book) -> Diary:
    return Diary(book)


def values(curve: EquityCurve, group: str = "") -> list[tuple[Any, ...]]:
    rows = curve.groups if group else curve.points
    return [(p.time - BEGIN, p.total_value) for p in rows if p.group == group]


def test_a_curve_is_the_portfolio_as_of_each_point_and_each_snapshot(
    diary: Diary, monkeypatch: pytest.MonkeyPatch
) -> None:
    trading_day(diary)
    monkeypatch.setattr(equity, "_READ", 2)
    monkeypatch.setattr(equity, "_FOLDED", 3)
    book = diary.book
    for basis, by in (("recorded", "booked"), ("restated", "executed")):
        curve = book.equity_curve(BEGIN, diary.now, "1m", basis=basis, by="symbol", rates=RATES)
        assert len(curve.points) == len(diary.said) + 1
        for point in curve.points:
            found = book.portfolio_as_of(point.time, by=by, rates=RATES).portfolio
            assert point.cash == found.cash_balance
            names = [name for name in AMOUNTS if name != "cash"]
            assert [getattr(point, n) for n in names] == [getattr(found, n) for n in names]
    taken = {p.timestamp: p.total_value for p in book.get_portfolio_history(days=36_500)}
    curve = book.equity_curve(frequency="snapshot", end=diary.now)  # each at its own rates
    assert {p.time: p.total_value for p in curve.points if p.time in taken} == taken


def test_given_prices_value_what_is_held_between_trades(diary: Diary, tmp_path: Path) -> None:
    diary.do(handlers.record_cash_flow, kind="DEPOSIT", amount=1000)
    diary.trade("AAPL", "BUY", 2, 100, executed_at=BEGIN, strategy="s")
    at = [BEGIN + number * HOUR for number in range(4)]
    given: dict[str, dict[datetime, Any]] = {
        "AAPL": {at[1]: 110, at[2]: "120.5"},
        "unheld": {at[0]: 1},
    }
    file = tmp_path / "prices.csv"
    file.write_text(
        "time,symbol,price\n"
        + "".join(f"{t:%Y-%m-%dT%H:%M:%SZ},AAPL,{p}\n" for t, p in given["AAPL"].items())
    )
    for prices in (given, str(file)):
        curve = diary.book.equity_curve(at[0], at[3], HOUR, prices, basis="restated", by="strategy")
        assert values(curve) == [
            (0 * HOUR, 0),  # the deposit came a minute later
            (HOUR, 1020),
            (2 * HOUR, 1041),
            (3 * HOUR, 1041),
        ]
        assert values(curve, "s") == [
            (n * HOUR, v) for n, v in enumerate((0, 20, 41, 41)) if v or not n
        ]
    plain = diary.book.equity_curve(at[0], at[3], HOUR, basis="restated")
    assert [value for _, value in values(plain)] == [0, 1000, 1000, 1000]
    diary.do(handlers.take_snapshot)
    with pytest.raises(InvalidInput, match="no price of AAPL"):
        diary.book.equity_curve(at[0], at[3], HOUR, {"MSFT": {at[0]: 1}}, basis="restated")


def test_dividends_and_funding_belong_to_those_who_held_the_symbol(diary: Diary) -> None:
    diary.trade("AAPL", "BUY", 3, 100, executed_at=BEGIN, strategy="s")
    diary.trade("AAPL", "BUY", 1, 100, executed_at=BEGIN, strategy="t")
    income: dict[str, Any] = {
        "kind": "DIVIDEND",
        "amount": 8,
        "symbol": "AAPL",
        "entitled_at": BEGIN + MINUTE,
    }
    diary.do(handlers.record_cash_flow, **income, occurred_at=BEGIN + HOUR)
    curve = diary.book.equity_curve(BEGIN, BEGIN + HOUR, "1h", basis="restated", by="strategy")
    assert values(curve, "s") == [(0 * HOUR, 0), (HOUR, 6)]
    assert values(curve, "t") == [(0 * HOUR, 0), (HOUR, 2)]
    assert [p.income for p in curve.points] == [0, 8]


def test_an_empty_book_has_one_point_of_zero(book: Book) -> None:
    for basis in ("recorded", "restated"):
        curve = book.equity_curve(basis=basis, by="agent")
        [point] = curve.points
        assert point.total_value == 0
        assert not curve.groups
        assert curve.currency == "USD"


def test_the_restated_curve_begins_with_the_first_record(diary: Diary) -> None:
    diary.trade("AAPL", "BUY", 1, 100, executed_at=BEGIN - 2 * HOUR)
    assert diary.book.equity_curve(end=BEGIN, basis="restated").points[0].time == BEGIN - 2 * HOUR
    first = diary.book.equity_curve(end=diary.now).points[0]
    assert first.time > BEGIN


@pytest.mark.parametrize(
    ("refused", "named"),
    [
        ({"start": BEGIN + HOUR, "end": BEGIN}, "start"),
        ({"frequency": "fortnight"}, "frequency: 'fortnight'"),
        ({"frequency": "1s", "start": BEGIN, "end": BEGIN + 1000 * HOUR}, "at most 100,000 points"),
        ({"basis": "believed"}, "basis"),
        ({"by": "colour"}, "by"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"rates": {"EUR": 0}}, "EUR"),
    ],
)
def test_what_is_refused_is_named(book: Book, refused: dict[str, Any], named: str) -> None:
    book.record_trade(symbol="A", action="BUY", quantity=1, price=1, currency="EUR")
    with pytest.raises(InvalidInput, match=named):
        book.equity_curve(**refused)


def test_a_currency_without_a_rate_is_named(book: Book) -> None:
    book.record_trade(symbol="A", action="BUY", quantity=1, price=1, fee=1, currency="EUR")
    with pytest.raises(MissingRate, match="EUR"):
        book.equity_curve()
    assert book.equity_curve(rates={"EUR": 2}).points[-1].total_value == Decimal(-2)


def test_a_curve_as_columns(diary: Diary) -> None:
    pytest.importorskip("pyarrow")
    diary.trade("AAPL", "BUY", 3, "0.1", strategy="s", fee="0.01")
    curve = diary.book.equity_curve(BEGIN, diary.now, HOUR, by="strategy")
    table = curve.to_arrow()
    assert table.column_names == ["time", "group", *AMOUNTS]
    [last] = table.slice(table.num_rows - 1).select(["group", "total_value", "fees"]).to_pylist()
    assert last == {"group": "s", "total_value": Decimal("-0.01"), "fees": Decimal("0.01")}
    text = diary.book.equity_curve(BEGIN, diary.now, HOUR).to_arrow("text")
    assert text["total_value"].to_pylist() == ["0", "-0.01"]
    assert str(curve.to_arrow("decimal128").schema.field("fees").type) == "decimal128(2, 2)"


def test_days_begin_in_the_time_zone(book: Book) -> None:
    start, end = (
        datetime.fromisoformat("2026-03-28T12:00Z"),
        datetime.fromisoformat("2026-03-30T12:00Z"),
    )
    curve = book.equity_curve(start, end, time_zone="Europe/Berlin")
    found = [p.time.isoformat() for p in curve.points[1:-1]]
    assert found == ["2026-03-28T23:00:00+00:00", "2026-03-29T22:00:00+00:00"]  # 23 hours
    assert frequencies.MAX_POINTS == 100_000


def test_a_trade_whose_call_began_before_a_snapshot_that_does_not_hold_it_counts_after_it(
    diary: Diary,
) -> None:
    diary.trade("AAPL", "BUY", 1, 100, fee=1)
    taken = diary.snapshot()
    diary.trade("AAPL", "BUY", 1, 90, fee=1)
    diary.trade("MSFT", "BUY", 1, 10, fee=5, after=-2 * MINUTE)  # booked a minute before it
    assert diary.now < taken.timestamp
    curve = diary.book.equity_curve(BEGIN, BEGIN + 4 * MINUTE, MINUTE)
    assert {p.time: p.total_value for p in curve.points} == {
        BEGIN: 0,
        BEGIN + MINUTE: -1,
        taken.timestamp: -1,
        BEGIN + 3 * MINUTE: -17,
        BEGIN + 4 * MINUTE: -17,
    }
