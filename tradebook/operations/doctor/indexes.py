"""Checks of indexes: those that are missing, those that cost more than they give."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tradebook.adapters.columns import metadata
from tradebook.operations.doctor.checks import CheckTarget, Finding, green, red, yellow

_OURS: Final = "schemaname = current_schema() AND tablename = ANY(:tables)"
_UPDATES: Final = 10_000
_MOSTLY: Final = 0.8


def _tables() -> list[str]:
    return [*metadata.tables, "alembic_version"]


def _expected() -> set[str]:
    """The names of the indexes that the migrations make, those behind constraints too."""
    names: set[str] = set()
    for table in metadata.tables.values():
        names |= {str(index.name) for index in table.indexes}
        names |= {
            str(constraint.name)
            for constraint in table.constraints
            if constraint.__visit_name__ in ("primary_key_constraint", "unique_constraint")
        }
    return names


def _present(patient: CheckTarget) -> set[str]:
    query = f"SELECT indexname FROM pg_indexes WHERE {_OURS}"  # noqa: S608, text of ours alone
    return {row.indexname for row in patient.rows(query, tables=_tables())}


def missing(patient: CheckTarget) -> Iterator[Finding]:
    """Whether an index is gone that queries need."""
    absent = sorted(_expected() - _present(patient))
    if absent:
        fix = "`tradebook db check` shows their definitions; CREATE INDEX CONCURRENTLY"
        yield red("indexes", "missing: " + ", ".join(absent), fix)
    else:
        yield green("indexes", f"all {len(_expected())} are there")


def invalid(patient: CheckTarget) -> Iterator[Finding]:
    """Whether an index was not finished: it costs writes and serves nothing."""
    rows = patient.rows(
        "SELECT indexrelid::regclass::text AS name FROM pg_index JOIN pg_class ON pg_class.oid = indrelid "
        "WHERE NOT indisvalid AND relnamespace = to_regnamespace(current_schema())"
    )
    for row in rows:
        yield red("indexes", f"{row.name} is invalid", f"REINDEX INDEX CONCURRENTLY {row.name}")


def unused(patient: CheckTarget) -> Iterator[Finding]:
    """Whether somebody added an index that nothing reads."""
    rows = patient.rows(
        "SELECT indexrelname, relname, pg_relation_size(indexrelid) AS size FROM pg_stat_user_indexes "
        "WHERE schemaname = current_schema() AND relname = ANY(:tables) AND idx_scan = 0 "
        "ORDER BY indexrelname",
        tables=_tables(),
    )
    for row in rows:
        if row.indexrelname not in _expected() | {"alembic_version_pkc"}:
            what = (
                f"{row.indexrelname} on {row.relname} ({row.size / 2**20:,.1f} MiB) was never read"
            )
            yield yellow("indexes", what, f"DROP INDEX CONCURRENTLY {row.indexrelname}")


def hot_updates(patient: CheckTarget) -> Iterator[Finding]:
    """Whether moving a position touches only its row: an index on what changes ends that."""
    rows = patient.rows(
        "SELECT n_tup_upd AS all, n_tup_hot_upd AS hot FROM pg_stat_user_tables "
        "WHERE schemaname = current_schema() AND relname = 'positions'"
    )
    for row in rows:
        share = row.hot / row.all if row.all else 1.0
        if row.all > _UPDATES and share < _MOSTLY:
            what = f"only {share:.0%} of the updates of positions are HOT: the table and its indexes grow"
            fix = "drop indexes on columns of positions that change; end long transactions"
            yield yellow("positions", what, fix)
