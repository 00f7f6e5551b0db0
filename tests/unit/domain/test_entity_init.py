"""Records made straight are what attrs would have made, in every case, and refuse alike."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from attrs import define, field

from tradebook import InvalidInput
from tradebook.domain.entity import named_fields, replace_init
from tradebook.domain.numbers import ONE, positive
from tradebook.domain.validation import identifier


@define(slots=False, kw_only=True, field_transformer=named_fields)
class Thing:
    """One of every kind of field."""

    id: int | None = None
    symbol: str = field(converter=identifier)
    size: Decimal = field(default=ONE, converter=positive)
    details: dict[str, Any] = field(factory=dict)
    called: str = field(converter=identifier)

    @called.default
    def _as_symbol(self) -> str:
        return self.symbol.lower()

    def __attrs_post_init__(self) -> None:
        if self.symbol == self.called:
            raise InvalidInput("called", self.called, "another name than the symbol")


BY_ATTRS: Any = Thing.__init__
replace_init(Thing)


def by_attrs(**given: Any) -> dict[str, Any]:
    """The fields of what attrs makes."""
    made = object.__new__(Thing)
    BY_ATTRS(made, **given)
    return vars(made)


def refusal(make: Any, given: dict[str, Any]) -> str:
    """How it is refused."""
    with pytest.raises((InvalidInput, TypeError)) as refused:
        make(**given)
    return f"{type(refused.value).__name__}: {refused.value}"


@pytest.mark.parametrize(
    "given",
    [
        {"symbol": "AAPL"},
        {"symbol": "AAPL", "size": "1.50", "called": "apple", "id": 7, "details": {"a": 1}},
        {"symbol": "AAPL", "size": 2.5},
    ],
)
def test_what_is_made_straight_is_what_attrs_makes(given: dict[str, Any]) -> None:
    assert vars(Thing(**given)) == by_attrs(**given)
    assert vars(Thing(**given))["details"] is not vars(Thing(**given))["details"] or given.get(
        "details"
    )


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"size": 1},
        {"symbol": "AAPL", "colour": "red"},
        {"symbol": " "},
        {"symbol": "AAPL", "size": 0},
        {"symbol": "aapl"},
    ],
)
def test_what_is_refused_is_refused_alike(given: dict[str, Any]) -> None:
    assert refusal(Thing, given) == refusal(by_attrs, given)
