"""Lets the server log who connected and what they sent, and the auditor read that log through SQL.

The server's own settings do it; where pgAudit is loaded, it says more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from tradebook.operations.security.privileges import WRITER
from tradebook.operations.security.role_state import Found
from tradebook.operations.security.sql_steps import Step, literal, name

LEVELS: Final = ("none", "ddl", "mod", "all")
"""What of a role's statements is logged. `mod` overlooks an INSERT inside WITH, as bookings are sent."""

_JSON: Final = "jsonlog"
_PGAUDIT: Final = "pgaudit"
_SERVER: Final = {
    "logging_collector": "on",
    "log_connections": "on",
    "log_disconnections": "on",
    "log_timezone": "UTC",
}
_LOGGED: Final = ("all", "receipt,authentication,authorization,setup_durations")
"""What `log_connections` may say besides `on` to log every connection."""

_FILES: Final = (
    "SELECT name, size FROM pg_ls_logdir() WHERE name LIKE '%.json' ORDER BY modification, name"
)
_PART: Final = (
    "SELECT pg_read_binary_file(current_setting('log_directory') || '/' || name, start, length) "
    "FROM pg_ls_logdir() WHERE name = file AND name LIKE '%.json'"
)

LOG_FILES: Final = "log_files"
LOG_PART: Final = "log_part"


def steps(
    kinds: Mapping[str, str], writes: str, found: Found, schema: str, auditor: str
) -> Iterator[Step]:
    """Settings of the roles, of the server, and the auditor's way to the log.

    Only a superuser may do all of it; what is refused is left out.
    """
    for role, kind in kinds.items():
        level = writes if kind == WRITER else "all"
        yield Step(
            f"ALTER ROLE {name(role)} SET log_statement = {literal(level)}",
            f"statements of {role}",
            may_fail=True,
        )
    if _PGAUDIT in found.settings.get("shared_preload_libraries", ""):
        yield Step(f"CREATE EXTENSION IF NOT EXISTS {_PGAUDIT}", "pgAudit", may_fail=True)
        for role in kinds:
            yield Step(
                f"ALTER ROLE {name(role)} SET pgaudit.log = 'read, write, ddl, role'",
                f"pgAudit of {role}",
                may_fail=True,
            )
    yield from _reading(schema, auditor)
    yield from _server(found)


def _reading(schema: str, auditor: str) -> Iterator[Step]:
    """The server's files by two functions: those of its log alone, where `pg_read_file` would read any."""
    files, part = f"{name(schema)}.{LOG_FILES}", f"{name(schema)}.{LOG_PART}"
    head = "LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp"
    both = {
        f"{files}()": f"{files}() RETURNS TABLE (name text, size bigint) {head} AS $$ {_FILES} $$",
        f"{part}(text, bigint, bigint)": f"{part}(file text, start bigint, length bigint) "
        f"RETURNS bytea {head} AS $$ {_PART} $$",
    }
    for function, made in both.items():
        yield Step(
            f"CREATE OR REPLACE FUNCTION {made}", "the server's log, through SQL", may_fail=True
        )
        yield Step(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC", "nobody else's", may_fail=True)
        yield Step(
            f"GRANT EXECUTE ON FUNCTION {function} TO {name(auditor)}",
            "the auditor's",
            may_fail=True,
        )


def _server(found: Found) -> Iterator[Step]:
    changes = {
        setting: value
        for setting, value in _SERVER.items()
        if found.settings.get(setting) not in (value, *_LOGGED)
    }
    destinations = found.settings.get("log_destination", "")
    if _JSON not in destinations:
        changes["log_destination"] = ", ".join([*filter(None, [destinations]), _JSON])
    for setting, value in changes.items():
        yield Step(
            f"ALTER SYSTEM SET {setting} = {literal(value)}",
            "after a restart" if setting == "logging_collector" else "of the whole server",
            may_fail=True,
            alone=True,
        )
    if changes:
        yield Step("SELECT pg_reload_conf()", "from now on", may_fail=True, alone=True)
