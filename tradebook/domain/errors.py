"""Everything tradebook raises.

TradebookError
 +-- InvalidInput            a value was refused (also a ValueError)
 +-- NotFound                no such record in this account (also a LookupError)
 +-- DuplicateRecord         the identity is taken by a record with other terms
 |    +-- DuplicateOrder     ... by a trade
 +-- InstrumentMismatch      currency, multiplier or settlement differ from the symbol's first trade
 +-- InvalidTransition       the record's state does not allow it
 +-- MissingRate             a snapshot needs an exchange rate it was not given
 +-- ExtraNotInstalled       something optional is missing; says what to install
 +-- ConcurrentUpdate        somebody else changed the record first: try the unit of work again
 |    +-- StaleRecord        ... before the entity given was read: trying again cannot help
 +-- BookBusy                conflicts outlasted every retry (`attempts` says how many)
 +-- OperationFailed         what keeps a book running (a server, a backup, a restore) did not work
 |    +-- ProgramMissing     ... a program of PostgreSQL, gpg or age is missing, or of another version
 |    +-- BackupDamaged      ... a backup is not what was written
 |    +-- WouldOverwrite     ... something is there that would be lost
 +-- DatabaseFailure         the database could not do it
      +-- DatabaseUnavailable     not reachable, or the connection was lost
      |    +-- CommitUnknown      ... at COMMIT: done or not, call again and nothing is done twice
      +-- DatabaseFull            no room is left on its disk
      +-- DatabaseReadOnly        it takes no writes
      +-- DatabaseCorrupt         its data is damaged
      +-- NotPermitted            the role that is connected may not do it
      +-- StatementCancelled      a statement took too long, or somebody ended it
      +-- PoolExhausted           every connection is in use
      +-- SchemaNotReady          tables missing or of another version
      +-- ConstraintViolated      the schema refused a row

The message says what was wrong, with which value, and what to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from reprlib import Repr
from typing import Any

_SHOWN = 80


class _Readable(Repr):
    """The `repr` of anything, however long, deep or hostile, without reading all of it."""

    def __init__(self) -> None:
        super().__init__()
        self.maxother = self.maxlong = self.maxstring = 2 * _SHOWN
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = self.maxfrozenset = 20

    def repr_int(self, x: int, level: int) -> str:
        """Of 10,000 digits Python itself would refuse to write the `repr`."""
        return _digits(x) if x.bit_length() > 512 else super().repr_int(x, level)

    def repr_instance(self, x: Any, level: int) -> str:  # noqa: ARG002  # as `Repr` calls it
        """What the object says; where it raises, its type."""
        try:
            return repr(x)
        except Exception:  # whatever it raises
            return f"a value of type {type(x).__name__}"


_readable = _Readable()


def shown(value: object) -> str:
    """`repr(value)`, cut to a readable length."""
    if issubclass(type(value), str):
        return _quoted(str.__str__(value))
    try:
        text = _readable.repr(value)
    except Exception:  # a class that is named like one of Python's
        text = f"a value of type {type(value).__name__}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _quoted(text: str) -> str:
    if len(text) <= _SHOWN:
        return _cut(repr(text))
    return f"{_cut(repr(text[:_SHOWN]))}... ({len(text)} characters)"


def _cut(text: str) -> str:
    """What is written in escapes is longer than it is."""
    return text if len(text) <= 2 * _SHOWN else f"{text[: 2 * _SHOWN]}..."


def cut(text: str) -> str:
    """The text itself, unless it is too long to be read in a message."""
    return text if len(text) <= _SHOWN else shown(text)


def _digits(value: int) -> str:
    return f"an integer of about {value.bit_length() * 3 // 10} digits"


class TradebookError(Exception):
    """The base of everything that tradebook raises on purpose."""


class InvalidInput(TradebookError, ValueError):
    """A value was refused; nothing was written.

    Attributes:
        field: the name of the field or argument, `""` where none is known.
        value: what was given.
        expected: what is accepted.
    """

    def __init__(self, field: str, value: object, expected: str) -> None:
        self.field, self.value, self.expected = field, value, expected
        readable = field.isprintable() and len(field) <= 2 * _SHOWN
        where = f"{field if readable else shown(field)}: " if field else ""
        super().__init__(f"{where}{shown(value)} is not accepted; expected {expected}")


class NotFound(TradebookError, LookupError):
    """There is no such record in this account."""

    def __init__(self, entity: str, key: object, account: str) -> None:
        self.entity, self.key, self.account = entity, key, account
        super().__init__(f"no {entity} {shown(key)} in account {account!r}")


class DuplicateRecord(TradebookError):
    """The identity is already recorded, with other terms.

    Attributes:
        differences: for each differing field, (what is recorded, what was given).
    """

    def __init__(
        self, entity: str, identity: str, differences: Mapping[str, tuple[object, object]]
    ) -> None:
        self.entity, self.identity, self.differences = entity, identity, dict(differences)
        listed = "; ".join(
            f"{name} is {_plain(recorded)}, given {_plain(given)}"
            for name, (recorded, given) in self.differences.items()
        )
        super().__init__(f"{entity} {identity} is already recorded with other terms: {listed}")


class DuplicateOrder(DuplicateRecord):
    """The same fill was recorded before, with other terms.

    Give another `execution_id` when it is another fill of the order.
    """


class InstrumentMismatch(TradebookError):
    """Currency, multiplier and settlement of a symbol are fixed by its first booked trade."""

    def __init__(self, symbol: str, field: str, fixed: object, given: object) -> None:
        self.symbol, self.field, self.fixed, self.given = symbol, field, fixed, given
        super().__init__(
            f"{symbol}: {field} is {_plain(fixed)} since its first trade, given {_plain(given)}; "
            "use another symbol for another instrument"
        )


class InvalidTransition(TradebookError):
    """The record's state does not allow this."""


class MissingRate(TradebookError):
    """Amounts in this currency cannot be converted: no rate was given."""

    def __init__(self, currency: str, base_currency: str) -> None:
        self.currency, self.base_currency = currency, base_currency
        super().__init__(
            f"no rate from {currency} to {base_currency}; "
            f"pass rates={{{currency!r}: <{base_currency} for one {currency}>}}"
        )


class ExtraNotInstalled(TradebookError):
    """Something optional is needed that is not installed.

    Attributes:
        extra: the extra of tradebook that has it.
    """

    def __init__(self, extra: str, package: str) -> None:
        super().__init__(f"{package} is not installed; pip install 'tradebook[{extra}]'")
        self.extra = extra


class OperationFailed(TradebookError):
    """A server, a backup or a restore did not work; what was there before is as it was."""


class ProgramMissing(OperationFailed):
    """A program is needed that is not installed, or not in a version that will do."""


class BackupDamaged(OperationFailed):
    """A backup is not complete, or not what was written; nothing was restored from it."""


class WouldOverwrite(OperationFailed):
    """Something is there that would be lost; nothing was changed."""


class ConcurrentUpdate(TradebookError):
    """Somebody else changed the record first; run the whole unit of work again."""


class StaleRecord(ConcurrentUpdate):
    """The entity given was read before somebody else changed its record; read it again.

    Running the same call again cannot help, so nobody does.
    """


class BookBusy(TradebookError):
    """Conflicts with other writers outlasted every retry; nothing was written.

    Attributes:
        attempts: how often the unit of work was tried.
    """

    def __init__(self, message: str, attempts: int = 1) -> None:
        self.attempts = attempts
        super().__init__(message)


class DatabaseFailure(TradebookError):
    """The database could not do it; nothing was written, unless it is a `CommitUnknown`."""


class DatabaseUnavailable(DatabaseFailure):
    """The database is not reachable, or the connection was lost.

    Attributes:
        attempts: how often the unit of work was tried.
    """

    attempts: int = 1


class CommitUnknown(DatabaseUnavailable):
    """The connection was lost at COMMIT, and the database cannot be asked what became of it.

    All of the unit of work was done, or nothing. Do it again with the same order ids, references and
    dedup keys: what is recorded already is recognised, and not recorded twice.
    """


class DatabaseFull(DatabaseFailure):
    """No room is left on the database's disk; nothing was written, and what was booked stays.

    The book works again when room was made.
    """


class DatabaseReadOnly(DatabaseFailure):
    """The database takes no writes: a file that may not be written, or a standby."""


class DatabaseCorrupt(DatabaseFailure):
    """The database's data is damaged, or it is no database; nobody should trade on it."""

    def __init__(self, damage: str) -> None:
        super().__init__(
            f"{damage}; the database is damaged: write no more, keep a copy, restore a backup, and "
            "let `tradebook verify` prove it"
        )


class NotPermitted(DatabaseFailure):
    """The role that is connected may not do it; nothing was written."""


class StatementCancelled(DatabaseFailure):
    """The server ended a statement that took too long, or that somebody cancelled."""


class SchemaNotReady(DatabaseFailure):
    """Tables are missing or of another version than this code."""


class PoolExhausted(DatabaseFailure):
    """Every connection is in use, and none became free in time."""


class ConstraintViolated(DatabaseFailure):
    """The schema refused a row.

    Attributes:
        table, column, constraint: which; None where the database does not say.
    """

    def __init__(
        self,
        message: str,
        table: str | None = None,
        column: str | None = None,
        constraint: str | None = None,
    ) -> None:
        self.table, self.column, self.constraint = table, column, constraint
        super().__init__(message)


def _plain(value: object) -> str:
    return shown(str(value)) if value is not None else "none"
