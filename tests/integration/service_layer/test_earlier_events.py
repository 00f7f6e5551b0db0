"""Books with events and seals of versions that stated less: what can be compared is, and the rest is said."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from tests.support.tampering import change, remove, rows
from tests.support.tampering_table import fill
from tradebook import DatabaseManager
from tradebook.domain.seals import FACTS_BEFORE, FIRST, compute_hash


def as_before(book: DatabaseManager) -> None:
    """Make the events and seals of a book what an earlier version would have written."""
    for event in rows(book, "events"):
        payload = dict(event["payload"])
        for name in ("evidence", "positions", "cash_flows"):
            payload.pop(name, None)
        change(book, "events", {"payload": payload}, id=event["id"])
    remove(book, "seals")
    book.seal(batch=7)
    last = FIRST
    for row in rows(book, "seals"):
        facts = {name: row[name] for name in FACTS_BEFORE} | {"previous_hash": last}
        last = compute_hash(facts)
        new = {"previous_hash": facts["previous_hash"], "seal_hash": last}
        change(book, "seals", new, id=row["id"])


@pytest.fixture
def book(tmp_path: Path) -> Iterator[DatabaseManager]:
    with DatabaseManager(f"sqlite:///{tmp_path / 'book.db'}") as made:
        fill(made)
        as_before(made)
        yield made


def test_they_are_sound_and_said_to_be_compared_in_part(book: DatabaseManager) -> None:
    checked = book.check_seals()
    assert checked.findings == ()
    partly = {of.kind: (of.records, of.partly) for of in checked.kinds}
    assert partly["CashFlow"] == (4, 4)
    assert partly["Alert"] == (2, 2)
    assert partly["Trade"] == (7, 1)  # booked ones have always stated their terms
    assert book.verify().proven


def test_what_they_name_is_compared(book: DatabaseManager) -> None:
    change(book, "cash_flows", {"amount": Decimal(1)}, reference="dividend")
    change(book, "alerts", {"resolution": "other"}, alert_type="drawdown")
    change(book, "agent_decisions", {"reasoning": "other"}, reference="d")  # which they do not name
    found = {(finding.entity, finding.field) for finding in book.check_seals().findings}
    assert found == {("CashFlow", "amount"), ("Alert", "resolution")}
    assert found <= {(d.entity, d.field) for d in book.verify().differences}


def test_rows_that_are_gone_or_new_are_found(book: DatabaseManager) -> None:
    remove(book, "performance_metrics")
    [finding] = book.check_seals().findings
    assert (finding.entity, finding.what) == ("PerformanceMetric", "removed")


def test_the_next_change_states_all_of_the_record(book: DatabaseManager) -> None:
    [opened] = rows(book, "alerts", alert_type="open")
    change(book, "alerts", {"source": "elsewhere"}, id=opened["id"])
    assert book.check_seals().sound  # nothing says where it came from
    book.resolve_alert(opened["id"], "seen")
    change(book, "alerts", {"source": ""}, id=opened["id"])
    [finding] = book.check_seals().findings
    assert (finding.field, finding.recorded, finding.found) == ("source", "elsewhere", "")


def test_their_seals_are_read_exported_and_go_on(book: DatabaseManager) -> None:
    kept = book.export_seals()
    assert all("created_at" not in seal for seal in kept["seals"])
    book.record_cash_flow("DEPOSIT", 1)
    book.seal()
    assert book.check_seals(kept).sound
    newest = book.export_seals()["seals"][-1]
    assert "created_at" in newest
    change(
        book,
        "seals",
        {"created_at": rows(book, "events")[0]["occurred_at"]},
        number=newest["number"],
    )
    assert [finding.entity for finding in book.check_seals().findings] == ["Seal"]
