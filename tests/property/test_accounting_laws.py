"""Laws of position accounting: they hold to the last digit after any fills."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import given, settings

from tradebook import Position, Settlement, Trade, TradeAction
from tradebook.domain.events import Effect
from tradebook.domain.numbers import EXACT, ZERO, canonical, exact
from tradebook.domain.portfolio import Portfolio, PortfolioPosition, carried_value
from tradebook.service_layer.handlers import TradeTerms
from tradebook.testing import strategies as book

law = settings(deadline=None, max_examples=min(50, settings.default.max_examples))
NOW = datetime(2026, 3, 2, tzinfo=UTC)


def booked(fills: Sequence[TradeTerms]) -> tuple[Position, list[Trade]]:
    """The position that the fills lead to, and its trades."""
    position = Position(symbol=fills[0]["symbol"], created_at=NOW)
    trades: list[Trade] = [Trade(**terms) for terms in fills]  # type: ignore[misc]
    for trade in trades:
        position.apply(trade, NOW)
    return position, trades


@law
@given(book.fills(settlement=Settlement.CASH))
def test_what_was_earned_is_what_cash_and_cost_say(fills: list[TradeTerms]) -> None:
    position, _ = booked(fills)

    with exact():
        assert position.realized_pnl - position.fees == position.cash_flow + position.cost_basis


@law
@given(book.fills(settlement=Settlement.MARGINED))
def test_margined_positions_move_cash_by_what_they_earned(fills: list[TradeTerms]) -> None:
    position, _ = booked(fills)

    with exact():
        assert position.cash_flow == position.realized_pnl - position.fees


@law
@given(book.fills())
def test_trades_account_for_all_of_a_positions_pnl(fills: list[TradeTerms]) -> None:
    position, trades = booked(fills)

    with exact():
        assert sum((t.realized_pnl for t in trades), ZERO) == position.realized_pnl
        assert sum((t.fee for t in trades), ZERO) == position.fees
        assert sum((t.signed_quantity for t in trades), ZERO) == position.quantity
    assert [t.sequence for t in trades] == list(range(1, len(trades) + 1))


@law
@given(book.fills())
def test_a_short_is_a_long_in_the_mirror(fills: list[TradeTerms]) -> None:
    turned = {TradeAction.BUY: TradeAction.SELL, TradeAction.SELL: TradeAction.BUY}
    mirrored: Any = [{**terms, "action": turned[TradeAction(terms["action"])]} for terms in fills]

    position, _ = booked(fills)
    mirror, _ = booked(mirrored)

    assert mirror.quantity == EXACT.minus(position.quantity)
    assert mirror.cost_basis == EXACT.minus(position.cost_basis)
    assert mirror.realized_pnl == EXACT.minus(position.realized_pnl)
    assert mirror.entry_price == position.entry_price
    assert mirror.fees == position.fees


@law
@given(book.fills())
def test_a_flat_position_owes_nothing_and_an_open_one_has_an_entry(
    fills: list[TradeTerms],
) -> None:
    position, _ = booked(fills)

    assert (position.status == "OPEN") == bool(position.quantity)
    assert (position.entry_price is None) == (not position.quantity)
    assert position.quantity or not position.cost_basis
    assert (position.closed_at is None) == bool(position.quantity)


@law
@given(book.fills(min_size=2))
def test_reducing_moves_the_entry_price_by_no_more_than_its_rounding(
    fills: list[TradeTerms],
) -> None:
    position = Position(symbol=fills[0]["symbol"], created_at=NOW)
    for terms in fills:
        before = position.entry_price
        happened = position.apply(Trade(**terms), NOW)  # type: ignore[misc]
        if happened.effect is not Effect.REDUCED:
            continue
        after = position.entry_price
        assert before is not None
        assert after is not None
        with exact():
            # Half a unit of the 40th decimal in the cost basis, and in each of the two quotients.
            held = abs(position.quantity * position.multiplier)
            moved = abs(after - before) * held
            assert moved <= Decimal("0.5e-40") + Decimal("1e-40") * held


@law
@given(book.fills())
def test_amounts_are_canonical(fills: list[TradeTerms]) -> None:
    position, trades = booked(fills)

    for value in (
        position.quantity,
        position.cost_basis,
        position.realized_pnl,
        position.fees,
        position.cash_flow,
        position.market_value,
        position.unrealized_pnl,
        *(trade.realized_pnl for trade in trades),
    ):
        assert value is not None
        assert value.as_tuple() == canonical(value).as_tuple()


@law
@given(book.fills(), book.prices())
def test_a_mark_moves_only_what_is_unrealized(fills: list[TradeTerms], price: Decimal) -> None:
    position, _ = booked(fills)
    before = position.balance

    position.mark(price, datetime.max.replace(tzinfo=UTC))

    assert position.balance == before
    assert position.net_pnl is not None
    with exact():
        value = position.quantity * price * position.multiplier
        assert position.market_value == value
        assert position.net_pnl == (
            position.realized_pnl + value - position.cost_basis - position.fees
        )


@law
@given(book.snapshots())
def test_snapshots_obey_their_identities(
    snapshot: tuple[Portfolio, list[PortfolioPosition]],
) -> None:
    portfolio, rows = snapshot
    rates = {portfolio.currency: "1", **portfolio.rates}

    def total(amounts: list[tuple[Decimal, str]]) -> Decimal:
        return sum((a * Decimal(rates[currency]) for a, currency in amounts if a), ZERO)

    with exact():
        assert portfolio.total_value == portfolio.cash_balance + portfolio.positions_value
        assert portfolio.total_value == (
            portfolio.external_flows
            + portfolio.income
            + portfolio.realized_pnl
            + portfolio.unrealized_pnl
            - portfolio.fees
        )
        assert portfolio.positions_value == total([(carried_value(r), r.currency) for r in rows])
        assert portfolio.net_exposure == total([(r.market_value, r.currency) for r in rows])
        assert portfolio.gross_exposure == total([(abs(r.market_value), r.currency) for r in rows])
        assert portfolio.gross_exposure >= abs(portfolio.net_exposure)
