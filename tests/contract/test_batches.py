"""Batches of trades and records: an error says where, and values are taken as a CSV import takes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Final

import pytest

from tests.support.public_calls import NOON
from tradebook import (
    Alert,
    CashFlow,
    DuplicateOrder,
    DuplicateRecord,
    InstrumentMismatch,
    InvalidInput,
    InvalidTransition,
    NotFound,
    Trade,
    TradebookError,
)
from tradebook.service_layer.book import Book

Terms = dict[str, Any]
PLACE: Final = 17
GOOD: Final[list[Terms]] = [
    {"symbol": f"S{n % 3}", "action": "BUY", "quantity": 1, "price": 2, "order_id": f"o-{n}",
     "executed_at": NOON, "currency": "USD"}
    for n in range(25)
]  # fmt: skip
BAD: Final[dict[str, tuple[Terms, type[TradebookError], str]]] = {
    "a value": ({"quantity": "x"}, InvalidInput, "quantity: 'x' is not accepted"),
    "a name": ({"colour": 1}, InvalidInput, "colour: "),
    "a status": ({"status": "BUSTED"}, InvalidInput, "status: "),
    "a time": ({"executed_at": NOON + timedelta(days=36_500)}, InvalidInput, "executed_at: "),
    "the fee": ({"fee": 10**9, "fee_currency": "S2"}, InvalidInput, "fee: "),
    "the currency": ({"currency": "EUR"}, InstrumentMismatch, "S2: currency is"),
    "a decision": ({"decision_id": 10**9}, NotFound, "no AgentDecision"),
    "another fill": ({"order_id": "o-2"}, DuplicateOrder, "order 'o-2'"),
    "a cancelled order": ({"order_id": "gone"}, InvalidTransition, "order 'gone'"),
}


def with_bad(changes: Terms) -> list[Terms]:
    rows = [dict(row) for row in GOOD]
    rows[PLACE] = {**rows[PLACE], "price": 3, **changes}
    return rows


def refused(book: Book, call: str, rows: Any, **options: Any) -> TradebookError:
    before = book.count(Trade)
    with pytest.raises(TradebookError) as refusal:
        getattr(book, call)(rows, **options)
    assert book.count(Trade) == before
    assert book.verify().proven
    return refusal.value


@pytest.mark.parametrize("bad", BAD)
def test_a_refused_batch_names_the_index_and_the_order_id(book: Book, bad: str) -> None:
    changes, kind, message = BAD[bad]
    book.record_trade(**{**GOOD[2], "order_id": "gone", "status": "PENDING"})
    book.cancel_trade(order_id="gone")
    rows = with_bad(changes)
    order_id = rows[PLACE]["order_id"]
    said = {
        str(error).partition(" which says ")[0]  # the clock's time
        for error in (
            refused(book, "record_trades", rows),
            refused(book, "import_trades", rows),
            refused(book, "import_trades", rows, batch=4),
            refused(book, "import_trades", iter(rows)),
        )
        if (type(error), error.index, error.order_id) == (kind, PLACE, order_id)
    }
    [text] = said
    assert text.startswith(f"trades[{PLACE}] (order_id {order_id!r}): {message}")


def test_a_row_without_an_order_id_or_that_is_no_mapping_is_named_by_its_index(book: Book) -> None:
    rows: list[Any] = with_bad({"quantity": -1})
    del rows[PLACE]["order_id"]
    for call in ("record_trades", "import_trades"):
        error = refused(book, call, rows)
        assert (error.index, error.order_id) == (PLACE, None)
        assert str(error).startswith(f"trades[{PLACE}]: quantity: -1")
        error = refused(book, call, [*GOOD, ["AAPL"]])
        assert (error.index, str(error).partition(":")[0]) == (25, "trades[25]")


def test_an_order_id_that_is_refused_is_shown_in_short(book: Book) -> None:
    for call in ("record_trades", "import_trades"):
        error = refused(book, call, with_bad({"order_id": "x" * 100_000}))
        assert (error.index, error.order_id) == (PLACE, None)
        assert len(str(error)) < 300


@pytest.mark.parametrize(
    ("entity", "kind", "order_id"),
    [
        (lambda: Trade(**{**GOOD[2], "currency": "EUR", "status": "EXECUTED"}), InstrumentMismatch, "o-2"),
        (lambda: Trade(**GOOD[2], sequence=3), InvalidInput, "o-2"),
        (lambda: CashFlow(kind="DEPOSIT", amount=2, reference="taken", occurred_at=NOON), DuplicateRecord, None),
        (lambda: Alert(alert_type="a", severity="INFO", account="another's"), InvalidInput, None),
        (lambda: "no entity", InvalidInput, None),
    ],
)  # fmt: skip
def test_a_refused_list_of_records_names_the_index(
    book: Book, entity: Any, kind: type[TradebookError], order_id: str | None
) -> None:
    book.record_trade(**GOOD[5])
    book.record_cash_flow("DEPOSIT", 1, reference="taken", occurred_at=NOON)
    some = [Alert(alert_type="a", severity="INFO"), Trade(**GOOD[0]), Trade(**GOOD[1])]

    error = refused(book, "bulk_create", [*some, entity()])
    assert (type(error), error.index, error.order_id) == (kind, 3, order_id)
    place = "entities[3]" if order_id is None else f"entities[3] (order_id {order_id!r})"
    assert str(error).startswith(f"{place}: ")
    alone = refused(book, "create", entity())
    assert (type(alone), alone.index, alone.order_id) == (kind, None, None)
    assert str(error) == f"{place}: {alone}"


def test_a_trade_by_itself_has_no_index(book: Book) -> None:
    with pytest.raises(InvalidInput) as refusal:
        book.record_trade(**{**GOOD[0], "quantity": "x"})
    assert (refusal.value.index, str(refusal.value)[:9]) == (None, "quantity:")


LOOSE: Final[Terms] = {
    "symbol": "AAPL",
    "action": "buy",
    "quantity": "1.50",
    "price": "2",
    "fee": None,
    "currency": None,
    "fee_currency": None,
    "multiplier": None,
    "settlement": "cash",
    "executed_at": "2026-03-02T14:00:00+02:00",
    "venue": None,
    "strategy": None,
    "details": None,
    "decision_id": None,
    "status": "executed",
}


def told(trade: Trade) -> tuple[Any, ...]:
    names = "action quantity price fee currency fee_currency multiplier settlement executed_at venue status"
    return tuple(getattr(trade, name) for name in names.split())


@pytest.mark.parametrize("call", ["record_trade", "record_trades", "import_trades", "create"])
def test_values_are_taken_as_a_csv_import_takes_them(book: Book, call: str) -> None:
    rows = [{**LOOSE, "order_id": n, "execution_id": 2**40 + n} for n in (7, 8, -9)]
    rows.append({**LOOSE, "order_id": None, "execution_id": None, "status": None})
    for row in (*rows, *rows[:3]):  # the same ones again change nothing
        if call == "record_trade":
            book.record_trade(**row)
        elif call == "create":
            given = {**row, "status": "executed"} if row["status"] is None else row
            book.create(Trade(**given))
        else:
            getattr(book, call)([row])
    trades = book.get_trades()

    assert len(trades) == 4
    assert {told(trade) for trade in trades} == {
        ("BUY", Decimal("1.5"), 2, 0, "USD", "USD", 1, "CASH", NOON, "", "EXECUTED")
    }
    by_order = {trade.order_id: trade.execution_id for trade in trades}
    assert (
        by_order.items() >= {"7": str(2**40 + 7), "8": str(2**40 + 8), "-9": str(2**40 - 9)}.items()
    )
    assert book.bust_trade(order_id=8, execution_id=2**40 + 8, reason="x").order_id == "8"
    assert book.verify().proven


def test_a_naive_text_is_taken_as_utc_and_what_is_no_time_is_refused(book: Book) -> None:
    east = timezone(timedelta(hours=2))
    times = {"2026-03-02T12:00": NOON, "2026-03-02": datetime(2026, 3, 2, tzinfo=UTC),
             "2026-03-02 14:00:00.000001+02:00": datetime(2026, 3, 2, 14, 0, 0, 1, tzinfo=east)}  # fmt: skip
    for text, time in times.items():
        assert book.record_trade(**{**LOOSE, "executed_at": text}).executed_at == time
        assert book.record_cash_flow("deposit", 1, occurred_at=text).occurred_at == time
    for text in ("noon", "20260302", "1772452800", "2026-13-02", "", "x" * 10**6):
        for call in ("record_trades", "import_trades"):
            error = refused(book, call, [{**LOOSE, "executed_at": text}])
            assert isinstance(error, InvalidInput)
            assert (error.field, error.value) == ("executed_at", text)
            assert "ISO 8601" in error.expected


@pytest.mark.parametrize(
    ("term", "value"),
    [("order_id", True), ("order_id", 1.5), ("order_id", 10**300), ("execution_id", False),
     ("action", "b"), ("action", "\u017fell"), ("symbol", None), ("symbol", 5), ("quantity", None),
     ("price", None), ("action", None)],
)  # fmt: skip
def test_what_a_csv_import_does_not_take_stays_refused(book: Book, term: str, value: Any) -> None:
    for call in ("record_trades", "import_trades"):
        error = refused(book, call, [{**LOOSE, "order_id": "o", term: value}])
        assert isinstance(error, InvalidInput)
        assert error.field == term
