"""Checks of PostgreSQL's indexes: those that are missing, and those that cost more than they give."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sqlalchemy import Index, PrimaryKeyConstraint, UniqueConstraint

from tradebook.adapters.orm import metadata
from tradebook.operations.doctor.checks import CheckTarget, Finding, green, red, yellow

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
