"""Busts of cash flows: cash is as if the flow had never been, and the book keeps both entries."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tradebook import CashFlow, DuplicateRecord, InvalidInput, InvalidTransition, NotFound, context
from tradebook.service_layer.book import Book

MAY = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def funded(book: Book) -> Book:
    book.record_cash_flow("DEPOSIT", 1000, reference="wire-1", occurred_at=MAY)
    book.record_cash_flow("DEPOSIT", 70, reference="wire-2", occurred_at=MAY)
    book.record_cash_flow("DIVIDEND", "0.5", reference="div-1", symbol="AAPL", occurred_at=MAY)
    return book


def cash(book: Book) -> tuple[Decimal, Decimal]:
    [balance] = book.get_cash_balances()
    return balance.external, balance.income


def test_a_busted_flow_counts_no_more_and_stays_on_record(funded: Book) -> None:
    [wrong] = funded.get_all(CashFlow, 1, reference="wire-2")
    with context(actor="ann"):
        entry = funded.bust_cash_flow("wire-2", reason="not ours")

    assert cash(funded) == (Decimal(1000), Decimal("0.5"))
    assert funded.take_snapshot().external_flows == 1000
    assert (entry.busts_id, entry.bust_reason, entry.amount) == (wrong.id, "not ours", -70)
    assert (entry.kind, entry.currency, entry.occurred_at) == ("DEPOSIT", "USD", MAY)
    assert funded.get(CashFlow, wrong.id).amount == 70
    [event] = funded.get_events(entity="CashFlow", entity_id=wrong.id, event_type="CashFlowBusted")
    assert (event.actor, event.payload["reason"]) == ("ann", "not ours")
    assert event.payload["reversal_id"] == entry.id
    assert funded.verify().proven


def test_a_flow_is_busted_by_its_id_too_and_twice_changes_nothing(funded: Book) -> None:
    [dividend] = funded.get_cash_flows(kind="DIVIDEND")
    entry = funded.bust_cash_flow(cash_flow_id=dividend.id, reason="misread")
    again = funded.bust_cash_flow("div-1", reason="misread")

    assert (again.id, entry.symbol) == (entry.id, "AAPL")
    assert cash(funded) == (Decimal(1070), Decimal(0))
    assert len(funded.get_events(event_type="CashFlowBusted")) == 1


def test_views_of_the_time_before_a_bust_still_show_the_flow(funded: Book) -> None:
    before = funded.take_snapshot()
    funded.bust_cash_flow("wire-2", reason="not ours")

    past = funded.portfolio_as_of(before.timestamp).portfolio
    assert (past.external_flows, before.external_flows) == (1070, 1070)
    for by in ("booked", "executed"):
        assert funded.portfolio_as_of(datetime.now(UTC), by=by).portfolio.external_flows == 1000
    assert funded.portfolio_as_of(MAY, by="executed").portfolio.external_flows == 1000
    assert funded.verify().proven


def refusal(book: Book, error: type[Exception], *args: Any, **given: Any) -> str:
    flows = len(book.get_cash_flows())
    with pytest.raises(error) as refused:
        book.bust_cash_flow(*args, **given)
    assert len(book.get_cash_flows()) == flows
    return str(refused.value)


def test_a_bust_that_makes_no_sense_is_refused_by_name(funded: Book) -> None:
    entry = funded.bust_cash_flow("wire-2", reason="not ours")

    assert "already recorded with other terms" in refusal(
        funded, DuplicateRecord, "wire-2", reason="another"
    )
    itself = refusal(funded, InvalidTransition, cash_flow_id=entry.id, reason="back again")
    assert "record_cash_flow, under another reference" in itself
    assert "no cash flow 'wire-9'" in refusal(funded, NotFound, "wire-9", reason="x")
    refusal(funded, NotFound, cash_flow_id=10**9, reason="x")
    for given in ({}, {"reference": "wire-1", "cash_flow_id": 1}):
        assert "either a reference or a cash_flow_id" in refusal(
            funded, InvalidInput, **given, reason="x"
        )
    assert refusal(funded, InvalidInput, "wire-1", reason=" ").startswith("reason: ")


def test_the_reference_of_a_busted_flow_is_not_taken_again(funded: Book) -> None:
    funded.bust_cash_flow("wire-2", reason="not ours")
    flow = CashFlow(kind="DEPOSIT", amount=70, reference="wire-2", occurred_at=MAY)

    for amount in (70, 80):
        with pytest.raises(InvalidTransition, match=r"'wire-2' was busted .*another reference"):
            funded.record_cash_flow("DEPOSIT", amount, reference="wire-2", occurred_at=MAY)
    with pytest.raises(InvalidTransition, match=r"'wire-2' was busted .*another reference"):
        funded.create(flow)
    funded.record_cash_flow("DEPOSIT", 80, reference="wire-2b", occurred_at=MAY)
    assert cash(funded)[0] == 1080


def test_only_bust_cash_flow_makes_the_entry_that_takes_one_back(funded: Book) -> None:
    forged = CashFlow(kind="DEPOSIT", amount=-70, reference="r", busts_id=2)

    with pytest.raises(InvalidInput, match="bust_cash_flow sets it"):
        funded.create(forged)
    with pytest.raises(InvalidTransition, match="bust_cash_flow"):
        funded.delete(funded.get_cash_flows()[0])
