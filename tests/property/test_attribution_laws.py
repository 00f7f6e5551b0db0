"""Laws of attribution: rows add up to the book's own figures, whatever was traded, amended and held by whom."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.support import examples
from tests.support.histories import RATES, histories, shuffled
from tradebook import Attribution, GroupBy, Settlement, Trade
from tradebook.domain.accounting import net_fill
from tradebook.domain.assets import third_fee
from tradebook.domain.numbers import EXACT, ZERO, canonical, exact
from tradebook.domain.shares import shares
from tradebook.testing import FakeBook, strategies

law = examples.law(15)

TICK = timedelta(microseconds=1)
LATE = datetime(2019, 1, 1, tzinfo=UTC)
FIGURES = ("realized_pnl", "unrealized_pnl", "fees", "income")
MARKED = {"A": "17.5", "B": "-3.25", "C": "0.000001"}
weights = st.lists(
    st.one_of(st.integers(-5, 10**30), strategies.quantities(), strategies.prices()), min_size=1
).filter(lambda given: bool(added(map(Decimal, given))))


def added(values: Any) -> Decimal:
    total = ZERO
    for value in values:
        total = EXACT.add(total, value)
    return total


@examples.law(50)
@given(strategies.prices(), weights)
def test_shares_add_up_to_the_amount_and_are_a_unit_from_proportion(
    amount: Decimal, given_weights: list[Decimal | int]
) -> None:
    parts = shares(amount, given_weights)

    assert added(parts) == amount
    assert [part.copy_negate() for part in parts] == shares(amount.copy_negate(), given_weights)
    unit = Decimal(1).scaleb(min(-40, int(amount.as_tuple().exponent)))
    total = added(map(Decimal, given_weights))
    with exact():
        for part, weight in zip(parts, given_weights, strict=True):
            assert abs(part * total - amount * weight) < unit * abs(total)


class Account:
    """A book in which agents with and without decisions trade the same symbols, amend trades and are paid."""

    def __init__(self) -> None:
        self.book = FakeBook()
        news, chart = (self.book.record_signal("A", "BUY", source=s).id for s in ("news", "chart"))
        decide: Callable[..., Any] = self.book.record_decision
        self.owners: list[dict[str, Any]] = [
            {},
            {"strategy": "s"},
            {"decision_id": decide("ann", "A", "BUY", model="m", cost="0.25").id},
            {"decision_id": decide("bob", "A", "BUY", signals=[news, chart], cost=0).id},
            {
                "decision_id": decide("bob", "B", "SELL", signals=[chart]).id,
                "strategy": "t",
                "details": {"tag": "x"},
            },
        ]

    def net_by_agent(self) -> dict[tuple[str, str], Decimal]:
        """Compute what each agent's trades earned at the marks, without a fold, by agent and currency."""
        marks = {p.symbol: p.current_price for p in self.book.get_positions()}
        decided = {owner.get("decision_id"): n for n, owner in enumerate(self.owners)}
        names = ["none", "s", "ann", "bob", "bob"]
        earned: dict[tuple[str, str], Decimal] = {}
        for trade in self.trades():
            place = decided[trade.decision_id] if trade.decision_id else bool(trade.strategy)
            with exact():
                size, unit_cash, fee = net_fill(trade)
                gain = size * (marks[trade.symbol] or ZERO) * trade.multiplier - size * unit_cash
                for currency, amount in (
                    (trade.currency, gain - fee),
                    (trade.fee_currency, -third_fee(trade)),
                ):
                    key = names[place], currency
                    earned[key] = earned.get(key, ZERO) + amount
        return {key: canonical(amount) for key, amount in earned.items() if amount}

    def trades(self) -> Iterator[Trade]:
        yield from self.book.iterate(Trade, status="EXECUTED")

    def __repr__(self) -> str:
        kept = ("id", "symbol", "action", "quantity", "price", "fee", "fee_currency", "currency")
        kept += ("executed_at", "strategy", "decision_id", "multiplier", "settlement")
        return "\n".join(str({n: getattr(t, n) for n in kept}) for t in self.trades())


@st.composite
def accounts(draw: st.DrawFn) -> Account:
    """Trades of any owner in any order, some of them busted or corrected, and cash flows."""
    account = Account()
    book = account.book
    for place, terms in enumerate(draw(histories())):
        owner = draw(st.sampled_from(account.owners))
        trade = book.record_trade(**{**terms, **owner, "order_id": f"o-{place}"})
        match draw(st.sampled_from(["keep"] * 6 + ["bust", "correct"])):
            case "bust":
                book.bust_trade(trade_id=trade.id, reason="misread")
            case "correct":
                right = {
                    "price": draw(strategies.prices()),
                    "executed_at": draw(strategies.instants()),
                }
                if (right["price"], right["executed_at"]) != (trade.price, trade.executed_at):
                    book.correct_trade(trade_id=trade.id, reason="misread", **right)
    for number in range(draw(st.integers(0, 4))):
        flow = {
            "kind": draw(st.sampled_from(["DIVIDEND", "FUNDING", "FEE", "TRANSFER"])),
            "amount": draw(strategies.prices().filter(bool)),
            "currency": draw(strategies.currencies()),
            "symbol": draw(st.sampled_from([*"ABC", "other", None])),
            "occurred_at": draw(strategies.instants()),
            "entitled_at": draw(st.none() | strategies.instants()),
            "reference": f"f-{number}",
        }
        book.record_cash_flow(**flow)
        if draw(st.booleans()):
            book.bust_cash_flow(f"f-{number}", reason="misread")
    return account


def rows_add_up(found: Attribution) -> None:
    """Check that rows add up to the book's figures, currency by currency."""
    assert found.ties
    for total in found.totals:
        rows = [row for row in found.rows if row.currency == total.currency]
        sums = {name: canonical(added(getattr(r, name) for r in rows)) for name in FIGURES}
        assert sums == {name: getattr(total.groups, name) for name in FIGURES}
        assert total.difference == 0
        assert (sums["fees"], sums["income"]) == (total.book.fees, total.book.income)
        with exact():
            assert total.moved == total.groups.realized_pnl - total.book.realized_pnl
            assert total.moved == total.book.unrealized_pnl - total.groups.unrealized_pnl
            for row in rows:
                earned = row.realized_pnl + row.unrealized_pnl - row.fees + row.income
                assert row.net_pnl == earned


@law
@given(accounts(), st.sampled_from(GroupBy), st.booleans())
def test_rows_add_up_to_the_portfolio_and_each_trade_is_in_one_group(
    account: Account, by: GroupBy, in_base: bool
) -> None:
    book = account.book
    found = book.attribution(by, rates=RATES if in_base else None)

    rows_add_up(found)
    executed = sum(1 for _ in account.trades())
    assert sum(total.groups.trades for total in found.totals) == executed
    if by is not GroupBy.SIGNAL_SOURCE:  # in which a trade of two signals counts in both
        assert sum(row.trades for row in found.rows) == executed
    taken = book.take_snapshot(rates=RATES)
    in_usd = found if in_base else book.attribution(by, rates=RATES)
    (total,) = in_usd.totals
    assert {name: getattr(total.book, name) for name in FIGURES} == {
        name: getattr(taken, name) for name in FIGURES
    }
    with exact():
        assert total.groups.net_pnl == taken.total_value - taken.external_flows


@examples.law(10)
@given(accounts())
def test_net_is_what_each_fill_earned_at_the_mark_and_by_symbol_nothing_moves(
    account: Account,
) -> None:
    account.book.mark_prices({p.symbol: MARKED[p.symbol] for p in account.book.get_positions()})

    rows = account.book.attribution("agent").rows

    found = {(r.group, r.currency): EXACT.subtract(r.net_pnl, r.income) for r in rows}
    assert {key: net for key, net in found.items() if net} == account.net_by_agent()
    assert not any(total.moved for total in account.book.attribution("symbol").totals)


@examples.law(10)
@given(st.data())
def test_the_interleaving_of_agents_does_not_matter(data: st.DataObject) -> None:
    drawn = [
        data.draw(strategies.fills("A", currency="USD", settlement=Settlement.CASH, max_size=6))
        for _ in "xyz"
    ]
    fills: list[Any] = [
        [
            {**f, "strategy": name, "multiplier": 2, "order_id": f"{name}-{f['order_id']}"}
            for f in of
        ]
        for name, of in zip("xyz", drawn, strict=True)
    ]

    def attributed(history: list[Any]) -> Any:
        book = FakeBook()
        book.record_trades(history)
        book.mark_prices({"A": "12.34"})
        return book.attribution("strategy")

    in_turn, mixed = (
        attributed([f for of in fills for f in of]),
        attributed(data.draw(shuffled(fills))),
    )

    rows_add_up(mixed)
    assert mixed.rows == in_turn.rows


@law
@given(accounts(), st.data(), st.sampled_from(GroupBy))
def test_a_period_is_the_difference_of_two_views(
    account: Account, data: st.DataObject, by: GroupBy
) -> None:
    book = account.book
    times = st.one_of(
        strategies.instants(), st.sampled_from([t.executed_at for t in account.trades()] or [LATE])
    )
    start, end = sorted([data.draw(times), data.draw(times)])

    found = book.attribution(by, start, end, rates=RATES)

    rows_add_up(found)
    (total,) = found.totals
    views = [
        book.portfolio_as_of(time - TICK, by="executed", rates=RATES).portfolio
        for time in (start, end)
    ]
    for name in FIGURES:
        before, after = (getattr(view, name) for view in views)
        assert getattr(total.book, name) == canonical(EXACT.subtract(after, before)), name
    inside = sum(start <= trade.executed_at < end for trade in account.trades())
    assert total.groups.trades == inside
    first, last, whole = (
        {
            (row.group, row.kind): row.net_pnl
            for row in book.attribution(by, *bounds, rates=RATES).rows
        }
        for bounds in ((None, start), (end, None), (None, None))
    )
    middle = {(row.group, row.kind): row.net_pnl for row in found.rows}
    for key in {*first, *middle, *last, *whole}:
        parts = added(part.get(key, ZERO) for part in (first, middle, last))
        # Shares are rounded in each period.
        assert abs(EXACT.subtract(parts, whole.get(key, ZERO))) < Decimal("1e-38")
