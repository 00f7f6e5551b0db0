"""Numbers of Arrow's columns are exact or refused, however long they are."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from operator import attrgetter
from typing import Any

import hypothesis.strategies as st
import pyarrow
import pytest
from hypothesis import given, settings

from tradebook import InvalidInput, PerformanceMetric
from tradebook.domain.errors import DatabaseCorrupt
from tradebook.domain.numbers import canonical, plain
from tradebook.service_layer.ports.columns import columns_from_rows
from tradebook.service_layer.ports.paging import row_names
from tradebook.service_layer.queries.arrow import ArrowKind, Decimals

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
METRIC = PerformanceMetric(name="n", value=1, period_start=NOON, period_end=NOON, created_at=NOON)

LENGTHS = st.sampled_from((1, 2, 17, 35, 36, 37, 38, 39, 40, 41, 76, 77, 78, 400))


@st.composite
def numbers(draw: st.DrawFn) -> Decimal:
    """Numbers with as many digits as a type takes, and one more, before the point and after it."""
    digits, places = draw(LENGTHS), draw(LENGTHS | st.just(0))
    whole = draw(st.integers(10 ** (digits - 1), 10**digits - 1) | st.just(0))
    fraction = draw(st.integers(0, 10**places - 1))
    text = f"{whole}.{fraction:0{places}}" if places else str(whole)
    return canonical(Decimal(draw(st.sampled_from(("", "-"))) + text))


def columns(texts: list[str]) -> pyarrow.Table:
    """Metrics with these values, as a database sends them."""
    row = attrgetter(*row_names(PerformanceMetric))(METRIC)
    found = columns_from_rows(PerformanceMetric, [row] * len(texts))
    place = found.column_names.index("value")
    return found.set_column(place, "value", pyarrow.array(texts, pyarrow.string()))


def converted(texts: list[str], decimals: Decimals) -> pyarrow.Array:
    as_arrow = ArrowKind.from_kind(PerformanceMetric, decimals)
    if as_arrow.needs_sizes:
        as_arrow.measure(columns(texts))
        as_arrow = as_arrow.sized()
    return as_arrow.batch(columns(texts)).column("value")


def digits_of(values: list[Decimal]) -> tuple[int, int]:
    """The digits that a column of these needs, before the point and after it."""
    return (
        max(0, *(value.adjusted() + 1 for value in values)),
        max(-int(value.as_tuple().exponent) for value in values),
    )


@settings(max_examples=50, deadline=None)  # the first one loads pyarrow
@given(st.lists(numbers(), min_size=1, max_size=3))
def test_numbers_are_exact_or_refused(values: list[Decimal]) -> None:
    texts = [plain(value) for value in values]
    assert converted(texts, "text").to_pylist() == texts
    whole, places = digits_of(values)
    cases: list[tuple[Decimals, bool, list[Any]]] = [
        ("exact", whole <= 36 and places <= 40, values),
        ("decimal128", whole + places <= 38, values),
        ("float", whole <= 308, [float(value) for value in values]),
    ]
    for decimals, fits, expected in cases:
        if fits:
            found = converted(texts, decimals)
            assert found.to_pylist() == expected
            if decimals == "decimal128":
                assert found.type == pyarrow.decimal128(max(whole + places, 1), places)
        else:
            with pytest.raises(InvalidInput, match=r"^value: "):
                converted(texts, decimals)


def test_numbers_that_are_not_canonical_become_so() -> None:
    texts = ["1.50", "0.00", "-0", "007", "2"]
    assert converted(texts, "text").to_pylist() == ["1.5", "0", "0", "7", "2"]
    assert converted(texts, "exact").to_pylist() == [Decimal(text) for text in texts]
    assert converted(["1." + "0" * 60], "exact").to_pylist() == [1]


@pytest.mark.parametrize("text", ["NaN", "Infinity", "dear", ""])
@pytest.mark.parametrize("decimals", ["exact", "text", "decimal128", "float"])
def test_what_is_no_number_is_corruption(text: str, decimals: Decimals) -> None:
    with pytest.raises(DatabaseCorrupt, match="where a number belongs"):
        converted(["1", text], decimals)
