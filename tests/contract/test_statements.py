"""A venue's statement next to the book, entry by entry, and the entries that mend the book."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import pytest

from tests.support.backends import each_backend
from tradebook import InvalidInput, VenueStatement
from tradebook.domain.statements import Mend

pytestmark = pytest.mark.parametrize(
    "book", each_backend(only_in_full_runs=["sqlite-async", "postgresql-async"]), indirect=True
)
NINE: Final = datetime(2026, 3, 2, 9, tzinfo=UTC)
DAY: Final = {"start": NINE.replace(hour=0), "end": NINE.replace(hour=0) + timedelta(days=1)}
SECOND: Final = timedelta(seconds=1)


def fill(order_id: str, **terms: Any) -> dict[str, Any]:
    """Return a fill of 10 AAPL at 100 with a fee of 1."""
    filled = {"symbol": "AAPL", "action": "BUY", "quantity": 10, "price": 100, "fee": 1}
    return {**filled, "order_id": order_id, "executed_at": NINE, **terms}


def deposit(reference: str, amount: int = 1000, **terms: Any) -> dict[str, Any]:
    """Return a deposit at nine."""
    return {
        "kind": "DEPOSIT",
        "amount": amount,
        "reference": reference,
        "occurred_at": NINE,
        **terms,
    }


def findings(book: Any, /, **statement: Any) -> list[tuple[str, str, list[str]]]:
    """Return what reconciling with a statement of the day found: what, of what, and the calls that mend it."""
    found = book.reconcile_statement(VenueStatement(**{**DAY, **statement}))
    assert found.agrees is (not found.discrepancies)
    return [
        (each.kind, each.entity, [mend.operation for mend in each.mends])
        for each in found.discrepancies
    ]


def mended(book: Any, /, **statement: Any) -> Any:
    """Mend the book after a statement, and return what was done; the book agrees then."""
    said = VenueStatement(**{**DAY, **statement})
    done = book.mend(book.reconcile_statement(said).mends, reason="the venue says so")
    assert book.reconcile_statement(said).agrees
    return done


def test_a_book_that_has_what_the_venue_has_agrees(book: Any) -> None:
    trades = [fill("1"), fill("2", action="SELL", quantity=4, price=110)]
    book.record_trades(trades)
    book.record_cash_flow(**deposit("wire"))

    found = book.reconcile_statement(
        VenueStatement(
            **DAY,
            trades=trades,
            cash_flows=[deposit("wire")],
            positions={"AAPL": 6},
            balances={"USD": 1000 - 1000 + 440 - 2},
        )
    )

    assert found.agrees
    assert (found.trades, found.cash_flows) == (2, 1)
    assert found.compared == ("trades", "cash flows", "positions", "balances")


def test_what_the_book_lacks_is_recorded_with_the_reason(book: Any) -> None:
    trades, flows = [fill("1"), fill("2", executed_at=NINE + SECOND)], [deposit("wire")]
    book.record_trade(**trades[1])

    assert findings(book, trades=trades, cash_flows=flows) == [
        ("MISSING", "Trade", ["record_trade"]),
        ("MISSING", "CashFlow", ["record_cash_flow"]),
    ]
    done = mended(book, trades=trades, cash_flows=flows)

    assert (done.recorded, done.corrected, done.busted) == (2, 0, 0)
    trade = next(each for each in book.get_trades() if each.order_id == "1")
    assert trade.details == {"reason": "the venue says so"}
    (imported,) = book.get_imports()
    assert (imported.id, imported.source) == (
        done.import_id,
        "reconciliation: the venue says so",
    )
    assert book.undo_import(done.import_id, reason="the venue was wrong").trades == 1
    assert findings(book, trades=trades, cash_flows=flows) == [
        ("MISSING", "Trade", ["record_trade"]),
        ("MISSING", "CashFlow", ["record_cash_flow"]),
    ]
    mended(book, trades=trades, cash_flows=flows)


def test_what_the_venue_lacks_is_busted(book: Any) -> None:
    book.record_trades([fill("1"), fill("before", executed_at=NINE - timedelta(days=2))])
    book.record_trade(**fill("other", venue="kraken"))
    book.record_cash_flow(**deposit("wire"))
    book.record_cash_flow("FEE", -1, reference="fee", occurred_at=NINE)

    said: dict[str, Any] = {
        "trades": [],
        "cash_flows": [],
        "venues": ["ibkr"],
        "flow_kinds": ["DEPOSIT"],
    }
    assert findings(book, **said) == [
        ("SURPLUS", "Trade", ["bust_trade"]),
        ("SURPLUS", "CashFlow", ["bust_cash_flow"]),
    ]
    assert mended(book, **said).busted == 2

    assert [each.order_id for each in book.get_trades(status="BUSTED")] == ["1"]
    assert book.get_cash_balances()[0].income == Decimal(-1)


def test_a_fill_on_other_terms_is_corrected(book: Any) -> None:
    book.record_trade(**fill("1", execution_id="a"))
    stated = fill(
        "another-name", execution_id="a", price="100.5", fee=2, executed_at=NINE + 90 * SECOND
    )

    (found,) = book.reconcile_statement(VenueStatement(trades=[stated])).discrepancies
    assert found.changes == {
        "price": (Decimal(100), Decimal("100.5")),
        "fee": (Decimal(1), Decimal(2)),
        "executed_at": (NINE, NINE + 90 * SECOND),
    }
    assert mended(book, trades=[stated]).corrected == 1

    position = book.get_position_by_symbol("AAPL")
    assert (position.entry_price, position.fees) == (Decimal("100.5"), Decimal(2))


def test_a_constant_of_the_instrument_is_not_corrected(book: Any) -> None:
    book.record_trade(**fill("1"))

    (found,) = book.reconcile_statement(
        VenueStatement(trades=[fill("1", multiplier=100, currency="USD")])
    ).discrepancies

    assert found.changes == {"multiplier": (Decimal(1), Decimal(100))}
    assert found.mends == ()
    assert "the same for all trades of a symbol" in found.note


def test_an_order_in_one_fill_or_in_parts_is_the_same(book: Any) -> None:
    book.record_trade(**fill("1", quantity=30, price="101", fee=3))
    parts = [
        fill("1", execution_id="a", quantity=10, price=100),
        fill("1", execution_id="b", quantity=20, price="101.5", fee=2),
    ]

    assert findings(book, trades=parts) == []
    parts[1]["fee"] = 5
    (found,) = book.reconcile_statement(VenueStatement(trades=parts)).discrepancies
    assert found.changes == {"fee in USD": (Decimal(3), Decimal(6))}
    assert [each.operation for each in found.mends] == ["bust_trade", *2 * ["record_trade"]]
    mended(book, trades=parts)
    assert book.get_position_by_symbol("AAPL").fees == Decimal(6)


def test_a_fill_without_a_common_id_is_found_by_what_it_is(book: Any) -> None:
    book.record_trades([fill("1"), fill("2", executed_at=NINE + 30 * SECOND)])
    stated = [fill("x", executed_at=NINE + 29 * SECOND), fill("y", executed_at=NINE - 59 * SECOND)]

    assert findings(book, trades=stated) == []
    assert findings(book, trades=stated[:1]) == [("SURPLUS", "Trade", ["bust_trade"])]
    stated[1]["executed_at"] = NINE - 61 * SECOND
    assert sorted(each[0] for each in findings(book, trades=stated)) == ["MISSING", "SURPLUS"]


def test_a_fill_that_was_booked_at_a_wrong_time_is_found_by_its_order(book: Any) -> None:
    book.record_trade(**fill("1", executed_at=NINE + timedelta(days=9)))

    (found,) = book.reconcile_statement(VenueStatement(**DAY, trades=[fill("1")])).discrepancies

    assert found.changes == {"executed_at": (NINE + timedelta(days=9), NINE)}
    mended(book, trades=[fill("1")])


def test_a_fill_that_the_book_busted_is_left_to_a_person(book: Any) -> None:
    book.record_trade(**fill("1"))
    book.bust_trade(order_id="1", reason="cancelled by the venue")

    (found,) = book.reconcile_statement(VenueStatement(**DAY, trades=[fill("1")])).discrepancies

    assert (found.kind, found.mends) == ("MISSING", ())
    assert "which was busted: 'cancelled by the venue'" in found.note


def test_a_pending_order_is_filled(book: Any) -> None:
    book.record_trade(**{**fill("1"), "fee": None}, status="PENDING")

    assert mended(book, trades=[fill("1")]).recorded == 1
    assert [each.status for each in book.get_trades()] == ["EXECUTED"]


def test_a_cash_flow_on_other_terms_is_busted_and_recorded_anew(book: Any) -> None:
    book.record_cash_flow(**deposit("wire"))
    book.record_cash_flow(**deposit("by hand", 7, occurred_at=NINE + timedelta(hours=20)))
    flows = [deposit("wire", 1001), deposit("other", 7)]

    (found,) = book.reconcile_statement(VenueStatement(**DAY, cash_flows=flows)).discrepancies
    assert found.changes == {"amount": (Decimal(1000), Decimal(1001))}
    mended(book, cash_flows=flows)

    assert book.get_cash_balances()[0].external == Decimal(1008)
    assert {each.reference for each in book.get_cash_flows()} >= {"wire", "wire #2", "by hand"}


def test_positions_and_balances_are_those_of_the_end_of_the_period(book: Any) -> None:
    book.record_trades([fill("1"), fill("2", executed_at=DAY["end"])])
    book.record_trade(
        **{**fill("3"), "symbol": "EUR/USD", "asset": "EUR", "currency": "USD", "price": 1}
    )
    book.record_cash_flow(**deposit("wire", 2000))

    said = {"positions": {"AAPL": 10, "MSFT": -1}, "balances": {"USD": 988, "EUR": 9}}
    found = book.reconcile_statement(VenueStatement(**DAY, **said))

    assert [(each.symbol, each.difference) for each in found.positions] == [("MSFT", -1)]
    assert [(each.asset, each.book, each.venue) for each in found.balances] == [("EUR", 10, 9)]
    assert not found.agrees
    assert book.reconcile_statement(VenueStatement(**DAY, **said), tolerance=1).agrees
    (later,) = book.reconcile_statement(VenueStatement(positions={"AAPL": 10})).positions[:1]
    assert (later.symbol, later.book) == ("AAPL", 20)


def test_numbers_may_differ_by_the_tolerance(book: Any) -> None:
    book.record_trade(**fill("1", fee="1.004"))
    statement = VenueStatement(trades=[fill("1")])

    assert not book.reconcile_statement(statement).agrees
    assert book.reconcile_statement(statement, tolerance="0.004").agrees


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (VenueStatement(trades=[fill("1"), fill("2", quantity=0)]), r"trades\[1\].*quantity"),
        (VenueStatement(trades=[fill("1", status="PENDING")]), "a statement lists fills"),
        (VenueStatement(cash_flows=[deposit("a", -1)]), r"cash_flows\[0\].*a DEPOSIT above 0"),
        (VenueStatement(cash_flows=[{"kind": "FEE"}]), r"cash_flows\[0\]"),
        (VenueStatement(cash_flows=[deposit("a", note="b")]), "the terms of record_cash_flow"),
        (VenueStatement(positions={"AAPL": "ten"}), "positions.AAPL"),
        (VenueStatement(balances={"USD": None}), "USD"),
        (VenueStatement(start="yesterday"), "start"),
        (VenueStatement(flow_kinds=["GIFT"], cash_flows=[]), "GIFT"),
        (VenueStatement(venues="kraken", trades=[]), "venues: 'kraken'.* a list of names"),
        (VenueStatement(flow_kinds="FEE", cash_flows=[]), "flow_kinds: 'FEE'"),
        (VenueStatement(start="2024-05-02", end="2024-05-02"), "end: .* a time after the start"),
        ("statement.xml", "a VenueStatement"),
    ],
)
def test_a_wrong_statement_is_refused(book: Any, statement: Any, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        book.reconcile_statement(statement)


def test_wrong_mends_are_refused_and_nothing_is_written(book: Any) -> None:
    good = Mend("record_trade", fill("1"))
    for wrong in ([good, "bust"], [good, Mend("rebuild", {})], iter([good])):
        with pytest.raises(InvalidInput, match="ReconciledStatement"):
            book.mend(wrong, reason="because")
    with pytest.raises(InvalidInput, match="reason"):
        book.mend([good], reason=" ")
    with pytest.raises(InvalidInput, match="within"):
        book.reconcile_statement(VenueStatement(), within=1)

    assert (book.get_trades(), book.get_imports()) == ([], [])
