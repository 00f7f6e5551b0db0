"""Text, times, enumerations, ids and JSON: what the fields of entities accept."""

from __future__ import annotations

from collections import OrderedDict
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from attrs import define, field, validators

from tradebook import Alert, InvalidInput, InvalidTransition, Severity, Signal, TradeAction
from tradebook.domain import entity, validation

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
TOO_LATE = datetime.max.replace(tzinfo=timezone(timedelta(hours=-9)))


@pytest.mark.parametrize("given", ["", " AAPL", "AAPL\n", "x" * 201, "a\x00b", "\ud800", 7, None])
def test_names_are_short_text_without_blanks_around_it(given: Any) -> None:
    with pytest.raises(InvalidInput):
        validation.identifier(given)


@pytest.mark.parametrize(
    ("convert", "given", "expected"),
    [
        (validation.identifier, 7, "text"),
        (validation.identifier, " AAPL", "text that is not empty and has no blanks"),
        (validation.short_text, "x" * 201, "at most 200 characters"),
        (validation.long_text, "a\x00b", "text without NUL"),
        (validation.utc, "2026-13-01", "a datetime, or an ISO 8601 text"),
        (validation.utc, TOO_LATE, "a datetime within the years"),
        (validation.record_id, -1, "a record's id"),
        (validation.boolean, 1, "True or False"),
        (validation.json_object, [1], "a mapping"),
        (validation.json_value, object(), "a JSON value"),
        (validation.json_value, float("nan"), "a finite number"),
        (validation.json_value, 2**2048, "an integer"),
        (validation.json_value, Decimal("1e1500"), "a number of at most"),
    ],
    ids=lambda value: getattr(value, "__name__", "-"),
)
def test_a_refusal_carries_the_value_and_leaves_the_field_to_who_knows_its_name(
    convert: Any, given: Any, expected: str
) -> None:
    with pytest.raises(InvalidInput) as refusal:
        convert(given)

    assert refusal.value.value is given
    assert refusal.value.expected.startswith(expected)
    assert refusal.value.field == ""


def test_an_argument_is_named_when_it_is_refused() -> None:
    assert validation.argument("time", validation.utc, NOON) == NOON
    with pytest.raises(InvalidInput) as refusal:
        validation.argument("time", validation.utc, "noon")

    told = refusal.value
    assert (told.field, told.value) == ("time", "noon")
    assert told.expected.startswith("a datetime")


def test_a_key_may_be_empty_and_a_name_may_be_200_characters() -> None:
    assert validation.short_text("") == ""
    assert validation.identifier("x" * 200) == validation.short_text("x" * 200) == "x" * 200


def test_text_of_any_kind_is_kept_as_it_is() -> None:
    assert validation.long_text(" Grüße \n 😀 ") == " Grüße \n 😀 "
    assert len(validation.long_text("x" * 100_000)) == 100_000
    with pytest.raises(InvalidInput, match="at most 100000 characters"):
        validation.long_text("x" * 100_001)


def test_a_naive_time_is_taken_as_utc() -> None:
    assert validation.utc(datetime(2026, 1, 1, 12)) == datetime(2026, 1, 1, 12, tzinfo=UTC)  # noqa: DTZ001


def test_the_hour_that_a_naive_time_repeats_counts_once() -> None:
    assert validation.utc(datetime(2026, 1, 1, 12, fold=1)).fold == 0  # noqa: DTZ001


@pytest.mark.usefixtures("far_from_utc")
def test_the_machines_own_time_zone_matters_nowhere() -> None:
    assert validation.utc(NOON).isoformat() == validation.utc(NOON.replace(tzinfo=None)).isoformat()
    assert validation.utc(NOON).tzinfo is validation.utc_now().tzinfo is UTC


def test_times_are_converted_to_utc() -> None:
    tokyo = timezone(timedelta(hours=9))

    converted = validation.utc(datetime(2026, 1, 1, 12, tzinfo=tokyo))

    assert converted.isoformat() == "2026-01-01T03:00:00+00:00"


def test_a_text_is_a_time_in_iso_8601_and_utc_where_it_is_naive() -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    for text in ("2026-01-01T12:00", "2026-01-01 12:00:00Z", "2026-01-01T21:00+09:00"):
        assert validation.utc(text) == noon


@pytest.mark.parametrize("given", ["noon", "20260101", "1772452800", "", None, TOO_LATE])
def test_what_is_no_time_in_utc_is_refused(given: Any) -> None:
    with pytest.raises(InvalidInput, match="a datetime"):
        validation.utc(given)


def test_enumerations_accept_their_text_and_equal_it() -> None:
    assert validation.enum_member(TradeAction, "BUY") is TradeAction.BUY
    assert validation.enum_member(TradeAction, "sell") is TradeAction.SELL
    assert Severity.CRITICAL == "CRITICAL"
    with pytest.raises(InvalidInput, match="'HOLD' is not accepted; expected one of BUY, SELL"):
        validation.enum_member(TradeAction, "HOLD")


@pytest.mark.parametrize("given", [-1, 2**63, True, "1", 1.0, None])
def test_ids_are_whole_numbers(given: Any) -> None:
    with pytest.raises(InvalidInput, match="a record's id"):
        validation.record_id(given)


@pytest.mark.parametrize("given", [0, 1, 2**63 - 1])
def test_the_least_and_the_greatest_id(given: int) -> None:
    assert validation.record_id(given) == given


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

    assert validation.json_object(given) == {
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
        Decimal("1e1500"),
        {1: 2},
        pytest.param({"a\x00": 1}, id="NUL in a key"),
        {"x" * 201: 1},
        pytest.param("\ud800", id="half a pair of surrogates"),
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
        validation.json_value(given)


def test_json_may_be_nested_32_deep() -> None:
    assert validation.json_value(_nested(32)) == _nested(32)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (10**600 - 1, 10**600 - 1),
        (-(10**600) + 1, -(10**600) + 1),
        (9999999999999998.0, 9999999999999998.0),
        (-1e16, -(10**16)),
        (Decimal("1e1499"), "1" + "0" * 1499),
        (Decimal("-1e-1500"), "-0." + "0" * 1499 + "1"),
    ],
    ids=["int", "negative int", "float", "whole float", "large decimal", "fine decimal"],
)
def test_json_numbers_are_kept_up_to_their_limits(given: Any, kept: Any) -> None:
    assert validation.json_value(given) == kept
    assert type(validation.json_value(given)) is type(kept)


@pytest.mark.parametrize("given", [-(10**600), Decimal("1e1500"), Decimal("1e-1501")])
def test_json_numbers_beyond_their_limits_are_refused(given: Any) -> None:
    with pytest.raises(InvalidInput):
        validation.json_value(given)


@pytest.mark.parametrize(
    "make",
    [
        lambda length: ["x" * 10, "y" * (length - 13)],  # three values, and their characters
        lambda length: {"four": "x" * (length - 6)},
        lambda length: [[], {}, None, 1, "x" * (length - 6)],
    ],
    ids=["list", "dict", "mixed"],
)
def test_json_holds_a_million_of_values_and_characters_together(make: Any) -> None:
    assert validation.json_value(make(1_000_000)) == make(1_000_000)
    with pytest.raises(InvalidInput):
        validation.json_value(make(1_000_001))


def test_a_json_object_is_a_copy() -> None:
    given = {"list": [1]}
    kept = validation.json_object(given)

    given["list"].append(2)

    assert kept == {"list": [1]}


def test_a_json_object_is_a_mapping() -> None:
    with pytest.raises(InvalidInput, match="a mapping of names to JSON values"):
        validation.json_object([1])  # type: ignore[arg-type]


def refuse_by_name(value: str) -> str:
    raise InvalidInput("rates['EUR']", value, "a number")


@define(kw_only=True, field_transformer=entity.named_fields)
class Note:
    """A kind of record that an application might add."""

    title: str = field(converter=validation.identifier)
    pages: int = 0


def test_a_kind_of_ones_own_names_its_fields_in_refusals_too() -> None:
    @define(kw_only=True, field_transformer=entity.named_fields)
    class Letter(Note):
        receiver: str = field(default="ann", converter=validation.identifier)
        rates: str = field(default="", converter=lambda rates: rates and refuse_by_name(rates))
        stamps: Any = None

    assert Letter(title="Hi").receiver == "ann"
    assert Letter(title="Hi", stamps="two").stamps == "two"
    for name, named in (("title", "title"), ("receiver", "receiver"), ("rates", "rates['EUR']")):
        with pytest.raises(InvalidInput) as refusal:
            Letter(**{"title": "Hi", name: " x"})
        assert (refusal.value.field, refusal.value.value) == (named, " x")
        assert refusal.value.expected
    with pytest.raises(InvalidInput, match=r"^title: "):
        Letter(title="Hi").title = ""


def test_a_field_is_frozen_while_its_entity_says_so_and_checked_until_then() -> None:
    @define(slots=False, eq=False, kw_only=True, field_transformer=entity.named_fields)
    class Draft(entity.Entity):
        closed: bool = False
        title: str = field(
            converter=validation.identifier,
            validator=validators.max_len(5),
            on_setattr=entity.frozen_when(lambda draft: draft.closed, "open another"),
        )

    draft = Draft(id=7, title="one")
    draft.title = "two"
    with pytest.raises(InvalidInput, match=r"^title: "):
        draft.title = " "
    with pytest.raises(ValueError, match="title"):
        draft.title = "longer"
    draft.closed = True
    with pytest.raises(InvalidTransition, match=r"^Draft 7: title cannot change; open another$"):
        draft.title = "three"
    assert draft.title == "two"


def alert(**values: Any) -> Alert:
    return Alert(alert_type="drawdown", severity="INFO", **values)


def test_an_entity_takes_over_what_is_recorded_of_it() -> None:
    given, recorded = alert(message="given"), alert(id=7, message="recorded", created_at=NOON)
    del vars(recorded)["source"]  # as of a record of which some fields were not read

    assert given.refresh_from(recorded) is given
    assert (given.id, given.message, given.created_at) == (7, "recorded", NOON)
    assert given.source == ""


def test_entities_take_over_each_its_own_record() -> None:
    given, recorded = [alert(), alert()], [alert(id=1), alert(id=2)]

    assert [entity.id for entity in entity.refreshed(given, recorded)] == [1, 2]
    assert [entity.id for entity in given] == [1, 2]
    with pytest.raises(ValueError, match="shorter"):
        entity.refreshed(given, recorded[:1])


def test_what_differs_is_told_as_recorded_and_as_given() -> None:
    recorded, given = (Signal(symbol=s, action="BUY", strength=n) for s, n in (("X", 1), ("Y", 2)))

    assert entity.differences(recorded, given, ["symbol", "action"]) == {"symbol": ("X", "Y")}
