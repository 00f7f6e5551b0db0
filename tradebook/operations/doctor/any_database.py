"""Checks of any database: its schema, and its clock."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Engine, select

from tradebook.adapters.health import health
from tradebook.adapters.migrations.drift import find_drift
from tradebook.adapters.migrations.schema_state import AHEAD, CURRENT, UNVERSIONED
from tradebook.adapters.orm import events
from tradebook.config import DatabaseConfig
from tradebook.domain.errors import DatabaseUnavailable
from tradebook.operations.doctor.checks import CheckTarget, Finding, green, red, yellow
from tradebook.operations.server.admin_connection import require_file
from tradebook.service_layer.ports.health import Health

_CORRECT: Final = "correct the named setting: `tradebook config` shows where each value comes from"
_SKEW: Final = timedelta(seconds=1)
_MUCH_SKEW: Final = timedelta(seconds=30)


def connection(engine: Engine, config: DatabaseConfig) -> Iterator[Finding]:
    """Check that the database answers, and then that it has the schema of this code."""
    try:
        require_file(config)
    except DatabaseUnavailable as error:
        yield red("connection", str(error), _CORRECT)
        return
    state = health(engine, config)
    if state.latency is None:
        yield red("connection", str(state.error), _CORRECT)
        return
    yield green("connection", f"{state.server} answers in {state.latency * 1000:.1f} ms")
    yield _schema(state)


def _schema(state: Health) -> Finding:
    if state.schema == CURRENT:
        return green("migrations", f"at revision {state.revision}")
    if state.schema == UNVERSIONED:
        what = "the tables were made without migrations, so no upgrade can tell where to begin"
        return yellow("migrations", what, "make the database with `tradebook db upgrade`")
    what = (
        f"{state.schema}: at revision {state.revision}, this code needs {state.expected_revision}"
    )
    upgrade_code = "pip install --upgrade tradebook"
    return red(
        "migrations", what, upgrade_code if state.schema == AHEAD else "tradebook db upgrade"
    )


def drift(target: CheckTarget) -> Iterator[Finding]:
    """Check that the tables are as the migrations made them."""
    differences = find_drift(target.engine)
    if differences:
        what = (
            f"{len(differences):,} differences from what the migrations make, the first: "
            f"{differences[0]}"
        )
        yield yellow("tables", what, "see `tradebook db check`, and take back what it names")
    else:
        yield green("tables", "as the migrations made them")


def clock(target: CheckTarget) -> Iterator[Finding]:
    """Check that the clocks of this machine and of the server agree."""
    before = datetime.now(UTC)
    there = target.value("SELECT clock_timestamp()")
    here = before + (datetime.now(UTC) - before) / 2  # half of the round trip had passed
    yield _compared("clock", "the server's clock", there - here)


def clock_of_writers(target: CheckTarget) -> Iterator[Finding]:
    """Check that the clock of the last writer is not ahead of this machine's."""
    statement = select(events.c.occurred_at).where(events.c.account == target.account)
    newest = target.connection.scalar(statement.order_by(events.c.id.desc()).limit(1))
    if newest is not None:
        ahead = max(newest - datetime.now(UTC), timedelta())
        yield _compared("clock of writers", "the newest event's time", ahead)


def _compared(check: str, clock: str, ahead: timedelta) -> Finding:
    skew = abs(ahead)
    if skew < _SKEW:
        return green(check, f"{clock} is right to {max(skew.total_seconds(), 0.001):.3f} s")
    side = "ahead of" if ahead > timedelta() else "behind"
    what = f"{clock} is {skew.total_seconds():,.1f} s {side} this machine's clock"
    level = red if skew > _MUCH_SKEW else yellow
    return level(check, what, "synchronise both clocks by NTP (chrony, systemd-timesyncd)")
