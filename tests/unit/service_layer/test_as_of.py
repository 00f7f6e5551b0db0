"""As of a time: what is asked, what is refused, and which prices and rates are taken; on the fake."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from tests.support.diary import BEGIN, RATES, Diary, amended, facts, held, trading_day, worth
from tradebook import (
    AsOf,
    InvalidInput,
    MissingRate,
    Portfolio,
    Position,
    Snapshot,
    Valuation,
    handlers,
)
from tradebook.domain.folding import AMOUNTS
from tradebook.service_layer.queries import as_of
from tradebook.testing import FakeBook

HOUR = timedelta(hours=1)


@pytest.fixture
def diary(book: FakeBook) -> Diary:
    return Diary(book)


@pytest.fixture
def full(diary: Diary) -> Diary:
    """A diary of a day of trading."""
    trading_day(diary)
    return diary


def test_at_the_time_of_a_snapshot_the_portfolio_is_that_snapshot(full: Diary) -> None:
    assert len(full.snapshots) == 6
    for time, taken in full.snapshots.items():
        valued = full.book.portfolio_as_of(time)
        assert isinstance(valued, Valuation)
        assert worth(valued.portfolio, valued.positions) == taken
        assert (valued.portfolio.id, valued.portfolio.source) == (None, "as of")
    assert full.book.verify().proven


def test_an_account_that_was_never_used_has_nothing(book: FakeBook) -> None:
    valued = book.portfolio_as_of(BEGIN)
    assert (valued.portfolio.total_value, valued.portfolio.currency) == (0, "USD")
    assert book.positions_as_of(BEGIN) == []
    assert book.get_snapshot() is None


def test_asking_leaves_nothing(full: Diary) -> None:
    records = full.book.count(Position), full.book.count(Portfolio), len(full.book.get_events())
    full.book.portfolio_as_of(full.now)
    full.book.positions_as_of(full.now)
    assert records == (
        full.book.count(Position),
        full.book.count(Portfolio),
        len(full.book.get_events()),
    )


def test_one_symbol_can_be_asked_for(full: Diary) -> None:
    time = BEGIN + timedelta(minutes=8)
    everything = full.book.positions_as_of(time)
    assert [p.symbol for p in everything] == ["AAPL", "MSFT", "SAP"]
    for position in everything:
        assert facts(full.book.positions_as_of(time, symbol=position.symbol)) == facts([position])
    assert full.book.positions_as_of(time, symbol="NONE") == []


def test_a_naive_time_is_utc_and_another_zone_the_same_instant(diary: Diary) -> None:
    diary.trade("AAPL", "BUY", 1, 10)
    tokyo = timezone(9 * HOUR)
    for time in (diary.now.replace(tzinfo=None), diary.now.astimezone(tokyo)):
        assert held(diary.book.positions_as_of(time)) == {"AAPL": 1}
        assert diary.book.positions_as_of(time - timedelta(microseconds=1)) == []
        assert diary.book.portfolio_as_of(time).portfolio.timestamp == diary.now


def test_by_execution_cash_counts_from_when_it_moved(diary: Diary) -> None:
    late = diary.now - HOUR
    diary.do(handlers.record_cash_flow, kind="DEPOSIT", amount=100, occurred_at=late)
    diary.do(handlers.record_cash_flow, kind="INTEREST", amount=5, occurred_at=late + 9 * HOUR)
    cash = {
        (by, time): diary.book.portfolio_as_of(time, by=by).portfolio.cash_balance
        for by in AsOf
        for time in (late, diary.now)
    }
    assert cash == {
        ("booked", late): 0,
        ("booked", diary.now): 105,
        ("executed", late): 100,
        ("executed", diary.now): 100,
    }


def test_the_trades_are_folded_in_their_order_whatever_their_trade_times(diary: Diary) -> None:
    for minute, (action, price) in enumerate([("BUY", 10), ("BUY", 20), ("SELL", 30)]):
        diary.trade("AAPL", action, 1, price, executed_at=BEGIN - minute * HOUR)
    [position] = diary.book.positions_as_of(BEGIN, by="executed")
    assert (position.quantity, position.realized_pnl) == (1, 15)
    [earlier] = diary.book.positions_as_of(BEGIN - HOUR, by="executed")
    assert (earlier.quantity, earlier.realized_pnl, earlier.cost_basis) == (0, 10, 0)


def test_prices_that_are_given_go_first(diary: Diary) -> None:
    diary.trade("AAPL", "BUY", 2, 100)
    diary.trade("MSFT", "BUY", 1, 7)
    diary.snapshot()
    prices = {"AAPL": "111.5", "NONE": 1}
    valued = diary.book.portfolio_as_of(diary.now, prices=prices)
    assert [row.current_price for row in valued.positions] == [Decimal("111.5"), 7]
    assert valued.portfolio.positions_value == 230


def test_a_position_of_which_nothing_counts_has_no_price(diary: Diary) -> None:
    diary.bust(diary.trade("AAPL", "BUY", 2, 100, currency="EUR", multiplier=5))
    [position] = diary.book.positions_as_of(diary.now)
    assert (position.current_price, position.market_value, position.sequence) == (None, 0, 2)
    assert (position.currency, position.multiplier, position.opened_at) == ("EUR", 5, None)
    assert all(getattr(position, amount) == 0 for amount in AMOUNTS)


def test_a_snapshot_made_by_hand_gives_no_prices(diary: Diary) -> None:
    diary.trade("AAPL", "BUY", 2, 100)
    time = diary.now
    made = Portfolio(cash_balance=Decimal(1), total_value=Decimal(1), timestamp=time)
    diary.book.create(made)
    assert diary.book.portfolio_as_of(time).portfolio.positions_value == 200


def test_rates_that_are_given_go_before_those_of_the_last_snapshot(diary: Diary) -> None:
    diary.trade("SAP", "BUY", 2, 100, currency="EUR")
    with pytest.raises(MissingRate, match="no rate from EUR to USD"):
        diary.book.portfolio_as_of(diary.now)
    diary.snapshot(rates=RATES)
    assert diary.book.portfolio_as_of(diary.now).portfolio.positions_value == 220
    given = diary.book.portfolio_as_of(diary.now, rates={"EUR": 2})
    assert (given.portfolio.positions_value, given.portfolio.rates) == (400, {"EUR": "2"})
    diary.trade("7203.T", "BUY", 1, 1000, currency="JPY")
    with pytest.raises(MissingRate, match="no rate from JPY to USD"):
        diary.book.portfolio_as_of(diary.now)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"by": "settled"}, "by: 'settled' is not accepted; expected one of booked, executed"),
        ({"by": None}, "by"),
        ({"by": []}, "by"),
        ({"time": "noon"}, "time: 'noon' is not accepted; expected a datetime"),
        ({"time": None}, "time"),
        ({"time": datetime(1, 1, 1, tzinfo=timezone(HOUR))}, "time"),
        ({"prices": {"AAPL": "dear"}}, r"prices\['AAPL'\]: 'dear' is not accepted"),
        ({"prices": {"AAPL": "NaN"}}, r"prices\['AAPL'\]"),
        ({"prices": 5}, "prices: 5 is not accepted; expected a mapping"),
        ({"rates": {"EUR": 0}}, r"rates\['EUR'\]"),
        ({"rates": {"USD": 2}}, r"rates\['USD'\]"),
        ({"rates": [1]}, "rates"),
        ({"symbol": " AAPL"}, "symbol"),
        ({"symbol": 5}, "symbol"),
    ],
    ids=str,
)
def test_bad_input_is_refused_by_name(book: FakeBook, wrong: dict[str, Any], named: str) -> None:
    arguments = {"time": BEGIN, **wrong}
    if "symbol" in wrong or wrong.keys() <= {"by", "time"}:
        with pytest.raises(InvalidInput, match=named):
            book.positions_as_of(**arguments)
    if "symbol" not in wrong:
        with pytest.raises(InvalidInput, match=named):
            book.portfolio_as_of(**arguments)


def test_progress_is_told_up_to_the_last_trade(
    full: Diary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(as_of, "BATCH", 1)
    told: list[tuple[int, int]] = []
    full.book.positions_as_of(full.now, progress=lambda *done: told.append(done))
    assert told == [(done, 8) for done in range(1, 9)]
    told.clear()
    full.book.portfolio_as_of(BEGIN + 4 * timedelta(minutes=1), progress=lambda *d: told.append(d))
    assert told[-1] == (8, 8)
    assert len(told) < 8  # what was booked later was not even folded


def test_the_last_snapshot_is_shown_whole(full: Diary) -> None:
    latest = full.book.get_latest_portfolio()
    shown = full.book.get_snapshot()
    assert latest is not None
    assert isinstance(shown, Snapshot)
    assert shown.portfolio.id == latest.id
    assert worth(shown.portfolio, shown.positions) == full.snapshots[latest.timestamp]
    assert shown.amendments == []


def test_a_snapshot_of_many_symbols_names_all_that_was_amended(
    diary: Diary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradebook.service_layer.queries.snapshots.BATCH", 2)
    symbols = [f"S{number}" for number in range(5)]
    terms = [{"symbol": symbol, "action": "BUY", "quantity": 1, "price": 1} for symbol in symbols]
    recorded = diary.do(handlers.record_trades, trades=terms)
    diary.snapshot()
    for trade in recorded.trades:
        diary.correct(trade, price=2)
    assert amended(diary.book.get_snapshot()) == [(symbol, 1, 3) for symbol in symbols]


def test_a_snapshot_made_by_hand_has_no_amendments(diary: Diary) -> None:
    trade = diary.trade("AAPL", "BUY", 2, 100)
    made = diary.book.create(
        Portfolio(cash_balance=Decimal(1), total_value=Decimal(1), closed_sequences={"AAPL": 1})
    )
    diary.bust(trade)
    assert amended(diary.book.get_snapshot(made.id)) == []


def test_a_snapshot_that_is_not_there_is_none(diary: Diary) -> None:
    assert diary.book.get_snapshot() is None
    diary.snapshot()
    assert diary.book.get_snapshot(2**62) is None
    with pytest.raises(InvalidInput, match="portfolio_id: 'x' is not accepted"):
        diary.book.get_snapshot("x")  # type: ignore[arg-type]
