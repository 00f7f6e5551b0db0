"""Driver errors become TradebookErrors, once, at the edge of the unit of work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DBAPIError, NoSuchTableError, OperationalError
from sqlalchemy.orm.exc import StaleDataError

from tradebook.adapters.columns import metadata
from tradebook.domain.errors import (
    CommitUnknown,
    ConcurrentUpdate,
    ConstraintViolated,
    DatabaseCorrupt,
    DatabaseFailure,
    DatabaseFull,
    DatabaseReadOnly,
    DatabaseUnavailable,
    NotPermitted,
    SchemaNotReady,
    StatementCancelled,
    TradebookError,
)

_CONFLICTS: Final = {
    "40001": "serialization failure",
    "40P01": "deadlock",
    "55P03": "lock not available",
}
_FULL: Final = "53100"
_READ_ONLY: Final = "25006"
_NOT_SUPPORTED: Final = "0A000"  # what a standby says when asked for a transaction that writes
_CORRUPT: Final = {"XX001", "XX002"}
# The last one: its shared memory, a file too, could not grow.
_FULL_ON_SQLITE: Final = {"SQLITE_FULL", "SQLITE_IOERR_SHMSIZE"}
# A value that is no text, or no decimal that a sum can add.
_UNREADABLE: Final = ("Could not decode to UTF-8", "user-defined aggregate")
_NO_SCHEMA: Final = {"42P01", "42703", "3F000"}
_UNAVAILABLE: Final = {"57P01", "57P02", "57P03", "53300", "3D000", "28000", "28P01"}
_NOT_NULL: Final = "23502"
_CHECK: Final = "23514"
_CANCELLED: Final = "57014"
_NOT_PERMITTED: Final = "42501"
_SCHEMA_ADVICE: Final = (
    "run `tradebook db upgrade` (or DatabaseManager.upgrade()) to bring it to this version"
)
_FULL_ADVICE: Final = "nothing was written: make room on the database's disk, then try again"
_NOT_PERMITTED_ADVICE: Final = (
    "the role that is connected may not do that (docs/security.md); after an upgrade run `tradebook db "
    "roles` again"
)
_FILE_READ_ONLY_ADVICE: Final = (
    "this unit of work is read-only, or the file or its folder may not be written, or its disk is "
    "mounted read-only"
)
_SERVER_READ_ONLY_ADVICE: Final = (
    "this unit of work is read-only, or the server is: a standby, or default_transaction_read_only is "
    "on; of several hosts, target_session_attrs=read-write in the URL finds the primary"
)
_CANNOT_OPEN_ADVICE: Final = (
    "check the path and its permissions; on a disk that is mounted read-only, a book that nobody writes "
    "is read as sqlite:///file:PATH?immutable=1&uri=true"
)
_CANCELLED_ADVICE: Final = (
    "ask for less, or allow it longer: statement_timeout (TRADEBOOK_DB_STATEMENT_TIMEOUT)"
)


@contextmanager
def translated_errors() -> Iterator[None]:
    """Inside, errors of SQLAlchemy and its drivers are raised as TradebookErrors, with their cause."""
    try:
        yield
    except Exception as error:
        meaning = translated(error)
        if meaning is None:
            raise
        raise meaning from error


@contextmanager
def translated_commit() -> Iterator[None]:
    """The same around a COMMIT: a connection lost there leaves open what became of the transaction."""
    try:
        with translated_errors():
            yield
    except DatabaseUnavailable as error:
        raise commit_unknown(error) from error


def commit_unknown(error: TradebookError) -> CommitUnknown:
    """What to say of a COMMIT that `error` kept from being answered, or from being asked about."""
    return CommitUnknown(
        f"whether this was committed is not known: {error}. Do it again with the same order ids and "
        "references: what is recorded already is recognised"
    )


def translated(error: BaseException) -> TradebookError | None:
    """What a database error means to the book; None when it is no database error."""
    if isinstance(error, StaleDataError):
        return ConcurrentUpdate("another writer changed the record first")
    if isinstance(error, NoSuchTableError):
        return SchemaNotReady(f"the database has no table {error}; {_SCHEMA_ADVICE}")
    if isinstance(error, ConnectionError):
        return DatabaseUnavailable(f"the database is not reachable: {error}")
    cause = error.orig if isinstance(error, DBAPIError) else error
    if cause is None:
        return None
    state, message = _sqlstate(cause), _first_line(cause)
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return DatabaseUnavailable(
            f"the connection to the database was lost: {message}; the next call connects again"
        )
    if state is not None:
        return _of_postgresql(state, message, cause)
    name = getattr(cause, "sqlite_errorname", None)
    if name is not None or type(cause).__module__ == "sqlite3":
        return _of_sqlite(str(name or ""), message)
    if isinstance(error, OperationalError):
        return DatabaseUnavailable(f"the database connection failed: {message}")
    return DatabaseFailure(message) if isinstance(error, DBAPIError) else None


def _sqlstate(cause: BaseException) -> str | None:
    """psycopg2 calls it pgcode, asyncpg sqlstate."""
    return getattr(cause, "pgcode", None) or getattr(cause, "sqlstate", None)


def _first_line(cause: BaseException) -> str:
    return (str(cause).strip().splitlines() or [type(cause).__name__])[0]


def _of_postgresql(state: str, message: str, cause: BaseException) -> TradebookError:
    if state in _CONFLICTS:
        return ConcurrentUpdate(f"{_CONFLICTS[state]}: {message}")
    if state in _NO_SCHEMA:
        return SchemaNotReady(f"the database's schema is not ready ({message}); {_SCHEMA_ADVICE}")
    if state.startswith("23"):
        return _violation(state, message, cause)
    if state == _CANCELLED:
        return StatementCancelled(f"{message}; {_CANCELLED_ADVICE}")
    if state == _NOT_PERMITTED:
        return NotPermitted(f"{message}; {_NOT_PERMITTED_ADVICE}")
    if state == _FULL:
        return DatabaseFull(f"{message}; {_FULL_ADVICE}")
    if state == _READ_ONLY or (state == _NOT_SUPPORTED and "recovery" in message):
        return DatabaseReadOnly(f"{message}; {_SERVER_READ_ONLY_ADVICE}")
    if state in _CORRUPT:
        return DatabaseCorrupt(message)
    if state in _UNAVAILABLE or state.startswith("08"):
        return DatabaseUnavailable(message)
    return DatabaseFailure(f"{message} (SQLSTATE {state})")


def _violation(state: str, message: str, cause: BaseException) -> ConstraintViolated:
    """psycopg2 has the particulars in `diag`, asyncpg in the error beneath."""
    said = getattr(cause, "diag", None) or cause.__cause__ or cause
    table, column = getattr(said, "table_name", None), getattr(said, "column_name", None)
    constraint = getattr(said, "constraint_name", None)
    if state == _NOT_NULL:
        return ConstraintViolated(_missing(table, column), table, column, constraint)
    if state == _CHECK and constraint is not None:
        return _refused(table, constraint)
    return ConstraintViolated(f"{table or 'a record'}: {message}", table, column, constraint)


def _violation_on_sqlite(name: str, message: str) -> ConstraintViolated:
    what = message.partition("failed: ")[2]
    if name == "SQLITE_CONSTRAINT_CHECK":
        return _refused(_table_of(what), what)
    table, _, column = what.partition(".")  # of several columns, a unique key's, the first counts
    if name == "SQLITE_CONSTRAINT_NOTNULL":
        return ConstraintViolated(_missing(table, column), table, column)
    return ConstraintViolated(message, table or None)


def _missing(table: str | None, column: str | None) -> str:
    return f"{table}.{column} needs a value (NOT NULL)"


def _refused(table: str | None, constraint: str) -> ConstraintViolated:
    column = _column_of(constraint)
    where = ".".join(name for name in (table, column) if name) or "a record"
    message = f"{where} is refused by the check {constraint}"
    return ConstraintViolated(message, table, column, constraint)


def _table_of(constraint: str) -> str | None:
    """Of `ck_trades_action`."""
    return next((name for name in metadata.tables if constraint.startswith(f"ck_{name}_")), None)


def _column_of(constraint: str) -> str | None:
    """Of `ck_trades_action`, whatever is added to the name; a CHECK of several columns has none."""
    table = _table_of(constraint)
    if table is None:
        return None
    checked = constraint.removeprefix(f"ck_{table}_") + "_"
    columns = [column.name for column in metadata.tables[table].columns]
    fitting = [name for name in columns if checked.startswith(f"{name}_")]
    return max(fitting, key=len, default=None)


def _of_sqlite(name: str, message: str) -> TradebookError:
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return ConcurrentUpdate(f"another process is writing: {message}")
    if name.startswith("SQLITE_CONSTRAINT"):
        return _violation_on_sqlite(name, message)
    if message.startswith(("no such table", "no such column")):
        return SchemaNotReady(f"the database's schema is not ready ({message}); {_SCHEMA_ADVICE}")
    if name in _FULL_ON_SQLITE:
        return DatabaseFull(f"{message}; {_FULL_ADVICE}")
    if name.startswith("SQLITE_READONLY"):
        return DatabaseReadOnly(f"{message}; {_FILE_READ_ONLY_ADVICE}")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")) or message.startswith(_UNREADABLE):
        return DatabaseCorrupt(message)
    if name.startswith("SQLITE_CANTOPEN"):
        return DatabaseUnavailable(f"{message}; {_CANNOT_OPEN_ADVICE}")
    return DatabaseFailure(f"{message} ({name})" if name else message)
