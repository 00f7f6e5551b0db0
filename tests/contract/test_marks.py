"""Marks follow trades, on every backend: one rule for every way of booking, refolds and reads of the past."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.backends import within
from tests.support.diary import BEGIN, Diary
from tests.support.mark_model import followed, some_steps
from tradebook import CallContext, handlers
from tradebook.service_layer.book import Book

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def fill(order_id: str, price: int, hours: float, **terms: Any) -> Any:
    bought = {"symbol": "X", "action": "BUY", "quantity": 1, "price": price}
    return {**bought, "order_id": order_id, "executed_at": NOON + hours * HOUR, **terms}


def mark(book: Book) -> Any:
    position = book.get_position_by_symbol("X")
    assert position is not None
    return position.last_mark


def in_a_unit_of_work(book: Book, terms: Any) -> None:
    with book.unit_of_work() as uow:
        within(uow, handlers.record_trade, **terms)
        uow.commit()


def executed(book: Book, terms: Any) -> None:
    order = {**terms, "status": "PENDING"}
    book.record_trade(**order)
    fill = {name: terms[name] for name in ("order_id", "price", "executed_at")}
    book.execute_trade(**fill)


BOOKINGS: dict[str, Any] = {
    "alone": lambda book, terms: book.record_trade(**terms),
    "alone again": lambda book, terms: book.record_trade(**terms),
    "in a batch": lambda book, terms: book.record_trades([terms]),
    "imported": lambda book, terms: book.import_trades([terms]),
    "in a unit of work": in_a_unit_of_work,
    "of an order": executed,
}
"""Each way of booking a fill."""


def test_a_fill_becomes_the_mark_however_it_is_booked_unless_a_newer_one_stands(book: Book) -> None:
    for hour, (way, booked) in enumerate(BOOKINGS.items(), 1):
        now = NOON + hour * HOUR
        booked(book, fill(f"{way} new", hour, hour))
        assert mark(book) == (hour, now, "TRADE"), way
        booked(book, fill(f"{way} same", 10 + hour, hour))
        assert mark(book) == (10 + hour, now, "TRADE"), way
        booked(book, fill(f"{way} old", 99, hour - 0.5))
        assert mark(book) == (10 + hour, now, "TRADE"), way
        book.mark_prices({"X": 20 + hour}, at=now)
        booked(book, fill(f"{way} as old as the quote", 99, hour))
        assert mark(book) == (20 + hour, now, "QUOTE"), way
    assert book.verify().proven


def test_a_quote_of_the_same_time_or_later_wins_and_unknown_symbols_are_said(book: Book) -> None:
    book.record_trade(**fill("a", 10, 1))
    told = book.mark_prices({"X": 11, "NEVER": 1, "ALSO": 2}, at=NOON + HOUR)
    assert ([p.symbol for p in told], told.unknown) == (["X"], ["ALSO", "NEVER"])
    assert mark(book) == (11, NOON + HOUR, "QUOTE")
    late = book.mark_prices({"X": 9}, at=NOON)
    assert (late, late.unknown) == ([], [])
    assert mark(book) == (11, NOON + HOUR, "QUOTE")
    book.update_position("X", {"current_price": 12, "marked_at": NOON + 2 * HOUR})
    assert mark(book) == (12, NOON + 2 * HOUR, "QUOTE")


def test_the_mark_of_a_busted_fill_goes_to_the_newest_that_counts(book: Book) -> None:
    book.record_trade(**fill("a", 10, 2))
    book.record_trade(**fill("b", 12, 3))
    book.record_trade(**fill("c", 11, 1))
    book.bust_trade(order_id="b", reason="r")
    assert mark(book) == (10, NOON + 2 * HOUR, "TRADE")
    book.correct_trade(order_id="c", price=15, executed_at=NOON + 4 * HOUR, reason="r")
    assert mark(book) == (15, NOON + 4 * HOUR, "TRADE")
    book.mark_prices({"X": 16}, at=NOON + 5 * HOUR)
    book.bust_trade(order_id="c", reason="r")
    assert mark(book) == (16, NOON + 5 * HOUR, "QUOTE")
    book.correct_trade(order_id="a", executed_at=NOON + 6 * HOUR, reason="r")
    assert mark(book) == (10, NOON + 6 * HOUR, "TRADE")
    book.bust_trade(order_id="a", reason="r")
    assert mark(book) == (None, None, None)
    assert book.verify().proven


def test_any_history_leaves_the_mark_that_the_rule_says(book: Book) -> None:
    for step, stored, expected in followed(book, some_steps(40, seed=4)):
        assert stored == expected, step
    assert book.verify().proven
    assert book.rebuild().positions == ()


def test_of_the_past_the_newest_of_snapshot_and_trades_is_the_mark(book: Book) -> None:
    diary = Diary(book)
    diary.trade("X", "BUY", 1, 10)
    first = diary.trade("X", "BUY", 1, 11, executed_at=BEGIN).booked_at
    diary.do(handlers.mark_prices, prices={"X": 14}, at=diary.now)
    taken = diary.snapshot().timestamp
    diary.trade("X", "BUY", 1, 12, executed_at=BEGIN)
    late = diary.now
    newest = diary.trade("X", "BUY", 1, 13)
    diary.bust(newest)

    def marked(time: datetime, **by: Any) -> Any:
        [position] = book.positions_as_of(time, **by)
        return position.last_mark

    assert marked(first) == (10, first - timedelta(minutes=1), "TRADE")
    assert marked(taken) == marked(late) == (14, taken, "QUOTE")
    assert marked(newest.booked_at) == (13, newest.executed_at, "TRADE")
    assert marked(diary.now) == (14, taken, "QUOTE")
    assert marked(newest.booked_at, by="executed") == (14, taken, "QUOTE")
    assert marked(BEGIN, by="executed") == (12, BEGIN, "TRADE")
    [row] = book.portfolio_as_of(taken).positions
    assert row.current_price == 14


def test_a_snapshot_says_again_the_price_of_a_fill_dated_after_it(book: Book) -> None:
    diary = Diary(book)
    diary.trade("X", "BUY", 1, 10, executed_at=BEGIN + HOUR)
    diary.do(handlers.mark_prices, prices={"X": 14}, at=BEGIN + 2 * HOUR)
    taken = diary.snapshot()
    [row] = book.portfolio_as_of(taken.timestamp).positions
    assert row.current_price == 14


def test_a_clock_that_was_wrong_freezes_no_price_once_its_times_are_repaired(book: Book) -> None:
    wrong = datetime(2926, 1, 1, tzinfo=UTC)
    book.record_trade(**fill("a", 10, 1))
    with book.unit_of_work(context=CallContext(at=wrong)) as uow:
        within(uow, handlers.record_trade, **fill("b", 11, 0, executed_at=wrong))
        uow.commit()
    assert mark(book) == (11, wrong, "TRADE")
    assert book.verify().proven
    assert book.rebuild(times=True).positions == ("X",)
    assert (mark(book).price, mark(book).source) == (11, "QUOTE")
    assert book.verify().proven
    trade = book.record_trade(symbol="X", action="BUY", quantity=1, price=12)
    assert mark(book) == (12, trade.executed_at, "TRADE")
    book.record_trade(**fill("c", 13, 2))
    book.bust_trade(trade_id=trade.id, reason="r")
    assert mark(book) == (13, NOON + 2 * HOUR, "TRADE")
    assert book.verify().proven
