"""The exceptions that tradebook raises.

TradebookError
 +-- InvalidInput            a value was refused (also a ValueError)
 +-- NotFound                no such record in this account (also a LookupError)
 +-- DuplicateRecord         the identity is taken by a record with other terms
 |    +-- DuplicateOrder     ... by a trade
 +-- InstrumentMismatch      currency, multiplier or settlement differ from the symbol's first trade
 +-- InvalidTransition       the record's state does not allow it
 +-- MissingRate             a snapshot needs an exchange rate it was not given
 +-- ExtraNotInstalled       an optional package is missing; names what to install (also an ImportError)
 +-- ConcurrentUpdate        another writer changed the record first: try the unit of work again
 |    +-- StaleRecord        ... after the entity was read: read it again
 +-- BookBusy                conflicts outlasted every retry (`attempts` counts them)
 +-- OperationFailed         a server, a backup or a restore failed
 |    +-- ProgramMissing     ... a program of PostgreSQL, gpg or age is missing, or of another version
 |    +-- BackupDamaged      ... a backup is not what was written
 |    +-- WouldOverwrite     ... a file or database would be lost
 |    +-- WitnessFailed      ... a witness of the seals cannot be reached, or contradicts the book
 +-- DatabaseFailure         the database failed
      +-- DatabaseUnavailable     unreachable, or the connection was lost
      |    +-- CommitUnknown      ... at COMMIT: committed or not; calling again is safe
      +-- DatabaseFull            its disk is full
      +-- DatabaseReadOnly        it accepts no writes
      +-- DatabaseCorrupt         its data is damaged
      +-- NotPermitted            the connected role lacks a privilege
      +-- StatementCancelled      a statement timed out or was cancelled
      +-- PoolExhausted           every connection is in use
      +-- SchemaNotReady          tables are missing or of another version
      +-- ConstraintViolated      the schema refused a row

UserWarning
 +-- UncommittedWork         a unit of work was left with changes that were not committed

Each message states what was wrong, with which value, and what to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from reprlib import Repr
from typing import Any

_SHOWN = 80


class _Readable(Repr):
    """Makes a bounded `repr` of any object, however long, deep or hostile, without reading all of it."""

    def __init__(self) -> None:
        super().__init__()
        self.maxother = self.maxlong = self.maxstring = 2 * _SHOWN
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = self.maxfrozenset = 20

    def repr_int(self, x: int, level: int) -> str:
        """Give the size of a long integer, for which Python refuses a `repr` from 4,300 digits on."""
        bits = x.bit_length()
        if bits > 512:
            return f"an integer of about {bits * 3 // 10} digits"
        return super().repr_int(x, level)

    def repr_instance(self, x: Any, level: int) -> str:  # noqa: ARG002  # as `Repr` calls it
        """Return the object's own `repr`, or its type where that raises."""
        try:
            return repr(x)
        except Exception:  # a hostile `__repr__` may raise anything
            return f"a value of type {type(x).__name__}"


_readable = _Readable()


def shown(value: object) -> str:
    """Return `repr(value)`, cut to a readable length."""
    if issubclass(type(value), str):
        text = str.__str__(value)
        if len(text) <= _SHOWN:
            return _cut(repr(text))
        return f"{_cut(repr(text[:_SHOWN]))}... ({len(text)} characters)"
    try:
        text = _readable.repr(value)
    except Exception:  # `Repr` dispatches by class name: another class may be called `list`
        text = f"a value of type {type(value).__name__}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _cut(text: str) -> str:
    """Shorten a `repr` that escapes made longer than its text."""
    return text if len(text) <= 2 * _SHOWN else f"{text[: 2 * _SHOWN]}..."


def cut(text: str) -> str:
    """Return the text unquoted, or as `shown` does where it is too long for a message."""
    return text if len(text) <= _SHOWN else shown(text)


def escaped(text: str) -> str:
    """Escape control characters and line ends: quoted text must not forge a log line or move a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class TradebookError(Exception):
    """The base class of all exceptions that tradebook defines; its message is printable text.

    Attributes:
        index: the index, in the list that the caller gave, of the entry that was refused; None without a list.
        order_id: the order id of that entry, if it is a trade that was given one.
    """

    index: int | None = None
    order_id: str | None = None
    _where: str = ""

    def __init__(self, *lines: str) -> None:
        """Write the message, which has one line unless several are given; each is `escaped`."""
        super().__init__("\n".join(map(escaped, lines)))

    def __str__(self) -> str:
        """Return the message, after the entry of a list that it is about: `trades[17] (order_id 'o-18'): ...`."""
        return f"{self._where}{super().__str__()}"

    def locate(self, name: str, index: int, order_id: str | None) -> None:
        """Name the entry of the caller's list `name` that was refused."""
        self.index, self.order_id = index, order_id
        order = "" if order_id is None else f" (order_id {shown(order_id)})"
        self._where = f"{name}[{index}]{order}: "


class InvalidInput(TradebookError, ValueError):
    """A value was refused; no row was written.

    Attributes:
        field: the name of the field or argument, `""` where none is known.
        value: the value that was refused.
        expected: the values that are accepted.
    """

    def __init__(self, field: str, value: object, expected: str) -> None:
        """Write the message; converters leave `field` empty, and their caller adds it."""
        self.field, self.value, self.expected = field, value, expected
        readable = field.isprintable() and len(field) <= 2 * _SHOWN
        where = f"{field if readable else shown(field)}: " if field else ""
        super().__init__(f"{where}{shown(value)} is not accepted; expected {expected}")


class NotFound(TradebookError, LookupError):
    """The account has no such record."""

    def __init__(self, entity: str, key: object, account: str) -> None:
        """Write the message."""
        self.entity, self.key, self.account = entity, key, account
        super().__init__(f"no {entity} {shown(key)} in account {account!r}")


class DuplicateRecord(TradebookError):
    """The identity is already recorded, with other terms.

    Attributes:
        differences: for each differing field (recorded value, given value).
    """

    def __init__(
        self, entity: str, identity: str, differences: Mapping[str, tuple[object, object]]
    ) -> None:
        """Write the message, listing the differences."""
        self.entity, self.identity, self.differences = entity, identity, dict(differences)
        listed = "; ".join(
            f"{name} is {_plain(recorded)}, given {_plain(given)}"
            for name, (recorded, given) in self.differences.items()
        )
        super().__init__(f"{entity} {identity} is already recorded with other terms: {listed}")


class DuplicateOrder(DuplicateRecord):
    """The same fill is already recorded, with other terms.

    Give another `execution_id` when it is another fill of the order.
    """


class InstrumentMismatch(TradebookError):
    """A trade differs in currency, multiplier or settlement from its symbol's first booked trade."""

    def __init__(self, symbol: str, field: str, fixed: object, given: object) -> None:
        """Write the message."""
        self.symbol, self.field, self.fixed, self.given = symbol, field, fixed, given
        super().__init__(
            f"{symbol}: {field} is {_plain(fixed)} since its first trade, given {_plain(given)}; "
            "use another symbol for another instrument"
        )


class InvalidTransition(TradebookError):
    """The record's state does not allow the change."""


class MissingRate(TradebookError):
    """An amount cannot be converted: no rate was given for its currency."""

    def __init__(self, currency: str, base_currency: str) -> None:
        """Write the message, with the argument to pass."""
        self.currency, self.base_currency = currency, base_currency
        super().__init__(
            f"no rate from {currency} to {base_currency}; "
            f"pass rates={{{currency!r}: <{base_currency} for one {currency}>}}"
        )


class ExtraNotInstalled(TradebookError, ImportError):
    """An optional package is needed and not installed.

    Attributes:
        extra: the extra of tradebook that installs it.
    """

    def __init__(self, extra: str, package: str) -> None:
        """Write the message, with the command that installs the package."""
        super().__init__(f"{package} is not installed; pip install 'tradebook[{extra}]'")
        self.extra = extra


class OperationFailed(TradebookError):
    """A server, a backup or a restore failed; existing data is unchanged."""


class ProgramMissing(OperationFailed):
    """A program is missing, or its version is too old."""


class BackupDamaged(OperationFailed):
    """A backup is incomplete or altered; nothing was restored from it."""


class WouldOverwrite(OperationFailed):
    """A file or database would be overwritten; nothing was changed."""


class WitnessFailed(OperationFailed):
    """A witness of the seals cannot be reached, or contradicts the book; seals that were made stay.

    Attributes:
        is_altered: whether the witness itself is not as it was written.
        sealed: raised by `seal`: what it sealed, and the state of each witness.
    """

    def __init__(self, *lines: str, is_altered: bool = False, sealed: Any = None) -> None:
        """Keep the result beside the message."""
        self.is_altered, self.sealed = is_altered, sealed
        super().__init__(*lines)


class ConcurrentUpdate(TradebookError):
    """Another writer changed the record first; run the whole unit of work again.

    Attributes:
        waited_for_lock: True where a lock was waited for in vain; the message names its holder, if that is known.
    """

    waited_for_lock: bool = False


class StaleRecord(ConcurrentUpdate):
    """Another writer changed the record after the entity was read; read it again.

    It is not retried, since the same entity would be refused again.
    """


class BookBusy(TradebookError):
    """Conflicts with other writers outlasted every retry; nothing was written.

    Attributes:
        attempts: how often the unit of work was tried.
    """

    def __init__(self, message: str, attempts: int = 1) -> None:
        """Keep the number of attempts beside the message."""
        self.attempts = attempts
        super().__init__(message)


class UncommittedWork(UserWarning):
    """A unit of work was left with changes that were neither committed nor rolled back; they were discarded."""


class DatabaseFailure(TradebookError):
    """The database failed; nothing was written, unless this is a `CommitUnknown`."""


class DatabaseUnavailable(DatabaseFailure):
    """The database is unreachable, or the connection was lost.

    Attributes:
        attempts: how often the unit of work was tried.
        is_lasting: True where waiting does not help: a wrong password, no such database.
    """

    attempts: int = 1
    is_lasting: bool = False


class CommitUnknown(DatabaseUnavailable):
    """The connection was lost at COMMIT, and its outcome cannot be queried.

    The unit of work was committed whole or not at all. Run it again with the same order ids, references
    and dedup keys: records that exist already are recognised, and none is written twice.
    """


class DatabaseFull(DatabaseFailure):
    """The database's disk is full; nothing was written, and earlier records are intact.

    The book works again once space is freed.
    """


class DatabaseReadOnly(DatabaseFailure):
    """The database accepts no writes: a read-only file, or a standby server."""


class DatabaseCorrupt(DatabaseFailure):
    """The database's data is damaged, or its file is not a database; stop trading on it."""

    def __init__(self, damage: str) -> None:
        """Write the message, with the steps that save the data."""
        super().__init__(
            f"{damage}; the database is damaged: write no more, keep a copy, restore a backup, and "
            "let `tradebook verify` prove it"
        )


class NotPermitted(DatabaseFailure):
    """The connected role lacks a privilege; nothing was written."""


class StatementCancelled(DatabaseFailure):
    """A statement exceeded its timeout or was cancelled."""


class SchemaNotReady(DatabaseFailure):
    """Tables are missing, or of another version than this code."""


class PoolExhausted(DatabaseFailure):
    """Every connection is in use, and none became free in time."""


class ConstraintViolated(DatabaseFailure):
    """A constraint of the schema refused a row.

    Attributes:
        table, column, constraint: the names; None where the database does not give them.
    """

    def __init__(
        self,
        message: str,
        table: str | None = None,
        column: str | None = None,
        constraint: str | None = None,
    ) -> None:
        """Keep the names beside the message."""
        self.table, self.column, self.constraint = table, column, constraint
        super().__init__(message)


def _plain(value: object) -> str:
    return shown(str(value)) if value is not None else "none"
