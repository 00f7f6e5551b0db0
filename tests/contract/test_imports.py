"""Imports as batches: each is on record, and can be taken back as a whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tradebook import (
    CashFlow,
    DuplicateOrder,
    Import,
    ImportSource,
    ImportStatus,
    InvalidInput,
    InvalidTransition,
    NotFound,
    Trade,
    TradeStatus,
    context,
    handlers,
)
from tradebook.service_layer.book import Book
from tradebook.service_layer.handlers.imports import begin_import, finish_import, part_of

MAY = datetime(2024, 5, 1, 12, tzinfo=UTC)
DIGEST = "ab" * 32


def fills(count: int = 12, **others: Any) -> list[Any]:
    return [
        {
            "symbol": ("AAPL", "ETH/USD")[n % 2],
            "action": "SELL" if n % 5 == 4 else "BUY",
            "quantity": f"{n + 1}.5",
            "price": 100 + n,
            "fee": "0.07",
            "executed_at": MAY + timedelta(minutes=n),
            "order_id": f"o-{n}",
            **others,
        }
        for n in range(count)
    ]


def state(book: Book) -> list[Any]:
    """Return all of the positions that trades decide, and the balances."""
    kept = ("id", "account", "created_at", "updated_at", "sequence", "version")
    positions = [
        {n: v for n, v in vars(p).items() if n not in kept and not n.startswith("_")}
        for p in book.get_positions()
        if p.quantity or p.realized_pnl or p.fees
    ]
    counting = book.get_trades(status="EXECUTED", limit=1000)
    realized = {(t.order_id, t.execution_id): t.realized_pnl for t in counting}
    return [positions, realized, [b for b in book.get_balances() if b.positions or b.cash]]


def assert_proven(book: Book) -> None:
    assert book.verify().differences == ()
    book.seal()
    assert book.check_seals().findings == ()


def test_an_import_is_on_record_with_its_source_and_counts(book: Book) -> None:
    with context(actor="ann"):
        book.import_trades(fills(4), source="may.csv")
        done = book.import_trades(fills(6), source=ImportSource("june.csv", DIGEST))

    [june, may] = book.get_imports()
    assert done.import_id == june.id
    assert (june.source, june.digest, june.actor) == ("june.csv", DIGEST, "ann")
    assert (june.booked, june.duplicates, june.skipped) == (2, 4, 0)
    assert (may.source, may.digest, may.booked) == ("may.csv", None, 4)
    assert june.status is ImportStatus.FINISHED
    assert june.finished_at is not None
    assert [found.id for found in book.get_imports(digest=DIGEST)] == [june.id]
    assert {e.correlation_id for e in book.get_events(event_type="TradeRecorded", limit=2)} == {
        june.reference
    }
    assert_proven(book)


def test_an_import_without_a_source_leaves_no_record_and_no_other_correlation_id(
    book: Book,
) -> None:
    with context(correlation_id="request-7"):
        assert book.import_trades(fills(2)).import_id is None

    assert book.get_imports() == []
    assert {e.correlation_id for e in book.get_events()} == {"request-7"}


def test_an_undone_import_leaves_the_book_as_if_it_had_never_been(book: Book) -> None:
    book.record_trade(symbol="AAPL", action="BUY", quantity=3, price=90, order_id="before")
    before = state(book)
    done = book.import_trades(fills(), source="wrong.csv")
    assert done.import_id is not None

    with context(actor="ann"):
        undone = book.undo_import(done.import_id, reason="another account's")

    assert (undone.trades, undone.cash_flows, undone.corrected) == (12, 0, 0)
    [imported] = book.get_imports()
    assert imported.status is ImportStatus.UNDONE
    assert (imported.undone_by, imported.undo_reason) == ("ann", "another account's")
    busted = book.get_all(Trade, 100, status="BUSTED")
    assert {t.bust_reason for t in busted} == {"another account's"}
    assert len(busted) == 12
    after = state(book)
    assert after[1:] == before[1:]
    # A symbol that was never traded before stays, flat.
    assert [p for p in after[0] if p["symbol"] == "AAPL"] == before[0]
    assert_proven(book)


def test_an_undo_counts_the_orders_that_stay_open(book: Book) -> None:
    order = {"symbol": "AAPL", "action": "BUY", "quantity": 2, "status": "PENDING"}
    rows = [{**order, "order_id": f"p-{number}"} for number in range(3)]
    done = book.import_trades([*fills(2), *rows], source="wrong.csv")
    assert done.import_id is not None
    book.record_trade(**{**rows[0], "status": "EXECUTED", "price": 90})

    undone = book.undo_import(done.import_id, reason="another account's")

    assert (undone.trades, undone.open_orders) == (2, 2)
    assert_proven(book)


def test_the_same_undo_again_changes_nothing_and_another_reason_is_refused(book: Book) -> None:
    done = book.import_trades(fills(3), source="wrong.csv")
    assert done.import_id is not None
    book.undo_import(done.import_id, reason="misread")
    events = book.count(Import), len(book.get_events(limit=1000))

    again = book.undo_import(done.import_id, reason="misread")

    assert (again.trades, again.undone.status) == (0, ImportStatus.UNDONE)
    assert (book.count(Import), len(book.get_events(limit=1000))) == events
    with pytest.raises(InvalidTransition, match=r"was undone before, at .*: 'misread'"):
        book.undo_import(done.import_id, reason="something else")
    with pytest.raises(NotFound):
        book.undo_import(done.import_id + 1000, reason="misread")
    with pytest.raises(InvalidInput, match="reason"):
        book.undo_import(done.import_id, reason=" ")


def test_import_undo_and_import_again_is_the_book_of_one_import(book: Book) -> None:
    other = book.for_account(f"{book.account}-once")
    other.import_trades(fills(), source="may.csv")
    done = book.import_trades(fills(), source="may.csv")
    assert done.import_id is not None
    book.undo_import(done.import_id, reason="misread")

    again = book.import_trades(fills(), source="may.csv")

    assert (again.booked, again.duplicates) == (12, 0)
    assert state(book) == state(other)
    counting = book.get_trades(status="EXECUTED", limit=100)
    assert {t.revision for t in counting} == {1}
    assert {t.corrects_id for t in counting} == {None}
    third = book.import_trades(fills(), source="may.csv")
    assert (third.booked, third.duplicates) == (0, 12)
    assert state(book) == state(other)
    assert_proven(book)


def test_the_fills_of_an_undone_import_may_come_with_other_terms(book: Book) -> None:
    done = book.import_trades(fills(2), source="wrong mapping.csv")
    assert done.import_id is not None
    book.undo_import(done.import_id, reason="price and quantity were mixed up")
    right = {**fills(1)[0], "price": "1.5", "quantity": 100}

    trade = book.record_trade(**right)
    same = book.record_trade(**right)

    assert (trade.revision, trade.price, trade.id) == (1, Decimal("1.5"), same.id)
    assert book.correct_trade(order_id="o-0", price=2, reason="misread").revision == 2
    assert book.record_trade(**right).revision == 1  # a repeat of the terms before the correction
    busted = book.bust_trade(order_id="o-0", reason="never happened")
    assert busted.revision == 2
    assert book.record_trade(**right).status is TradeStatus.BUSTED  # a bust by hand is for good
    assert_proven(book)


def test_an_import_can_be_undone_after_it_was_imported_again(book: Book) -> None:
    for reason in ("first", "second", "third"):
        done = book.import_trades(fills(5), source="may.csv")
        assert done.booked == 5
        assert done.import_id is not None
        assert book.undo_import(done.import_id, reason=reason).trades == 5

    assert book.get_trades(status="EXECUTED") == []
    assert_proven(book)


def test_an_order_may_have_fills_that_are_booked_anew_and_others(book: Book) -> None:
    one, two, three, four = (
        {**terms, "symbol": "AAPL", "order_id": "o-1", "execution_id": f"e-{n}"}
        for n, terms in enumerate(fills(4))
    )
    done = book.import_trades([one, two], source="may.csv")
    assert done.import_id is not None
    book.undo_import(done.import_id, reason="misread")
    book.record_trade(**three)

    again = book.import_trades([one, two, three, one, four], source="may.csv")

    assert (again.booked, again.duplicates) == (3, 2)
    counting = book.get_trades(status="EXECUTED")
    revisions = {trade.execution_id: trade.revision for trade in counting}
    assert revisions == {"e-0": 1, "e-1": 1, "e-2": 0, "e-3": 0}
    with pytest.raises(DuplicateOrder, match="o-1"):
        book.import_trades([{**two, "price": 1}], source="june.csv")
    assert_proven(book)


def test_corrections_made_since_are_busted_and_busts_made_since_stay(book: Book) -> None:
    done = book.import_trades(fills(6), source="may.csv")
    assert done.import_id is not None
    book.correct_trade(order_id="o-2", price=50, reason="misread")
    book.correct_trade(order_id="o-2", price=51, reason="misread again")
    book.bust_trade(order_id="o-3", reason="never happened")

    undone = book.undo_import(done.import_id, reason="another account's")
    again = book.import_trades(fills(6), source="may.csv")

    assert (undone.trades, undone.corrected) == (5, 1)
    assert (again.booked, again.duplicates) == (5, 1)
    counting = {t.order_id: (t.price, t.revision) for t in book.get_trades(status="EXECUTED")}
    assert counting["o-2"] == (102, 3)
    assert "o-3" not in counting
    assert_proven(book)


def test_what_others_recorded_meanwhile_stays(book: Book) -> None:
    def import_and_more(uow: Any) -> int:
        handlers.record_trade(uow, **{**fills(1)[0], "order_id": "mine-1"})
        done = handlers.import_trades(uow, fills(3), source="may.csv")
        handlers.record_trade(uow, **{**fills(1)[0], "order_id": "mine-2"})
        assert done.import_id is not None
        return done.import_id

    book.undo_import(book.run(import_and_more), reason="misread")

    left = book.get_trades(status="EXECUTED")
    assert {trade.order_id for trade in left} == {"mine-1", "mine-2"}
    assert_proven(book)


def test_cash_flows_of_an_import_are_taken_back_with_it(book: Book) -> None:
    def import_cash(uow: Any) -> int:
        imported = begin_import(uow, "ledger.csv")
        with part_of(uow, imported):
            handlers.record_cash_flow(uow, "DEPOSIT", 100, reference="wire-1")
            handlers.record_cash_flow(uow, "DIVIDEND", 5, reference="div-1")
        finish_import(uow, imported.id, booked=2, duplicates=0)
        return imported.id

    book.record_cash_flow("DEPOSIT", 7, reference="wire-0")
    import_id = book.run(import_cash)
    book.bust_cash_flow("div-1", reason="never paid")

    undone = book.undo_import(import_id, reason="another account's")

    assert (undone.trades, undone.cash_flows) == (0, 1)
    [balance] = book.get_cash_balances()
    assert (balance.external, balance.income) == (7, 0)
    assert book.count(CashFlow) == 5
    assert_proven(book)


def test_an_interrupted_import_can_be_undone(book: Book) -> None:
    imported = book.run(begin_import, "half.csv")

    def first_half(uow: Any) -> None:
        with part_of(uow, imported):
            handlers.record_trades(uow, fills(3))

    book.run(first_half)

    assert book.get_imports(status="STARTED")[0].id == imported.id
    assert book.undo_import(imported.id, reason="interrupted").trades == 3
    assert book.get_trades(status="EXECUTED") == []
    assert_proven(book)


@pytest.mark.parametrize(
    "source",
    [7, b"may.csv", ImportSource("may.csv", "x" * 1000), ImportSource(3), "a\0b"],  # type: ignore[arg-type]
    ids=["number", "bytes", "long-digest", "name-of-another-type", "zero-byte"],
)
def test_a_wrong_source_is_refused_and_nothing_is_booked(book: Book, source: Any) -> None:
    with pytest.raises(InvalidInput, match="source"):
        book.import_trades(fills(2), source=source)

    assert book.count(Trade) == 0
    assert book.get_imports() == []
