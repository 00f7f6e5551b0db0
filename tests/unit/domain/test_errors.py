"""Errors: what they carry for programs, and how they show values to people."""

from __future__ import annotations

from typing import Any

import pytest

from tradebook import (
    ConstraintViolated,
    DuplicateOrder,
    InstrumentMismatch,
    InvalidInput,
    MissingRate,
    NotFound,
    Trade,
    TradebookError,
)
from tradebook.domain.errors import shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("AAPL", "'AAPL'"),
        ("x" * 78, repr("x" * 78)),
        ("x" * 81, repr("x" * 80) + "... (81 characters)"),
        (list(range(100)), repr(list(range(20)))[:-1] + ", ...]"),
        (b"x" * 77, repr(b"x" * 77)),
        (b"x" * 78, repr(b"x" * 78)[:80] + "..."),
        (2**511, repr(2**511)[:80] + "..."),
        (10**1000, "an integer of about 996 digits"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_values_are_shown_cut_to_a_readable_length(value: Any, text: str) -> None:
    assert shown(value) == text


def test_an_integer_is_shown_whole_up_to_512_bits() -> None:
    assert shown(2**512 - 1).startswith(str(2**512)[:40])
    assert shown(2**512).startswith("an integer of about 153 digits")


def test_refused_input_carries_its_field_its_value_and_what_is_expected() -> None:
    error = InvalidInput("price", "cheap", "a number")

    assert (error.field, error.value, error.expected) == ("price", "cheap", "a number")
    assert str(error) == "price: 'cheap' is not accepted; expected a number"
    assert str(InvalidInput("", 5, "text")) == "5 is not accepted; expected text"


def test_what_is_not_found_is_named_with_its_account() -> None:
    error = NotFound("Alert", 7, "desk")

    assert (error.entity, error.key, error.account) == ("Alert", 7, "desk")
    assert str(error) == "no Alert 7 in account 'desk'"


def test_a_duplicate_carries_both_values_of_each_difference() -> None:
    error = DuplicateOrder("order", "'o-1'", {"fee": (1, 2), "horizon": (None, "1d")})

    assert (error.entity, error.identity) == ("order", "'o-1'")
    assert error.differences == {"fee": (1, 2), "horizon": (None, "1d")}
    assert "fee is '1', given '2'; horizon is none, given '1d'" in str(error)


def test_a_mismatch_carries_what_is_fixed_and_what_was_given() -> None:
    error = InstrumentMismatch("X", "currency", "USD", "EUR")

    assert (error.symbol, error.field, error.fixed, error.given) == ("X", "currency", "USD", "EUR")


def test_a_missing_rate_names_both_currencies() -> None:
    error = MissingRate("EUR", "USD")

    assert (error.currency, error.base_currency) == ("EUR", "USD")


def test_a_violated_constraint_says_which_where_the_database_does() -> None:
    named = ConstraintViolated("taken", "trades", "order_id", "uq_trades_order")
    bare = ConstraintViolated("taken")

    assert (named.table, named.column, named.constraint) == (
        "trades",
        "order_id",
        "uq_trades_order",
    )
    assert (bare.table, bare.column, bare.constraint) == (None, None, None)
    assert str(named) == str(bare) == "taken"


FORGED = "A\nerror: all was lost\x1b[2J\u202e\u2028!"
FILL = Trade(symbol=FORGED, venue=FORGED, action="BUY", quantity=1, price=1)


@pytest.mark.parametrize(
    "error",
    [
        DuplicateOrder("order", FILL.identity, {FORGED: (1, FORGED)}),
        InstrumentMismatch(FORGED, "currency", FORGED, FORGED),
        MissingRate(FORGED, FORGED),
        NotFound("Trade", FORGED, FORGED),
        InvalidInput(FORGED, FORGED, FORGED),
        ConstraintViolated(FORGED, FORGED),
        TradebookError(FORGED),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_a_message_quotes_forges_no_line_and_moves_no_terminal(error: TradebookError) -> None:
    assert str(error).isprintable()
    assert "A\\nerror" in str(error)


def test_a_message_of_several_lines_keeps_them() -> None:
    assert str(TradebookError("two rows", "  a\tb\n")) == "two rows\n  a\\tb\\n"
