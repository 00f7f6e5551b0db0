"""Migrations in the log: of which database, from which revision to which, and how long it took."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from tradebook.adapters import loggers
from tradebook.adapters.errors import translated_errors
from tradebook.adapters.migrations.online_ddl import LOCK_TIMEOUT
from tradebook.adapters.migrations.revisions import (
    BASE,
    HEAD,
    Report,
    alembic_config,
    all_revisions,
)
from tradebook.adapters.migrations.schema_state import AHEAD, UNVERSIONED, schema_state
from tradebook.domain.errors import (
    BookBusy,
    ConcurrentUpdate,
    DatabaseFailure,
    InvalidInput,
    SchemaNotReady,
)


@contextmanager
def logged_migration(engine: Engine) -> Iterator[None]:
    """Log what becomes of the schema inside; nothing where it is as it should be already."""
    if not loggers.MIGRATIONS.isEnabledFor(logging.INFO):
        yield
        return
    began, before = time.monotonic(), _revision(engine)
    yield
    after, seconds = _revision(engine), round(time.monotonic() - began, 3)
    if after != before:
        about = loggers.about(
            database=_safe_url(engine), from_revision=before, to_revision=after, seconds=seconds
        )
        loggers.MIGRATIONS.info("the schema went from %s to %s", before, after, extra=about)


def _safe_url(engine: Engine) -> str:
    """As `DatabaseConfig.safe_url`: what else is secret never was in the engine's URL."""
    url = engine.url.set(drivername=engine.dialect.name)
    return url.render_as_string(hide_password=True)


def _revision(engine: Engine) -> str | None:
    with translated_errors(), engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


_KEY: Final = 7_236_110_914_227
_BETWEEN_TRIES: Final = 0.1  # seconds


@contextmanager
def turn(connection: Connection, report: Report) -> Iterator[None]:
    """Inside, nobody else migrates the database; each revision is a transaction, on SQLite all are one."""
    on_sqlite = connection.dialect.name == "sqlite"
    with _on_sqlite(connection) if on_sqlite else _on_postgresql(connection, report):
        yield


@contextmanager
def _on_sqlite(connection: Connection) -> Iterator[None]:
    """Foreign keys can be switched between transactions only; a table that is rebuilt is dropped once."""
    driver: Any = connection.connection.driver_connection
    driver.execute("PRAGMA foreign_keys=OFF")
    try:
        with connection.begin():
            yield
    finally:
        driver.execute("PRAGMA foreign_keys=ON")


@contextmanager
def _on_postgresql(connection: Connection, report: Report) -> Iterator[None]:
    # Migrations may take long, but nobody waits long behind them.
    connection.execute(text("SET statement_timeout = 0"))
    connection.execute(text(f"SET lock_timeout = {LOCK_TIMEOUT}"))
    connection.commit()
    _wait(connection, report)
    try:
        yield
    finally:
        with suppress(SQLAlchemyError):  # a lost connection has lost its lock
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _KEY})
        connection.invalidate()  # what is set here is not for the pool's next


def _wait(connection: Connection, report: Report) -> None:
    waits = False
    while not _take(connection):
        if not waits:
            report("another process migrates this database: waiting for its end")
        waits = True
        time.sleep(_BETWEEN_TRIES)


def _take(connection: Connection) -> bool:
    taken = connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _KEY})
    connection.commit()
    return bool(taken)


ATTEMPTS: Final = 30
"""How often a revision that cannot get its lock is tried; with the pauses, two minutes or more."""

# Alembic's own context is one for the process; between processes the migrations take turns.
_ONE_AT_A_TIME: Final = threading.Lock()
_PAUSES: Final = wait_random_exponential(multiplier=0.2, max=5)
_NOT_ALLOWED: Final = "42501"


def upgrade(
    engine: Engine, revision: str = HEAD, report: Report | None = None, *, logged: bool = True
) -> None:
    """Bring the schema up to `revision`; does nothing when it is there already.

    Every revision is safe to run while others keep booking, and after one that was interrupted. One that
    cannot get its lock at once gives way, and is tried again.

    Args:
        engine: of the database.
        revision: one of `known_revisions()`, or `head`.
        report: is told what goes on, a line at a time.
        logged: whether what becomes of the schema is logged; of a scratch database nobody wants to know.

    Raises:
        SchemaNotReady: it is newer than this code knows, or was made without migrations.
        InvalidInput: there is no such revision.
        BookBusy: it could not get its lock, however often it was tried.
        DatabaseFailure: the role may not, the database takes no writes, or has tables of these names.
    """
    checked_revision(revision, HEAD)
    with logged_migration(engine) if logged else nullcontext():
        _patiently(engine, command.upgrade, revision, report)


def downgrade(engine: Engine, revision: str, report: Report | None = None) -> None:
    """Take the schema down to `revision`, and lose what only newer ones have; `base` removes everything.

    Raises:
        SchemaNotReady: it is newer than this code knows.
        InvalidInput: there is no such revision.
        BookBusy: it could not get its lock, however often it was tried.
    """
    checked_revision(revision, BASE)
    with logged_migration(engine):
        _patiently(engine, command.downgrade, revision, report)


def checked_revision(given: str, *names: str) -> str:
    """A revision's own name, or one of `names`.

    Raises:
        InvalidInput: there is no such revision.
    """
    known = [script.revision for script in all_revisions()]
    if given not in (*names, *known):
        raise InvalidInput("revision", given, "one of " + ", ".join((*names, *known)))
    return given


def current_revision(engine: Engine) -> str | None:
    """The revision that the database is at; None when it has no schema."""
    with translated_errors(), engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def _patiently(
    engine: Engine, run: Callable[[Config, str], None], revision: str, report: Report | None
) -> None:
    say = report or _unheard

    def give_way(state: RetryCallState) -> None:
        failure = state.outcome.exception() if state.outcome else None
        say(f"{failure}; others go first, then this is tried again")

    tries = Retrying(
        retry=retry_if_exception_type(ConcurrentUpdate),
        wait=_PAUSES,
        stop=stop_after_attempt(ATTEMPTS),
        before_sleep=give_way,
        reraise=True,
    )
    try:
        tries(_run, engine, run, revision, say)
    except ConcurrentUpdate as error:
        message = (
            f"the migration could not get its lock in {ATTEMPTS} tries ({error}); what it had finished "
            "stays, and running it again goes on from there: end the transactions that hold the "
            "tables (on PostgreSQL: pg_stat_activity), or wait for them"
        )
        raise BookBusy(message, ATTEMPTS) from error


def _run(engine: Engine, run: Callable[[Config, str], None], revision: str, report: Report) -> None:
    with _ONE_AT_A_TIME, _explained(), engine.connect() as connection:
        with connection.begin():
            _require_known(connection)
        run(alembic_config(connection, report), revision)


def _require_known(connection: Connection) -> None:
    """Nobody knows what to do with a schema that is newer, or that no migration made."""
    state = schema_state(connection)
    if state.name == AHEAD:
        state.require()
    if state.name == UNVERSIONED:
        raise SchemaNotReady(
            "its tables were made without migrations (by metadata.create_all), so nothing says which "
            "revision they are: where `tradebook db check` finds no difference, `alembic stamp head` in "
            "a checkout says that they are the newest"
        )


@contextmanager
def _explained() -> Iterator[None]:
    """Errors of the database in words, and whose job it is where this role may not."""
    try:
        with translated_errors():
            yield
    except DatabaseFailure as error:
        cause = getattr(error.__cause__, "orig", None)
        if getattr(cause, "pgcode", None) != _NOT_ALLOWED:
            raise
        message = f"{error}; migrate as the role that owns the tables"
        raise DatabaseFailure(message) from error


def _unheard(_line: str) -> None:
    pass
