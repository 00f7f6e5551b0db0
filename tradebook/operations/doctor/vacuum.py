"""Checks of what a PostgreSQL server does with dead rows, and of who keeps it from doing so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tradebook.operations.doctor.checks import CheckTarget, Finding, green, red, yellow

_MANY_DEAD: Final = 10_000
_MUCH_DEAD: Final = 0.2
_LONG: Final = 300
"""Seconds."""
_OLD_AGE: Final = 1_000_000_000
"""Transactions; at twice as many the server stops."""


def autovacuum(patient: CheckTarget) -> Iterator[Finding]:
    """Whether dead rows are ever removed."""
    settings = patient.settings("autovacuum", "track_counts")
    off = [name for name, setting in settings.items() if setting == "off"]
    without = patient.rows(
        "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace(current_schema()) "
        "AND relkind = 'r' AND reloptions::text ~ 'autovacuum_enabled=(false|off|0|no)' ORDER BY relname"
    )
    if off:
        fix = f"set {' and '.join(off)} = on in postgresql.conf"
        yield red("autovacuum", "off: tables grow, and in the end the server stops", fix)
    elif without:
        names = ", ".join(row.relname for row in without)
        fix = "ALTER TABLE ... RESET (autovacuum_enabled)"
        yield yellow("autovacuum", f"off for {names}", fix)
    else:
        yield green("autovacuum", "on")
    age = patient.value(
        "SELECT age(datfrozenxid) FROM pg_database WHERE datname = current_database()"
    )
    if age > _OLD_AGE:
        what = f"the oldest transaction is {age:,} transactions old: at 2,000,000,000 writes stop"
        yield red("transaction ids", what, "end what holds them back, then VACUUM (FREEZE)")


def bloat(patient: CheckTarget) -> Iterator[Finding]:
    """Whether tables are full of dead rows."""
    rows = patient.rows(
        "SELECT relname, n_live_tup, n_dead_tup FROM pg_stat_user_tables "
        "WHERE schemaname = current_schema() ORDER BY n_dead_tup DESC"
    )
    full = [
        row
        for row in rows
        if row.n_dead_tup > max(_MANY_DEAD, _MUCH_DEAD * (row.n_live_tup + row.n_dead_tup))
    ]
    for row in full:
        what = f"{row.relname} has {row.n_dead_tup:,} dead rows beside {row.n_live_tup:,} live ones"
        yield yellow("bloat", what, f"VACUUM (ANALYZE) {row.relname}, and see autovacuum above")
    if not full:
        yield green("bloat", "few dead rows")


def long_transactions(patient: CheckTarget) -> Iterator[Finding]:
    """Whether somebody keeps dead rows from being removed, or locks from being released."""
    rows = patient.rows(
        "SELECT pid, usename, state, extract(epoch FROM now() - xact_start) AS seconds "
        "FROM pg_stat_activity WHERE backend_type = 'client backend' "
        "AND xact_start < now() - make_interval(secs => :long) ORDER BY xact_start",
        long=_LONG,
    )
    for row in rows:
        what = f"process {row.pid} of {row.usename} ({row.state}) for {row.seconds:,.0f} s"
        fix = f"end it where it runs, or SELECT pg_terminate_backend({row.pid})"
        yield yellow("long transactions", what, fix)
    if not rows:
        yield green("long transactions", f"none longer than {_LONG} s")
