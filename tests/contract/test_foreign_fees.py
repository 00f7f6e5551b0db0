"""Fees in the asset that is traded, and in third assets, the same on every backend."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import pytest

from tradebook.domain.errors import InstrumentMismatch, InvalidInput, MissingRate
from tradebook.testing import FakeBook

NINE: Final = datetime(2026, 3, 2, 9, tzinfo=UTC)
Terms = dict[str, Any]


def fill(number: int, action: str, quantity: object, price: object, **terms: Any) -> Terms:
    """Return the terms of a fill of ETH/USDT."""
    return {
        "symbol": "ETH/USDT",
        "action": action,
        "quantity": quantity,
        "price": price,
        "currency": "USDT",
        "order_id": f"o-{number}",
        "executed_at": NINE + timedelta(minutes=number),
        **terms,
    }


FILLS: Final = [
    fill(1, "BUY", 2, 2000, fee="0.002", fee_currency="ETH"),
    fill(2, "BUY", 1, 2100, fee="0.0015", fee_currency="BNB"),
    fill(3, "BUY", "0.5", 1990, fee="0.4975", fee_currency="USDT"),
    fill(4, "SELL", 1, 2200, fee="0.001", fee_currency="ETH"),
    fill(5, "SELL", "0.25", 2300, fee="-0.0001", fee_currency="BNB"),
    fill(6, "SELL", "0.25", 2300, fee="0.00001", fee_currency="BTC"),
]


def one_by_one(book: Any) -> None:
    """Record each trade with a call of its own."""
    for terms in FILLS:
        book.record_trade(**terms)


def in_a_batch(book: Any) -> None:
    """Record all trades with one call."""
    book.record_trades(FILLS)


def imported(book: Any) -> None:
    """Import all trades."""
    book.import_trades(FILLS, batch=4)


WAYS: Final = [one_by_one, in_a_batch, imported]


def cash(book: Any) -> dict[str, Decimal]:
    """Return the balance of cash by currency."""
    return {balance.currency: balance.balance for balance in book.get_cash_balances()}


@pytest.mark.parametrize("record", WAYS)
def test_each_kind_of_fee_counts_where_the_venue_took_it(book: Any, record: Any) -> None:
    record(book)

    [position] = book.get_positions()
    assert position.asset == "ETH"
    assert position.quantity == Decimal("2") - Decimal("0.002") - Decimal("0.001")
    assert position.fees == Decimal("0.002") * 2000 + Decimal("0.4975") + Decimal("0.001") * 2200
    assert position.other_fees == {"BNB": "0.0014", "BTC": "0.00001"}
    earned = position.realized_pnl - position.fees
    assert earned == position.cash_flow + position.cost_basis
    assert cash(book) == {
        "BNB": Decimal("-0.0014"),
        "BTC": Decimal("-0.00001"),
        "USDT": Decimal("-4000") - 2100 - Decimal("995.4975") + 2200 + 1150,
    }
    trades = book.get_trades(symbol="ETH/USDT")
    assert [(t.fee, t.fee_currency) for t in reversed(trades)] == [
        (Decimal(str(terms["fee"])), terms["fee_currency"]) for terms in FILLS
    ]
    assert book.verify().proven


@pytest.mark.parametrize("record", WAYS)
def test_all_ways_of_recording_give_the_same_position(book: Any, record: Any) -> None:
    reference = FakeBook()
    one_by_one(reference)
    record(book)

    names = ("quantity", "cost_basis", "realized_pnl", "fees", "cash_flow", "other_fees")
    [position], [expected] = book.get_positions(), reference.get_positions()
    assert [getattr(position, n) for n in names] == [getattr(expected, n) for n in names]


@pytest.mark.parametrize("record", WAYS)
def test_busts_corrections_and_rebuilds_cover_every_fee(book: Any, record: Any) -> None:
    record(book)
    book.bust_trade(order_id="o-2", reason="cancelled by the venue")
    book.correct_trade(order_id="o-5", fee="0.0003", reason="no rebate")

    [position] = book.get_positions()
    assert position.other_fees == {"BNB": "0.0003", "BTC": "0.00001"}
    assert cash(book)["BNB"] == Decimal("-0.0003")
    book.correct_trade(order_id="o-6", fee=0, reason="no fee")
    assert book.get_positions()[0].other_fees == {"BNB": "0.0003"}
    assert book.verify().proven
    assert book.rebuild().positions == ()


@pytest.mark.parametrize("record", WAYS)
def test_snapshots_convert_every_fee_and_name_a_missing_rate(book: Any, record: Any) -> None:
    record(book)
    rates = {"USDT": 1, "BNB": 600}

    with pytest.raises(MissingRate, match="BTC"):
        book.take_snapshot(rates=rates)
    assert book.get_latest_portfolio() is None
    taken = book.take_snapshot(rates={**rates, "BTC": 60_000})

    [position] = book.get_positions()
    others = Decimal("0.0014") * 600 + Decimal("0.6")
    assert taken.fees == position.fees + others
    assert taken.cash_balance == position.cash_flow - others
    earned = taken.realized_pnl + taken.unrealized_pnl - taken.fees
    assert taken.total_value == taken.cash_balance + taken.positions_value == earned
    [row] = book.get_portfolio_positions(taken.id)
    assert row.other_fees == position.other_fees
    book.bust_trade(order_id="o-6", reason="cancelled")
    then = book.portfolio_as_of(taken.timestamp)
    assert (then.portfolio.fees, then.portfolio.cash_balance) == (taken.fees, taken.cash_balance)
    assert then.positions[0].other_fees == row.other_fees
    assert book.verify().proven


def test_the_currency_of_a_fee_is_corrected(book: Any) -> None:
    book.record_trade(**fill(1, "BUY", 1, 2000, fee="0.001", fee_currency="USDT"))

    book.correct_trade(order_id="o-1", fee_currency="ETH", reason="taken in kind")
    [position] = book.get_positions()
    assert (position.quantity, position.fees) == (Decimal("0.999"), 2)
    with pytest.raises(InvalidInput, match="fee: '3' is not accepted; expected less than"):
        book.correct_trade(order_id="o-1", fee=3, reason="misread")
    book.correct_trade(order_id="o-1", fee_currency="BNB", reason="taken in BNB")
    [position] = book.get_positions()
    assert (position.quantity, position.other_fees) == (1, {"BNB": "0.001"})
    assert book.verify().proven


def test_a_closed_position_keeps_its_fees_in_snapshots(book: Any) -> None:
    book.record_trade(**fill(1, "BUY", 1, 2000, fee=1, fee_currency="BNB"))
    book.record_trade(**fill(2, "SELL", 1, 2000, fee=1, fee_currency="BNB"))

    taken = book.take_snapshot(rates={"BNB": 600, "USDT": 1})

    assert (taken.fees, taken.cash_balance, taken.total_value) == (1200, -1200, -1200)
    assert book.verify().proven


def test_a_margined_position_holds_no_asset_that_a_fee_could_be_taken_from(book: Any) -> None:
    perpetual = {"symbol": "ETH/USDT:USDT", "settlement": "MARGINED"}
    book.record_trade(**fill(1, "BUY", 2, 2000, fee="0.002", fee_currency="ETH", **perpetual))

    [position] = book.get_positions()
    assert (position.asset, position.quantity) == ("ETH", 2)
    assert position.other_fees == {"ETH": "0.002"}
    assert cash(book)["ETH"] == Decimal("-0.002")


@pytest.mark.parametrize("action", ["BUY", "SELL"])
def test_a_fee_in_kind_that_leaves_nothing_is_refused_by_name(book: Any, action: str) -> None:
    fee = 1 if action == "BUY" else -1

    for _ in range(2):  # the first fill of a symbol, and one of a known position
        with pytest.raises(InvalidInput, match=r"fee: .* less than the quantity 1"):
            book.record_trade(**fill(7, action, 1, 2000, fee=fee, fee_currency="ETH"))
        with pytest.raises(InvalidInput, match=r"fee: .* less than the quantity 1"):
            book.import_trades([fill(7, action, 1, 2000, fee=fee, fee_currency="ETH")])
        book.record_trade(**fill(1, "BUY", 5, 2000))
    assert [t.order_id for t in book.get_trades()] == ["o-1"]


def test_the_asset_is_fixed_by_the_first_trade(book: Any) -> None:
    first = {**fill(1, "BUY", 1, 2000, asset="ETH"), "symbol": "ETHUSDT"}
    book.record_trade(**first)
    book.record_trade(
        **{**fill(2, "BUY", 1, 2000, fee="0.1", fee_currency="ETH"), "symbol": "ETHUSDT"}
    )

    [position] = book.get_positions()
    assert (position.asset, position.quantity) == ("ETH", Decimal("1.9"))
    assert {trade.asset for trade in book.get_trades()} == {"ETH"}
    with pytest.raises(InstrumentMismatch, match="asset is 'ETH'"):
        book.record_trade(**{**fill(3, "BUY", 1, 2000, asset="BTC"), "symbol": "ETHUSDT"})
    assert book.record_trade(**first).order_id == "o-1"
    assert book.verify().trades == 2
