"""Objects that users made and that get round the privileges: named, since dropping them could lose their work."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from typing import Final

from attrs import frozen

from tradebook.operations.security import access_logging, guards
from tradebook.operations.security.role_state import PUBLIC, SECURITY_SCHEMA, RoleSpec, RoleState

_FIXES: Final = {
    "view": "ALTER VIEW {name} SET (security_invoker = on), or DROP VIEW {name}",
    "materialized view": "DROP MATERIALIZED VIEW {name}",
    "rule": "DROP RULE {name}",
    "SECURITY DEFINER function": "ALTER ROUTINE {name} SECURITY INVOKER, or DROP ROUTINE {name}",
}


@frozen
class Remains:
    """Something that only whoever made it can take back safely.

    Attributes:
        what: the object, and what it allows.
        fix: the statement that takes it away.
    """

    what: str
    fix: str


def remains(spec: RoleSpec, state: RoleState) -> list[Remains]:
    """List the objects that get round the privileges and that `db roles` does not drop."""
    found = [*_user_objects(spec, state), *_triggers(state), *_functions(state)]
    return sorted(found, key=attrgetter("what"))


def _user_objects(spec: RoleSpec, state: RoleState) -> Iterator[Remains]:
    mine = {*spec.kinds, PUBLIC}
    for each in state.user_objects:
        is_mine = each.owner in spec.kinds
        if each.kind == "rule":
            what = f"rule {each.name} changes what statements do"
        elif each.kind == "SECURITY DEFINER function":
            # An administrator's function for a role outside the book, such as a pooler's, is its own affair.
            is_wide = state.administers(each.owner) and not mine.isdisjoint(each.users)
            if not ((is_mine and each.users) or is_wide):
                continue
            what = f"function {each.name} runs with the rights of {each.owner}"
        else:
            if not (is_mine or each.users):
                continue
            what = f"{each.kind} {each.name} reads the book with the rights of {each.owner}"
        yield Remains(what, _FIXES[each.kind].format(name=each.name))


def _triggers(state: RoleState) -> Iterator[Remains]:
    for each in guards.foreign_triggers(state):
        table = state.quoted_table(each.table)
        what = f"trigger {each.name} of {each.table} changes what statements do"
        yield Remains(what, f'DROP TRIGGER "{each.name}" ON {table}')


def _functions(state: RoleState) -> Iterator[Remains]:
    known = {*access_logging.readable_functions(state), f"{SECURITY_SCHEMA}.{guards.NAME}"}
    for name in state.functions:
        function = f"{SECURITY_SCHEMA}.{name}"
        if function not in known:
            what = f"function {function} is none that `tradebook db roles` makes"
            yield Remains(what, f"DROP FUNCTION {function}")
