"""Statements that set a database up: what each is for, said before it is done, and done together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import Any, Final

from attrs import frozen
from psycopg2.extensions import encrypt_password
from sqlalchemy import Connection, Engine

from tradebook.adapters.errors import translated_errors
from tradebook.config import Secret
from tradebook.domain.errors import DatabaseFailure, InvalidInput

_LOCK_TIMEOUT: Final = "5s"
_BEYOND: Final = ("42501", "42883", "0A000", "58P01")
"""Not permitted; a function that could not be made; an extension that is not there."""


@frozen
class Step:
    """One statement.

    Attributes:
        sql: as the server gets it, but for a password.
        why: what it is for, in words.
        may_fail: whether the rest goes on without it, where the one who asks may not do it.
        alone: cannot be part of a transaction.
        role: whose password stands at `{verifier}`.
        password: of that role; only its SCRAM verifier leaves this process.
    """

    sql: str
    why: str
    may_fail: bool = False
    alone: bool = False
    role: str = ""
    password: Secret | None = None

    @property
    def shown(self) -> str:
        """The statement, to be read by people: without what a password was made into."""
        return self.sql if self.password is None else self.sql.replace("{verifier}", "'***'")


@frozen
class Skipped:
    """A step that was not done, and why."""

    step: Step
    reason: str


def name(text: str) -> str:
    """A name, quoted for SQL."""
    return '"' + _sendable(text).replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text, quoted for SQL."""
    return "'" + _sendable(text).replace("'", "''") + "'"


def _sendable(text: str) -> str:
    if not text or "\x00" in text:
        raise InvalidInput("name", text, "text that is not empty, without NUL characters")
    return text


def carry_out(engine: Engine, steps: Sequence[Step]) -> list[Skipped]:
    """Do the steps: all in one transaction, but for those that can only be done alone, after it.

    Raises:
        ConcurrentUpdate: somebody else held a table that had to be changed; try again.
        DatabaseFailure: one that may not fail was refused; nothing was done.
    """
    skipped: list[Skipped] = []
    with translated_errors(), engine.begin() as connection:
        _send(connection, f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
        for step in steps:
            if not step.alone:
                skipped += _do(connection, step, _savepoint)
    with translated_errors(), engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        driver.autocommit = True
        try:
            for step in steps:
                if step.alone:
                    skipped += _do(connection, step, ())
        finally:
            driver.autocommit = False
    return skipped


_savepoint: Final = ("SAVEPOINT tradebook_step", "ROLLBACK TO SAVEPOINT tradebook_step")


def _do(connection: Connection, step: Step, guarded: Sequence[str]) -> Iterable[Skipped]:
    sql = step.sql
    if step.password is not None:
        sql = sql.replace("{verifier}", literal(_verifier(connection, step.role, step.password)))
    if not step.may_fail:
        _send(connection, sql)
        return
    for statement in guarded[:1]:
        _send(connection, statement)
    try:
        _send(connection, sql)
    except connection.dialect.loaded_dbapi.Error as error:
        if error.pgcode not in _BEYOND:
            raise
        for statement in guarded[1:]:
            _send(connection, statement)
        yield Skipped(step, str(error).strip().splitlines()[0])


def _send(connection: Connection, sql: str) -> None:
    """To the driver itself: `%` means nothing here."""
    with closing(connection.connection.cursor()) as cursor:
        cursor.execute(sql)


def _verifier(connection: Connection, role: str, password: Secret) -> str:
    """What the server keeps of a password: it may stand in the server's log, the password may not."""

    scope: Any = connection.connection.driver_connection
    made = encrypt_password(str(password), role, scope=scope, algorithm="scram-sha-256")
    if not isinstance(made, str):
        raise DatabaseFailure("libpq could not make a SCRAM verifier")
    return made
