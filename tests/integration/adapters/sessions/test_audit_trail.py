"""Sessions by hand leave events too: who worked, for what request, and what was before and after."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import insert, inspect
from sqlalchemy.orm import Session

import tradebook
from tests.support.direct_edits import new_record
from tradebook import Alert, DatabaseManager, Event, InvalidInput, InvalidTransition, Seal
from tradebook.adapters.repositories.entity_rows import columns_of
from tradebook.domain.entity import Entity


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


@pytest.mark.parametrize("kind", [Event, Seal])
@pytest.mark.parametrize("opens", ["get_session", "unit_of_work"])
def test_no_bulk_method_of_a_session_writes_the_audit_trail(
    kind: type[Entity], opens: str, sqlite_book: str
) -> None:
    values = {**vars(new_record(kind))}
    values = {name: value for name, value in values.items() if name in columns_of(kind)}
    del values["id"]
    calls: list[Callable[[Session], object]] = [
        lambda session: session.bulk_save_objects([new_record(kind)]),
        lambda session: session.bulk_insert_mappings(inspect(kind), [values]),
        lambda session: session.execute(insert(kind), [values]),
        lambda session: session.execute(insert(kind).values([values])),
        lambda session: session.add_all([new_record(kind), new_record(kind)]) or session.flush(),
        lambda session: session.merge(new_record(kind)) and session.flush(),
    ]
    with DatabaseManager(sqlite_book) as manager:
        for call in calls:
            with (
                pytest.raises((InvalidInput, InvalidTransition)),
                opened(manager, opens) as session,
            ):
                call(session)
        assert manager.count(kind) == 0


@contextmanager
def opened(manager: DatabaseManager, opens: str) -> Iterator[Session]:
    """Open the session of a manager, or of a unit of work, which is committed."""
    if opens == "get_session":
        with manager.get_session() as session:
            yield session
    else:
        with manager.unit_of_work() as uow:
            yield uow.session
            uow.commit()
