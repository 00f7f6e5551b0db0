"""Set-up of the access log: the server logs connections and statements, and the auditor reads them by SQL.

PostgreSQL's own settings suffice; where pgAudit is loaded, its entries are added.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

from tradebook.operations.security.privileges import AUDITOR, WRITER
from tradebook.operations.security.role_state import SECURITY_SCHEMA, RoleSpec, RoleState
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
_HEAD: Final = "LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp"
_FUNCTIONS: Final = {
    f"{LOG_FILES}()": f"() RETURNS TABLE (name text, size bigint) {_HEAD} AS $$ {_LIST} $$",
    f"{LOG_PART}(text, bigint, bigint)": "(file text, start bigint, length bigint) RETURNS bytea "
    f"{_HEAD} AS $$ {_READ} $$",
}

# Only a superuser may do all of it. Whatever another role may not do is skipped and listed.
_optional: Final = partial(Step, may_fail=True)


def steps(spec: RoleSpec, state: RoleState) -> Iterator[Step]:
    """Yield the steps that set up logging for the roles and the server, and the auditor's access to the log."""
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
    for function, definition in _FUNCTIONS.items():
        create = f"CREATE OR REPLACE FUNCTION {function.partition('(')[0]}{definition}"
        yield _optional(create, "reads the server's log by SQL")
        yield _optional(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC", "for the auditor alone")
        auditor = spec.quoted(AUDITOR)
        yield _optional(
            f"GRANT EXECUTE ON FUNCTION {function} TO {auditor}", "the auditor reads it"
        )
    yield from _server_steps(state)


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
