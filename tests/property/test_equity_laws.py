"""Laws of equity curves: each point is what the book says as of its time, and groups add up to the account."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from hypothesis import given
from hypothesis import strategies as st

from tests.support import examples
from tests.support.diary import BEGIN, RATES, Diary
from tests.support.histories import RATES as ALL_RATES
from tests.support.histories import histories
from tradebook import handlers
from tradebook.domain.equity import AMOUNTS, Basis, EquityBy, EquityPoint
from tradebook.domain.numbers import ZERO, canonical, exact
from tradebook.service_layer.queries.as_of import AsOf
from tradebook.testing import FakeBook, strategies

BASES: Final = ((Basis.RECORDED, AsOf.BOOKED), (Basis.RESTATED, AsOf.EXECUTED))
ADDED: Final = ("total_value", "net_exposure", "fees", "income", "external_flows")
STEP: Final = timedelta(minutes=3)


@st.composite
def diaries(draw: st.DrawFn) -> Diary:
    """Trades by several owners, some late and some ahead, amendments, cash flows, marks and snapshots, in turn."""
    diary = Diary(FakeBook())
    decide: Any = diary.book.record_decision
    owners: list[dict[str, Any]] = [
        {},
        {"strategy": "s"},
        {"decision_id": decide("ann", "A", "BUY").id},
    ]
    minutes = st.integers(-20, 20).map(lambda number: BEGIN + timedelta(minutes=number))
    done = []
    for place, terms in enumerate(draw(histories())):
        own = {**draw(st.sampled_from(owners)), "order_id": f"o-{place}"}
        own["executed_at"] = draw(st.one_of(minutes, st.just(diary.now)))
        done.append(diary.do(handlers.record_trade, **{**terms, **own}))
        match draw(st.sampled_from(["none"] * 3 + ["snapshot", "mark", "bust", "correct", "cash"])):
            case "snapshot":
                diary.snapshot(rates=ALL_RATES)
            case "mark":
                prices = {p.symbol: draw(strategies.prices()) for p in diary.book.get_positions()}
                diary.do(handlers.mark_prices, prices=prices, at=draw(minutes))
            case "bust":
                diary.bust(done.pop(draw(st.integers(0, len(done) - 1))))
            case "correct":
                wrong = done.pop(draw(st.integers(0, len(done) - 1)))
                right = {"price": draw(strategies.prices()), "executed_at": draw(minutes)}
                if (right["price"], right["executed_at"]) != (wrong.price, wrong.executed_at):
                    done.append(diary.correct(wrong, **right))
            case "cash":
                flow: dict[str, Any] = {
                    "kind": draw(st.sampled_from(["DIVIDEND", "FEE", "TRANSFER"])),
                    "amount": draw(strategies.prices().filter(bool)),
                    "currency": draw(st.sampled_from(["USD", *RATES])),
                    "symbol": draw(st.sampled_from(["A", "B", "other", None])),
                    "occurred_at": draw(minutes),
                    "reference": f"f-{place}",
                }
                diary.do(handlers.record_cash_flow, **flow)
            case _:
                pass
    return diary


def amounts(record: Any) -> dict[str, Any]:
    return {name: getattr(record, name) for name in AMOUNTS if name != "cash"}


@examples.law(60)
@given(diaries(), st.sampled_from(BASES), st.sampled_from([*EquityBy, None]))
def test_each_point_is_the_portfolio_as_of_its_time_and_groups_add_up_to_it(
    diary: Diary, basis: tuple[Basis, AsOf], by: EquityBy | None
) -> None:
    start, end = BEGIN - 7 * STEP, max(diary.now, BEGIN + 7 * STEP)

    curve = diary.book.equity_curve(start, end, STEP, basis=basis[0], by=by, rates=ALL_RATES)

    assert [p.time for p in curve.points] == [*_every(STEP, start, end)]
    of_groups: dict[Any, list[EquityPoint]] = {}
    for point in curve.groups:
        of_groups.setdefault(point.time, []).append(point)
    for point in curve.points:
        as_of = diary.book.portfolio_as_of(point.time, by=basis[1], rates=ALL_RATES).portfolio
        assert amounts(point) == amounts(as_of)
        assert point.cash == as_of.cash_balance
        _identities_hold(point)
        if by is not None:
            groups = of_groups.get(point.time, [])
            with exact():
                sums = {n: canonical(sum((getattr(g, n) for g in groups), ZERO)) for n in ADDED}
                assert sums == {name: getattr(point, name) for name in ADDED}
            for group in groups:
                _identities_hold(group)


@examples.law(20)
@given(diaries())
def test_at_the_times_of_snapshots_the_curve_is_that_of_the_snapshots(diary: Diary) -> None:
    diary.snapshot(rates=ALL_RATES)
    snapshots = {p.timestamp: p for p in diary.book.get_portfolio_history(days=36_500)}

    curve = diary.book.equity_curve(frequency="snapshot", rates=ALL_RATES)

    found = {point.time: amounts(point) for point in curve.points}
    assert {time: found[time] for time in snapshots} == {
        t: amounts(p) for t, p in snapshots.items()
    }


@examples.law(20)
@given(diaries(), st.sampled_from([*EquityBy]))
def test_the_last_point_of_each_group_is_its_row_of_the_attribution(
    diary: Diary, by: EquityBy
) -> None:
    diary.snapshot(rates=ALL_RATES)  # where marks are those of the live book
    rows = diary.book.attribution(by.value, rates=ALL_RATES).rows

    curve = diary.book.equity_curve(BEGIN, diary.now, STEP, by=by, rates=ALL_RATES)

    names = ("realized_pnl", "unrealized_pnl", "fees", "income")
    last = {
        (point.group, point.kind): [getattr(point, n) for n in names]
        for point in curve.groups[::-1]
        if point.time == diary.now
    }
    attributed = {(row.group, row.kind): [getattr(row, n) for n in names] for row in rows}
    assert {group: found for group, found in last.items() if any(found)} == {
        group: found for group, found in attributed.items() if any(found)
    }


def _every(step: timedelta, start: Any, end: Any) -> Any:
    time = start
    while time < end:
        yield time
        time += step
    yield end


def _identities_hold(point: EquityPoint) -> None:
    with exact():
        earned = point.external_flows + point.income + point.realized_pnl
        assert point.total_value == earned + point.unrealized_pnl - point.fees
        assert point.total_value == point.cash + point.positions_value
