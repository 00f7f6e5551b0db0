"""Run every check that fits a database; one that fails does not keep the others from running."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from attrs import frozen
from sqlalchemy import Engine

from tradebook.adapters.errors import translated_errors
from tradebook.config import DatabaseConfig
from tradebook.domain.errors import TradebookError
from tradebook.operations.doctor import any_database, poolers, postgresql, sqlite, tables
from tradebook.operations.doctor.checks import Check, CheckTarget, Finding, Level, PartProgress
from tradebook.operations.doctor.readers import readers
from tradebook.service_layer.book import Book

_POSTGRESQL: Final[tuple[Check, ...]] = (
    postgresql.encryption,
    postgresql.version,
    postgresql.isolation,
    postgresql.durability,
    postgresql.connections,
    poolers.pooler,
    postgresql.disk,
    postgresql.archive,
    postgresql.archived_log,
    postgresql.slots,
    tables.autovacuum,
    tables.long_transactions,
    any_database.clock,
)
_SQLITE: Final[tuple[Check, ...]] = (
    sqlite.version,
    sqlite.access,
    sqlite.durability,
    sqlite.disk,
    sqlite.bloat,
    sqlite.write_ahead_log,
)
# These need the tables of this code's revision.
_POSTGRESQL_TABLES: Final[tuple[Check, ...]] = (
    postgresql.roles,
    postgresql.ownership,
    postgresql.privileges,
    tables.bloat,
    tables.missing,
    tables.invalid,
    tables.unused,
    tables.hot_updates,
)
_TABLES: Final[tuple[Check, ...]] = (any_database.clock_of_writers, any_database.drift)


@frozen
class Diagnosis:
    """The findings of all checks of a database.

    Attributes:
        database: its URL, passwords masked.
        account: the account of the book.
        findings: in the order of the checks.
    """

    database: str
    account: str
    findings: tuple[Finding, ...]

    @property
    def level(self) -> Level:
        """The worst level of all findings."""
        levels = {finding.level for finding in self.findings}
        return next((level for level in (Level.RED, Level.YELLOW) if level in levels), Level.GREEN)


def examine(
    the_book: Book,
    engine: Engine,
    config: DatabaseConfig,
    account: str,
    *,
    reads_from: Sequence[DatabaseConfig] = (),
    thorough: bool = True,
    progress: PartProgress | None = None,
) -> Diagnosis:
    """Check a database and the book in it, without changing either.

    Args:
        the_book: the book of the account.
        engine: an engine of the same database.
        config: the configuration of the same database.
        account: the account of the book.
        reads_from: the servers that queries go to.
        thorough: whether to prove the audit trail and the book too, which reads every trade and event.
        progress: called with the name of a check, how much of it is done, and how much there is.

    Returns:
        The findings; an unreachable database is one of them.
    """
    found = [*any_database.connection(engine, config)]
    answers, usable = found[0].level is Level.GREEN, found[-1].level is not Level.RED
    if answers:
        is_file = config.backend == "sqlite"
        checks = _SQLITE if is_file else _POSTGRESQL
        if usable:
            checks += _TABLES if is_file else (*_POSTGRESQL_TABLES, *_TABLES)
        for check in checks:
            # A connection for each check: after an error, PostgreSQL refuses the rest of a transaction.
            with translated_errors(), engine.connect() as connection:
                target = CheckTarget(connection, config, engine, account)
                found += _collect(check.__name__.replace("_", " "), check(target))
    if answers:
        found += _collect("queries", readers(engine, reads_from))
    if usable and thorough:
        for name, findings in any_database.book(
            the_book, progress or (lambda _what, _done, _total: None)
        ):
            found += _collect(name, findings)
    return Diagnosis(config.safe_url, account, tuple(found))


def _collect(name: str, findings: Iterable[Finding]) -> Iterator[Finding]:
    """Yield the findings of a check, and its error as one more."""
    try:
        with translated_errors():
            yield from findings
    except TradebookError as error:
        yield Finding(name, Level.UNKNOWN, str(error))
