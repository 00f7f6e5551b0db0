"""The decisions of the trades of an import: locked, executed and told of by one statement each for a whole batch."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from json import dumps
from typing import Any, Final

from sqlalchemy import Connection, CursorResult, bindparam, text

from tradebook.adapters.ledger.bulk_rows import BulkCall
from tradebook.adapters.ledger.decision_sql import (
    EXECUTED,
    LAST_RECORD,
    UNDECIDED,
    changed_fields,
    insert_event,
)
from tradebook.adapters.orm import events

Executed = Sequence[tuple[int, int]]
"""The ids of decisions, each with that of the first trade that is booked for it."""

_SHARED: Final = (
    *("account", "created_at", "updated_at"),
    *("actor", "correlation_id", "occurred_at"),
)
# One index scan for each decision, whatever the planner's statistics: see `_find_recorded` of the bulk ledger.
_GIVEN_ON_POSTGRESQL: Final = """
    unnest(CAST(:ids AS bigint[]), CAST(:trade_ids AS bigint[])) AS given (decision_id, trade_id)
    CROSS JOIN LATERAL (SELECT * FROM agent_decisions
        WHERE account = :account AND id = given.decision_id OFFSET 0) AS agent_decisions"""
_GIVEN_ON_SQLITE: Final = """
    (SELECT value ->> 0 AS decision_id, value ->> 1 AS trade_id FROM json_each(:pairs)) AS given
    CROSS JOIN agent_decisions
        ON agent_decisions.account = :account AND agent_decisions.id = given.decision_id"""


class BulkDecisions:
    """Executes the decisions of many trades of one call."""

    def __init__(self, connection: Connection, call: BulkCall) -> None:
        """Build the SQL for the connection's dialect."""
        self._connection, self._call = connection, call
        self._on_sqlite = connection.dialect.name == "sqlite"
        if self._on_sqlite:
            given, is_given = _GIVEN_ON_SQLITE, "IN (SELECT value FROM json_each(:ids))"
            once, lock, changed = "LIMIT -1", "", ":changed"
        else:
            given, is_given = _GIVEN_ON_POSTGRESQL, "= ANY(CAST(:ids AS bigint[]))"
            once, lock, changed = "OFFSET 0", "FOR NO KEY UPDATE", "CAST(:changed AS jsonb)"
        wanted = f"account = :account AND id {is_given}"
        self._select = f"SELECT id FROM agent_decisions WHERE {wanted}"  # noqa: S608
        self._in_order = f" ORDER BY id {lock}"
        # With `once` the record is looked up once for each decision: flattened, once for each use, 9 us more.
        source = (
            f"(SELECT agent_decisions.id, agent_decisions.status, {LAST_RECORD} AS record, given.trade_id "  # noqa: S608
            f"FROM {given} {once}) AS decision"
        )
        shared = {name: f":{name}" for name in _SHARED}
        self._insert_events = insert_event(
            connection.dialect, shared, source, trade_id="decision.trade_id", changed=changed
        )
        self._update = (
            f"UPDATE agent_decisions SET {EXECUTED}, updated_at = :updated_at "  # noqa: S608
            f"WHERE {wanted} AND status IN {UNDECIDED}"
        )

    def lock(self, ids: Collection[int]) -> set[int]:
        """Lock decisions, in the order of their ids; return those that are there."""
        return self._locked(self._select, ids)

    def lock_executable(self, ids: Collection[int]) -> set[int]:
        """Lock decisions, and return those that `execute` can execute or leave."""
        can_be_taken = f" AND (status NOT IN {UNDECIDED} OR {LAST_RECORD} IS NOT NULL)"
        return self._locked(self._select + can_be_taken, ids)

    def execute(self, executed: Executed) -> bool:
        """Execute those that are undecided, and write the events of that.

        Returns:
            False where the last event of one has no evidence, from which its event could be made.
        """
        ids, trade_ids = [id_ for id_, _ in executed], [trade_id for _, trade_id in executed]
        given = (
            {"pairs": dumps(executed)} if self._on_sqlite else {"ids": ids, "trade_ids": trade_ids}
        )
        told = self._execute(self._insert_events, changed=changed_fields(self._call.at), **given)
        moved = self._execute(self._update, ids=self._array(ids))
        return told.rowcount == moved.rowcount

    def _locked(self, statement: str, ids: Collection[int]) -> set[int]:
        return set(
            self._execute(statement + self._in_order, ids=self._array(sorted(ids))).scalars()
        )

    def _array(self, ids: Sequence[int]) -> Any:
        return dumps(ids) if self._on_sqlite else ids

    def _execute(self, statement: str, **values: Any) -> CursorResult[Any]:
        at = self._call.at
        shared = {**self._call._asdict(), "created_at": at, "updated_at": at, "occurred_at": at}
        typed = [
            bindparam(name, shared[name], type_=events.c[name].type)
            for name in _SHARED
            if f":{name}" in statement
        ]
        return self._connection.execute(text(statement).bindparams(*typed, **values))
