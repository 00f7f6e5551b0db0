"""Laws of cash flows and their busts: cash is the sum of the flows that count, now and at any time before."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from tests.support import examples
from tests.support.diary import Diary, worth
from tradebook import CashFlow, handlers
from tradebook.domain.cash import cash_totals
from tradebook.testing import FakeBook, strategies
from tradebook.testing.strategies.values import CURRENCIES

flows = st.lists(strategies.cash_flows(), min_size=1, max_size=6, unique_by=lambda f: f.reference)


def cash(book: FakeBook) -> dict[str, tuple[Decimal, Decimal]]:
    balances = book.get_cash_balances()
    return {b.currency: (b.external, b.income) for b in balances if b.external or b.income}


def fold(kept: dict[str, CashFlow]) -> dict[str, tuple[Decimal, Decimal]]:
    totals = cash_totals((flow.currency, flow.kind, flow.amount) for flow in kept.values())
    return {t.currency: (t.external, t.income) for t in totals if t.external or t.income}


@examples.law(40)
@given(given_flows=flows, data=st.data())
def test_cash_is_the_fold_of_the_flows_that_were_not_busted(
    given_flows: list[CashFlow], data: st.DataObject
) -> None:
    diary, kept = Diary(FakeBook()), dict[str, CashFlow]()
    rates = dict.fromkeys(CURRENCIES[1:], "1.1")
    for flow in given_flows:
        terms = {n: getattr(flow, n) for n in ("kind", "amount", "currency", "symbol", "reference")}
        diary.do(handlers.record_cash_flow, **terms)
        kept[flow.reference] = flow
        for reference in sorted(data.draw(st.sets(st.sampled_from([*kept]), max_size=2))):
            diary.do(handlers.bust_cash_flow, reference=reference, reason="wrong")
            del kept[reference]
        diary.snapshot(rates=rates)

        assert cash(diary.book) == fold(kept)  # type: ignore[arg-type]
    assert diary.book.verify().differences == ()
    for time, taken in diary.snapshots.items():
        valued = diary.book.portfolio_as_of(time)
        assert worth(valued.portfolio, valued.positions) == taken
