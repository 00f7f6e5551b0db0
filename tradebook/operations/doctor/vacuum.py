"""Checks of dead rows in PostgreSQL, and of what keeps autovacuum from removing them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tradebook.operations.doctor.checks import CheckTarget, Finding, green, red, yellow

_MANY_DEAD: Final = 10_000
_MUCH_DEAD: Final = 0.2
_LONG: Final = 300
"""Seconds of a transaction."""
_OLD_AGE: Final = 1_000_000_000
"""Transactions; at about twice as many, the server refuses writes to protect its data."""


def autovacuum(target: CheckTarget) -> Iterator[Finding]:
    """Check that dead rows are removed, and old transaction ids frozen."""
    settings = target.settings("autovacuum", "track_counts")
    off = [name for name, setting in settings.items() if setting == "off"]
    without = target.rows(
        "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace(current_schema()) "
        "AND relkind = 'r' AND reloptions::text ~ 'autovacuum_enabled=(false|off|0|no)' ORDER BY relname"
    )
    if off:
        fix = f"set {' and '.join(off)} = on in postgresql.conf"
        yield red("autovacuum", "off: tables grow, and in the end the server stops", fix)
    elif without:
        names = ", ".join(row.relname for row in without)
        yield yellow("autovacuum", f"off for {names}", "ALTER TABLE ... RESET (autovacuum_enabled)")
    else:
        yield green("autovacuum", "on")
    age = target.value(
        "SELECT age(datfrozenxid) FROM pg_database WHERE datname = current_database()"
    )
    if age > _OLD_AGE:
        what = f"the oldest transaction is {age:,} transactions old: at 2,000,000,000 writes stop"
        yield red("transaction ids", what, "end what holds them back, then VACUUM (FREEZE)")


def bloat(target: CheckTarget) -> Iterator[Finding]:
    """Check for tables that are full of dead rows."""
    rows = target.rows(
        "SELECT relname, n_live_tup AS live, n_dead_tup AS dead FROM pg_stat_user_tables "
        "WHERE schemaname = current_schema() "
        "AND n_dead_tup > greatest(:many, :share * (n_live_tup + n_dead_tup)) ORDER BY n_dead_tup DESC",
        many=_MANY_DEAD,
        share=_MUCH_DEAD,
    )
    for row in rows:
        what = f"{row.relname} has {row.dead:,} dead rows beside {row.live:,} live ones"
        yield yellow("bloat", what, f"VACUUM (ANALYZE) {row.relname}, and see autovacuum above")
    if not rows:
        yield green("bloat", "few dead rows")


def long_transactions(target: CheckTarget) -> Iterator[Finding]:
    """Check for old transactions: dead rows newer than they are cannot be removed, and locks stay."""
    rows = target.rows(
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
