"""The outcome of a transaction whose COMMIT was not answered.

Every change but a mark writes an event in its transaction, so one of its events marks the commit: where the
event is recorded, the transaction was committed. Marks and replays write none; doing them again changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tradebook.adapters import orm
from tradebook.adapters.repositories.entity_rows import insert_if_new

CommitMarker: TypeAlias = Mapping[str, Any]
"""The row of an event that a transaction wrote; a session keeps its last one in `info[COMMIT_MARKER]`."""

_LOCK_TIMEOUT: Final = "2000ms"


def was_committed(session: Session, marker: CommitMarker) -> bool:
    """Return whether the transaction that wrote the marker was committed; the caller rolls this one back.

    The server may still be finishing that transaction. So the event's id is inserted again: the INSERT waits for
    the other transaction's lock on the key, and conflicts where it committed. This takes neither the right to see
    other connections nor a process id, which a pooler between would hide. A server that failed over may have
    given the id to another event since; the time of the call distinguishes the two.
    """
    events = orm.events.c
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.set_config("lock_timeout", _LOCK_TIMEOUT, True)))
    claim = insert_if_new(session, orm.events).returning(events.id)
    if session.connection().scalar(claim, marker) is not None:
        return False
    recorded = select(events.created_at).where(
        events.account == marker["account"], events.id == marker["id"]
    )
    return bool(session.connection().scalar(recorded) == marker["created_at"])
