"""Translate errors of SQLAlchemy and its drivers into TradebookErrors, once, at the edge of the unit of work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DBAPIError, NoSuchTableError, OperationalError
from sqlalchemy.orm.exc import StaleDataError

from tradebook.adapters.columns import metadata
from tradebook.adapters.engine.connect_errors import sqlstate
from tradebook.adapters.engine.lock_waits import LOCK_NOT_AVAILABLE
from tradebook.domain import errors

_SCHEMA_ADVICE: Final = (
    "run `tradebook db upgrade` (or DatabaseManager.upgrade()) to bring it to this version"
)
_FULL: Final = "{}; nothing was written: make room on the database's disk, then try again"
_SCHEMA: Final = f"the database's schema is not ready ({{}}); {_SCHEMA_ADVICE}"
_TABLE: Final = (
    "the database's schema is not ready ({}): without a book run `tradebook db upgrade`; if a table was dropped, "
    "`tradebook db check` lists what is missing, and a backup has its rows (`tradebook restore`)"
)
_READ_ONLY: Final = (
    "{}; this unit of work is read-only, or the server is: a standby, or default_transaction_read_only is "
    "on; of several hosts, target_session_attrs=read-write in the URL finds the primary"
)

_Meaning = tuple[type[errors.TradebookError], str]
_BY_SQLSTATE: Final[dict[str, _Meaning]] = {
    "40001": (errors.ConcurrentUpdate, "serialization failure: {}"),
    "40P01": (errors.ConcurrentUpdate, "deadlock: {}"),
    "55P03": (errors.ConcurrentUpdate, "lock not available: {}"),
    "42P01": (errors.SchemaNotReady, _TABLE),
    **dict.fromkeys(("42703", "3F000"), (errors.SchemaNotReady, _SCHEMA)),
    "57014": (
        errors.StatementCancelled,
        "{}; ask for less, or allow it longer: statement_timeout (TRADEBOOK_DB_STATEMENT_TIMEOUT)",
    ),
    "42501": (
        errors.NotPermitted,
        "{}; the role that is connected may not do that (docs/security.md); after an upgrade run "
        "`tradebook db roles` again",
    ),
    "53100": (errors.DatabaseFull, _FULL),
    "25006": (errors.DatabaseReadOnly, _READ_ONLY),
    **dict.fromkeys(("XX001", "XX002"), (errors.DatabaseCorrupt, "{}")),
    **dict.fromkeys(
        ("57P01", "57P02", "57P03", "53300", "3D000", "28000", "28P01", "08"),
        (errors.DatabaseUnavailable, "{}"),
    ),
}
"""The error for each SQLSTATE, or for its class (its first two characters); `{}` is the server's message."""

_ON_SQLITE: Final[dict[str, _Meaning]] = {
    **dict.fromkeys(
        ("SQLITE_BUSY", "SQLITE_LOCKED"),
        (errors.ConcurrentUpdate, "another process is writing: {}"),
    ),
    "SQLITE_FULL": (errors.DatabaseFull, _FULL),
    # Its shared memory is a file too, and could not grow.
    "SQLITE_IOERR_SHMSIZE": (errors.DatabaseFull, _FULL),
    "SQLITE_READONLY": (
        errors.DatabaseReadOnly,
        "{}; this unit of work is read-only, or the file or its folder may not be written, or its disk "
        "is mounted read-only",
    ),
    "SQLITE_CORRUPT": (errors.DatabaseCorrupt, "{}"),
    "SQLITE_NOTADB": (
        errors.DatabaseCorrupt,
        "{}: it begins like no SQLite database; if it never was one, give another file",
    ),
    "SQLITE_CANTOPEN": (
        errors.DatabaseUnavailable,
        "{}; check the path and its permissions; on a disk that is mounted read-only, a book without "
        "writers is read as sqlite:///file:PATH?immutable=1&uri=true",
    ),
    # Where SQLite has no code of its own, the beginning of its message.
    "no such table": (errors.SchemaNotReady, _TABLE),
    "no such column": (errors.SchemaNotReady, _SCHEMA),
    # A value that is no text, or no decimal that our `dec_sum` can add.
    "Could not decode to UTF-8": (errors.DatabaseCorrupt, "{}"),
    "user-defined aggregate": (errors.DatabaseCorrupt, "{}"),
}
"""The error for the beginning of an extended result code's name, such as SQLITE_BUSY_SNAPSHOT, or of a message."""


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raise errors of SQLAlchemy and its drivers in the block as TradebookErrors, with their cause."""
    try:
        yield
    except Exception as error:
        meaning = translated(error)
        if meaning is None:
            raise
        raise meaning from error


@contextmanager
def translated_commit(
    unknown: type[errors.TradebookError] = errors.DatabaseUnavailable,
) -> Iterator[None]:
    """Translate the errors of a COMMIT: one of the kind `unknown` leaves its outcome unknown."""
    try:
        with translated_errors():
            yield
    except unknown as error:
        raise errors.CommitUnknown(
            f"whether this was committed is not known: {error}. Do it again with the same order ids "
            "and references: what is recorded already is recognised"
        ) from error


def translated(error: BaseException) -> errors.TradebookError | None:
    """Return the TradebookError that a database error means; None for any other error."""
    if isinstance(error, StaleDataError):
        return errors.ConcurrentUpdate("another writer changed the record first")
    if isinstance(error, NoSuchTableError):
        return errors.SchemaNotReady(f"the database has no table {error}; {_SCHEMA_ADVICE}")
    if isinstance(error, ConnectionError):
        return errors.DatabaseUnavailable(f"the database is not reachable: {error}")
    cause = error.orig if isinstance(error, DBAPIError) else error
    if cause is None:
        return None
    message = (str(cause).strip().splitlines() or [type(cause).__name__])[0]
    message = "; ".join([message, *getattr(cause, "__notes__", ())])  # of `lock_waits`
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return errors.DatabaseUnavailable(
            f"the connection to the database was lost: {message}; the next call connects again"
        )
    state = sqlstate(cause)
    if state is not None:
        return _from_sqlstate(state, message, cause)
    name = getattr(cause, "sqlite_errorname", None)
    if name is not None or type(cause).__module__ == "sqlite3":
        return _from_sqlite(str(name or ""), message)
    if isinstance(error, OperationalError):
        return errors.DatabaseUnavailable(f"the database connection failed: {message}")
    return errors.DatabaseFailure(message) if isinstance(error, DBAPIError) else None


def _from_sqlstate(state: str, message: str, cause: BaseException) -> errors.TradebookError:
    if state.startswith("23"):
        return _violation(state, message, cause)
    # A standby refuses a writing transaction with the general "feature not supported".
    if state == "0A000" and "recovery" in message:
        state = "25006"
    unnamed = (errors.DatabaseFailure, f"{{}} (SQLSTATE {state})")
    kind, text = _BY_SQLSTATE.get(state) or _BY_SQLSTATE.get(state[:2], unnamed)
    return _waited(kind(text.format(message)), state == LOCK_NOT_AVAILABLE)


def _waited(error: errors.TradebookError, for_lock: bool) -> errors.TradebookError:
    if isinstance(error, errors.ConcurrentUpdate):
        error.waited_for_lock = for_lock
    return error


def _from_sqlite(name: str, message: str) -> errors.TradebookError:
    if name.startswith("SQLITE_CONSTRAINT"):
        return _sqlite_violation(name, message)
    for beginning, (kind, text) in _ON_SQLITE.items():
        if name.startswith(beginning) or message.startswith(beginning):
            return _waited(kind(text.format(message)), name.startswith("SQLITE_BUSY"))
    return errors.DatabaseFailure(f"{message} ({name})" if name else message)


def _violation(state: str, message: str, cause: BaseException) -> errors.ConstraintViolated:
    # psycopg2 has the names in `diag`, asyncpg in the error beneath.
    details = getattr(cause, "diag", None) or cause.__cause__ or cause
    table, column, constraint = (
        getattr(details, name, None) for name in ("table_name", "column_name", "constraint_name")
    )
    if state == "23502":
        return errors.ConstraintViolated(_missing(table, column), table, column, constraint)
    if state == "23514" and constraint is not None:
        return _check_violation(table, constraint)
    return errors.ConstraintViolated(f"{table or 'a record'}: {message}", table, column, constraint)


def _sqlite_violation(name: str, message: str) -> errors.ConstraintViolated:
    failed = message.partition("failed: ")[2]
    if name == "SQLITE_CONSTRAINT_CHECK":
        return _check_violation(None, failed)
    # A unique key lists all its columns: the first is named.
    table, _, column = failed.partition(".")
    if name == "SQLITE_CONSTRAINT_NOTNULL":
        return errors.ConstraintViolated(_missing(table, column), table, column)
    return errors.ConstraintViolated(message, table or None)


def _missing(table: str | None, column: str | None) -> str:
    return f"{table}.{column} needs a value (NOT NULL)"


def _check_violation(table: str | None, constraint: str) -> errors.ConstraintViolated:
    # A name such as ck_trades_action, to which Citus appends the number of a shard. The longest column that fits
    # is the one; a check of several columns has another name.
    own = next((name for name in metadata.tables if constraint.startswith(f"ck_{name}_")), None)
    columns = () if own is None else metadata.tables[own].columns
    checked = constraint.removeprefix(f"ck_{own}_") + "_"
    fitting = [column.name for column in columns if checked.startswith(f"{column.name}_")]
    table, column = table or own, max(fitting, key=len, default=None)
    where = ".".join(name for name in (table, column) if name) or "a record"
    message = f"{where} is refused by the check {constraint}"
    return errors.ConstraintViolated(message, table, column, constraint)
