"""Balances of assets over positions and cash, and their comparison with a venue's."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import pytest

from tradebook.domain.errors import InvalidInput

NINE: Final = datetime(2026, 3, 2, 9, tzinfo=UTC)
BTC: Final[dict[str, Any]] = {
    "symbol": "BTC/USDT",
    "action": "BUY",
    "currency": "USDT",
    "executed_at": NINE,
}


@pytest.fixture
def traded(book: Any) -> Any:
    """Return a book with bitcoin in three places."""
    book.record_cash_flow("DEPOSIT", 100_000, currency="USDT", reference="wire")
    book.record_cash_flow("DEPOSIT", "0.5", currency="BTC", reference="coins")
    book.record_trade(
        **BTC, quantity=1, price=60_000, fee="0.001", fee_currency="BTC", order_id="one"
    )
    book.record_trade(
        **{**BTC, "symbol": "BTC/EUR", "currency": "EUR", "action": "SELL"},
        quantity="0.2",
        price=55_000,
        fee="0.01",
        fee_currency="BNB",
        order_id="two",
    )
    book.record_trade(
        **{**BTC, "symbol": "BTC/USDT:USDT", "settlement": "MARGINED"},
        quantity=3,
        price=60_000,
        order_id="three",
    )
    return book


EXPECTED: Final = {
    "BNB": Decimal("-0.01"),
    "BTC": Decimal("0.5") + Decimal("0.999") - Decimal("0.2"),
    "EUR": Decimal(11_000),
    "USDT": Decimal(40_000),
}


def test_a_balance_is_over_all_positions_and_cash(traded: Any) -> None:
    found = traded.get_balances()

    assert {each.asset: each.balance for each in found} == EXPECTED
    assert [each.asset for each in found] == sorted(EXPECTED)
    bitcoin = found[1]
    assert (bitcoin.positions, bitcoin.cash) == (Decimal("0.799"), Decimal("0.5"))


def test_equal_balances_agree_to_the_last_digit(traded: Any) -> None:
    result = traded.reconcile({**EXPECTED, "ETH": 0})

    assert result.agrees
    assert (result.account, result.assets) == (traded.account, 5)


def test_what_ccxt_returns_is_understood(traded: Any) -> None:
    totals = {"BTC": 1.299, "BNB": -0.01, "EUR": 11000.0, "USDT": 40000.0}
    fetched = {
        "info": {"raw": [1]},
        "timestamp": 1,
        "datetime": "2026-03-02T09:00:00Z",
        "free": totals,
        "used": dict.fromkeys(totals, 0.0),
        "total": totals,
        **{
            asset: {"free": amount, "used": 0.0, "total": amount}
            for asset, amount in totals.items()
        },
    }

    assert traded.reconcile(fetched).agrees


def test_a_difference_names_the_last_entries_that_changed_the_asset(traded: Any) -> None:
    result = traded.reconcile({**EXPECTED, "BTC": "1.2", "ETH": 2})

    assert not result.agrees
    bitcoin, ether = result.differences
    assert (bitcoin.asset, bitcoin.book, bitcoin.venue) == ("BTC", Decimal("1.299"), Decimal("1.2"))
    assert bitcoin.difference == Decimal("-0.099")
    assert sorted((e.entity, e.amount) for e in bitcoin.entries) == [
        ("CashFlow", Decimal("0.5")),
        ("Trade", Decimal("-0.2")),
        ("Trade", Decimal("0.999")),
    ]
    assert (ether.difference, ether.entries) == (2, ())


def test_a_tolerance_passes_over_what_is_not_more(traded: Any) -> None:
    said = {**EXPECTED, "BTC": "1.2"}

    assert traded.reconcile(said, tolerance="0.099").agrees
    assert not traded.reconcile(said, tolerance="0.098").agrees


@pytest.mark.parametrize(
    ("balances", "tolerance", "message"),
    [
        ({"BTC": "many"}, 0, r"balances\['BTC'\]: 'many' is not accepted"),
        ({"BTC": None}, 0, r"balances\['BTC'\]: None .* leave the asset out"),
        ({"total": {"BTC": None}}, 0, r"balances\['BTC'\]: None"),
        ([("BTC", 1)], 0, "balances: .* a mapping"),
        ({"BTC": 1}, -1, "tolerance: -1 is not accepted"),
    ],
)
def test_what_is_no_balance_is_refused_by_name(
    traded: Any, balances: Any, tolerance: Any, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        traded.reconcile(balances, tolerance=tolerance)
