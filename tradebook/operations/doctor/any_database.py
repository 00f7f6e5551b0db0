"""Checks of any database: its schema, its clock, and the book in it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Engine, select

from tradebook.adapters.health import health
from tradebook.adapters.migrations.schema_state import (
    AHEAD,
    CURRENT,
    FOREIGN,
    INCOMPLETE,
    UNVERSIONED,
)
from tradebook.adapters.orm import events
from tradebook.config import DatabaseConfig
from tradebook.domain.errors import DatabaseUnavailable, NotPermitted
from tradebook.operations.doctor.checks import (
    CheckTarget,
    Finding,
    PartProgress,
    green,
    red,
    yellow,
)
from tradebook.operations.schema_check import find_drift
from tradebook.operations.server.admin_connection import require_file
from tradebook.service_layer.book import Book
from tradebook.service_layer.verification.seal_check import SealCheck

_CORRECT: Final = "correct the named setting: `tradebook config` shows where each value comes from"
_FIXES: Final = {
    AHEAD: "pip install --upgrade tradebook",
    FOREIGN: "give the database of a book: --database, TRADEBOOK_DATABASE_URL",
    INCOMPLETE: "tradebook restore; `tradebook db check` lists what is missing",
}
_DECEIVING: Final = ("trigger", "rule", "policy", "table", "function", "setting", "event trigger")
"""Kinds by which records can be changed unseen, or hidden."""
_LISTED: Final = 20
_SKEW: Final = timedelta(seconds=1)
_MUCH_SKEW: Final = timedelta(seconds=30)
_STALE: Final = timedelta(days=1)


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
    at = f"at revision {state.revision}"
    if state.schema == CURRENT:
        yield green("migrations", at)
    elif state.schema == UNVERSIONED:
        what = "the tables were made without migrations, so no upgrade can tell where to begin"
        yield yellow("migrations", what, "make the database with `tradebook db upgrade`")
    else:
        fix = _FIXES.get(state.schema, "tradebook db upgrade")
        what = f"{state.schema}: {at}, this code needs {state.expected_revision}"
        yield red("migrations", what, fix)


def drift(target: CheckTarget) -> Iterator[Finding]:
    """Check that the tables, and what is on them, are as the migrations and `tradebook db roles` made them."""
    differences = find_drift(target.connection)
    for difference in differences[:_LISTED]:
        level = red if difference.kind in _DECEIVING else yellow
        yield level("tables", str(difference), difference.fix)
    if len(differences) > _LISTED:
        what = f"{len(differences) - _LISTED:,} more differences from what the migrations make"
        yield yellow("tables", what, "`tradebook db check` lists them")
    if not differences:
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


def book(the_book: Book, progress: PartProgress) -> Iterator[tuple[str, Iterator[Finding]]]:
    """Yield the name and the findings of each check of a book.

    A role from which row-level security hides the account gets a yellow finding: it can tell neither way.
    """
    for name, check in (("audit trail", _audit_trail), ("verify", _verify)):
        yield name, _if_visible(name, check(the_book, progress))


def _if_visible(name: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    try:
        yield from findings
    except NotPermitted as error:
        yield yellow(name, str(error), "run `tradebook doctor` as the auditor")


def _audit_trail(book: Book, progress: PartProgress) -> Iterator[Finding]:
    checked = book.check_seals(progress=lambda done, total: progress("audit trail", done, total))
    if checked.findings:
        first = checked.findings[0]
        what = f"{len(checked.findings):,} findings, the first: {first.entity} {first.key} {first.what}"
        fix = "`tradebook audit check` lists them; treat it as an incident before anything else"
        yield red("audit trail", what, fix)
    elif checked.unsealed:
        events = checked.events + checked.unsealed
        what = f"{checked.unsealed:,} of {events:,} events are not sealed"
        yield yellow("audit trail", what, "run `tradebook audit seal` by a timer, such as hourly")
    else:
        what = f"{checked.events:,} events in {checked.seals:,} seals, all sound"
        yield green("audit trail", what)
    if checked.seals or checked.trades:
        yield from _witnesses(checked)


def _witnesses(checked: SealCheck) -> Iterator[Finding]:
    """Check that a witness has every seal, and got the last one within a day."""
    name, by_timer = "seal witness", "run `tradebook audit seal` by a timer, such as hourly"
    if not checked.witnesses:
        what = "none: whoever can write to the database can drop seals in silence"
        yield yellow(name, what, "set TRADEBOOK_SEAL_WITNESS: see docs/security.md")
    for state in checked.witnesses:
        if state.error:
            yield yellow(
                name,
                state.error,
                "see docs/security.md; the next `tradebook audit seal` catches up",
            )
        elif state.at is None or state.seals < checked.seals:
            what = f"{state.witness} has {state.seals:,} of {checked.seals:,} seals"
            yield yellow(name, what, by_timer)
        elif datetime.now(UTC) - state.at > _STALE:
            what = f"{state.witness} got the last seal at {state.at:%Y-%m-%d %H:%M} UTC"
            yield yellow(name, what, f"{by_timer}; without new events there is nothing to seal")
        else:
            yield green(name, f"{state.witness} has all {state.seals:,} seals")


def _verify(book: Book, progress: PartProgress) -> Iterator[Finding]:
    result = book.verify(progress=lambda done, total: progress("verify", done, total))
    if result.proven:
        what = f"to the last digit: {result.trades:,} trades, {result.positions:,} positions"
        yield green("verify", what)
    else:
        what = f"{len(result.differences):,} differences between what is stored and what follows"
        fix = "`tradebook verify` lists them; `tradebook rebuild` puts them right"
        yield red("verify", what, fix)
