"""Checks of PostgreSQL's tables: dead rows, what keeps autovacuum from them, and indexes missing or idle."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sqlalchemy import Index, PrimaryKeyConstraint, UniqueConstraint

from tradebook.adapters.orm import metadata
from tradebook.operations.doctor.checks import CheckTarget, Finding, green, red, yellow

_MANY_DEAD: Final = 10_000
_MUCH_DEAD: Final = 0.2
_LONG: Final = 300
"""Seconds of a transaction."""
_OLD_AGE: Final = 1_000_000_000
"""Transactions; at about twice as many, the server refuses writes to protect its data."""
_UPDATES: Final = 10_000
_MOSTLY: Final = 0.8
_TABLES: Final = [*metadata.tables, "alembic_version"]
# PostgreSQL makes an index for each constraint of these kinds, by the constraint's name.
_EXPECTED: Final = {
    str(each.name)
    for table in metadata.tables.values()
    for each in (*table.indexes, *table.constraints)
    if isinstance(each, Index | PrimaryKeyConstraint | UniqueConstraint)
}


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


def missing(target: CheckTarget) -> Iterator[Finding]:
    """Check that every index that queries need is there."""
    rows = target.rows(
        "SELECT indexname FROM pg_indexes "
        "WHERE schemaname = current_schema() AND tablename = ANY(:tables)",
        tables=_TABLES,
    )
    absent = sorted(_EXPECTED - {row.indexname for row in rows})
    if absent:
        fix = "`tradebook db check` shows their definitions; CREATE INDEX CONCURRENTLY"
        yield red("indexes", "missing: " + ", ".join(absent), fix)
    else:
        yield green("indexes", f"all {len(_EXPECTED)} are there")


def invalid(target: CheckTarget) -> Iterator[Finding]:
    """Check for indexes that CREATE INDEX CONCURRENTLY left unfinished: each write pays, no query gains."""
    rows = target.rows(
        "SELECT indexrelid::regclass::text AS name FROM pg_index JOIN pg_class ON pg_class.oid = indrelid "
        "WHERE NOT indisvalid AND relnamespace = to_regnamespace(current_schema())"
    )
    for row in rows:
        yield red("indexes", f"{row.name} is invalid", f"REINDEX INDEX CONCURRENTLY {row.name}")


def unused(target: CheckTarget) -> Iterator[Finding]:
    """Check for added indexes that no query has read."""
    rows = target.rows(
        "SELECT indexrelname, relname, pg_relation_size(indexrelid) AS size FROM pg_stat_user_indexes "
        "WHERE schemaname = current_schema() AND relname = ANY(:tables) AND idx_scan = 0 "
        "ORDER BY indexrelname",
        tables=_TABLES,
    )
    for row in rows:
        if row.indexrelname not in _EXPECTED | {"alembic_version_pkc"}:
            size = f"{row.size / 2**20:,.1f} MiB"
            what = f"{row.indexrelname} on {row.relname} ({size}) was never read"
            yield yellow("indexes", what, f"DROP INDEX CONCURRENTLY {row.indexrelname}")


def hot_updates(target: CheckTarget) -> Iterator[Finding]:
    """Check that updates of positions are heap-only (HOT), which an index on a changing column prevents."""
    rows = target.rows(
        "SELECT n_tup_upd AS all, n_tup_hot_upd AS hot FROM pg_stat_user_tables "
        "WHERE schemaname = current_schema() AND relname = 'positions'"
    )
    for row in rows:
        share = row.hot / row.all if row.all else 1.0
        if row.all > _UPDATES and share < _MOSTLY:
            what = f"only {share:.0%} of the updates of positions are HOT: the table and its indexes grow"
            fix = "drop indexes on columns of positions that change; end long transactions"
            yield yellow("positions", what, fix)
