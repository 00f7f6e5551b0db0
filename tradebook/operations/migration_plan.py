"""What a migration would do before it does it: which revisions, what they add, and what going down loses."""

from __future__ import annotations

import select
from argparse import Namespace
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.script import Script
from attrs import frozen
from psycopg2 import extensions
from sqlalchemy import Connection, Engine, Text, cast, column, func, inspect, table
from sqlalchemy import select as select_from

from tradebook.adapters.engine.factory import engine_for
from tradebook.adapters.errors import translated_errors
from tradebook.adapters.migrations import revisions
from tradebook.adapters.migrations import upgrade as migrations
from tradebook.adapters.migrations.schema_state import AHEAD, schema_state
from tradebook.config import DatabaseConfig
from tradebook.domain.errors import TradebookError

APPLIED: Final = "applied"
PENDING: Final = "pending"

_Tables = Mapping[str, Collection[str]]


@frozen
class Revision:
    """A revision, and whether a database has it.

    Attributes:
        revision: its name, `0002`.
        message: what it is about.
        state: applied or pending.
    """

    revision: str
    message: str
    state: str

    def __str__(self) -> str:
        return f"{self.revision}: {self.message}"


@frozen
class Loss:
    """What going down takes away.

    Attributes:
        table: which table, or of which.
        column: which column; None where it is the whole table.
        rows: how many of the table; of a column those that have something in it.
    """

    table: str
    column: str | None
    rows: int

    def __str__(self) -> str:
        what = (
            "table " + self.table if self.column is None else f"column {self.table}.{self.column}"
        )
        return f"{what}, {self.rows:,} row" + ("" if self.rows == 1 else "s")


@frozen
class Plan:
    """What a migration would do.

    Attributes:
        current: the revision that the database is at; None without a schema.
        target: the revision that it would be at; None without a schema.
        steps: the revisions on the way, in their order.
        adds: the tables and columns that it makes, `seals` or `trades.busted_by`.
        losses: what it takes away, with all that is in it.
    """

    current: str | None
    target: str | None
    steps: tuple[Revision, ...]
    adds: tuple[str, ...] = ()
    losses: tuple[Loss, ...] = ()


def history(engine: Engine) -> list[Revision]:
    """Every revision of this code, the first first, and whether the database has it.

    Raises:
        SchemaNotReady: the database is newer than this code.
    """
    current = _current(engine)
    scripts = revisions.all_revisions()
    applied = _place(scripts, current)
    return [
        Revision(script.revision, script.doc, APPLIED if number < applied else PENDING)
        for number, script in enumerate(scripts)
    ]


def plan_upgrade(engine: Engine, revision: str = revisions.HEAD) -> Plan:
    """What `upgrade` would do; nothing where the database has that revision.

    Raises:
        SchemaNotReady: the database is newer than this code.
        InvalidInput: there is no such revision.
    """
    migrations.checked_revision(revision, revisions.HEAD)
    known = history(engine)
    wanted = known[-1].revision if revision == revisions.HEAD else revision
    end = [step.revision for step in known].index(wanted) + 1
    done = [step.revision for step in known if step.state == APPLIED]
    current = done[-1] if done else None
    if end <= len(done):
        return Plan(current, current, ())
    there, then = _tables_at(current), _tables_at(wanted)
    return Plan(current, wanted, tuple(known[len(done) : end]), tuple(_added(there, then)))


def plan_downgrade(engine: Engine, revision: str) -> Plan:
    """What `downgrade` would do, and lose; nothing where the database is no newer than that.

    Raises:
        SchemaNotReady: the database is newer than this code.
        InvalidInput: there is no such revision.
    """
    migrations.checked_revision(revision, revisions.BASE)
    known = history(engine)
    target = None if revision == revisions.BASE else revision
    end = 0 if target is None else [step.revision for step in known].index(target) + 1
    done = [step for step in known if step.state == APPLIED]
    current = done[-1].revision if done else None
    if end >= len(done):
        return Plan(current, current, ())
    there, left = _tables_at(current), _tables_at(target)
    with translated_errors(), engine.connect() as connection:
        losses = tuple(_lost(connection, there, left))
    return Plan(current, target, tuple(done[end:][::-1]), losses=losses)


def new_revision(message: str, engine: Engine | None = None, *, empty: bool = False) -> Path | None:
    """Write a new revision, for a developer to look through: what the tables of the code have otherwise.

    Args:
        message: what it is about; it names the file.
        engine: of a database at the newest revision to compare with; by default a scratch one that the
            migrations have just made, on SQLite.
        empty: compare nothing: what it does is then written by hand.

    Returns:
        The new file; None where nothing differs.

    Raises:
        TradebookError: this is an installed package, no checkout.
    """
    folder = revisions.migrations_folder()
    if folder.name == "migrations":
        raise TradebookError(
            f"a revision is part of tradebook's source: write it in a checkout, not into {folder}"
        )
    if empty:
        return _written(message)
    if engine is None:
        with _scratch(revisions.HEAD) as newest:
            return new_revision(message, newest)
    with translated_errors(), engine.connect() as connection:
        return _written(message, connection)


def _written(message: str, compared: Connection | None = None) -> Path | None:
    config = revisions.alembic_config(compared)
    config.cmd_opts = Namespace(quiet=True)
    number = int(revisions.head_revision()) + 1
    script = command.revision(
        config, message, autogenerate=compared is not None, rev_id=f"{number:04}"
    )
    return Path(script.path) if isinstance(script, Script) else None


@contextmanager
def interruptible() -> Iterator[None]:
    """Inside, Ctrl-C ends a statement of psycopg2 at once, at the server too, and not when it is done.

    For a program that does nothing else meanwhile: it counts for every connection of the process.
    """

    def wait(connection: Any) -> None:
        try:
            _wait(connection)
        except KeyboardInterrupt:
            connection.cancel()
            raise

    extensions.set_wait_callback(wait)
    try:
        yield
    except Exception as error:  # of what could not be tidied up on the way out
        if _began_with_ctrl_c(error):
            raise KeyboardInterrupt from error
        raise
    finally:
        extensions.set_wait_callback(None)


def _began_with_ctrl_c(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def _wait(connection: Any) -> None:
    """Until the server has answered."""

    while (state := connection.poll()) != extensions.POLL_OK:
        reading = [connection] if state == extensions.POLL_READ else []
        writing = [connection] if state == extensions.POLL_WRITE else []
        select.select(reading, writing, [])


def _current(engine: Engine) -> str | None:
    with translated_errors(), engine.connect() as connection:
        state = schema_state(connection)
    if state.name == AHEAD:
        state.require()
    return state.revision


def _place(scripts: list[Script], revision: str | None) -> int:
    names = [script.revision for script in scripts]
    return 0 if revision is None else names.index(revision) + 1


def _tables_at(revision: str | None) -> _Tables:
    """The tables of a revision and their columns, of a scratch database that the migrations make."""
    if revision is None:
        return {}
    with _scratch(revision) as engine:
        found = inspect(engine)
        return {
            name: {described["name"] for described in found.get_columns(name)}
            for name in found.get_table_names()
            if name != "alembic_version"
        }


@contextmanager
def _scratch(revision: str) -> Iterator[Engine]:
    with engine_for(DatabaseConfig.from_url("sqlite://")) as engine:
        migrations.upgrade(engine, revision, logged=False)
        yield engine


def _added(there: _Tables, then: _Tables) -> Iterator[str]:
    for name in sorted(then):
        if name not in there:
            yield name
        else:
            yield from (f"{name}.{field}" for field in sorted(set(then[name]) - set(there[name])))


def _lost(connection: Connection, there: _Tables, left: _Tables) -> Iterator[Loss]:
    for name in sorted(there):
        if name not in left:
            yield Loss(name, None, _rows(connection, name))
            continue
        for field in sorted(set(there[name]) - set(left[name])):
            yield Loss(name, field, _rows(connection, name, field))


def _rows(connection: Connection, name: str, field: str | None = None) -> int:
    counting = select_from(func.count()).select_from(table(name))
    if field is not None:
        something: Any = column(field)
        counting = counting.where(something.is_not(None), cast(something, Text) != "")
    return connection.scalar(counting) or 0
