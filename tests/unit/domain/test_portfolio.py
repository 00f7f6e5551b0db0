"""Snapshots: what holdings are worth, converted exactly, and the identities that hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tradebook import InvalidInput, InvalidTransition, MissingRate, Portfolio, Position, Trade
from tradebook.domain.cash import CashTotal
from tradebook.domain.portfolio import (
    Holdings,
    PortfolioPosition,
    Rates,
    position_row,
    value_holdings,
)

NOW = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)


def held(symbol: str, *fills: tuple[str, Any, Any], mark: Any = None, **terms: Any) -> Position:
    made = Position(symbol=symbol, created_at=NOW)
    for action, quantity, price in fills:
        given = {"symbol": symbol, "action": action, "quantity": quantity, "price": price}
        trade = Trade(**given, **terms, executed_at=NOW)
        made.apply(trade, NOW)
    if mark is not None:
        made.mark(mark, NOW + timedelta(hours=1))
    return made


def snapshot(
    *positions: Position, cash: tuple[CashTotal, ...] = (), rates: dict[str, Any] | None = None
) -> tuple[Portfolio, list[PortfolioPosition]]:
    portfolio, rows = value_holdings(
        Holdings(positions=positions, cash=cash),
        account="main",
        rates=Rates("USD", rates or {}),
        at=NOW,
    )
    return portfolio, [PortfolioPosition(**row) for row in rows]


def test_a_snapshot_of_longs_shorts_and_futures_obeys_its_identities() -> None:
    portfolio, rows = snapshot(
        held("LONG", ("BUY", 10, 100), mark=110, fee=1),
        held("SHORT", ("SELL", 4, 50), mark=55, fee=1),
        held("ES", ("BUY", 1, 4000), mark=3990, multiplier=50, settlement="MARGINED", fee=2),
        held("GONE", ("BUY", 1, 10), ("SELL", 1, 15)),
        cash=(CashTotal("USD", external=Decimal(10_000), income=Decimal(-3)),),
    )

    assert portfolio.cash_balance == 10_000 - 3 - 1001 + 199 - 2 + 5
    assert portfolio.positions_value == 1100 - 220 - 500
    assert portfolio.total_value == portfolio.cash_balance + portfolio.positions_value
    assert portfolio.gross_exposure == 1100 + 220 + 199_500
    assert portfolio.net_exposure == 1100 - 220 + 199_500
    assert portfolio.unrealized_pnl == 100 - 20 - 500
    assert (portfolio.realized_pnl, portfolio.fees) == (5, 4)
    assert (portfolio.external_flows, portfolio.income) == (10_000, -3)
    assert portfolio.total_value == (
        portfolio.external_flows
        + portfolio.income
        + portfolio.realized_pnl
        + portfolio.unrealized_pnl
        - portfolio.fees
    )
    assert [row.symbol for row in rows] == ["ES", "LONG", "SHORT"]
    assert portfolio.closed_sequences == {"GONE": 2}
    assert portfolio.source == "book"


def test_an_empty_book_is_worth_nothing() -> None:
    portfolio, rows = snapshot()

    assert (portfolio.total_value, rows, portfolio.rates) == (0, [], {})


def test_a_symbol_never_traded_is_not_in_a_snapshot() -> None:
    portfolio, rows = snapshot(Position(symbol="NEW"))

    assert (rows, portfolio.closed_sequences) == ([], {})


def test_currencies_are_converted_at_rates_that_the_snapshot_keeps() -> None:
    portfolio, rows = snapshot(
        held("SAP", ("BUY", 10, 100), mark=120, currency="EUR"),
        cash=(CashTotal("EUR", external=Decimal(2000)), CashTotal("USD", income=Decimal(7))),
        rates={"EUR": "1.10", "JPY": "0.0067"},
    )

    assert portfolio.currency == "USD"
    assert portfolio.cash_balance == Decimal("1107.0")
    assert portfolio.positions_value == 1320
    assert portfolio.rates == {"EUR": "1.1"}
    assert (rows[0].currency, rows[0].market_value) == ("EUR", 1200)


def test_a_missing_rate_is_refused_by_name() -> None:
    position = held("SAP", ("BUY", 10, 100), currency="EUR")

    with pytest.raises(MissingRate, match=r"no rate from EUR to USD; pass rates=\{'EUR'"):
        snapshot(position)


def test_nothing_needs_no_rate() -> None:
    portfolio, _ = snapshot(held("SAP", ("BUY", 10, 5), ("SELL", 10, 5), currency="EUR"))

    assert portfolio.total_value == 0


@pytest.mark.parametrize("rate", [0, -1, "NaN", "dear", True])
def test_a_rate_is_a_number_above_zero(rate: Any) -> None:
    with pytest.raises(
        InvalidInput, match=r"rates\['EUR'\]: .* expected a (finite )?number"
    ) as told:
        Rates("USD", {"EUR": rate})

    assert told.value.value is rate


def test_the_base_currency_is_worth_one_of_itself() -> None:
    assert Rates("USD", {"USD": 1}).convert(Decimal(5), "USD") == 5
    with pytest.raises(
        InvalidInput, match=r"rates\['USD'\]: .* expected 1 for the base currency"
    ) as told:
        Rates("USD", {"USD": 2})
    assert told.value.value == 2


def test_an_open_position_without_a_mark_cannot_be_valued() -> None:
    unmarked = Position(symbol="X", quantity=Decimal(1), cost_basis=Decimal(1), sequence=1)

    with pytest.raises(InvalidTransition, match="X has no current price; mark it first"):
        snapshot(unmarked)


def test_a_snapshot_belongs_to_its_account_and_is_in_its_currency() -> None:
    position = Position(symbol="X", account="desk", created_at=NOW)
    position.apply(Trade(symbol="X", action="BUY", quantity=1, price=10, currency="EUR"), NOW)

    portfolio, rows = value_holdings(
        Holdings(positions=(position,)), account="desk", rates=Rates("EUR", {}), at=NOW
    )

    assert (portfolio.account, rows[0]["account"]) == ("desk", "desk")
    assert (portfolio.currency, portfolio.positions_value, portfolio.rates) == ("EUR", 10, {})
    assert portfolio.created_at == portfolio.timestamp == rows[0]["created_at"] == NOW


def test_a_row_says_exactly_which_trades_it_holds() -> None:
    position = held("X", ("BUY", 2, 10), ("SELL", 1, 12), mark=13, fee=1)

    row = PortfolioPosition(**position_row(position, NOW))

    assert row.sequence == 2
    assert (row.quantity, row.cost_basis, row.realized_pnl, row.fees) == (1, 10, 2, 2)
    assert (row.current_price, row.market_value, row.unrealized_pnl) == (13, 13, 3)
    assert row.cash_flow == -10


def test_a_snapshot_tells_what_happened() -> None:
    portfolio, _ = snapshot(cash=(CashTotal("USD", external=Decimal(5)),))

    happened = portfolio.taken()

    assert (happened.total_value, happened.cash_balance, happened.currency) == (5, 5, "USD")
    assert happened.payload()["timestamp"] == "2026-03-02T14:30:00+00:00"


def test_one_built_by_hand_is_external() -> None:
    built = Portfolio(cash_balance=Decimal(1), total_value=Decimal(2))

    assert built.source == "external"
    with pytest.raises(InvalidTransition, match="source cannot change"):
        built.source = "book"
