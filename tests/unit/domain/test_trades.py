"""What becomes of a trade, and what it tells of that: filled, busted, corrected."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tradebook import DuplicateOrder, InvalidTransition, Trade
from tradebook.domain.orders import become_fill, take_order_terms
from tradebook.domain.trades import evidence

NOW = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)


def trade(**terms: Any) -> Trade:
    given = {"symbol": "AAPL", "action": "BUY", "quantity": 10, "price": "150.25", **terms}
    return Trade(**{"order_id": "o-1", "executed_at": NOW, **given})


def test_a_fill_of_the_other_side_is_refused_under_the_name_of_the_order() -> None:
    order = trade(venue="XNAS")

    with pytest.raises(DuplicateOrder) as refusal:
        take_order_terms(trade(action="SELL"), order, {"action"})

    assert (refusal.value.entity, refusal.value.identity) == ("order", "'o-1' for AAPL at XNAS")
    assert refusal.value.differences == {"action": ("BUY", "SELL")}


def test_a_replay_agrees_when_the_terms_that_were_given_do() -> None:
    booked, replay = trade(), trade(price=149, fee=1)

    assert booked.agrees(replay, {"quantity", "action"})
    assert not booked.agrees(replay, {"quantity", "price"})


def test_an_order_tells_what_its_fill_changed() -> None:
    order = trade(created_at=NOW)
    fill = trade(price=149)
    fill.book(sequence=3, booked_at=NOW + timedelta(1), realized_pnl=Decimal(0))

    assert become_fill(order, fill) == {
        "price": (Decimal("150.25"), 149),
        "sequence": (None, 3),
        "booked_at": (None, NOW + timedelta(1)),
        "status": ("PENDING", "EXECUTED"),
    }
    assert (order.price, order.sequence, order.updated_at) == (149, 3, NOW + timedelta(1))


def test_evidence_leaves_out_only_what_goes_without_saying() -> None:
    plain = {name for name, value in evidence(vars(trade()), NOW).items() if value is None}
    unusual = trade(
        venue="XNAS",
        fee_currency="BNB",
        multiplier=50,
        settlement="MARGINED",
        asset="oil",
        strategy="s",
    )
    said = evidence(vars(unusual), NOW)

    assert plain == {
        *("venue", "revision", "corrects", "fee_currency", "multiplier", "settlement"),
        *("asset", "strategy", "decision_id", "details", "sequence", "booked_at"),
    }
    assert (said["venue"], said["fee_currency"], said["multiplier"]) == ("XNAS", "BNB", 50)
    assert (said["settlement"], said["asset"], said["strategy"]) == ("MARGINED", "oil", "s")
    booked = trade(details={"a": 1})
    booked.book(sequence=1, booked_at=NOW, realized_pnl=Decimal(0))
    assert evidence(vars(booked), NOW)["booked_at"] is None
    assert evidence(vars(booked), NOW + timedelta(1))["booked_at"] == NOW
    assert len(evidence(vars(booked), NOW)["details"]) == 64


def test_a_bust_tells_what_changed_and_happens_once() -> None:
    booked = trade()
    with pytest.raises(InvalidTransition, match="order 'o-1' for AAPL is PENDING and cannot be"):
        booked.bust(sequence=1, at=NOW, by="ann", reason="typo")
    booked.book(sequence=1, booked_at=NOW, realized_pnl=Decimal(5))

    assert booked.bust(sequence=2, at=NOW + timedelta(1), by="ann", reason="typo") == {
        "status": ["EXECUTED", "BUSTED"],
        "busted_at": [None, NOW + timedelta(1)],
        "busted_by": ["", "ann"],
        "bust_reason": [None, "typo"],
        "bust_sequence": [None, 2],
        "realized_pnl": [5, 0],
    }
    with pytest.raises(InvalidTransition, match="is BUSTED"):
        booked.bust(sequence=3, at=NOW, by="ann", reason="typo")
    assert booked.bust_sequence == 2


def test_a_correction_is_made_when_it_is_booked_and_names_what_it_corrects() -> None:
    wrong = trade(id=4, created_at=NOW, strategy="s", details={"a": 1})

    right = wrong.corrected({"price": "149"}, NOW + timedelta(1))

    assert (right.price, right.quantity, right.strategy, right.details) == (149, 10, "s", {"a": 1})
    assert (right.revision, right.corrects_id, right.id, right.status) == (1, 4, None, "PENDING")
    assert right.created_at == right.updated_at == NOW + timedelta(1)
    assert right.order_key == wrong.order_key
