"""What events state of their records, and what a check can tell from it."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tradebook import Alert, CashFlow, Event, Severity
from tradebook.domain.domain_event import EVIDENCE
from tradebook.domain.events import RecordUpdated
from tradebook.domain.evidence import statement_of

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def flow(**values: Any) -> CashFlow:
    terms = {"kind": "DEPOSIT", "amount": "1000.50", "occurred_at": NOON, "reference": "wire"}
    return CashFlow(**{**terms, **values}, id=7, created_at=NOON)


def event(payload: dict[str, Any], event_type: str = "CashFlowRecorded", id: int = 1) -> Event:
    return Event(
        id=id,
        event_type=event_type,
        entity="CashFlow",
        entity_id=7,
        payload=payload,
        occurred_at=NOON,
    )


def test_every_field_is_stated_but_what_the_event_names_and_what_is_none() -> None:
    assert flow().evidence() == {
        "kind": "DEPOSIT",
        "amount": "1000.5",
        "currency": "USD",
        "occurred_at": "2026-03-02T12:00:00+00:00",
        "reference": "wire",
        "created_at": "2026-03-02T12:00:00+00:00",
        "updated_at": "2026-03-02T12:00:00+00:00",
    }


def test_a_value_that_is_false_or_nothing_is_stated() -> None:
    stated = Alert(alert_type="x", severity=Severity.INFO, resolved=False).evidence()
    assert stated["resolved"] is False
    assert flow(amount="0.1").evidence()["amount"] == "0.1"


def test_long_text_and_text_like_a_hash_are_stated_by_their_hash() -> None:
    def stated(message: str) -> Any:
        return Alert(alert_type="x", severity="INFO", message=message).evidence()["message"]

    assert stated("x" * 200) == "x" * 200
    assert stated("x" * 201).startswith("sha256:")
    assert stated("x" * 201) != stated("x" * 202)
    assert stated(stated("x" * 201)) != stated("x" * 201)  # no text passes for the hash of another


def test_a_difference_names_the_field_and_both_values() -> None:
    said = statement_of(CashFlow, [event(flow().recorded().payload_about(flow()))])
    assert said is not None
    assert said.is_whole
    assert said.differences(flow()) == {}
    assert said.differences(flow(amount=7, symbol="X")) == {
        "amount": ("1000.5", "7"),
        "symbol": (None, "X"),
    }


def test_the_last_event_counts() -> None:
    before, after = flow(), flow(currency="EUR")
    change = RecordUpdated(changes={"currency": ["USD", "EUR"]})
    events = [
        event(before.recorded().payload_about(before)),
        event(change.payload_about(after), "RecordUpdated", 2),
    ]
    said = statement_of(CashFlow, events)
    assert said is not None
    assert said.differences(after) == {}
    assert said.differences(before) == {"currency": ("EUR", "USD")}


def test_of_an_event_without_evidence_the_fields_that_it_names_are_compared() -> None:
    said = statement_of(CashFlow, [event(dict(flow().recorded().payload()))])
    assert said is not None
    assert not said.is_whole
    assert said.differences(flow(symbol="X")) == {}  # which it does not name
    assert said.differences(flow(amount=7)) == {"amount": ("1000.5", "7")}
    changed = {"changes": {"currency": ["USD", "EUR"]}}
    later = [said.event, event(changed, "RecordUpdated", 2)]
    said = statement_of(CashFlow, later)
    assert said is not None
    assert said.differences(flow()) == {"currency": ("EUR", "USD")}


@pytest.mark.parametrize(
    "payload",
    [
        {EVIDENCE: {"version": 99, "record": {"amount": "1"}}},
        {EVIDENCE: "none"},
        {"changes": {"amount": "1"}, "values": 3},
        {"changes": [1]},
    ],
)
def test_evidence_of_a_version_that_is_not_known_or_forged_is_not_taken_for_this_one(
    payload: dict[str, Any],
) -> None:
    said = statement_of(CashFlow, [event(payload)])
    assert said is not None
    assert (said.is_whole, dict(said.fields)) == (False, {})


def test_nothing_is_said_without_events_and_a_deletion_is_seen() -> None:
    assert statement_of(CashFlow, []) is None
    said = statement_of(CashFlow, [event({"values": {"amount": str(Decimal(1))}}, "RecordDeleted")])
    assert said is not None
    assert said.is_deleted
