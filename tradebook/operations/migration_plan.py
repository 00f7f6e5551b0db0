"""Plans of migrations before they run, generated revisions, and migrations that Ctrl-C can interrupt."""

from __future__ import annotations

import select
import signal
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import FrameType
from typing import Any, Final, Literal, TypeAlias

import psycopg2
import sqlalchemy as sa
from alembic import command
from alembic.script import Script
from attrs import frozen
from psycopg2 import extensions
from sqlalchemy import Connection, Engine

from tradebook.adapters.engine.factory import engine_for
from tradebook.adapters.errors import translated_errors
from tradebook.adapters.migrations import revisions
from tradebook.adapters.migrations import upgrade as migrations
from tradebook.adapters.migrations.schema_state import read_schema_state
from tradebook.config import DatabaseConfig
from tradebook.domain.errors import TradebookError

_Columns: TypeAlias = Mapping[str, set[str]]
"""Names of the columns of each table."""


@frozen
class Revision:
    """A revision, and whether a database has it.

    Attributes:
        revision: its name, such as `0002`.
        message: what it changes, in a few words.
        state: whether the database has it.
    """

    revision: str
    message: str
    state: Literal["applied", "pending"]

    def __str__(self) -> str:
        """Return name and message as a line of text."""
        return f"{self.revision}: {self.message}"


@frozen
class Loss:
    """A table or column that a downgrade drops.

    Attributes:
        table: name of the table.
        column: name of the column; None where the whole table is dropped.
        rows: number of the table's rows; for a column of those that have a value there.
    """

    table: str
    column: str | None
    rows: int

    def __str__(self) -> str:
        """Return the loss as a line of text, with its number of rows."""
        name = (
            f"table {self.table}" if self.column is None else f"column {self.table}.{self.column}"
        )
        return f"{name}, {self.rows:,} row" + ("" if self.rows == 1 else "s")


@frozen
class Plan:
    """Effect of a migration, before it runs.

    Attributes:
        current: the database's revision; None without a schema.
        target: its revision after the migration; None without a schema.
        steps: the revisions to apply or to undo, in order.
        adds: tables and columns that it creates, such as `seals` or `trades.busted_by`.
        losses: tables and columns that it drops, with their rows.
    """

    current: str | None
    target: str | None
    steps: tuple[Revision, ...]
    adds: tuple[str, ...] = ()
    losses: tuple[Loss, ...] = ()


def history(engine: Engine) -> list[Revision]:
    """List every revision of this version, the oldest first; refuse a database that is newer."""
    state = read_schema_state(engine)
    state.require_migratable()
    scripts = revisions.all_revisions()
    applied = [None, *(script.revision for script in scripts)].index(state.revision)
    return [
        Revision(script.revision, script.doc, "applied" if number < applied else "pending")
        for number, script in enumerate(scripts)
    ]


def plan_upgrade(engine: Engine, revision: str = revisions.HEAD) -> Plan:
    """Plan an upgrade to a revision; without steps where the database has it already."""
    revisions.require_revision(revision, revisions.HEAD)
    target = revisions.head_revision() if revision == revisions.HEAD else revision
    current, applied, end, known = _range(engine, target)
    if end <= applied:
        return Plan(current, current, ())
    added = _additional(_columns_at(current), _columns_at(target))
    names = tuple(table if column is None else f"{table}.{column}" for table, column in added)
    return Plan(current, target, tuple(known[applied:end]), adds=names)


def plan_downgrade(engine: Engine, revision: str) -> Plan:
    """Plan a downgrade to a revision, and count the rows it would delete; without steps where it is newer."""
    revisions.require_revision(revision, revisions.BASE)
    target = None if revision == revisions.BASE else revision
    current, applied, end, known = _range(engine, target)
    if end >= applied:
        return Plan(current, current, ())
    dropped = _additional(_columns_at(target), _columns_at(current))
    with translated_errors(), engine.connect() as connection:
        losses = tuple(
            Loss(table, column, _rows(connection, table, column)) for table, column in dropped
        )
    return Plan(current, target, tuple(known[end:applied][::-1]), losses=losses)


def new_revision(message: str, engine: Engine | None = None, *, empty: bool = False) -> Path | None:
    """Write a new revision with what the tables of the code have and the migrations lack.

    Args:
        message: what it changes, in a few words; becomes part of the file's name.
        engine: of a database at the newest revision to compare with; by default a scratch database
            in memory, made by the migrations.
        empty: compare nothing, and write a revision without any change.

    Returns:
        The new file, to be reviewed before it runs; None where nothing differs.
    """
    folder = revisions.migrations_folder()
    if folder.name == "migrations":
        raise TradebookError(
            f"a revision is part of tradebook's source: write it in a checkout, not into {folder}"
        )
    if engine is None and not empty:
        with _scratch_database(revisions.HEAD) as newest:
            return new_revision(message, newest)
    with (
        translated_errors(),
        nullcontext() if empty or engine is None else engine.connect() as compared,
    ):
        config = revisions.alembic_config(compared)
        config.cmd_opts = Namespace(quiet=True)
        number = int(revisions.head_revision()) + 1
        script = command.revision(config, message, autogenerate=not empty, rev_id=f"{number:04}")
    return Path(script.path) if isinstance(script, Script) else None


_CANCELS: Final = 10
"""Requests to cancel a statement that are sent, a second apart, before Ctrl-C gives up waiting for the server."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C cancel a running statement of psycopg2, at the server too.

    By default libpq waits in C, and Python handles the signal only once the statement has ended. The wait
    callback and the signal's handler set here are those of the process: fit for a command, not for a library.
    """

    def wait(connection: Any) -> None:
        while (state := connection.poll()) != extensions.POLL_OK:
            reading = [connection] if state == extensions.POLL_READ else []
            writing = [connection] if state == extensions.POLL_WRITE else []
            select.select(reading, writing, [])

    def interrupt(number: int, frame: FrameType | None) -> None:
        # Here, and not by a `try` in `wait`: a signal that arrives while the statement is sent interrupts `wait`
        # before its first line, and the statement would go on without its client.
        if frame is not None and frame.f_code is wait.__code__:
            _cancel(frame.f_locals["connection"])
        signal.default_int_handler(number, frame)

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # or it is ignored
        signal.signal(signal.SIGINT, interrupt)
    extensions.set_wait_callback(wait)
    try:
        yield
    except Exception as error:
        # Cleaning up on the interrupted connection fails, and that error would hide the interrupt.
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, KeyboardInterrupt):
            cause = cause.__context__
        if cause is not None:
            raise KeyboardInterrupt from error
        raise
    finally:
        extensions.set_wait_callback(None)
        if signal.getsignal(signal.SIGINT) is interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _cancel(connection: Any) -> None:
    """Cancel a connection's statement at the server, until it has ended.

    A request can be lost that arrives between two steps of a long statement, such as CREATE INDEX CONCURRENTLY.
    """
    with suppress(psycopg2.Error):  # the statement's own, or of a connection that is not made yet
        for _ in range(_CANCELS):
            connection.cancel()
            while select.select([connection], [], [], 1.0)[0]:
                if connection.poll() == extensions.POLL_OK:
                    return


def _range(engine: Engine, target: str | None) -> tuple[str | None, int, int, list[Revision]]:
    """Return the current revision, how many lead to it, how many lead to the target, and every revision."""
    known = history(engine)
    names = [None, *(step.revision for step in known)]
    applied = sum(step.state == "applied" for step in known)
    return names[applied], applied, names.index(target), known


def _columns_at(revision: str | None) -> _Columns:
    """Read a revision's tables and columns from a scratch database; the code has only the newest ones."""
    if revision is None:
        return {}
    with _scratch_database(revision) as engine:
        found = sa.inspect(engine)
        return {
            name: {column["name"] for column in found.get_columns(name)}
            for name in found.get_table_names()
            if name != "alembic_version"
        }


@contextmanager
def _scratch_database(revision: str) -> Iterator[Engine]:
    with engine_for(DatabaseConfig.from_url("sqlite://")) as engine:
        migrations.upgrade(engine, revision, logged=False)
        yield engine


def _additional(before: _Columns, after: _Columns) -> Iterator[tuple[str, str | None]]:
    """Yield tables, with None, and columns of common tables that only `after` has."""
    for table in sorted(after):
        if table not in before:
            yield table, None
        else:
            yield from ((table, column) for column in sorted(after[table] - before[table]))


def _rows(connection: Connection, table: str, column: str | None) -> int:
    count = sa.select(sa.func.count()).select_from(sa.table(table))
    if column is not None:
        value: Any = sa.column(column)
        count = count.where(value.is_not(None), sa.cast(value, sa.Text) != "")
    return connection.scalar(count) or 0
