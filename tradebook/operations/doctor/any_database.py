"""Checks of any database: its schema, and its clock."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import select

from tradebook.adapters.migrations.drift import find_drift
from tradebook.adapters.migrations.schema_state import AHEAD, CURRENT, UNVERSIONED
from tradebook.adapters.orm import events
from tradebook.operations.doctor.checks import CheckTarget, Finding, green, red, yellow
from tradebook.service_layer.ports.health import Health

_SKEW: Final = timedelta(seconds=1)
_MUCH_SKEW: Final = timedelta(seconds=30)


def schema(state: Health) -> Finding:
    """Whether the tables are those of this code."""
    if state.schema == CURRENT:
        return green("migrations", f"at revision {state.revision}")
    if state.schema == UNVERSIONED:
        what = "the tables were made without migrations: no upgrade can tell where to begin"
        return yellow("migrations", what, "make the database with `tradebook db upgrade`")
    what = (
        f"{state.schema}: at revision {state.revision}, this code needs {state.expected_revision}"
    )
    upgrade_code = "pip install --upgrade tradebook"
    fix = upgrade_code if state.schema == AHEAD else "tradebook db upgrade"
    return red("migrations", what, fix)


def drift(patient: CheckTarget) -> Iterator[Finding]:
    """Whether somebody changed tables by hand."""
    differences = find_drift(patient.engine)
    if differences:
        first = differences[0]
        what = f"{len(differences):,} differences from what the migrations make, the first: {first}"
        yield yellow("tables", what, "see `tradebook db check`, and take back what it names")
    else:
        yield green("tables", "as the migrations made them")


def clock(patient: CheckTarget) -> Iterator[Finding]:
    """Whether the clocks of this machine and of the server agree."""
    before = datetime.now(UTC)
    there = patient.value("SELECT clock_timestamp()")
    here = before + (datetime.now(UTC) - before) / 2
    yield _compared("clock", "the server's clock", there - here)


def clock_of_writers(patient: CheckTarget) -> Iterator[Finding]:
    """Whether the clock of whoever wrote last is not ahead."""
    statement = select(events.c.occurred_at).where(events.c.account == patient.account)
    newest = patient.connection.scalar(statement.order_by(events.c.id.desc()).limit(1))
    if newest is not None:
        ahead = max(newest - datetime.now(UTC), timedelta())
        yield _compared("clock of writers", "the newest event's time", ahead)


def _compared(check: str, whose: str, ahead: timedelta) -> Finding:
    skew = abs(ahead)
    if skew < _SKEW:
        return green(check, f"{whose} is right to {max(skew.total_seconds(), 0.001):.3f} s")
    side = "ahead of" if ahead > timedelta() else "behind"
    what = f"{whose} is {skew.total_seconds():,.1f} s {side} this machine's clock"
    how = red if skew > _MUCH_SKEW else yellow
    return how(check, what, "let NTP (chrony, systemd-timesyncd) keep both clocks")
