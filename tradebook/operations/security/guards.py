"""The trigger that keeps booked trades, and the state of every other trigger on the book's tables.

A grant on a column holds for pending orders and booked trades alike, so a trigger tells them apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from zlib import crc32

from tradebook.operations.security.privileges import forbidden_change
from tradebook.operations.security.role_state import (
    SAFE_PATH,
    SECURITY_SCHEMA,
    TRIGGER_PREFIX,
    RoleState,
    Trigger,
)
from tradebook.operations.security.sql_steps import Step, quote_ident

NAME: Final = f"{TRIGGER_PREFIX}()"
"""The function of the trigger, in the security schema."""
_FUNCTION: Final = f"{SECURITY_SCHEMA}.{NAME}"
BODY: Final = (
    " BEGIN RAISE EXCEPTION 'trade % is %: what was booked does not change', OLD.id, OLD.status "
    "USING ERRCODE = 'insufficient_privilege'; END "
)
# The checksum of the condition in the name shows that another version's trigger must be replaced.
TRIGGER: Final = f"{TRIGGER_PREFIX}_{crc32(forbidden_change().encode()):08x}"
_INSIGNIFICANT: Final = re.compile(r'[\s()"]|::text|\bAS\b')


def normalized(sql: str | None) -> str:
    """Strip from SQL what PostgreSQL adds or leaves out when it shows it: blanks, parentheses, casts to text.

    The rest must be written as PostgreSQL shows it, in upper and lower case too.
    """
    return _INSIGNIFICANT.sub("", sql or "")


def guard_steps(state: RoleState) -> Iterator[Step]:
    """Yield the steps that create the trigger on booked trades or restore it, and that enable every trigger."""
    if "trades" not in state.tables:
        return
    found = state.functions.get(NAME)
    if found is None or not found.does(BODY, is_definer=False):
        yield Step(
            f"CREATE OR REPLACE FUNCTION {_FUNCTION} RETURNS trigger LANGUAGE plpgsql "
            f"SECURITY INVOKER SET {SAFE_PATH} AS $${BODY}$$",
            "rejects changes of booked trades",
            takes_back=found is not None,
        )
    yield from _trigger_steps(state)
    for trigger in state.triggers:
        if trigger.is_internal and not trigger.is_enabled:  # of a foreign key
            yield _enable(state, trigger)


def _trigger_steps(state: RoleState) -> Iterator[Step]:
    create, guards = trigger_sql(state), list(filter(_is_guard, state.triggers))
    right = [each for each in guards if normalized(each.definition) == normalized(create)]
    for other in guards:
        if other not in right:
            sql = f"DROP TRIGGER {quote_ident(other.name)} ON {state.quoted_table(other.table)}"
            yield Step(sql, "another version's, or altered", takes_back=other.name == TRIGGER)
    if not right:
        was_dropped = not guards and NAME in state.functions
        yield Step(create, "runs when a booked trade is updated", takes_back=was_dropped)
    for each in right:
        if not each.is_enabled:
            yield _enable(state, each)


def trigger_sql(state: RoleState) -> str:
    """Return the statement that creates the trigger on booked trades."""
    return (
        f"CREATE TRIGGER {TRIGGER} BEFORE UPDATE ON {state.quoted_table('trades')} FOR EACH ROW "
        f"WHEN ({forbidden_change()}) EXECUTE FUNCTION {_FUNCTION}"
    )


def _is_guard(trigger: Trigger) -> bool:
    return trigger.name.startswith(TRIGGER_PREFIX) and not trigger.is_internal


def foreign_triggers(state: RoleState) -> list[Trigger]:
    """List the triggers on the book's tables that users made."""
    return [each for each in state.triggers if not each.is_internal and not _is_guard(each)]


def _enable(state: RoleState, trigger: Trigger) -> Step:
    table, name = state.quoted_table(trigger.table), quote_ident(trigger.name)
    return Step(
        f"ALTER TABLE {table} ENABLE TRIGGER {name}",
        f"a trigger of {trigger.table} was disabled",
        may_fail=trigger.is_internal,
        takes_back=True,
    )
