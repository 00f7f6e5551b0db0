"""Set-up of the access log: the server logs connections and statements, and the auditor reads them by SQL.

PostgreSQL's own settings suffice; where pgAudit is loaded, its entries are added.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

from tradebook.operations.security.privileges import AUDITOR, WRITER
from tradebook.operations.security.role_state import (
    SAFE_PATH,
    SECURITY_SCHEMA,
    Function,
    RoleSpec,
    RoleState,
)
from tradebook.operations.security.sql_steps import Step, quote_ident, quote_literal

LEVELS: Final = ("none", "ddl", "mod", "all")
"""Statements of a role to log. `mod` misses an INSERT inside WITH, and so the statement that books a trade."""

LOG_FILES: Final = f"{SECURITY_SCHEMA}.log_files"
"""Function that lists the server's log files and their sizes."""
LOG_PART: Final = f"{SECURITY_SCHEMA}.log_part"
"""Function that reads a part of a log file."""

_JSON: Final = "jsonlog"
_PGAUDIT: Final = "pgaudit"
_SETTINGS: Final = {
    "logging_collector": "on",
    "log_connections": "on",
    "log_disconnections": "on",
    "log_timezone": "UTC",
}
_SUFFICIENT: Final = ("all", "receipt,authentication,authorization,setup_durations")
"""Values of `log_connections` of PostgreSQL 18 that log every connection, as `on` does."""

_LIST: Final = (
    "SELECT name, size FROM pg_ls_logdir() WHERE name LIKE '%.json' ORDER BY modification, name"
)
_READ: Final = (
    "SELECT pg_read_binary_file(current_setting('log_directory') || '/' || name, start, length) "
    "FROM pg_ls_logdir() WHERE name = file AND name LIKE '%.json'"
)
# SECURITY DEFINER lets the auditor read these files alone; EXECUTE on pg_read_file would let it read any file.
_HEAD: Final = f"LANGUAGE sql SECURITY DEFINER SET {SAFE_PATH}"
FUNCTIONS: Final = {
    f"{LOG_FILES}()": ("() RETURNS TABLE (name text, size bigint)", f" {_LIST} "),
    f"{LOG_PART}(text, bigint, bigint)": (
        "(file text, start bigint, length bigint) RETURNS bytea",
        f" {_READ} ",
    ),
}

# Only a superuser may do all of it. Whatever another role may not do is skipped and listed.
_optional: Final = partial(Step, may_fail=True)


def steps(spec: RoleSpec, state: RoleState) -> Iterator[Step]:
    """Yield the steps that set up logging for the roles and the server."""
    for role, kind in spec.kinds.items():
        level = quote_literal(spec.log_writes if kind == WRITER else "all")
        yield _optional(
            f"ALTER ROLE {quote_ident(role)} SET log_statement = {level}", f"statements of {role}"
        )
    if _PGAUDIT in state.settings.get("shared_preload_libraries", ""):
        yield _optional(f"CREATE EXTENSION IF NOT EXISTS {_PGAUDIT}", "pgAudit")
        for role in spec.kinds:
            classes = "pgaudit.log = 'read, write, ddl, role'"
            yield _optional(f"ALTER ROLE {quote_ident(role)} SET {classes}", f"pgAudit of {role}")
    yield from _server_steps(state)


def readable_functions(state: RoleState) -> list[str]:
    """List the functions that read the server's log and exist."""
    return [name for name in FUNCTIONS if _found(name, state)]


def function_steps(spec: RoleSpec, state: RoleState) -> Iterator[Step]:
    """Yield the steps that create the functions which read the server's log, or restore their text."""
    for name, (returns, body) in FUNCTIONS.items():
        found = _found(name, state)
        if not (found or spec.log_access):
            continue
        if found and found.does(body, is_definer=True):
            continue
        create = (
            f"CREATE OR REPLACE FUNCTION {name.partition('(')[0]}{returns} {_HEAD} AS $${body}$$"
        )
        why = "reads the server's log by SQL"
        yield _optional(create, why, takes_back=found is not None)
        if found is None:
            auditor = spec.quoted(AUDITOR)
            revoke = f"REVOKE ALL ON FUNCTION {name} FROM PUBLIC"
            yield _optional(revoke, "for the auditor alone")
            yield _optional(
                f"GRANT EXECUTE ON FUNCTION {name} TO {auditor}", "the auditor reads it"
            )


def _found(name: str, state: RoleState) -> Function | None:
    return state.functions.get(name.removeprefix(f"{SECURITY_SCHEMA}."))


def _server_steps(state: RoleState) -> Iterator[Step]:
    changes = {
        setting: value
        for setting, value in _SETTINGS.items()
        if state.settings.get(setting) not in (value, *_SUFFICIENT)
    }
    destinations = state.settings.get("log_destination", "")
    if _JSON not in destinations:
        changes["log_destination"] = ", ".join([*filter(None, [destinations]), _JSON])
    for setting, value in changes.items():
        yield _optional(
            f"ALTER SYSTEM SET {setting} = {quote_literal(value)}",
            "after a restart" if setting == "logging_collector" else "for the whole server",
            autocommit=True,
        )
    if changes:
        yield _optional("SELECT pg_reload_conf()", "apply the settings", autocommit=True)
