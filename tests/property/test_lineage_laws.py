"""Laws of explanations: what the trees of trades and decisions earned is the book's own, to the last digit."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.property.test_correction_laws import amended
from tests.support import examples
from tests.support.histories import histories
from tradebook import Explanation, Position, Trade
from tradebook.domain.numbers import ZERO, exact, sums_by_name
from tradebook.testing import FakeBook, strategies

law = examples.law(20)


def earned(trees: Iterable[Explanation]) -> dict[str, dict[str, Decimal]]:
    """Add up the results at the roots of trees: the sum of each amount that is not zero, by currency."""
    amounts = [
        (name, amount)
        for tree in trees
        for child in tree.children
        if child.kind == "result"
        for name, amount in child.amounts.items()
    ]
    return {
        wanted: without_zeros(
            sums_by_name((each.value, each.unit) for name, each in amounts if name == wanted)
        )
        for wanted in ("realized_pnl", "fees", "net_pnl")
    }


def without_zeros(sums: dict[str, Decimal]) -> dict[str, Decimal]:
    return {name: value for name, value in sums.items() if value}


def booked(positions: Iterable[Position]) -> dict[str, dict[str, Decimal]]:
    """Return the same of the positions."""
    realized = [(position.realized_pnl, position.currency) for position in positions]
    fees = [paid for position in positions for paid in position.fees_paid]
    net = [*realized, *((fee.copy_negate(), currency) for fee, currency in fees)]
    return {
        name: without_zeros(sums_by_name(pairs))
        for name, pairs in (("realized_pnl", realized), ("fees", fees), ("net_pnl", net))
    }


def trees_of(book: FakeBook) -> list[Explanation]:
    return [book.explain(trade=trade.id) for trade in book.iterate(Trade)]


@law
@given(amended())
def test_what_all_trades_earned_is_what_the_positions_say_after_busts_and_corrections(
    amended: Any,
) -> None:
    book = amended.diary.book
    trees = trees_of(book)
    assert earned(trees) == booked(book.get_positions())
    for tree in trees:
        for closed in tree.nodes("closed"):
            amounts = {name: amount.value for name, amount in closed.amounts.items()}
            with exact():
                gained = amounts["proceeds"] - amounts["cost_removed"]
            assert gained == amounts["realized_pnl"] == tree.amounts["realized_pnl"].value


@law
@given(strategies.fills(foreign_fees=True, max_size=8))
def test_what_fills_opened_and_closed_adds_up_to_the_position(fills: list[Any]) -> None:
    book = FakeBook()
    for fill in fills:
        book.record_trade(**fill)
    [position] = book.get_positions()
    cost, held = ZERO, ZERO
    for tree in reversed(trees_of(book)):
        sign = 1 if "BUY" in tree.title else -1
        with exact():
            for opened in tree.nodes("opened"):
                cost += opened.amounts["cost"].value
                held += sign * opened.amounts["quantity"].value
            for closed in tree.nodes("closed"):
                cost -= closed.amounts["cost_removed"].value
                held += sign * closed.amounts["quantity"].value
    assert (held, cost) == (position.quantity, position.cost_basis)


@law
@given(histories(), st.data())
def test_what_decisions_earned_is_what_the_positions_say(
    fills: list[Any], data: st.DataObject
) -> None:
    book = FakeBook()
    top = book.record_decision("ann", "A", "BUY")
    ids = [book.record_decision("bob", "A", "BUY", parent_id=top.id).id for _ in range(3)]
    for number, fill in enumerate(fills):
        decision_id = data.draw(st.sampled_from(ids))
        book.record_trade(
            **{**fill, "order_id": f"o-{number % 4}", "execution_id": str(number)},
            decision_id=decision_id,
        )
    every = booked(book.get_positions())
    assert earned(book.explain(decision=id_) for id_ in ids) == every
    total = book.explain(decision=top.id).children[-1]
    assert (total.kind, earned([total])) == ("total", every)
