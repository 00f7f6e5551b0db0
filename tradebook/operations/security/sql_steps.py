"""SQL statements that set a database up: shown with their purpose first, then executed together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, nullcontext
from typing import Any, Final

from attrs import frozen
from psycopg2.extensions import encrypt_password
from sqlalchemy import Connection, Engine

from tradebook.adapters.errors import translated_errors
from tradebook.config import Secret
from tradebook.domain.errors import DatabaseFailure, InvalidInput

_LOCK_TIMEOUT: Final = "5s"
_OPTIONAL_FAILURES: Final = ("42501", "42883", "0A000", "58P01")
"""SQLSTATEs after which an optional step is skipped: no privilege, no such function, no such extension."""


@frozen
class Step:
    """One statement of a set-up.

    Attributes:
        sql: the statement; `{verifier}` stands for the password's SCRAM verifier.
        why: its purpose, for the user.
        may_fail: whether the others are executed where the connected role may not execute this one.
        autocommit: whether it is executed outside the transaction, as PostgreSQL demands of some.
        takes_back: whether it undoes a grant or a change that was made besides.
        role: the role whose password is set.
        password: that role's password, which does not leave this process.
    """

    sql: str
    why: str
    may_fail: bool = False
    autocommit: bool = False
    takes_back: bool = False
    role: str = ""
    password: Secret | None = None

    @property
    def shown(self) -> str:
        """The statement for display, with `***` for a password."""
        return self.sql if self.password is None else self.sql.replace("{verifier}", "'***'")


@frozen
class Skipped:
    """An optional step that the server refused, and the server's message."""

    step: Step
    reason: str


def quote_ident(name: str) -> str:
    """Quote a name for SQL, as PostgreSQL's `quote_ident` does."""
    return '"' + _checked(name).replace('"', '""') + '"'


def quote_literal(value: str) -> str:
    """Quote a text for SQL, as PostgreSQL's `quote_literal` does with standard_conforming_strings on."""
    return "'" + _checked(value).replace("'", "''") + "'"


def _checked(value: str) -> str:
    if not value or "\x00" in value:
        raise InvalidInput("name", value, "text that is not empty, without NUL characters")
    return value


def execute_steps(engine: Engine, steps: Sequence[Step]) -> list[Skipped]:
    """Execute steps in one transaction, and those with `autocommit` after it; return the skipped ones.

    Where the server refuses a step that is not optional, or a table stays locked for 5 seconds, nothing is changed.
    """
    skipped: list[Skipped] = []
    with translated_errors(), engine.begin() as connection:
        _send(connection, f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
        for step in steps:
            if not step.autocommit:
                skipped += _execute(connection, step)
    autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
    with translated_errors(), autocommit.connect() as connection:
        for step in steps:
            if step.autocommit:
                skipped += _execute(connection, step)
    return skipped


def _execute(connection: Connection, step: Step) -> Iterator[Skipped]:
    sql = step.sql
    if step.password is not None:
        sql = sql.replace("{verifier}", quote_literal(_verifier(connection, step)))
    if not step.may_fail:
        _send(connection, sql)
        return
    try:
        # Without a savepoint, one refused statement would abort the whole transaction.
        with nullcontext() if step.autocommit else connection.begin_nested():
            _send(connection, sql)
    except connection.dialect.loaded_dbapi.Error as error:
        if error.pgcode not in _OPTIONAL_FAILURES:
            raise
        yield Skipped(step, str(error).strip().splitlines()[0])


def _send(connection: Connection, sql: str) -> None:
    """Execute a statement on the driver, without parameters: SQLAlchemy would double or parse its `%`."""
    with closing(connection.connection.cursor()) as cursor:
        cursor.execute(sql)


def _verifier(connection: Connection, step: Step) -> str:
    """Hash a password here: a password in ALTER ROLE could appear in the server's log, a SCRAM verifier may."""
    scope: Any = connection.connection.driver_connection
    verifier = encrypt_password(str(step.password), step.role, scope, "scram-sha-256")
    if not isinstance(verifier, str):
        raise DatabaseFailure("libpq could not make a SCRAM verifier")
    return verifier
