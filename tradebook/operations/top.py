"""Figures that `tradebook top` shows: a database's activity and throughput, and the pools of applications."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import urlopen

import attrs
from attrs import frozen
from sqlalchemy import Engine

from tradebook.domain.errors import DatabaseUnavailable, ExtraNotInstalled, InvalidInput
from tradebook.operations.activity import (
    Activity,
    Totals,
    monitoring_connection,
    read_activity,
    read_database_bytes,
    read_totals,
)
from tradebook.operations.metrics.catalog import PROCESS_METRICS

_HTTP_TIMEOUT: Final = 5.0  # seconds
_POOL: Final = "tradebook_pool_"


@frozen(kw_only=True)
class DatabaseSample:
    """Figures of a database at one instant.

    Attributes:
        at: `time.monotonic()` of the sample, in seconds.
        totals: totals of the book.
        activity: activity of the server; None for SQLite.
        database_bytes: size on disk.
    """

    at: float
    totals: Totals
    activity: Activity | None
    database_bytes: int


def sample_database(engine: Engine) -> DatabaseSample:
    """Read the figures of a database, as they are now."""
    with monitoring_connection(engine) as connection:
        return DatabaseSample(
            at=time.monotonic(),
            totals=read_totals(connection),
            activity=read_activity(connection),
            database_bytes=read_database_bytes(connection),
        )


def throughput(before: DatabaseSample, now: DatabaseSample) -> dict[str, float]:
    """Return the trades, commits and rollbacks per second between two samples."""
    seconds = max(now.at - before.at, 1e-9)
    done = {"trades": now.totals.booked - before.totals.booked}
    if before.activity is not None and now.activity is not None:
        for name in ("commits", "rollbacks"):
            done[name] = getattr(now.activity.server, name) - getattr(before.activity.server, name)
    # Below 0 where the server's statistics were reset in between.
    return {f"{name}_per_second": round(max(0, n) / seconds, 1) for name, n in done.items()}


def document(
    before: DatabaseSample, now: DatabaseSample, pools: Iterable[dict[str, Any]] = ()
) -> dict[str, Any]:
    """Return the newer of two samples, the throughput between them and the pools, as a JSON document."""
    unresolved = {severity: count for severity, (count, _) in now.totals.unresolved.items()}
    figures: dict[str, Any] = {
        "database_bytes": now.database_bytes,
        "throughput": throughput(before, now),
        "book": {
            **attrs.asdict(now.totals, filter=lambda field, _: field.name != "unresolved"),
            "unresolved_alerts": unresolved,
        },
        "pools": list(pools),
    }
    activity = now.activity
    if activity is None:
        return figures
    running = [s for s in activity.sessions if s.statement_seconds and not s.blocked_by]
    running.sort(key=lambda session: -session.statement_seconds)
    server = activity.server
    return {
        **figures,
        "server": {**attrs.asdict(server), "cache_hit_ratio": server.cache_hit_ratio},
        "connections": activity.states(),
        "hidden_sessions": activity.hidden,
        "blocked": [attrs.asdict(s) for s in activity.blocked],
        "blockers": [attrs.asdict(s) for s in activity.blockers],
        "blocking_chain_length": activity.chain_length,
        "long_transactions": [attrs.asdict(s) for s in activity.long_transactions],
        "slow_statements": [attrs.asdict(s) for s in running[:10]],
        "dead_rows": {t.name: t.dead_rows for t in activity.tables if t.dead_rows},
        "replicas": [attrs.asdict(r) for r in activity.replicas],
        "slots": [attrs.asdict(s) for s in activity.slots],
    }


def read_pools(url: str) -> list[dict[str, Any]]:
    """Read the connection pools from the metrics that an application exports by `metrics.instrument(book)`.

    Returns:
        For each pool its name, and the values of its metrics by their name without the prefix.
    """
    try:
        from prometheus_client.parser import text_string_to_metric_families
    except ImportError:
        raise ExtraNotInstalled("prometheus", "prometheus_client") from None
    if urlsplit(url).scheme not in ("http", "https"):  # urlopen would read file:// too
        raise InvalidInput("--app", url, "a URL such as http://localhost:9465/metrics")
    try:
        with urlopen(url, timeout=_HTTP_TIMEOUT) as response:  # noqa: S310  # the scheme is checked above
            text = response.read().decode()
    except OSError as error:
        raise DatabaseUnavailable(f"no metrics at {url}: {error}") from None
    names = {m.name for m in PROCESS_METRICS if m.name.startswith(_POOL)}
    pools: dict[str, dict[str, Any]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name in names:
                pool = pools.setdefault(sample.labels["pool"], {"pool": sample.labels["pool"]})
                pool[sample.name.removeprefix(_POOL)] = sample.value
    return list(pools.values())
