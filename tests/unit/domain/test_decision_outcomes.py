"""Outcomes of decisions: the move of the price, and the P&L of its trades."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import examples
from tradebook import Trade
from tradebook.domain.accounting import BookedTrade
from tradebook.domain.decision_outcomes import Unscored, gain, price_outcome, realized_outcome

D = Decimal
law = examples.law(60)
prices = st.decimals(-1000, 1000, places=6)
quantities = st.decimals("0.000001", 1000, places=6)


def fill(realized_pnl: str, **terms: Any) -> BookedTrade:
    usual = {"symbol": "BTC/USDT", "action": "SELL", "quantity": 2, "price": 50, "currency": "USDT"}
    trade = Trade(**{**usual, "fee_currency": "USDT", **terms})
    return BookedTrade.from_trade(trade)._replace(realized_pnl=D(realized_pnl))


@pytest.mark.parametrize(
    ("direction", "before", "after", "outcome"),
    [
        *((1, 100, 101, 1), (1, 100, 99, -1), (-1, 100, 99, 1), (-1, 100, 101, -1)),
        *((1, 100, 100, 0), (1, -5, -4, 1), (-1, -37, -40, 3)),
        *((1, None, 100, Unscored.NO_PRICE), (1, 100, None, Unscored.NO_PRICE)),
    ],
)
def test_a_move_counts_in_the_direction_of_the_decision(
    direction: int, before: int | None, after: int | None, outcome: Any
) -> None:
    given_ = [None if price is None else D(price) for price in (before, after)]
    assert price_outcome(direction, *given_) == outcome


@law
@given(quantities, quantities, prices, prices)
def test_the_gain_of_a_sale_is_the_negated_one_of_a_purchase(
    quantity: Decimal, multiplier: Decimal, before: Decimal, after: Decimal
) -> None:
    bought, sold = (gain(sign, quantity, multiplier, before, after) for sign in (1, -1))
    assert isinstance(bought, Decimal)
    assert isinstance(sold, Decimal)
    assert bought == -sold
    assert gain(1, quantity, multiplier, after, before) == sold


def test_realized_pnl_is_less_fees() -> None:
    assert realized_outcome([fill("10", fee="0.3"), fill("0", fee="0.25")]) == D("9.45")
    assert realized_outcome([fill("1", fee="1")]) == 0
    assert realized_outcome([fill("1", fee="-0.5")]) == D("1.5")


def test_a_fee_in_the_asset_counts_at_the_price_of_its_trade() -> None:
    assert realized_outcome([fill("1", fee="0.01", fee_currency="BTC")]) == D("0.5")


def test_without_a_realized_amount_there_is_no_outcome() -> None:
    assert realized_outcome([]) is Unscored.NO_TRADE
    assert realized_outcome([fill("0", fee="1")]) is Unscored.OPEN


def test_amounts_of_several_currencies_are_not_added_up() -> None:
    assert realized_outcome([fill("1", fee="0.1", fee_currency="BNB")]) is Unscored.UNCONVERTED
    assert realized_outcome([fill("1", fee="0", fee_currency="BNB")]) == 1
    other = fill("1", currency="EUR", fee_currency="EUR")
    assert realized_outcome([fill("1"), other]) is Unscored.UNCONVERTED
