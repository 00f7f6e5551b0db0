"""Bringing a database's schema to this version of the code, or to an older one, with Alembic."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection, Engine
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from tradebook.adapters.errors import translated_errors
from tradebook.adapters.migration_log import logged_migration
from tradebook.adapters.migration_turn import Report
from tradebook.adapters.schema import AHEAD, UNVERSIONED, schema_state
from tradebook.domain.errors import (
    BookBusy,
    ConcurrentUpdate,
    DatabaseFailure,
    InvalidInput,
    SchemaNotReady,
)

HEAD: Final = "head"
BASE: Final = "base"
ATTEMPTS: Final = 30
"""How often a revision that cannot get its lock is tried; with the pauses, two minutes or more."""

# Alembic's own context is one for the process; between processes the migrations take turns.
_ONE_AT_A_TIME: Final = threading.Lock()
_PAUSES: Final = wait_random_exponential(multiplier=0.2, max=5)
_NOT_ALLOWED: Final = "42501"


def migrations_folder() -> Path:
    """Where the migrations are: inside the installed package, beside it in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "migrations"
    return installed if installed.is_dir() else package.parent / "alembic"


def alembic_config(connection: Connection | None = None, report: Report | None = None) -> Config:
    """Alembic's settings, without a file; `connection`, in no transaction, is used by the migrations."""
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    config.attributes.update(connection=connection, report=report)
    return config


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


def head_revision() -> str:
    """The revision of this code."""
    return all_revisions()[-1].revision


def known_revisions() -> set[str]:
    """Every revision of this code."""
    return {script.revision for script in all_revisions()}


def all_revisions() -> list[Script]:
    """Every revision of this code, the first first."""
    scripts = ScriptDirectory.from_config(alembic_config()).walk_revisions()
    return list(scripts)[::-1]


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
