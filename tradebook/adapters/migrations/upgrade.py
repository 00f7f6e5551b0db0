"""Upgrade and downgrade of a database's schema: one process at a time, with retries, and logged.

A revision takes its table locks with a short timeout. Where it does not get one, it rolls back, so that programs
which book trades are not held up, and runs again after a pause. `migration_lock` keeps processes apart; it is
taken in env.py, so that the stock `alembic` command takes it too.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final, TypeAlias

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from tradebook.adapters import loggers
from tradebook.adapters.engine.poolers import POOLED
from tradebook.adapters.errors import translated_errors
from tradebook.adapters.migrations.revisions import (
    BASE,
    HEAD,
    ReportLine,
    alembic_config,
    require_revision,
)
from tradebook.adapters.migrations.schema_state import CURRENT, UNVERSIONED, schema_state
from tradebook.domain.errors import BookBusy, ConcurrentUpdate, NotPermitted, SchemaNotReady

ATTEMPTS: Final = 30
"""Number of attempts for a migration that cannot get its lock; with the pauses, two minutes or more."""

# Alembic keeps its migration context in a global of the process; `migration_lock` excludes other processes only.
_THREAD_LOCK: Final = threading.Lock()

_Command: TypeAlias = Callable[[Config, str], None]


def upgrade(
    engine: Engine, revision: str = HEAD, report: ReportLine | None = None, *, logged: bool = True
) -> None:
    """Upgrade the schema to a revision; do nothing where the database has it already.

    Safe while other programs book trades, and safe to repeat after an interruption.

    Args:
        engine: connects to the database.
        revision: the revision to reach, such as `0002`; the newest by default.
        report: receives a line of text for each step.
        logged: whether to log the change of revision; off for scratch databases.

    Raises:
        SchemaNotReady: the schema is newer than this version, was made without migrations, or is another
            program's.
        InvalidInput: there is no such revision.
        BookBusy: no attempt got its table locks in time.
        NotPermitted: the role does not own the tables.
        OperationFailed: a connection pooler stands between, and the schema is not up to date.
        DatabaseFailure: other tables have these names.
        DatabaseReadOnly: the database takes no writes.
    """
    require_revision(revision, HEAD)
    _migrate(engine, command.upgrade, revision, report, logged=logged)


def downgrade(engine: Engine, revision: str, report: ReportLine | None = None) -> None:
    """Downgrade the schema to a revision, deleting what only newer ones hold; `base` drops every table.

    It raises the same errors as `upgrade`.
    """
    require_revision(revision, BASE)
    _migrate(engine, command.downgrade, revision, report)


def current_revision(engine: Engine) -> str | None:
    """Return the database's revision; None where it has no schema."""
    with translated_errors(), engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def _migrate(
    engine: Engine, run: _Command, revision: str, report: ReportLine | None, *, logged: bool = True
) -> None:
    """Run an Alembic command, again after a pause where it could not get a lock, and log the result."""
    is_logged = logged and loggers.MIGRATIONS.isEnabledFor(logging.INFO)
    began, before = time.monotonic(), current_revision(engine) if is_logged else None

    def report_retry(state: RetryCallState) -> None:
        failure = state.outcome.exception() if state.outcome else None
        if report is not None:
            report(f"{failure}; backing off, then the revision is tried again")

    retrying = Retrying(
        retry=retry_if_exception_type(ConcurrentUpdate),
        wait=wait_random_exponential(multiplier=0.2, max=5),
        stop=stop_after_attempt(ATTEMPTS),
        before_sleep=report_retry,
        reraise=True,
    )
    try:
        retrying(_run_once, engine, run, revision, report)
    except ConcurrentUpdate as error:
        message = (
            f"the migration could not get its lock in {ATTEMPTS} tries ({error}); the revisions that it "
            "finished are kept, and running it again continues from there: end the transactions that "
            "hold the tables (on PostgreSQL see pg_stat_activity), or wait until they end"
        )
        raise BookBusy(message, ATTEMPTS) from error
    if is_logged and (after := current_revision(engine)) != before:
        about = loggers.about(
            # Written as `DatabaseConfig.safe_url` writes it; the engine's URL has no secret but the password.
            database=engine.url.set(drivername=engine.dialect.name).render_as_string(),
            from_revision=before,
            to_revision=after,
            seconds=round(time.monotonic() - began, 3),
        )
        loggers.MIGRATIONS.info("the schema went from %s to %s", before, after, extra=about)


def _run_once(engine: Engine, run: _Command, revision: str, report: ReportLine | None) -> None:
    """Run an Alembic command, unless the schema is newer than this version or no migration made it."""
    try:
        with _THREAD_LOCK, translated_errors(), engine.connect() as connection:
            with connection.begin():
                state = schema_state(connection)
            state.require_migratable()
            if state.name == CURRENT and run is command.upgrade and POOLED in connection.info:
                return  # the lock would take a session
            if state.name == UNVERSIONED:
                raise SchemaNotReady(
                    "its tables were made without migrations (by metadata.create_all), so their revision is "
                    "not recorded: if `tradebook db check` finds no difference, record the newest one by "
                    "`alembic stamp head` in a checkout"
                )
            run(alembic_config(connection, report), revision)
    except NotPermitted as error:
        raise NotPermitted(f"{error}; migrate as the role that owns the tables") from error
