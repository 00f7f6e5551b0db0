"""Text, times, enumerations, ids and JSON: what the fields of entities accept."""

from __future__ import annotations

from collections import OrderedDict
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from tradebook import InvalidInput, Severity, TradeAction
from tradebook.domain import fields


@pytest.mark.parametrize("given", ["", " AAPL", "AAPL\n", "x" * 201, "a\x00b", "\ud800", 7, None])
def test_names_are_short_text_without_blanks_around_it(given: Any) -> None:
    with pytest.raises(InvalidInput):
        fields.name(given)


def test_a_key_may_be_empty_and_a_name_may_be_200_characters() -> None:
    assert fields.key("") == ""
    assert fields.name("x" * 200) == "x" * 200


def test_text_of_any_kind_is_kept_as_it_is() -> None:
    assert fields.text(" Grüße \n 😀 ") == " Grüße \n 😀 "
    with pytest.raises(InvalidInput, match="at most 100000 characters"):
        fields.text("x" * 100_001)


def test_a_naive_time_is_taken_as_utc() -> None:
    assert fields.utc(datetime(2026, 1, 1, 12)) == datetime(2026, 1, 1, 12, tzinfo=UTC)  # noqa: DTZ001


def test_times_are_converted_to_utc() -> None:
    tokyo = timezone(timedelta(hours=9))

    converted = fields.utc(datetime(2026, 1, 1, 12, tzinfo=tokyo))

    assert converted.isoformat() == "2026-01-01T03:00:00+00:00"


@pytest.mark.parametrize(
    "given", ["2026-01-01", None, datetime.max.replace(tzinfo=timezone(timedelta(hours=-9)))]
)
def test_what_is_no_time_in_utc_is_refused(given: Any) -> None:
    with pytest.raises(InvalidInput, match="a datetime"):
        fields.utc(given)


def test_enumerations_accept_their_text_and_equal_it() -> None:
    assert fields.choice(TradeAction, "BUY") is TradeAction.BUY
    assert Severity.CRITICAL == "CRITICAL"
    with pytest.raises(InvalidInput, match="'HOLD' is not accepted; expected one of BUY, SELL"):
        fields.choice(TradeAction, "HOLD")


@pytest.mark.parametrize("given", [-1, 2**63, True, "1", 1.0, None])
def test_ids_are_whole_numbers(given: Any) -> None:
    with pytest.raises(InvalidInput, match="a record's id"):
        fields.record_id(given)


def test_json_takes_the_form_in_which_databases_give_it_back() -> None:
    given = OrderedDict(
        price=Decimal("1.50"),
        at=datetime(2026, 1, 1, tzinfo=UTC),
        path=("a", 1),
        large=1e16,
        action=TradeAction.BUY,
        none=None,
        flag=True,
        ratio=0.5,
    )

    assert fields.json_object(given) == {
        "price": "1.5",
        "at": "2026-01-01T00:00:00+00:00",
        "path": ["a", 1],
        "large": 10**16,
        "action": "BUY",
        "none": None,
        "flag": True,
        "ratio": 0.5,
    }


def _nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "given",
    [
        float("nan"),
        float("inf"),
        Decimal("NaN"),
        Decimal("1e1000"),
        {1: 2},
        {"a\x00": 1},
        {"x" * 201: 1},
        "\ud800",
        {1, 2},
        object(),
        b"bytes",
        10**700,
        _nested(33),
        "x" * 1_000_001,
        [0] * 1_000_001,
        ["x" * 500_000, "y" * 500_001],
    ],
    ids=lambda value: f"{type(value).__name__} {str(value)[:20]}",
)
def test_what_json_cannot_hold_on_every_database_is_refused(given: Any) -> None:
    with pytest.raises(InvalidInput):
        fields.json_value(given)


def test_json_may_be_nested_32_deep() -> None:
    assert fields.json_value(_nested(32)) == _nested(32)


def test_a_json_object_is_a_copy() -> None:
    given = {"list": [1]}
    kept = fields.json_object(given)

    given["list"].append(2)

    assert kept == {"list": [1]}


def test_a_json_object_is_a_mapping() -> None:
    with pytest.raises(InvalidInput, match="a mapping of names to JSON values"):
        fields.json_object([1])  # type: ignore[arg-type]
