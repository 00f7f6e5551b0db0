"""As of a time, and snapshots with what became of their trades, on every backend."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.support.diary import BEGIN, Diary, amended, facts, held, trading_day, worth
from tradebook import Amendment, AsOf, handlers
from tradebook.service_layer.book import Book
from tradebook.service_layer.queries import as_of

HOUR = timedelta(hours=1)
END = datetime.max.replace(tzinfo=UTC)


@pytest.fixture
def diary(book: Book) -> Diary:
    return Diary(book)


def test_what_the_book_said_after_each_change_and_in_each_snapshot_is_said_again(
    diary: Diary, monkeypatch: pytest.MonkeyPatch
) -> None:
    trading_day(diary)
    book = diary.book
    for time, said in diary.said.items():
        assert facts(book.positions_as_of(time)) == said
    monkeypatch.setattr(as_of, "BATCH", 2)
    for time, taken in diary.snapshots.items():
        valued = book.portfolio_as_of(time)
        assert worth(valued.portfolio, valued.positions) == taken
    for by in AsOf:
        assert facts(book.positions_as_of(diary.now, by=by)) == diary.said[diary.now]
        assert facts(book.positions_as_of(END, by=by)) == diary.said[diary.now]
        assert book.positions_as_of(BEGIN, by=by) == []
        valued = book.portfolio_as_of(datetime(1, 1, 1, tzinfo=UTC), by=by)
        assert (valued.portfolio.total_value, valued.positions) == (0, [])
    # AAPL: 1 one, 2 two, 3 two busted, 4 right, 5 sold, 6 right busted, 7 its fee, 8 one busted
    shown = [book.get_snapshot(p.id) for p in reversed(book.get_portfolio_history(days=36_500))]
    assert [amended(snapshot) for snapshot in shown] == [
        [],
        [("AAPL", 2, 7), ("AAPL", 1, None)],
        [("AAPL", 2, 7), ("AAPL", 1, None), ("MSFT", 1, None)],
        [("AAPL", 4, 7), ("AAPL", 1, None)],
        [("AAPL", 1, None)],
        [],
    ]
    assert [worth(s.portfolio, s.positions) for s in shown if s] == list(diary.snapshots.values())
    assert book.verify().proven


def test_by_execution_late_trades_count_from_their_trade_time(diary: Diary) -> None:
    noon = BEGIN + 3 * HOUR
    diary.trade("AAPL", "BUY", 10, 100, executed_at=noon)
    late = diary.trade("AAPL", "BUY", 5, 90, executed_at=noon - HOUR)
    diary.trade("MSFT", "BUY", 1, 50, executed_at=noon + HOUR)
    asked = [
        held(diary.book.positions_as_of(time, by="executed"))
        for time in (noon - 2 * HOUR, noon - HOUR, noon, noon + HOUR)
    ]
    assert asked == [{}, {"AAPL": 5}, {"AAPL": 15}, {"AAPL": 15, "MSFT": 1}]
    right = diary.correct(late, executed_at=noon + HOUR, quantity=6)
    assert held(diary.book.positions_as_of(noon, by="executed")) == {"AAPL": 10}
    diary.bust(right)
    later = diary.book.positions_as_of(noon + HOUR, by=AsOf.EXECUTED)
    assert held(later) == {"AAPL": 10, "MSFT": 1}
    assert [position.sequence for position in later] == [5, 1]


def test_a_price_is_that_of_the_last_snapshot_or_of_the_last_trade(diary: Diary) -> None:
    diary.trade("AAPL", "BUY", 1, 100, executed_at=BEGIN)
    diary.trade("AAPL", "BUY", 1, 104, executed_at=BEGIN + HOUR)
    before = diary.now
    diary.do(handlers.mark_prices, prices={"AAPL": 130}, at=BEGIN + HOUR)
    diary.snapshot()
    diary.do(handlers.mark_prices, prices={"AAPL": 140})
    diary.trade("MSFT", "BUY", 1, 7, executed_at=BEGIN)
    [unknown] = diary.book.positions_as_of(before)
    assert (unknown.current_price, unknown.marked_at) == (104, BEGIN + HOUR)
    known, traded = diary.book.positions_as_of(diary.now)
    taken = next(iter(diary.snapshots))
    assert (known.current_price, known.marked_at, known.market_value) == (130, taken, 260)
    assert (traded.current_price, traded.marked_at) == (7, BEGIN)
    valued = diary.book.portfolio_as_of(diary.now)
    assert [row.current_price for row in valued.positions] == [130, 7]


def test_a_bust_in_a_symbol_that_was_flat_is_named(diary: Diary) -> None:
    diary.trade("AAPL", "BUY", 1, 100)
    sold = diary.trade("AAPL", "SELL", 1, 110)
    taken = diary.snapshot()
    diary.trade("AAPL", "BUY", 5, 100)
    diary.bust(sold)
    diary.bust(diary.trade("AAPL", "BUY", 7, 100))  # not in the snapshot
    diary.bust(diary.trade("NEW", "BUY", 7, 100))
    shown = diary.book.get_snapshot(taken.id)
    assert amended(shown) == [("AAPL", 2, None)]
    assert shown is not None
    assert (shown.positions, shown.portfolio.closed_sequences) == ([], {"AAPL": 2})
    diary.snapshot()
    assert amended(diary.book.get_snapshot()) == []
    assert diary.book.verify().proven


def test_an_amendment_has_who_when_and_why_and_what_counts_now(diary: Diary) -> None:
    trade = diary.trade("AAPL", "BUY", 1, 100)
    taken = diary.snapshot()
    right = diary.correct(trade, price=99)
    shown = diary.book.get_snapshot(taken.id)
    assert shown is not None
    [amendment] = shown.amendments
    assert isinstance(amendment, Amendment)
    assert amendment.correction is not None
    assert (amendment.busted.id, amendment.correction.id) == (trade.id, right.id)
    assert (amendment.busted.busted_by, amendment.busted.bust_reason) == ("diarist", "misread")
    assert amendment.busted.busted_at == diary.now
    assert (amendment.busted.price, amendment.correction.price) == (100, 99)
    diary.bust(right)
    assert amended(diary.book.get_snapshot(taken.id)) == [("AAPL", 1, None)]
