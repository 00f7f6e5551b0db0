"""Driver errors become TradebookErrors, once, at the edge of the unit of work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DBAPIError, NoSuchTableError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm.exc import StaleDataError

from tradebook.domain.errors import (
    BookBusy,
    ConcurrentUpdate,
    ConstraintViolated,
    DatabaseFailure,
    DatabaseUnavailable,
    SchemaNotReady,
    TradebookError,
)

_CONFLICTS: Final = {
    "40001": "serialization failure",
    "40P01": "deadlock",
    "55P03": "lock not available",
}
_NO_SCHEMA: Final = {"42P01", "42703", "3F000"}
_UNAVAILABLE: Final = {"57P01", "57P02", "57P03", "53300", "3D000", "28000", "28P01"}
_SCHEMA_ADVICE: Final = (
    "run `tradebook init` (or DatabaseManager.upgrade()) to bring it to this version"
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


def translated(error: BaseException) -> TradebookError | None:
    """What a database error means to the book; None when it is no database error."""
    if isinstance(error, StaleDataError):
        return ConcurrentUpdate("another writer changed the record first")
    if isinstance(error, PoolTimeout):
        return BookBusy(f"no database connection became free: {error}")
    if isinstance(error, NoSuchTableError):
        return SchemaNotReady(f"the database has no table {error}; {_SCHEMA_ADVICE}")
    if isinstance(error, ConnectionError):
        return DatabaseUnavailable(f"the database is not reachable: {error}")
    cause = error.orig if isinstance(error, DBAPIError) else error
    if cause is None:
        return None
    state, message = _sqlstate(cause), _first_line(cause)
    if state is not None:
        return _of_postgresql(state, message)
    name = getattr(cause, "sqlite_errorname", None)
    if name is not None or type(cause).__module__ == "sqlite3":
        return _of_sqlite(str(name or ""), message)
    if isinstance(error, DBAPIError):
        return DatabaseUnavailable(f"the database connection failed: {message}")
    return None


def _sqlstate(cause: BaseException) -> str | None:
    """psycopg2 calls it pgcode, asyncpg sqlstate."""
    return getattr(cause, "pgcode", None) or getattr(cause, "sqlstate", None)


def _first_line(cause: BaseException) -> str:
    return (str(cause).strip().splitlines() or [type(cause).__name__])[0]


def _of_postgresql(state: str, message: str) -> TradebookError:
    if state in _CONFLICTS:
        return ConcurrentUpdate(f"{_CONFLICTS[state]}: {message}")
    if state in _NO_SCHEMA:
        return SchemaNotReady(f"the database's schema is not ready ({message}); {_SCHEMA_ADVICE}")
    if state.startswith("23"):
        return ConstraintViolated(message)
    if state in _UNAVAILABLE or state.startswith("08"):
        return DatabaseUnavailable(message)
    return DatabaseFailure(f"{message} (SQLSTATE {state})")


def _of_sqlite(name: str, message: str) -> TradebookError:
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return ConcurrentUpdate(f"another process is writing: {message}")
    if name.startswith("SQLITE_CONSTRAINT"):
        return ConstraintViolated(message)
    if message.startswith(("no such table", "no such column")):
        return SchemaNotReady(f"the database's schema is not ready ({message}); {_SCHEMA_ADVICE}")
    if name.startswith("SQLITE_CANTOPEN"):
        return DatabaseUnavailable(f"{message}; check the path and its permissions")
    return DatabaseFailure(f"{message} ({name})" if name else message)
