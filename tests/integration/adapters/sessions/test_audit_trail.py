"""Sessions by hand leave events too: who worked, for what request, and what was before and after."""

from __future__ import annotations

from typing import Any

import tradebook
from tradebook import Alert, Event


def left(manager: Any, event_type: str) -> Event:
    [event] = manager.get_events(event_type=event_type)
    assert (event.actor, event.correlation_id) == ("ann", "request-42")
    assert event.entity == "Alert"
    return event  # type: ignore[no-any-return]


def test_what_a_session_by_hand_adds_changes_and_deletes_is_in_the_audit_trail(
    manager: Any,
) -> None:
    with tradebook.context(actor="ann", correlation_id="request-42"):
        with manager.get_session() as session:
            alert = Alert(alert_type="drawdown", severity="WARNING", message="down")
            session.add(alert)
        with manager.get_session() as session:
            session.get(Alert, alert.id).message = "further down"
        with manager.get_session() as session:
            session.delete(session.get(Alert, alert.id))
    assert left(manager, "RecordCreated").payload["values"]["message"] == "down"
    changes = left(manager, "RecordUpdated").payload["changes"]
    assert changes == {"message": ["down", "further down"]}
    assert left(manager, "RecordDeleted").payload["values"]["message"] == "further down"
    manager.seal()
    assert manager.check_seals().sound


def test_without_a_context_the_managers_own_actor_works(manager: Any) -> None:
    with manager.get_session() as session:
        session.add(Alert(alert_type="drawdown", severity="WARNING"))
    [event] = manager.get_events()
    assert (event.actor, event.correlation_id) == ("tester", "")
