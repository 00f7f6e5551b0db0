"""Calibration, counterfactuals and the prices that they read, on every backend."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.backends import each_backend
from tradebook import (
    AgentDecision,
    DecisionStatus,
    InvalidInput,
    MissingRate,
    PricePoint,
)
from tradebook.service_layer.explanations.quality.prices import BookPrices

D = Decimal
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
TICK = timedelta(microseconds=1)

pytestmark = pytest.mark.parametrize(
    "book", each_backend(only_in_full_runs=["sqlite-async"]), indirect=True
)


def trade(book: Any, price: Any, at: datetime, action: str = "BUY", **terms: Any) -> Any:
    usual = {"symbol": "AAPL", "quantity": 10, "action": action, "price": price, "executed_at": at}
    return book.record_trade(**{**usual, **terms})


def decide(book: Any, action: str, at: datetime, agent: str = "ann", **terms: Any) -> AgentDecision:
    symbol = terms.pop("symbol", "AAPL")
    made: AgentDecision = book.record_decision(agent, symbol, action, decided_at=at, **terms)
    return made


PRICES = {"AAPL": {NOON + n * HOUR: 100 + n for n in range(-2, 5)}, "MSFT": {NOON: 50}}
"""Prices of AAPL, one each hour and each 1 above the one before: 100 at noon."""


def test_decisions_are_right_where_the_price_moves_their_way(book: Any) -> None:
    decide(book, "BUY", NOON, confidence="0.8")
    decide(book, "SELL", NOON, confidence="0.6")
    decide(book, "BUY", NOON + MINUTE)
    decide(book, "BUY", NOON, price=101, confidence="0.9")  # its own price: unchanged after an hour
    decide(book, "SELL", NOON, price="101.5", confidence="0.7", agent="bob")
    decide(book, "HOLD", NOON, confidence="0.5", agent="bob")
    decide(book, "BUY", NOON, symbol="MSFT", confidence=1)  # no price after it
    decide(book, "BUY", NOON, symbol="TSLA", confidence=1)  # none at all

    found = book.calibration(horizon="1h", prices=PRICES)
    assert (found.decisions, found.held, found.agent, found.outcome) == (8, 1, None, "price")
    [at] = found.horizons
    assert (at.horizon, at.scored, at.right, at.unchanged, at.hit_rate) == (3600, 5, 3, 1, D("0.6"))
    assert (at.no_confidence, at.no_price, at.unfinished) == (1, 2, 0)
    assert (at.no_trade, at.open, at.unconverted) == (0, 0, 0)
    assert at.brier.count == 4
    assert at.brier.score == D("0.325")  # (0.2^2 + 0.6^2 + 0.9^2 + 0.3^2) / 4
    assert [(b.lower, b.count) for b in at.bins if b.count] == [
        *((D("0.6"), 1), (D("0.7"), 1), (D("0.8"), 1), (D("0.9"), 1)),
    ]
    ann, bob = at.agents
    assert (ann.name, ann.scored, ann.right, ann.hit_rate, ann.forecasts) == (
        "ann",
        4,
        2,
        D("0.5"),
        3,
    )
    assert (bob.name, bob.scored, bob.right, bob.brier) == ("bob", 1, 1, D("0.09"))

    of_bob = book.calibration("bob", horizon="1h", prices=PRICES)
    assert (of_bob.agent, of_bob.decisions, of_bob.held) == ("bob", 2, 1)
    assert of_bob.horizons[0].agents == (bob,)


def test_each_horizon_has_its_result(book: Any) -> None:
    decide(book, "BUY", NOON, price=102)
    found = book.calibration(horizon=["3h", HOUR, "2h", "PT1H"], prices=PRICES)
    assert [(h.horizon, h.scored, h.right, h.unchanged) for h in found.horizons] == [
        *((3600, 1, 0, 0), (7200, 1, 0, 1), (10800, 1, 1, 0)),
    ]


def test_the_period_begins_after_the_decision_and_includes_its_end(book: Any) -> None:
    decide(book, "BUY", NOON)
    for minute, price, right, no_price in (
        *((60, 101, 1, 0), (59, 101, 1, 0), (61, 101, 0, 1), (0, 101, 0, 1)),
        *((60, 99, 0, 0), (60, 100, 0, 0)),
    ):
        prices = {"AAPL": [(NOON - HOUR, 100), (NOON + minute * MINUTE, price)]}
        [at] = book.calibration(horizon="1h", prices=prices).horizons
        assert (at.right, at.no_price) == (right, no_price), minute
    before = {"AAPL": [(NOON - HOUR - TICK, 100), (NOON + HOUR, 101)]}
    assert book.calibration(horizon="1h", prices=before).horizons[0].no_price == 1


def test_a_horizon_that_is_not_over_is_counted(book: Any) -> None:
    decided_at = datetime.now(UTC) - HOUR
    prices = {"AAPL": [(decided_at, 100), (decided_at + MINUTE, 101)]}
    decide(book, "BUY", decided_at, quantity=1)
    short, long = book.calibration(horizon=["30m", "2h"], prices=prices).horizons
    assert (short.scored, short.unfinished, long.scored, long.unfinished) == (1, 0, 0, 1)
    [row] = book.counterfactuals(horizon="2h", prices=prices).rows
    assert (row.unfinished, row.valued, row.hypothetical_pnl) == (1, 0, None)


def test_the_prices_of_the_book_are_those_of_trades_and_snapshots(book: Any) -> None:
    for price, minute in ((100, -1), (103, 3), (101, 1)):
        trade(book, price, NOON + minute * MINUTE)
    wrong = trade(book, 500, NOON + 2 * MINUTE)
    book.bust_trade(trade_id=wrong.id, reason="misread")
    trade(book, 7, NOON, symbol="MSFT")
    book.record_trade(symbol="AAPL", action="BUY", quantity=1, price=9, status="PENDING")
    book.mark_prices({"AAPL": "104.5"})
    snapshot = book.take_snapshot()

    def read(uow: Any, start: datetime, end: datetime, symbol: str = "AAPL") -> list[PricePoint]:
        return list(BookPrices(uow).between(symbol, start, end))

    taken = snapshot.timestamp
    every = book.read(read, NOON - HOUR, taken + HOUR)
    assert every == [
        (NOON - MINUTE, 100, "trade"),
        (NOON + MINUTE, 101, "trade"),
        (NOON + 3 * MINUTE, 103, "trade"),
        (taken, D("104.5"), "snapshot"),
    ]
    assert book.read(read, NOON + MINUTE, NOON + 3 * MINUTE) == every[1:3]
    assert book.read(read, taken, taken) == every[3:]
    assert book.read(read, taken + TICK, taken + HOUR) == []
    assert book.read(read, NOON, NOON, "MSFT") == [(NOON, 7, "trade")]
    assert book.read(read, NOON - HOUR, taken + HOUR, "TSLA") == []
    decide(book, "BUY", NOON, confidence=1)
    [at] = book.calibration(horizon="1h").horizons
    assert (at.right, at.brier.score) == (1, 0)


def test_no_page_of_prices_and_trades_loses_or_repeats_any(book: Any) -> None:
    decision = decide(book, "BUY", NOON)
    other = decide(book, "BUY", NOON)
    for number in range(7):
        at = NOON + (number // 3) * MINUTE  # several at one time
        of = (decision, other)[number % 2]
        trade(book, 100 + number, at, decision_id=of.id)
    for _ in range(3):
        book.take_snapshot()

    def read(uow: Any, batch: int) -> Any:
        until = NOON + 365 * 24 * HOUR
        return [
            [(p.at, p.price) for p in repository.prices("AAPL", NOON, until, batch=batch)]
            for repository in (uow.trades, uow.portfolios)
        ], [
            (t.decision_id, t.price)
            for t in uow.trades.of_decisions([other.id, decision.id, other.id], batch=batch)
        ]

    (of_trades, of_snapshots), of_decisions = whole = book.read(read, 100)
    assert [price for _, price in of_trades] == [*range(100, 107)]
    assert [price for _, price in of_snapshots] == [106] * 3
    assert of_decisions == [
        *((decision.id, 100 + number) for number in (0, 2, 4, 6)),
        *((other.id, 100 + number) for number in (1, 3, 5)),
    ]
    for batch in (1, 2, 3, 4, 7):
        assert book.read(read, batch) == whole, batch


def test_decisions_are_read_in_pages(book: Any) -> None:
    ids = [decide(book, "BUY", NOON + (number // 2) * HOUR).id for number in range(5)]

    def read(uow: Any, batch: int) -> list[list[int]]:
        return [
            [each.id for each in page] for page in uow.decisions.facts(batch=batch, agent="ann")
        ]

    assert book.read(read, 2) == [ids[:2:-1], ids[2:0:-1], ids[:1]]
    assert book.read(read, 5) == [ids[::-1]]


def test_by_pnl_the_trades_within_the_horizon_count(book: Any) -> None:
    opening = decide(book, "BUY", NOON, confidence="0.9")
    trade(book, 100, NOON + 2 * SECOND, decision_id=opening.id, fee=1)
    closing = decide(book, "SELL", NOON + HOUR, confidence="0.6")
    trade(book, 99, NOON + HOUR + 4 * SECOND, "SELL", quantity=5, decision_id=closing.id, fee=1)
    trade(book, 110, NOON + 3 * HOUR, "SELL", quantity=5, decision_id=closing.id, fee=1)
    decide(book, "BUY", NOON, symbol="MSFT")
    decide(book, "HOLD", NOON)

    found = book.calibration(horizon=["1h", "1d"], outcome="pnl")
    assert (found.decisions, found.held, found.outcome) == (4, 1, "pnl")
    hour, day = found.horizons
    # In the hour -5 is realized, in the day 45 more, less fees of 1 each.
    assert (hour.scored, hour.right, day.scored, day.right) == (1, 0, 1, 1)
    assert (hour.brier.score, day.brier.score) == (D("0.36"), D("0.16"))
    assert [(h.open, h.no_trade, h.no_price) for h in found.horizons] == [(1, 1, 0)] * 2
    assert (found.latency.count, found.latency.early) == (2, 0)
    assert (found.latency.mean, found.latency.median, found.latency.max) == (3, 3, 4)


def test_fees_in_a_third_asset_are_not_guessed(book: Any) -> None:
    decision = decide(book, "SELL", NOON)
    trade(book, 100, NOON - HOUR)
    trade(book, 120, NOON, "SELL", decision_id=decision.id, fee="0.1", fee_currency="BNB")
    [at] = book.calibration(horizon="1h", outcome="pnl").horizons
    assert (at.scored, at.unconverted) == (0, 1)


def test_latency_is_to_the_first_trade_that_counts(book: Any) -> None:
    for seconds_ in (1, 2, 6, 9):
        decision = decide(book, "BUY", NOON)
        trade(book, 1, NOON + (seconds_ + 5) * SECOND, decision_id=decision.id)
        trade(book, 1, NOON + seconds_ * SECOND, decision_id=decision.id)
    busted = decide(book, "BUY", NOON)
    book.bust_trade(trade_id=trade(book, 1, NOON, decision_id=busted.id).id, reason="misread")
    early = decide(book, "BUY", NOON)
    trade(book, 1, NOON - SECOND, decision_id=early.id)
    latency = book.calibration(horizon="1h").latency
    assert (latency.count, latency.early) == (4, 1)
    assert (latency.mean, latency.median, latency.max) == (D("4.5"), 4, 9)


def test_weeks_are_iso_weeks_in_utc(book: Any) -> None:
    for at in (datetime(2025, 12, 28, 23, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC), NOON):
        decide(book, "BUY", at, price=1, confidence="0.5")
    prices = {"AAPL": [(at + HOUR, 2) for at in (datetime(2025, 12, 28, 23, tzinfo=UTC), NOON)]}
    prices["AAPL"].append((datetime(2026, 1, 1, tzinfo=UTC) + HOUR, 0))
    [at] = book.calibration(horizon="1h", prices=prices).horizons
    assert [(w.name, w.scored, w.hit_rate, w.brier) for w in at.weeks] == [
        ("2025-W52", 1, 1, D("0.25")),
        ("2026-W01", 1, 0, D("0.25")),
        ("2026-W10", 1, 1, D("0.25")),
    ]
    some = book.calibration(
        horizon="1h", prices=prices, since="2026-01-01", until="2026-03-02T12:00"
    )
    assert (some.decisions, some.horizons[0].right) == (1, 0)


def test_where_there_is_nothing_the_result_is_empty(book: Any) -> None:
    decide(book, "BUY", NOON, confidence=1)
    for found in (
        book.calibration("unknown-agent", horizon="1h"),
        book.calibration(horizon="1h", until=NOON),
    ):
        [at] = found.horizons
        assert (found.decisions, found.held, at.scored, at.hit_rate, at.brier) == (
            0,
            0,
            0,
            None,
            None,
        )
        assert (at.agents, at.weeks, len(at.bins), sum(b.count for b in at.bins)) == ((), (), 10, 0)
        assert (found.latency.count, found.latency.mean, found.latency.max) == (0, None, None)
    [at] = book.calibration(horizon="1h").horizons
    assert (at.scored, at.no_price, at.hit_rate, at.brier) == (0, 1, None, None)
    nothing = book.counterfactuals(agent="unknown-agent", horizon="1h")
    assert (nothing.rows, nothing.held, nothing.hypothetical_total) == ((), 0, None)


def test_what_was_never_executed_is_valued(book: Any) -> None:
    trade(book, 100, NOON - 3 * HOUR, symbol="ES", multiplier=50, currency="EUR")
    prices = {**PRICES, "ES": {NOON: 10, NOON + HOUR: 11}}
    rejected = [
        decide(book, "BUY", NOON, quantity=10),
        decide(book, "SELL", NOON, quantity=4),
        decide(book, "BUY", NOON),
        decide(book, "BUY", NOON, quantity=1, symbol="TSLA"),
    ]
    for decision in rejected:
        book.decide(decision.id, "REJECTED")
    book.decide(decide(book, "BUY", NOON, quantity=2, price=98, agent="bob").id, "EXPIRED")
    book.decide(decide(book, "SELL", NOON, quantity=2, symbol="ES").id, "APPROVED")
    decide(book, "BUY", NOON, quantity=1, symbol="ES")
    decide(book, "HOLD", NOON)
    executed = decide(book, "BUY", NOON, quantity=1000)
    trade(book, 100, NOON, decision_id=executed.id)
    against = decide(book, "BUY", NOON, quantity=1000)
    book.decide(against.id, "REJECTED")
    trade(book, 100, NOON, decision_id=against.id)

    found = book.counterfactuals(horizon=HOUR, prices=prices)
    assert (found.label, found.horizon, found.held) == ("hypothetical", 3600, 1)
    rows = {(r.status, r.agent, r.currency): r for r in found.rows}
    assert [*rows] == [
        *(("APPROVED", "ann", "EUR"), ("EXPIRED", "bob", "USD"), ("PROPOSED", "ann", "EUR")),
        ("REJECTED", "ann", "USD"),
    ]
    amounts = [row.hypothetical_pnl for row in found.rows]
    assert amounts == [-100, 6, 50, 6]  # -2 * 1 * 50; 2 * (101 - 98); 1 * 1 * 50; 10 - 4
    row = rows[DecisionStatus.REJECTED, "ann", "USD"]
    assert (row.decisions, row.valued, row.gained) == (5, 2, 1)
    assert (row.no_quantity, row.no_price, row.traded, row.unfinished) == (1, 1, 1, 0)

    assert (found.currency, found.hypothetical_total) == ("USD", None)
    in_usd = book.counterfactuals(horizon=HOUR, prices=prices, rates={"EUR": "1.1"})
    assert (in_usd.rows, in_usd.hypothetical_total) == (found.rows, -43)
    with pytest.raises(MissingRate, match="EUR"):
        book.counterfactuals(horizon=HOUR, prices=prices, rates={})
    bob = book.counterfactuals(horizon=HOUR, prices=prices, agent="bob")
    assert (bob.rows, bob.hypothetical_total) == ((rows[DecisionStatus.EXPIRED, "bob", "USD"],), 6)


def test_progress_is_reported_to_the_end(book: Any) -> None:
    for _ in range(3):
        decide(book, "BUY", NOON)
    seen: list[tuple[int, int]] = []
    book.calibration(horizon="1h", progress=lambda done, total: seen.append((done, total)))
    book.counterfactuals(horizon="1h", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(3, 3), (3, 3)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"horizon": "soon"}, "horizon: 'soon'"),
        ({"horizon": 3600}, "horizon: 3600"),
        ({"horizon": "1h", "prices": "none.csv"}, "prices: 'none.csv'"),
        ({"horizon": "1h", "prices": {"AAPL": [(NOON, "x")]}}, r"prices\['AAPL'\]: 'x'"),
        ({"horizon": "1h", "since": "x"}, "since: 'x'"),
        ({"horizon": "1h", "agent": ""}, "agent: ''"),
    ],
)
def test_bad_input_is_refused_by_name(book: Any, arguments: Any, said: str) -> None:
    for query in (book.calibration, book.counterfactuals):
        with pytest.raises(InvalidInput, match=said):
            query(**arguments)


def test_further_bad_input_of_each_is_refused(book: Any) -> None:
    with pytest.raises(InvalidInput, match=r"outcome: 'luck'.*price, pnl"):
        book.calibration(horizon="1h", outcome="luck")
    for bins in (0, 101, True, 1.5):
        with pytest.raises(InvalidInput, match=r"bins: .* from 1 to 100"):
            book.calibration(horizon="1h", bins=bins)
    with pytest.raises(InvalidInput, match="horizon"):
        book.counterfactuals(horizon=["1h", "2h"])
    with pytest.raises(InvalidInput, match=r"rates\['EUR'\]: 0"):
        book.counterfactuals(horizon="1h", rates={"EUR": 0})


def test_prices_of_a_file_judge_too(book: Any, tmp_path: Path) -> None:
    file = tmp_path / "prices.csv"
    file.write_text("time,symbol,price\n2026-03-02T12:00Z,AAPL,100\n2026-03-02T12:59Z,AAPL,99\n")
    decide(book, "SELL", NOON, confidence=1)
    [at] = book.calibration(horizon="1h", prices=file).horizons
    assert (at.scored, at.right, at.brier.score) == (1, 1, 0)
