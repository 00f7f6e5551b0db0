"""Laws of the book as a whole, and that the public strategies make what it takes."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import examples
from tests.support.histories import RATES, histories, shuffled
from tradebook import ConcurrentUpdate, TradebookError, handlers
from tradebook.domain.balances import effects_of
from tradebook.domain.entity import Entity
from tradebook.domain.numbers import ZERO, canonical, exact
from tradebook.service_layer.handlers import TradeTerms
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork
from tradebook.testing import FakeBook, FakeUnitOfWork, strategies

law = examples.law(40)


def state_of(book: FakeBook) -> list[dict[str, Any]]:
    """Positions, without their times of booking."""
    times = ("created_at", "updated_at", "id")
    return [
        {name: value for name, value in attrs.asdict(p).items() if name not in times}
        for p in book.get_positions()
    ]


@law
@given(histories())
def test_any_history_is_proven(history: list[TradeTerms]) -> None:
    book = FakeBook()
    half = len(history) // 2

    book.record_trades(history[:half])
    book.take_snapshot(rates=RATES)
    book.record_trades(history[half:])
    book.record_cash_flow("DEPOSIT", "1000.01", currency="EUR")
    book.take_snapshot(rates=RATES)

    assert book.verify().differences == ()


@law
@given(histories())
def test_delivering_everything_twice_changes_nothing(history: list[TradeTerms]) -> None:
    book = FakeBook()
    first = book.record_trades(history)
    before = state_of(book)

    again = book.record_trades(history)
    for terms in history:
        book.record_trade(**terms)

    assert (first.booked, again.booked, again.duplicates) == (len(history), 0, len(history))
    assert [t.id for t in again.trades] == [t.id for t in first.trades]
    assert state_of(book) == before


@law
@given(histories())
def test_a_batch_does_what_its_trades_do_one_by_one(history: list[TradeTerms]) -> None:
    batch, single = FakeBook(), FakeBook()

    batch.record_trades(history)
    for terms in history:
        single.record_trade(**terms)

    assert state_of(batch) == state_of(single)


@law
@given(st.tuples(*(strategies.fills(symbol, max_size=5) for symbol in "ABC")), st.data())
def test_the_order_of_different_symbols_does_not_matter(
    fills: tuple[list[TradeTerms], ...], data: st.DataObject
) -> None:
    in_turn, mixed = FakeBook(), FakeBook()

    in_turn.record_trades([terms for of_symbol in fills for terms in of_symbol])
    for terms in data.draw(shuffled([*fills])):
        mixed.record_trade(**terms)

    assert state_of(mixed) == state_of(in_turn)
    assert mixed.get_cash_balances() == in_turn.get_cash_balances()


@law
@given(histories(), st.data())
def test_a_batch_with_a_bad_trade_leaves_nothing(
    history: list[TradeTerms], data: st.DataObject
) -> None:
    book = FakeBook()
    bad: Any = {**history[0], "order_id": "bad", "currency": "other", "quantity": 0}
    place = data.draw(st.integers(0, len(history)))

    with pytest.raises(TradebookError):
        book.record_trades([*history[:place], bad, *history[place:]])

    assert book.get_positions() == []
    assert book.get_trades_by_symbol("A") == []


@law
@given(histories())
def test_snapshots_of_many_positions_and_currencies_obey_their_identities(
    history: list[TradeTerms],
) -> None:
    book = FakeBook()
    book.record_trades(history)
    book.record_cash_flow("DEPOSIT", "12345.678901", currency="EUR")
    book.record_cash_flow("FEE", "-0.000000000000000001")

    p = book.take_snapshot(rates=RATES)

    with exact():
        assert p.total_value == p.cash_balance + p.positions_value
        earned = p.realized_pnl + p.unrealized_pnl - p.fees
        assert p.total_value == p.external_flows + p.income + earned
        assert p.external_flows == Decimal("12345.678901") * Decimal(RATES["EUR"])


@law
@given(strategies.trade_terms(foreign_fees=True))
def test_any_trade_can_be_recorded_and_reads_back(terms: TradeTerms) -> None:
    book = FakeBook()

    trade = book.record_trade(**terms)

    with book.unit_of_work() as uow:
        recorded = uow.trades.get(trade.id)
    assert {name: getattr(recorded, name) for name in terms} == dict(terms)
    assert attrs.asdict(recorded) == attrs.asdict(trade)


@pytest.mark.parametrize(
    ("repository", "entities"),
    [
        ("accounts", strategies.accounts()),
        ("actions", strategies.actions()),
        ("alerts", strategies.alerts()),
        ("cash_flows", strategies.cash_flows()),
        ("decisions", strategies.decisions()),
        ("events", strategies.events()),
        ("metrics", strategies.metrics()),
        ("signals", strategies.signals()),
        ("trades", strategies.trades()),
    ],
)
def test_any_entity_can_be_kept_and_reads_back(
    repository: str, entities: st.SearchStrategy[Entity]
) -> None:
    @law
    @given(entities)
    def keep(entity: Entity) -> None:
        with FakeUnitOfWork() as uow:
            assert getattr(uow, repository).add(entity) is entity
            uow.commit()
        with FakeUnitOfWork(uow.store) as uow:
            read = getattr(uow, repository)
            loaded = read.current() if repository == "accounts" else read.get(entity.id)
        assert loaded is not entity
        assert attrs.asdict(loaded) == attrs.asdict(entity)

    keep()


@law
@given(strategies.snapshots(), strategies.portfolios(), strategies.portfolio_positions())
def test_any_snapshot_can_be_kept_and_reads_back(snapshot: Any, alone: Any, row: Any) -> None:
    portfolio, positions = snapshot
    held, other = [attrs.asdict(position) for position in positions], attrs.asdict(row)
    with FakeUnitOfWork() as uow:
        uow.portfolios.add(portfolio, held)
        uow.portfolios.add(alone, [other])
        uow.commit()

    with FakeUnitOfWork(uow.store) as uow:
        kept = uow.portfolios.in_order()
        assert [attrs.asdict(p) for p in kept] == [attrs.asdict(p) for p in (portfolio, alone)]
        read = uow.portfolios.positions_of([portfolio.id, alone.id])
        assert [attrs.asdict(r) for r in read] == [*held, other]


BUY_ONE: Any = {"action": "BUY", "quantity": 1, "price": 10}
STEPS: list[tuple[Callable[..., Any], dict[str, Any]]] = [
    (handlers.record_trade, {"symbol": "A", **BUY_ONE}),
    (handlers.record_trade, {"symbol": "B", **BUY_ONE}),
    (handlers.raise_alert, {"alert_type": "a", "severity": "INFO", "dedup_key": "k"}),
    (handlers.raise_alert, {"alert_type": "b", "severity": "INFO", "dedup_key": "l"}),
    (handlers.mark_prices, {"prices": {"A": 11, "B": 12}}),
]


@law
@given(
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from(range(len(STEPS)))), max_size=12),
    st.permutations(range(3)),
)
def test_units_of_work_in_any_interleaving_lose_nothing(
    steps: list[tuple[int, int]], finish: list[int]
) -> None:
    book = FakeBook()

    def take(uow: AbstractUnitOfWork, step: int) -> None:
        handler, terms = STEPS[step]
        handler(uow, **terms)

    with book.unit_of_work() as a, book.unit_of_work() as b, book.unit_of_work() as c:
        units = (a, b, c)
        for unit, step in steps:
            take(units[unit], step)
        for unit in finish:
            try:
                units[unit].commit()
            except ConcurrentUpdate:  # another was first: all of it again
                for step in [step for place, step in steps if place == unit]:
                    book.run(take, step)

    bought = [STEPS[step][1]["symbol"] for _, step in steps if step in (0, 1)]
    held = {p.symbol: p.quantity for p in book.get_open_positions()}
    assert held == {symbol: bought.count(symbol) for symbol in set(bought)}
    raised = {step for _, step in steps if step in (2, 3)}
    assert len(book.get_unresolved_alerts()) == len(raised)
    assert book.verify().proven


@law
@given(histories())
def test_balances_are_the_sum_of_what_trades_and_cash_flows_changed(
    history: list[TradeTerms],
) -> None:
    book = FakeBook()
    trades = book.record_trades(history).trades
    book.record_cash_flow("DEPOSIT", "12345.678901", currency="EUR")
    expected: dict[str, Decimal] = {"EUR": Decimal("12345.678901")}
    with exact():
        for trade in trades:
            for asset, amount in effects_of(trade).items():
                expected[asset] = expected.get(asset, ZERO) + amount

    found = {each.asset: each.balance for each in book.get_balances()}

    assert {asset: balance for asset, balance in found.items() if balance} == {
        asset: canonical(amount) for asset, amount in expected.items() if amount
    }
