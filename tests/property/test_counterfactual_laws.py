"""Laws of judging decisions: nothing in the book changes, each decision is counted once, and a sale is a negated purchase."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from hypothesis import given
from hypothesis import strategies as st

from tests.support import examples
from tests.support.attacks import dump
from tests.support.histories import histories
from tradebook.testing import FakeBook

law = examples.law(25)
NOON: Final = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTE: Final = timedelta(minutes=1)
SYMBOLS: Final = ("AAPL", "MSFT")

minutes = st.integers(0, 200).map(lambda number: NOON + number * MINUTE)
numbers = st.decimals(1, 1000, places=3)
decided = st.fixed_dictionaries(
    {
        "agent": st.sampled_from(["ann", "bob"]),
        "symbol": st.sampled_from(SYMBOLS),
        "action": st.sampled_from(["BUY", "SELL", "HOLD"]),
        "decided_at": minutes,
    },
    optional={
        "quantity": numbers,
        "price": numbers,
        "confidence": st.decimals(0, 1, places=2),
        "verdict": st.sampled_from(["APPROVED", "REJECTED", "EXPIRED"]),
        "traded_at": numbers,
    },
)
prices_of = st.fixed_dictionaries(
    {symbol: st.dictionaries(minutes, numbers, max_size=20) for symbol in SYMBOLS}
)


def with_decisions(decisions: Sequence[dict[str, Any]]) -> FakeBook:
    """Make a book of decisions, and a trade at `traded_at` for each that has it."""
    book = FakeBook()
    for terms in decisions:
        rest = {name: terms[name] for name in terms if name not in ("verdict", "traded_at")}
        made = book.record_decision(**rest)
        if "verdict" in terms:
            book.decide(made.id, terms["verdict"])
        if "traded_at" in terms:
            book.record_trade(
                symbol=terms["symbol"],
                action="SELL" if terms["action"] == "SELL" else "BUY",
                quantity=1,
                price=terms["traded_at"],
                executed_at=terms["decided_at"] + MINUTE,
                decision_id=made.id,
            )
    return book


@law
@given(st.lists(decided, max_size=12), prices_of)
def test_each_decision_is_in_exactly_one_count(
    decisions: list[dict[str, Any]], prices: dict[str, Any]
) -> None:
    book = with_decisions(decisions)
    for outcome in ("price", "pnl"):
        found = book.calibration(horizon=["10m", "1h"], outcome=outcome, prices=prices)
        assert found.decisions == len(decisions)
        for at in found.horizons:
            left_out = at.unfinished + at.no_price + at.no_trade + at.open + at.unconverted
            assert found.decisions == found.held + at.scored + left_out
            assert at.scored == at.no_confidence + sum(each.count for each in at.bins)
            for rows in (at.agents, at.weeks):
                assert sum(row.scored for row in rows) == at.scored
                assert sum(row.right for row in rows) == at.right <= at.scored - at.unchanged
    hypothetical = book.counterfactuals(horizon="1h", prices=prices)
    for row in hypothetical.rows:
        left_out = row.no_quantity + row.unfinished + row.no_price + row.traded
        assert row.decisions == row.valued + left_out
        assert (row.hypothetical_pnl is None) == (not row.valued)
    never = [
        d for d in decisions if "traded_at" not in d or d.get("verdict") in ("REJECTED", "EXPIRED")
    ]
    assert hypothetical.held + sum(row.decisions for row in hypothetical.rows) == len(never)


@law
@given(st.lists(decided, max_size=12), prices_of)
def test_counterfactuals_are_antisymmetric_in_the_action(
    decisions: list[dict[str, Any]], prices: dict[str, Any]
) -> None:
    opposite = {"BUY": "SELL", "SELL": "BUY", "HOLD": "HOLD"}
    negated = [{**terms, "action": opposite[terms["action"]]} for terms in decisions]
    one, other = (
        with_decisions(each).counterfactuals(horizon="1h", prices=prices)
        for each in (decisions, negated)
    )
    amounts = [(r.status, r.agent, r.valued, r.hypothetical_pnl) for r in one.rows]
    assert amounts == [
        (r.status, r.agent, r.valued, None if r.hypothetical_pnl is None else -r.hypothetical_pnl)
        for r in other.rows
    ]


@law
@given(histories(), st.lists(decided, max_size=6), prices_of)
def test_judging_changes_nothing_in_the_book(
    history: Any, decisions: list[dict[str, Any]], prices: dict[str, Any]
) -> None:
    book = with_decisions(decisions)
    book.record_trades(history)
    rows = book.read(dump)
    totals = book.get_positions(), book.get_cash_balances(), book.get_balances()
    for source in (prices, None):
        book.counterfactuals(horizon="1h", prices=source)
        book.calibration(horizon="1h", prices=source)
    assert book.read(dump) == rows
    again = book.get_positions(), book.get_cash_balances(), book.get_balances()
    assert list(map(repr, again)) == list(map(repr, totals))


@law
@given(st.lists(decided, max_size=8), prices_of, st.integers(2, 9))
def test_counterfactuals_are_proportional_to_the_quantity(
    decisions: list[dict[str, Any]], prices: dict[str, Any], factor: int
) -> None:
    sized = [{"quantity": Decimal(1), **terms} for terms in decisions]
    larger = [{**terms, "quantity": terms["quantity"] * factor} for terms in sized]
    one, other = (
        with_decisions(each).counterfactuals(horizon="1h", prices=prices)
        for each in (sized, larger)
    )
    assert [r.hypothetical_pnl and r.hypothetical_pnl * factor for r in one.rows] == [
        r.hypothetical_pnl for r in other.rows
    ]
