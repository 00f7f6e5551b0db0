"""What `tradebook top` shows: a database's activity between two looks, and the pools of applications that export them."""

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
    looking_at,
    read_activity,
    read_database_bytes,
    read_totals,
)
from tradebook.operations.metrics.catalog import OF_PROCESS

_SHOWN: Final = 10
_PATIENCE: Final = 5.0
_POOL: Final = "tradebook_pool_"


@frozen(kw_only=True)
class Look:
    """What was seen at one moment.

    Attributes:
        at: `time.monotonic()`.
        activity: None of a SQLite file.
    """

    at: float
    totals: Totals
    activity: Activity | None
    database_bytes: int


def look(engine: Engine) -> Look:
    """See what the database does.

    Raises:
        TradebookError: it does not answer, or has no book.
    """
    with looking_at(engine) as connection:
        return Look(
            at=time.monotonic(),
            totals=read_totals(connection),
            activity=read_activity(connection),
            database_bytes=read_database_bytes(connection),
        )


def throughput(before: Look, now: Look) -> dict[str, float]:
    """What was done in a second between two looks."""
    seconds = max(now.at - before.at, 1e-9)
    done = {"trades": now.totals.booked - before.totals.booked}
    if before.activity is not None and now.activity is not None:
        was, server = before.activity.server, now.activity.server
        done |= {
            "commits": server.commits - was.commits,
            "rollbacks": server.rollbacks - was.rollbacks,
        }
    return {f"{name}_per_second": round(max(0, n) / seconds, 1) for name, n in done.items()}


def document(before: Look, now: Look, pools: Iterable[dict[str, Any]] = ()) -> dict[str, Any]:
    """Everything that was seen, as JSON has it."""
    totals = attrs.asdict(now.totals, filter=lambda a, _: a.name != "unresolved")
    seen: dict[str, Any] = {
        "database_bytes": now.database_bytes,
        "throughput": throughput(before, now),
        "book": {
            **totals,
            "unresolved_alerts": {s: count for s, (count, _) in now.totals.unresolved.items()},
        },
        "pools": list(pools),
    }
    if now.activity is None:
        return seen
    activity = now.activity
    running = [s for s in activity.sessions if s.statement_seconds and not s.blocked_by]
    running.sort(key=lambda session: -session.statement_seconds)
    return {
        **seen,
        "server": attrs.asdict(activity.server)
        | {"cache_hit_ratio": activity.server.cache_hit_ratio},
        "connections": activity.states(),
        "hidden_sessions": activity.hidden,
        "blocked": [attrs.asdict(s) for s in activity.blocked],
        "blockers": [attrs.asdict(s) for s in blockers(activity)],
        "blocking_chain_length": activity.chain_length,
        "long_transactions": [attrs.asdict(s) for s in activity.long_transactions],
        "slow_statements": [attrs.asdict(s) for s in running[:_SHOWN]],
        "dead_rows": {t.name: t.dead_rows for t in activity.tables if t.dead_rows},
        "replicas": [attrs.asdict(r) for r in activity.replicas],
        "slots": [attrs.asdict(s) for s in activity.slots],
    }


def blockers(activity: Activity) -> list[Any]:
    """Who others wait for, and who waits for nobody: where to look first."""
    waited_for = {pid for session in activity.blocked for pid in session.blocked_by}
    return [s for s in activity.sessions if s.pid in waited_for and not s.blocked_by]


def read_pools(url: str) -> list[dict[str, Any]]:
    """The pools that an application exports, by `metrics.instrument(book)`.

    Args:
        url: where its metrics are, such as `http://localhost:9465/metrics`.

    Raises:
        InvalidInput: it is no such URL.
        DatabaseUnavailable: nothing answers there.
        ExtraNotInstalled: prometheus_client is missing.
    """
    try:
        from prometheus_client.parser import text_string_to_metric_families
    except ImportError:
        raise ExtraNotInstalled("prometheus", "prometheus_client") from None
    if urlsplit(url).scheme not in ("http", "https"):
        raise InvalidInput("--app", url, "a URL such as http://localhost:9465/metrics")
    try:
        with urlopen(url, timeout=_PATIENCE) as answer:  # noqa: S310  # the scheme is checked above
            text = answer.read().decode()
    except OSError as error:
        raise DatabaseUnavailable(f"no metrics at {url}: {error}") from None
    names = {m.name for m in OF_PROCESS if m.name.startswith(_POOL)}
    pools: dict[str, dict[str, Any]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name in names:
                pool = pools.setdefault(sample.labels["pool"], {"pool": sample.labels["pool"]})
                pool[sample.name.removeprefix(_POOL)] = sample.value
    return list(pools.values())
