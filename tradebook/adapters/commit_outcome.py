"""What became of a transaction whose COMMIT was never answered.

Every change but a mark leaves an event in its transaction, so one of its events is the witness: where the
event is, the transaction was committed. Marks and replays leave none; doing them again changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tradebook.adapters import orm
from tradebook.adapters.repositories.entity_rows import COMMIT_MARKER, insert_if_new

CommitMarker = Mapping[str, Any]

_WAIT: Final = "2000ms"


def commit_marker_of(session: Session) -> CommitMarker | None:
    """The row of an event that the session's transaction wrote; None when it wrote none."""
    found: CommitMarker | None = session.info.get(COMMIT_MARKER)
    return found


def clear_commit_marker(session: Session) -> None:
    """The transaction has ended: what comes next is another one."""
    session.info.pop(COMMIT_MARKER, None)


def was_committed(session: Session, witness: CommitMarker) -> bool:
    """Whether the transaction that wrote the witness was committed; end this one by a rollback.

    The server may not have finished that transaction yet. So the event's id is claimed: the claim waits
    until the other transaction ends, and is refused where it committed. This needs no right to see
    other connections, and no process id, which a pooler between would hide. A server that failed over
    may have given the id to another event since: the time of the call tells them apart.
    """
    events = orm.events.c
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.set_config("lock_timeout", _WAIT, True)))
    claim = insert_if_new(session, orm.events).returning(events.id)
    if session.connection().scalar(claim, witness) is not None:
        return False
    recorded = select(events.created_at).where(
        events.account == witness["account"], events.id == witness["id"]
    )
    return bool(session.connection().scalar(recorded) == witness["created_at"])
