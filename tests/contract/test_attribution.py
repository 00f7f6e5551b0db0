"""Attribution on every backend: who earned what, what it cost, and that all of it is the book's."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.support.diary import BEGIN, Diary
from tradebook import (
    AbstractUnitOfWork,
    Attribution,
    AttributionRow,
    GroupBy,
    InvalidInput,
    MissingRate,
    exact,
    handlers,
)
from tradebook.adapters.repositories import decisions
from tradebook.domain.shares import shares
from tradebook.service_layer.book import Book
from tradebook.service_layer.explanations.attribution import attribution as query
from tradebook.service_layer.explanations.attribution.agents import agent_summaries

HOUR = timedelta(hours=1)
NOON = BEGIN + 3 * HOUR


@pytest.fixture
def desk(book: Book) -> Book:
    """Two agents that share a symbol, a strategy without decisions, and a trade of no one.

    ann buys 10 at 100; bob buys 5 at 120, and sells them at 130 and a fee of 1 an hour later; the strategy `old` sells
    5 short at 130; the trade of no one buys and sells MSFT at a loss. AAPL is marked at 140.
    """
    news, chart = (book.record_signal("AAPL", "BUY", source=s).id for s in ("news", "chart"))
    ann = book.record_decision(
        "ann", "AAPL", "BUY", model="m1", strategy="trend", cost="0.5", signals=[news, chart]
    )
    bob = book.record_decision("bob", "AAPL", "BUY", model="m2", signals=[chart], decided_at=NOON)
    out = book.record_decision("bob", "AAPL", "SELL", model="m2", cost=0, decided_at=NOON)
    trade(book, "AAPL", "BUY", 10, 100, decision_id=ann.id, details={"tag": "breakout"})
    trade(book, "AAPL", "BUY", 5, 120, decision_id=bob.id, details={"enter_tag": "dip", "tag": 5})
    trade(book, "AAPL", "SELL", 5, 130, decision_id=out.id, at=NOON + HOUR, fee=1)
    trade(book, "AAPL", "SELL", 5, 130, strategy="old", at=NOON + HOUR)
    trade(book, "MSFT", "BUY", 2, 50)
    trade(book, "MSFT", "SELL", 2, 40, at=NOON + 2 * HOUR)
    book.mark_prices({"AAPL": 140})
    book.record_action("bob", "call", decision_id=bob.id, cost="0.1", started_at=NOON)
    book.record_action("ann", "call", model="small", cost="0.01", decision_id=ann.id)
    return book


def trade(
    book: Book, symbol: str, action: str, quantity: object, price: object, **terms: Any
) -> Any:
    at = terms.pop("at", NOON)
    return book.record_trade(
        symbol=symbol, action=action, quantity=quantity, price=price, executed_at=at, **terms
    )  # type: ignore[call-arg]


def by_group(found: Attribution, *names: str) -> dict[str, tuple[Any, ...]]:
    """The values of each row by its group, which is sure to be there once."""
    assert found.ties
    groups = [row.group for row in found.rows]
    assert len(set(groups)) == len(groups)
    return {row.group: tuple(getattr(row, name) for name in names) for row in found.rows}


def test_each_agent_has_a_cost_basis_of_its_own_and_the_total_is_the_books(desk: Book) -> None:
    found = desk.attribution()
    pnl = ("kind", "trades", "realized_pnl", "unrealized_pnl", "fees", "net_pnl")
    assert by_group(found, *pnl) == {
        "ann": ("agent", 1, 0, 400, 0, 400),
        "bob": ("agent", 2, 50, 0, 1, 49),
        "none": ("none", 2, -20, 0, 0, -20),
        "old": ("strategy", 1, 0, -50, 0, -50),
    }
    assert [row.group for row in found.rows] == ["ann", "bob", "none", "old"]
    (total,) = found.totals
    aapl, msft = desk.get_positions()
    with exact():
        assert total.book.realized_pnl == aapl.realized_pnl - 20
        assert total.moved == 30 - total.book.realized_pnl
    assert total.book.net_pnl == total.groups.net_pnl == 379 == (aapl.net_pnl or 0) - 20
    assert (total.difference, total.book.fees) == (0, 1)
    assert (total.groups.group, total.groups.trades, msft.quantity) == ("total", 6, 0)


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("model", {"m1": 400, "m2": 49, "old": -50, "none": -20, "small": 0}),
        ("strategy", {"trend": 400, "old": -50, "none": 29}),
        (GroupBy.SYMBOL, {"AAPL": 399, "MSFT": -20}),
        ("tag", {"breakout": 400, "dip": 100, "none": -121}),
        ("SIGNAL_SOURCE", {"news": 200, "chart": 300, "none": -121}),
    ],
)
def test_the_ways_to_group(desk: Book, by: Any, expected: dict[str, int]) -> None:
    found = desk.attribution(by)
    assert {row.group: row.net_pnl for row in found.rows} == expected
    assert {row.kind for row in found.rows} <= {str(found.by), "strategy", "none"}
    assert (found.ties, found.totals[0].groups.trades) == (True, 6)


def test_by_decision_the_name_is_its_id(desk: Book) -> None:
    out, bob, ann = (str(decision.id) for decision in _by_id(desk))
    found = desk.attribution("decision")
    nets = {row.group: row.net_pnl for row in found.rows}
    assert nets == {ann: 400, bob: 100, out: -51, "none": -70}


def _by_id(book: Book) -> list[Any]:
    return sorted(book.get_decisions(), key=lambda decision: decision.id, reverse=True)


def test_three_signals_share_to_the_last_digit(book: Book) -> None:
    ids = [book.record_signal("A", "BUY", source=s).id for s in ("x", "x", "y")]
    decision = book.record_decision("ann", "A", "BUY", signals=ids, cost=1)
    trade(book, "A", "BUY", 1, 10, decision_id=decision.id, fee="0.1")
    trade(book, "A", "SELL", 1, 20, decision_id=decision.id)
    found = by_group(book.attribution("signal_source"), "realized_pnl", "fees", "cost", "trades")
    two, one = zip(*(shares(Decimal(a), [2, 1]) for a in ("10", "0.1", "1")), strict=True)
    assert found == {"x": (*two, 2), "y": (*one, 2)}


def test_costs_stand_beside_the_net_and_unpriced_ones_leave_it_open(desk: Book) -> None:
    desk.record_decision("cat", "AAPL", "HOLD")
    desk.record_action("cat", "call", cost=0)
    desk.record_action("bob", "call")
    costs = ("cost", "calls", "unpriced", "net_after_costs")
    assert by_group(desk.attribution(), *costs) == {
        "ann": (Decimal("0.51"), 1, 0, Decimal("399.49")),
        "bob": (Decimal("0.1"), 2, 1, None),
        "cat": (0, 1, 1, None),
        "none": (0, 0, 0, -20),
        "old": (0, 0, 0, -50),
    }
    (total,) = desk.attribution().totals
    assert (total.groups.cost, total.groups.unpriced) == (Decimal("0.61"), 2)
    assert (total.groups.net_pnl, total.groups.net_after_costs) == (379, None)
    by_model = by_group(desk.attribution("model"), "cost", "calls", "unpriced")
    assert by_model["small"] == (Decimal("0.01"), 1, 0)
    assert by_model["none"] == (0, 2, 2)


def test_the_statistics_of_a_group(book: Book) -> None:
    for number, (sold, hours) in enumerate([(110, 1), (130, 2), (95, 3), (100, 4)]):
        at = NOON + number * 10 * HOUR
        trade(book, "A", "BUY", 2, 100, strategy="s", at=at, fee=5)
        trade(book, "A", "SELL", 2, sold, strategy="s", at=at + hours * HOUR)
    trade(book, "A", "SELL", 1, 100, strategy="s")
    trade(book, "A", "SELL", 1, 100, strategy="other")
    (other, row) = sorted(book.attribution().rows, key=lambda row: row.group)
    assert (row.trades, row.closing_trades, row.win_rate) == (9, 4, Decimal("0.5"))
    assert (row.profit_factor, row.expectancy, row.payoff) == (8, Decimal("17.5"), 4)
    assert (row.holding_time, row.turnover) == (2.5 * HOUR, 1770)
    names = ("win_rate", "profit_factor", "expectancy", "payoff", "holding_time")
    assert [getattr(other, name) for name in names] == [None] * 5


def test_a_position_through_zero_ends_one_round_trip_and_begins_another(book: Book) -> None:
    for place, (action, quantity) in enumerate([("BUY", 1), ("SELL", 3), ("BUY", 1), ("BUY", 1)]):
        trade(book, "A", action, quantity, 100 + place, at=NOON + place * place * HOUR)
    (row,) = book.attribution().rows
    # bought at noon, flipped after an hour, flat after nine
    assert (row.holding_time, row.closing_trades) == (4.5 * HOUR, 3)


def test_income_goes_to_those_who_held_the_symbol_when_they_became_entitled(desk: Book) -> None:
    flow: dict[str, Any] = {"kind": "DIVIDEND", "symbol": "AAPL", "occurred_at": NOON + 9 * HOUR}
    desk.record_cash_flow(**{**flow, "amount": 15}, entitled_at=NOON + HOUR)  # ann 10, bob 5
    desk.record_cash_flow(**{**flow, "amount": 10})  # ann 10, old -5
    desk.record_cash_flow("FUNDING", -3, symbol="MSFT", occurred_at=NOON + 5 * HOUR)  # no holder
    desk.record_cash_flow("INTEREST", 2)
    desk.record_cash_flow("DEPOSIT", 1000)
    desk.record_cash_flow(**{**flow, "amount": 99, "reference": "wrong"})
    desk.bust_cash_flow("wrong", reason="misread")
    found = desk.attribution()
    assert by_group(found, "income", "net_pnl") == {
        "ann": (30, 430),
        "bob": (5, 54),
        "old": (-10, -60),
        "none": (-1, -21),
    }
    (total,) = found.totals
    assert (total.groups.income, total.book.income) == (24, 24)
    taken = desk.take_snapshot()
    assert total.groups.net_pnl == taken.total_value - taken.external_flows


def test_without_rates_each_currency_has_rows_and_a_total(book: Book) -> None:
    trade(book, "SAP", "BUY", 1, 100, currency="EUR", strategy="s", fee="0.01", fee_currency="BNB")
    trade(book, "AAPL", "BUY", 1, 100, strategy="s")
    book.mark_prices({"SAP": 110, "AAPL": 90})
    trade(book, "ETH/EUR", "BUY", 2, 10, currency="EUR", fee="0.1", fee_currency="ETH")
    found = book.attribution()
    shown = [(row.group, row.currency, row.net_pnl, row.trades) for row in found.rows]
    assert shown == [
        ("s", "BNB", Decimal("-0.01"), 0),
        ("s", "EUR", 10, 1),
        ("none", "EUR", -1, 1),
        ("s", "USD", -10, 1),
    ]
    assert [total.currency for total in found.totals] == ["BNB", "EUR", "USD"]
    assert found.ties
    with pytest.raises(MissingRate) as missing:
        book.attribution(rates={"EUR": 2})
    assert missing.value.currency == "BNB"
    converted = book.attribution(rates={"EUR": 2, "BNB": 300})
    assert by_group(converted, "currency", "net_pnl", "fees") == {
        "s": ("USD", 7, 3),
        "none": ("USD", -2, 2),
    }


def test_a_cost_in_a_currency_of_no_row_needs_a_rate(desk: Book) -> None:
    desk.record_action("bob", "call", cost=0, cost_currency="EUR")
    desk.record_action("bob", "call", cost_currency="EUR")
    assert by_group(desk.attribution(), "calls", "unpriced")["bob"] == (3, 1)
    desk.record_action("bob", "call", cost=2, cost_currency="EUR")
    with pytest.raises(MissingRate) as missing:
        desk.attribution()
    assert (missing.value.currency, missing.value.base_currency) == ("EUR", "USD")
    assert by_group(desk.attribution(rates={"EUR": "1.5"}), "cost")["bob"] == (Decimal("3.1"),)
    trade(desk, "SAP", "BUY", 1, 100, currency="EUR")
    bobs = [(row.currency, row.cost) for row in desk.attribution().rows if row.group == "bob"]
    assert bobs == [("EUR", 2), ("USD", Decimal("0.1"))]


def test_busted_and_corrected_trades(desk: Book) -> None:
    with_decision = [t for t in desk.get_trades(limit=50) if t.decision_id is not None]
    first = min(with_decision, key=lambda t: t.id)
    right = desk.correct_trade(trade_id=first.id, price=110, reason="misread")
    desk.bust_trade(trade_id=desk.get_trades(symbol="MSFT")[0].id, reason="cancelled")
    found = desk.attribution()
    assert by_group(found, "trades", "net_pnl", "realized_pnl") == {
        "ann": (1, 300, 0),
        "bob": (2, 49, 50),
        "old": (1, -50, 0),
        "none": (1, 0, 0),
    }
    assert desk.attribution("symbol").totals[0].moved == 0
    assert right.decision_id == first.decision_id


def test_a_period_is_what_was_earned_between_two_views(book: Book) -> None:
    diary = Diary(book)
    diary.trade("A", "BUY", 10, 100, executed_at=BEGIN - 2 * HOUR, strategy="one")
    diary.trade("A", "BUY", 10, 110, executed_at=BEGIN - HOUR, strategy="two", fee=1)
    diary.do(handlers.mark_prices, prices={"A": 120})
    diary.snapshot()
    start = diary.now + timedelta(minutes=1)
    diary.trade("A", "SELL", 10, 130, strategy="two", fee=2)
    diary.do(handlers.mark_prices, prices={"A": 125}, after=HOUR)
    diary.snapshot()
    diary.do(handlers.record_cash_flow, kind="DIVIDEND", amount=20, symbol="A", entitled_at=BEGIN)
    end = diary.now + timedelta(minutes=1)
    diary.trade("A", "BUY", 5, 200, strategy="three", after=HOUR)

    found = book.attribution("strategy", start, end)
    pnl = ("trades", "realized_pnl", "unrealized_pnl", "fees", "income", "net_pnl")
    assert by_group(found, *pnl) == {
        "two": (1, 200, -100, 2, 10, 108),
        "one": (0, 0, 50, 0, 10, 60),
    }
    assert (found.start, found.end) == (start, end)
    (total,) = found.totals
    before, after = (
        book.portfolio_as_of(time - timedelta(microseconds=1), by="executed").portfolio
        for time in (start, end)
    )
    assert total.book.net_pnl == total.groups.net_pnl == after.total_value - before.total_value
    assert by_group(book.attribution("strategy", end=start), "net_pnl") == {
        "one": (200,),
        "two": (99,),
    }
    since = by_group(book.attribution("strategy", start=end), "net_pnl", "trades")
    assert since == {"one": (750, 0), "three": (0, 1)}
    assert book.attribution("strategy", end, end).rows == ()


def test_costs_of_a_period_are_of_its_decisions_and_actions(book: Book) -> None:
    before, inside = (
        book.record_decision("ann", "A", "BUY", decided_at=at, cost=cost).id
        for at, cost in ((NOON - HOUR, 1), (NOON, 2))
    )
    book.record_decision("ann", "A", "BUY", decided_at=NOON + HOUR)
    for decision_id, at in ((before, NOON), (inside, NOON + HOUR)):
        book.record_action("ann", "call", decision_id=decision_id, started_at=at, cost=4)
    found = book.attribution("agent", NOON, NOON + HOUR)
    assert by_group(found, "cost", "calls", "unpriced") == {"ann": (6, 1, 0)}


def test_an_empty_book_has_a_total_of_nothing(book: Book) -> None:
    done: list[tuple[int, int]] = []
    found = book.attribution(progress=lambda *so_far: done.append(so_far))
    assert (found.rows, found.ties, done) == ((), True, [(0, 0)])
    (total,) = found.totals
    assert (total.currency, total.groups.net_pnl, total.book.net_pnl) == ("USD", 0, 0)
    assert isinstance(total.groups, AttributionRow)


def test_long_lists_are_read_in_parts_and_progress_is_reported(
    desk: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = desk.attribution("signal_source")
    monkeypatch.setattr(query, "_READ", 2)
    monkeypatch.setattr(query, "_FOLDED", 3)
    done: list[tuple[int, int]] = []
    found = desk.attribution("signal_source", progress=lambda *so_far: done.append(so_far))
    assert found == expected
    assert done == [(3, 6), (4, 6), (6, 6)]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"by": "colour"}, "by: 'colour' is not accepted; expected one of agent, model, strategy"),
        ({"by": None}, "by"),
        ({"start": NOON, "end": NOON - HOUR}, "start"),
        ({"start": "yesterday"}, "start"),
        ({"rates": {"EUR": 0}}, "rates"),
        ({"rates": {"USD": 2}}, "rates"),
        ({"rates": 7}, "rates"),
        ({"progress": 1}, "progress"),
    ],
)
def test_bad_arguments_are_named(book: Book, arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        book.attribution(**arguments)


def test_a_summary_of_each_agent_has_its_decisions_by_status(desk: Book) -> None:
    rejected = desk.record_decision("cat", "AAPL", "BUY", cost=0)
    desk.decide(rejected.id, "REJECTED")
    desk.record_decision("bob", "AAPL", "HOLD", cost=0)
    found = desk.read(agent_summaries)
    assert {each.agent: dict(each.decisions) for each in found} == {
        "ann": {"EXECUTED": 1},
        "bob": {"EXECUTED": 2, "PROPOSED": 1},
        "cat": {"REJECTED": 1},
    }
    assert [each.figures[0].net_pnl for each in found] == [400, 49, 0]


def test_only_the_records_of_the_account_are_read(desk: Book) -> None:
    other = desk.for_account(f"{desk.account}-other")
    signal = other.record_signal("X", "BUY", source="theirs").id
    decision = other.record_decision("eve", "X", "BUY", signals=[signal]).id
    trade(other, "X", "BUY", 1, 1, decision_id=decision)

    def read(uow: AbstractUnitOfWork) -> tuple[list[Any], ...]:
        return (
            [*uow.decisions.signal_sources()],
            [*uow.decisions.values("agent")],
            [*uow.trades.values("symbol", batch=1)],
        )

    assert [{name for _, name in found} for found in desk.read(read)] == [
        {"news", "chart"},
        {"ann", "bob"},
        {"AAPL", "MSFT"},
    ]
    assert other.read(read)[:2] == ([(decision, "theirs")], [(decision, "eve")])


def test_sources_of_signals_are_read_in_parts(desk: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = desk.attribution("signal_source")
    monkeypatch.setattr(decisions, "BATCH_OF_VALUES", 1)
    assert desk.attribution("signal_source") == expected
