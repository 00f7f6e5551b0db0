"""All checks, one after another: one that fails does not keep the others from looking."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from attrs import frozen
from sqlalchemy import Engine

from tradebook.adapters.errors import translated_errors
from tradebook.adapters.health import health
from tradebook.config import DatabaseConfig
from tradebook.domain.errors import DatabaseUnavailable, TradebookError
from tradebook.operations.doctor import any_database, book, indexes, postgresql, sqlite, vacuum
from tradebook.operations.doctor.checks import (
    Check,
    CheckTarget,
    Finding,
    Level,
    PartProgress,
    green,
    red,
    unknown,
)
from tradebook.operations.server.admin_connection import require_file
from tradebook.service_layer.book import Book

_CORRECT: Final = "do as it says: `tradebook config` names where each value comes from"

_POSTGRESQL: tuple[Check, ...] = (
    postgresql.encryption,
    postgresql.version,
    postgresql.isolation,
    postgresql.durability,
    postgresql.connections,
    postgresql.disk,
    postgresql.archive,
    postgresql.slots,
    vacuum.autovacuum,
    vacuum.long_transactions,
    any_database.clock,
)
_POSTGRESQL_TABLES: tuple[Check, ...] = (
    postgresql.roles,
    postgresql.ownership,
    vacuum.bloat,
    indexes.missing,
    indexes.invalid,
    indexes.unused,
    indexes.hot_updates,
)
_SQLITE: tuple[Check, ...] = (
    sqlite.version,
    sqlite.access,
    sqlite.durability,
    sqlite.disk,
    sqlite.bloat,
    sqlite.write_ahead_log,
)
_TABLES: tuple[Check, ...] = (any_database.clock_of_writers, any_database.drift)


@frozen
class Diagnosis:
    """What the doctor found.

    Attributes:
        database: its URL, passwords masked.
        account: whose book was proven.
        findings: in the order in which they were looked for.
    """

    database: str
    account: str
    findings: tuple[Finding, ...]

    @property
    def level(self) -> Level:
        """The worst of all."""
        levels = {finding.level for finding in self.findings}
        return next((level for level in (Level.RED, Level.YELLOW) if level in levels), Level.GREEN)


def examine(
    the_book: Book,
    engine: Engine,
    config: DatabaseConfig,
    account: str,
    *,
    thorough: bool = True,
    progress: PartProgress | None = None,
) -> Diagnosis:
    """Look at a database and the book in it; changes nothing.

    Args:
        the_book: the account's.
        engine: of the same database.
        config: of the same database.
        account: whose book it is.
        thorough: prove the audit trail and the book too, which reads every trade and event.
        progress: called with what is being looked at, how much is done, and of how much.

    Returns:
        What was found; a database that does not answer is a finding too.
    """
    report: PartProgress = progress or (lambda _what, _done, _total: None)
    found = _answering(engine, config)
    answers, usable = found[0].level is Level.GREEN, found[-1].level is not Level.RED
    if answers:
        found += _on_connection(_checks(config, usable=usable), engine, config, account)
    if usable and thorough:
        found += _found("audit trail", book.audit_trail(the_book, report))
        found += _found("verify", book.proof(the_book, report))
    return Diagnosis(config.safe_url, account, tuple(found))


def _answering(engine: Engine, config: DatabaseConfig) -> list[Finding]:
    """Whether it answers, and has the tables."""
    try:
        require_file(config)
    except DatabaseUnavailable as error:
        return [red("connection", str(error), _CORRECT)]
    state = health(engine, config)
    if not state.reachable:
        return [red("connection", str(state.error), _CORRECT)]
    assert state.latency is not None
    answer = green("connection", f"{state.server} answers in {state.latency * 1000:.1f} ms")
    return [answer, any_database.schema(state)]


def _checks(config: DatabaseConfig, *, usable: bool) -> tuple[Check, ...]:
    """What can be looked at; without the tables of this code only what is around them."""
    if config.backend == "sqlite":
        return (*_SQLITE, *_TABLES) if usable else _SQLITE
    return (*_POSTGRESQL, *_POSTGRESQL_TABLES, *_TABLES) if usable else _POSTGRESQL


def _on_connection(
    checks: Iterable[Check], engine: Engine, config: DatabaseConfig, account: str
) -> list[Finding]:
    found: list[Finding] = []
    for check in checks:
        # A connection of its own: after an error the last one's transaction is void.
        with translated_errors(), engine.connect() as connection:
            name = check.__name__.replace("_", " ")
            found += _found(name, check(CheckTarget(connection, config, engine, account)))
    return found


def _found(name: str, findings: Iterable[Finding]) -> Iterator[Finding]:
    try:
        with translated_errors():
            yield from findings
    except TradebookError as error:
        yield unknown(name, str(error))
