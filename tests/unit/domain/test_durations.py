"""Durations as text and as timedelta."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradebook import InvalidInput
from tradebook.domain.durations import (
    MAX_DURATION,
    duration,
    duration_text,
    durations,
    seconds,
    shifted,
)

HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(("1h", HOUR), ("30m", HOUR / 2), ("90s", timedelta(seconds=90)), ("1d", 24 * HOUR)),
        *(("2w", timedelta(14)), ("1d12h", timedelta(1.5)), ("PT1H", HOUR), ("P1D", 24 * HOUR)),
        *(("P2W", timedelta(14)), ("P1DT2H3M4S", timedelta(1, 7384)), ("PT90M", 1.5 * HOUR)),
    ],
)
def test_text_is_read(text: str, expected: timedelta) -> None:
    assert duration(text) == expected


@pytest.mark.parametrize(
    "value",
    [
        *(
            "",
            "P",
            "PT",
            "h",
            "1",
            "1x",
            "1 h",
            "-1h",
            "0h",
            "1.5h",
            "1M",
            "P1M",
            "P1Y",
            "1h1d",
            "\u0661h",
        ),
        *(
            "9" * 41 + "s",
            "999999999w",
            timedelta(0),
            -HOUR,
            MAX_DURATION + HOUR,
            3600,
            None,
            True,
            [HOUR],
        ),
    ],
)
def test_what_is_no_duration_is_refused(value: Any) -> None:
    with pytest.raises(InvalidInput, match="1h, 1d, 2w or PT1H"):
        duration(value)


def test_several_are_sorted_and_different() -> None:
    assert durations("1h") == (HOUR,)
    assert durations(["1d", HOUR, "60m"]) == (HOUR, 24 * HOUR)
    for none_or_many in ([], ["1h"] * 21):
        with pytest.raises(InvalidInput, match="1 to 20 durations"):
            durations(none_or_many)


@given(st.timedeltas(timedelta(microseconds=1), MAX_DURATION))
def test_seconds_are_exact(length: timedelta) -> None:
    assert seconds(length) * 1_000_000 == length // timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("length", "text"),
    [
        ("86400", "1d"),
        ("3600", "1h"),
        ("5400", "90m"),
        ("61", "61s"),
        ("0.5", "0.5s"),
        ("1209600", "14d"),
    ],
)
def test_they_are_written_in_the_largest_unit(length: str, text: str) -> None:
    assert duration_text(Decimal(length)) == text


def test_times_stay_within_the_years_that_there_are() -> None:
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    assert shifted(first, -HOUR) == first
    assert shifted(last, HOUR) == last
    assert shifted(first, HOUR) == first + HOUR
