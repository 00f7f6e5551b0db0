"""The SQL that executes a decision by its first booked trade, as `AgentDecision.execute` does.

All fields of a decision but its status and `updated_at` never change. So the evidence of the event that executes it
is that of its last event, with these two changed: the database has all of it, and no decision is read for that.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from json import dumps
from typing import Final

from sqlalchemy import Dialect

from tradebook.domain.agents import UNDECIDED as UNDECIDED_STATUSES
from tradebook.domain.agents import AgentDecision, DecisionStatus
from tradebook.domain.domain_event import EVIDENCE, EVIDENCE_VERSION
from tradebook.domain.entity import stated
from tradebook.domain.events import DecisionExecuted

UNDECIDED: Final = "({})".format(", ".join(f"'{status}'" for status in UNDECIDED_STATUSES))
EXECUTED: Final = f"status = '{DecisionStatus.EXECUTED}'"
_KIND_OF_EVENT: Final = {
    "event_type": f"'{DecisionExecuted.__name__}'",
    "entity": f"'{AgentDecision.__name__}'",
}


LAST_RECORD: Final = (
    f"(SELECT CASE WHEN CAST(payload -> '{EVIDENCE}' ->> 'version' AS text) = '{EVIDENCE_VERSION}' "  # noqa: S608, ours
    f"THEN payload -> '{EVIDENCE}' -> 'record' END FROM events WHERE events.account = agent_decisions.account "
    f"AND events.entity = {_KIND_OF_EVENT['entity']} AND events.entity_id = agent_decisions.id "
    "ORDER BY events.id DESC LIMIT 1)"
)
"""The record that the last event of a row of `agent_decisions` states; NULL where the event is from before the book
had evidence."""
CAN_BE_TAKEN: Final = f"(decision.status NOT IN {UNDECIDED} OR decision.record IS NOT NULL)"
"""The condition that no more of `decision` is needed than these statements have."""


def insert_event(
    dialect: Dialect, shared: Mapping[str, str], source: str, *, trade_id: str, changed: str
) -> str:
    """Return the INSERT of the events that execute the undecided rows of `decision`, where these have a record.

    Args:
        dialect: of the database.
        shared: the expressions of the events' columns, but of the payload, the kind and the ids.
        source: what is selected from; its `decision` has the columns `id`, `status` and `record`.
        trade_id: the expression of the trade's id.
        changed: the expression of the changed fields as JSON, see `changed_fields`.
    """
    values = {**shared, **_KIND_OF_EVENT, "payload": _payload(dialect, trade_id, changed)}
    return (
        f"INSERT INTO events ({', '.join(values)}, entity_id) SELECT {', '.join(values.values())}, decision.id "  # noqa: S608, ours
        f"FROM {source} WHERE decision.status IN {UNDECIDED} AND decision.record IS NOT NULL"
    )


def changed_fields(at: datetime) -> str:
    """Return the fields of a record that its execution changes, as evidence has them, as JSON."""
    return dumps({"status": DecisionStatus.EXECUTED, "updated_at": stated(at)})


def _payload(dialect: Dialect, trade_id: str, changed: str) -> str:
    on_sqlite = dialect.name == "sqlite"
    build, array = (
        ("json_object", "json_array") if on_sqlite else ("jsonb_build_object", "jsonb_build_array")
    )
    record = (
        f"json_patch(decision.record, {changed})" if on_sqlite else f"decision.record || {changed}"
    )
    return (
        f"{build}('trade_id', {trade_id}, "
        f"'changes', {build}('status', {array}(decision.status, '{DecisionStatus.EXECUTED}')), "
        f"'{EVIDENCE}', {build}('version', {EVIDENCE_VERSION}, 'record', {record}))"
    )
