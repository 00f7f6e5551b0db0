"""Sources of prices that a caller gives, and looking up the last price in many periods."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from tests.support import examples
from tradebook import InvalidInput, PricePoint, Prices
from tradebook.service_layer.explanations.quality.price_lookups import PricePeriod, PriceReader
from tradebook.service_layer.explanations.quality.prices import BookPrices, SeriesPrices, as_prices
from tradebook.testing import FakeUnitOfWork

D = Decimal
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
TICK = timedelta(microseconds=1)
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
law = examples.law(60)


def prices(given_: Any) -> Prices:
    return as_prices(FakeUnitOfWork(), given_)


def listed(given_: Any, symbol: str = "AAPL") -> list[tuple[datetime, Decimal]]:
    return [(p.at, p.price) for p in prices(given_).between(symbol, FIRST, LAST)]


EXPECTED = [(NOON, D("150.25")), (NOON + HOUR, D("151"))]


def test_of_none_they_are_those_of_the_book() -> None:
    assert isinstance(prices(None), BookPrices)


def test_a_mapping_of_pairs_or_of_times_is_taken() -> None:
    pairs = [(NOON + HOUR, 151), (NOON, "150.25")]
    assert listed({"AAPL": pairs}) == listed({"AAPL": dict(pairs)}) == EXPECTED  # type: ignore[arg-type]
    assert listed({"AAPL": [["2026-03-02T12:00", 1]], "MSFT": []}) == [(NOON, 1)]
    assert listed({"AAPL": []}) == listed({}) == listed({"MSFT": pairs}) == []


def test_both_ends_are_included_and_the_last_price_of_a_time_is_last() -> None:
    source = prices({"AAPL": [(NOON, 1), (NOON + HOUR, 2), (NOON, 3), (NOON + TICK, 4)]})
    found = [p.price for p in source.between("AAPL", NOON, NOON + TICK)]
    assert found == [1, 3, 4]
    assert [p.price for p in source.between("AAPL", NOON + TICK, NOON + HOUR - TICK)] == [4]


def test_your_own_source_is_taken_as_it_is() -> None:
    source = prices({})
    assert prices(source) is source


def csv(folder: Path, text: str) -> Path:
    file = folder / "prices.csv"
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    "text",
    [
        "time,symbol,price\n2026-03-02T13:00Z,AAPL,151\n2026-03-02 12:00,AAPL,150.25\n",
        "\ufeffPrice; Symbol ;note;TIME\n151;AAPL;x;2026-03-02T14:00+01:00\n\n150.25;AAPL;;2026-03-02T12:00\n",
        "symbol\tprice\ttime\nAAPL\t151.00\t2026-03-02T13:00Z\nMSFT\t1\t2026-03-02\nAAPL\t150.25\t2026-03-02T12:00Z\n",
    ],
)
def test_a_csv_file_is_read(tmp_path: Path, text: str) -> None:
    file = csv(tmp_path, text)
    assert listed(file) == listed(str(file)) == EXPECTED
    [first, _] = prices(file).between("AAPL", FIRST, LAST)
    assert first.source == "prices.csv"


def test_every_digit_of_a_file_is_kept(tmp_path: Path) -> None:
    file = csv(
        tmp_path, "time,symbol,price\n2026-03-02T12:00Z,AAPL,0.1234567890123456789012345678\n"
    )
    assert listed(file) == [(NOON, D("0.1234567890123456789012345678"))]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "time,symbol,price\n2026-03-02,AAPL,1\n2026-03-02,AAPL,1x\n",
            "line 3 of .*prices.csv.*'1x'",
        ),
        ("time,symbol,price\n\n1772452800,AAPL,1\n", "line 3 of .*a datetime, or an ISO 8601 text"),
        ("time,symbol,price\n2026-03-02,,1\n", "line 2 of .*text that is not empty"),
        ("time,symbol,price\n2026-03-02,AAPL\n", "line 2 of .*'2 cells'"),
        ("time,symbol,price\n2026-03-02,AAPL,NaN\n", "line 2 of .*a finite number"),
        ("date,symbol,price\n", "the columns time, symbol and price.*'date, symbol, price'"),
        ("", "the columns time, symbol and price"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        prices(csv(tmp_path, text))


@pytest.mark.parametrize("path", ["none.csv", ".", "", "a\x00b", "x" * 5000, "a\ud800"])
def test_a_file_that_cannot_be_read_is_refused(path: str) -> None:
    with pytest.raises(InvalidInput, match="a file that can be read"):
        prices(path)


def test_a_file_of_other_bytes_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "prices.csv"
    file.write_bytes(b"time,symbol,price\n\xff\xfe\n")
    with pytest.raises(InvalidInput, match="UTF-8"):
        prices(file)


COLUMNS: dict[str, list[Any]] = {
    "symbol": ["AAPL", "MSFT", "AAPL"],
    "time": [NOON + HOUR, NOON, NOON],
    "price": [151.0, 1.0, 150.25],
}
EAST = timezone(timedelta(hours=3))


NAIVE: list[Any] = [time.replace(tzinfo=None) for time in COLUMNS["time"]]
EXACT: list[Any] = [D("151.00"), D("1.00"), D("150.25")]


def test_data_frames_of_pandas_are_read() -> None:
    from pandas import DataFrame

    for frame in (COLUMNS, {**COLUMNS, "time": NAIVE}, {**COLUMNS, "price": EXACT}):
        assert listed(DataFrame(frame)) == EXPECTED
    with pytest.raises(InvalidInput, match=r"prices, row 2: nan .*a finite number"):
        prices(DataFrame({**COLUMNS, "price": [1, 2, float("nan")]}))
    lacking(DataFrame)


def test_data_frames_of_polars_are_read() -> None:
    from polars import DataFrame

    for frame in (COLUMNS, {**COLUMNS, "time": NAIVE}, {**COLUMNS, "price": EXACT}):
        assert listed(DataFrame(frame)) == EXPECTED
    lacking(DataFrame)


def test_tables_of_pyarrow_are_read() -> None:
    import pyarrow

    east = [time.astimezone(EAST) for time in COLUMNS["time"]]
    texts = [time.isoformat() for time in COLUMNS["time"]]
    for column in ({}, {"time": NAIVE}, {"time": east}, {"time": texts}, {"price": EXACT}):
        assert listed(pyarrow.table({**COLUMNS, **column})) == EXPECTED
    names = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
    types = {"symbol": names, "time": pyarrow.timestamp("ns"), "price": pyarrow.float64()}
    assert listed(pyarrow.table(COLUMNS).cast(pyarrow.schema(types))) == EXPECTED
    lacking(pyarrow.table)


def lacking(kind: Any) -> None:
    """Check that a frame is refused that lacks a column or a value."""
    with pytest.raises(InvalidInput, match=r"'symbol, price'.*a data frame with the columns time"):
        prices(kind({"symbol": ["AAPL"], "price": [1]}))
    with pytest.raises(InvalidInput, match=r"prices, row 0: NaT|prices, row 0: None"):
        prices(kind({"symbol": ["AAPL"], "price": [1], "time": [None]}))


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        *(
            (value, "the path of a CSV file or a data frame")
            for value in (7, object(), [], SeriesPrices)
        ),
        ({"AAPL": 7}, r"prices\['AAPL'\]: 7 .*pairs"),
        ({"AAPL": [(NOON, 1, 2)]}, r"prices\['AAPL'\].*pairs"),
        ({"AAPL": [NOON]}, r"prices\['AAPL'\].*pairs"),
        ({"AAPL": iter([(NOON, 1)])}, r"prices\['AAPL'\].*pairs"),
        ({"AAPL": [(NOON, "x")]}, r"prices\['AAPL'\]: 'x'"),
        ({"AAPL": [("x", 1)]}, r"prices\['AAPL'\]: 'x'"),
        ({"": [(NOON, 1)]}, r"prices\[''\]"),
    ],
)
def test_what_is_no_source_is_refused(given_: Any, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        prices(given_)


@define
class Counted:
    """A source that counts how often it is asked."""

    source: Prices
    asked: list[str] = field(factory=list)

    def between(self, symbol: str, start: datetime, end: datetime) -> Iterable[PricePoint]:
        self.asked.append(symbol)
        return self.source.between(symbol, start, end)


minutes = st.integers(0, 300)
symbols = st.sampled_from(["A", "B"])
points = st.lists(st.tuples(symbols, minutes, st.integers(1, 9)), max_size=40)
periods = st.lists(st.tuples(symbols, minutes, st.integers(0, 90)), max_size=20)


@law
@given(points, st.lists(periods, max_size=3))
def test_the_last_prices_are_those_that_a_scan_finds(
    given_: list[tuple[str, int, int]], wanted: list[list[tuple[str, int, int]]]
) -> None:
    def at(minute: int) -> datetime:
        return NOON + timedelta(minutes=minute)

    table: dict[str, dict[datetime, int]] = {}
    for symbol, minute, price in given_:
        table.setdefault(symbol, {})[at(minute)] = price
    reader = PriceReader(prices(table))
    for batch in wanted:
        asked = [PricePeriod(s, at(start), at(start + length)) for s, start, length in batch]
        expected = {
            period: table[period.symbol][max(inside)]
            for period in asked
            if (
                inside := [
                    t for t in table.get(period.symbol, {}) if period.since <= t <= period.until
                ]
            )
        }
        assert reader.last_prices(asked) == expected


def test_periods_with_few_prices_between_them_are_read_together() -> None:
    every_hour = prices({"A": [(NOON + n * HOUR, n) for n in range(1000)]})
    reader = PriceReader(Counted(every_hour))
    near = [PricePeriod("A", NOON + n * 20 * HOUR, NOON + (n * 20 + 1) * HOUR) for n in range(40)]
    assert sorted(map(int, reader.last_prices(near).values())) == [n * 20 + 1 for n in range(40)]
    assert len(reader.prices.asked) <= 2  # type: ignore[attr-defined]
    far = [
        PricePeriod("A", NOON, NOON + HOUR),
        PricePeriod("A", NOON + 900 * HOUR, NOON + 901 * HOUR),
    ]
    reader.prices.asked.clear()  # type: ignore[attr-defined]
    reader.last_prices(far)
    assert len(reader.prices.asked) == 2  # type: ignore[attr-defined]


def test_periods_inside_another_are_read_with_it() -> None:
    source = Counted(prices({"A": {NOON + n * HOUR: n for n in range(1000)}}))
    spans = [(0, 900), (1, 2), (500, 501), (800, 950)]
    asked = [PricePeriod("A", NOON + start * HOUR, NOON + end * HOUR) for start, end in spans]
    assert sorted(PriceReader(source).last_prices(asked).values()) == [2, 501, 900, 950]
    assert len(source.asked) == 1


@define
class Wrong:
    """A source that returns what it is told to."""

    returned: Any

    def between(self, symbol: str, start: datetime, end: datetime) -> Any:
        return self.returned


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (None, "a list of PricePoint"),
        ([(NOON, D(1))], "PricePoint"),
        ([PricePoint(NOON + HOUR, D(1)), PricePoint(NOON, D(1))], "sorted by time"),
        ([PricePoint("noon", D(1))], "'noon'"),  # type: ignore[arg-type]
        ([PricePoint(NOON, "much")], "'much'"),  # type: ignore[arg-type]
    ],
)
def test_a_source_that_returns_no_prices_is_refused(returned: Any, said: str) -> None:
    with pytest.raises(InvalidInput, match=f"prices: .*{said}"):
        PriceReader(Wrong(returned)).last_prices([PricePeriod("A", NOON, NOON + 2 * HOUR)])
