"""Copy a book into an empty database: from SQLite to PostgreSQL, back, or between two of one kind."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from attrs import evolve, frozen
from sqlalchemy import Engine, Table

from tradebook.adapters.engine.factory import engine_for
from tradebook.adapters.engine.transactions import READ_ONLY
from tradebook.adapters.errors import translated_errors
from tradebook.adapters.migrations import upgrade as migrations
from tradebook.adapters.migrations.schema_state import EMPTY, read_schema_state
from tradebook.adapters.orm import metadata
from tradebook.adapters.unit_of_work import read_unit
from tradebook.config import DatabaseConfig
from tradebook.domain.errors import (
    InvalidInput,
    OperationFailed,
    SchemaNotReady,
    WouldOverwrite,
)
from tradebook.operations.backup.manifest import no_progress
from tradebook.operations.server.admin_connection import require_file
from tradebook.operations.table_lines import TableLines, has_sequence, open_lines
from tradebook.service_layer.instrumentation import Progress, ProgressCallback
from tradebook.service_layer.verification.seal_check import SealCheck, check_seals
from tradebook.service_layer.verification.verify import Verification, verify

_READING: Final = {READ_ONLY: True}


@frozen
class CopiedTable:
    """A table that has the same rows in both databases.

    Attributes:
        name: its name.
        rows: the number of its rows.
        sha256: the hash of its rows as lines of text, in the order of account and primary key.
    """

    name: str
    rows: int
    sha256: str


@frozen
class CopiedAccount:
    """An account of the copy, proven as `verify` and `check_seals` do.

    Attributes:
        account: its name.
        verification: the verification of every position, P&L and cash balance, folded again from the trades.
        seals: the check of its seals; None where it has none.
    """

    account: str
    verification: Verification
    seals: SealCheck | None

    @property
    def proven(self) -> bool:
        """True if the stored state follows from the trades, and nothing that is sealed was changed."""
        return self.verification.proven and (self.seals is None or self.seals.sound)


@frozen
class BookCopy:
    """A book that was copied.

    Attributes:
        tables: every table, compared with its original.
        accounts: every account, proven in the copy; none where that was not asked for.
        seconds: the time that both took.
    """

    tables: tuple[CopiedTable, ...]
    accounts: tuple[CopiedAccount, ...]
    seconds: float

    @property
    def proven(self) -> bool:
        """True if every account is; else the original has the same differences and findings."""
        return all(account.proven for account in self.accounts)


def copy_book(
    source: DatabaseConfig,
    target: DatabaseConfig,
    *,
    prove: bool = True,
    report: ProgressCallback = no_progress,
) -> BookCopy:
    """Copy every account with its ids, events and seals into an empty database: all of it, or nothing.

    The source is read as of one instant, while others may write to it; what they commit later is not copied. The
    target is locked, and gets the tables if it has none. Before the copy is committed, every table is read back
    and compared with its original, by the number of rows and their hash. Then every account is proven.

    Args:
        source: the database that is copied. The role that connects must see every row.
        target: an empty database. The role that connects must own its tables.
        prove: whether to prove the accounts after the copy; False leaves that to `verify` and `check_seals`.
        report: called with the rows written and read back, and how many there are; then as `verify` and
            `check_seals` do.

    Raises:
        WouldOverwrite: the target is not empty, or is in use.
        InvalidInput: both are the same database, or one is in memory.
        SchemaNotReady: a schema is not the one of this version.
        NotPermitted: row-level security applies to a role, or the role does not own the target's tables.
        OperationFailed: a table that was read back differs from its original.
    """
    started = time.monotonic()
    for config in (source, target):
        if config.is_in_memory:
            raise InvalidInput("database", config.safe_url, "a file or a server")
    if _place(source) == _place(target):
        raise InvalidInput("target", target.safe_url, "another database than the one to copy")
    require_file(source)
    source, target = source.for_sessions(), target.for_sessions()
    with engine_for(_patient(source)) as from_, engine_for(_patient(target)) as to:
        _require_schema(source, from_)
        if read_schema_state(to).name == EMPTY:
            migrations.upgrade(to)
        _require_schema(target, to)
        with (
            translated_errors(),
            from_.connect().execution_options(**_READING) as reading,
            to.begin() as writing,
        ):
            copying = _Copying(open_lines(reading, writing), open_lines(writing, reading), report)
            tables = copying.run()
        accounts = _prove(to, copying.accounts, report) if prove else ()
    return BookCopy(tables, accounts, time.monotonic() - started)


def _place(config: DatabaseConfig) -> object:
    if config.path is None:
        return config.host, config.port, config.database
    return Path(str(config.path)).resolve()


def _patient(config: DatabaseConfig) -> DatabaseConfig:
    return evolve(config, statement_timeout=None, slow_query_seconds=None)


def _require_schema(config: DatabaseConfig, engine: Engine) -> None:
    try:
        read_schema_state(engine).require()
    except SchemaNotReady as error:
        raise SchemaNotReady(f"{config.safe_url}: {error}") from None


class _Copying:
    """The copy of all tables in the transactions of two connections."""

    def __init__(self, source: TableLines, target: TableLines, report: ProgressCallback) -> None:
        self._source, self._target = source, target
        self._tables = metadata.sorted_tables
        self._counts: dict[str, Mapping[str, int]] = {}
        self._progress = Progress(report, 0)

    def run(self) -> tuple[CopiedTable, ...]:
        self._require_empty()  # before the lock, which would hold up the writers of a book by mistake
        self._target.lock(self._tables)
        self._require_empty()
        for table in self._tables:
            self._counts[table.name] = self._source.counts(table)
            self._progress.total += 2 * sum(self._counts[table.name].values())
        with self._target.loading(self._tables):
            originals = [self._copy(table) for table in self._tables]
        for original, table in zip(originals, self._tables, strict=True):
            if self._read_back(table) != original:
                raise OperationFailed(
                    f"{table.name} was written, and read back it is not the original: nothing was copied. "
                    "`tradebook verify` and `tradebook audit check` check the original"
                )
        return tuple(originals)

    @property
    def accounts(self) -> list[str]:
        return sorted({account for counts in self._counts.values() for account in counts})

    def _require_empty(self) -> None:
        for table in self._tables:
            if self._target.has_rows(table):
                raise WouldOverwrite(
                    f"the target's table {table.name} has rows: copy into an empty database, such as a new one"
                )

    def _copy(self, table: Table) -> CopiedTable:
        digest = sha256()
        # Closed at once when a write fails: the thread must not read on while the connection is closed.
        with closing(_read_ahead(self._pages(self._source, table))) as pages:
            for page in pages:
                self._target.write(table, page)
                self._add(page, digest)
        if has_sequence(table) and (last := self._source.last_id(table)):
            self._target.set_last_id(table, last)
        return CopiedTable(table.name, sum(self._counts[table.name].values()), digest.hexdigest())

    def _read_back(self, table: Table) -> CopiedTable:
        digest, counts = sha256(), self._target.counts(table)
        for page in self._pages(self._target, table):
            self._add(page, digest)
        return CopiedTable(table.name, sum(counts.values()), digest.hexdigest())

    def _pages(self, lines: TableLines, table: Table) -> Iterator[bytes]:
        for account in self._counts[table.name]:
            yield from lines.pages(table, account)

    def _add(self, page: bytes, digest: Any) -> None:
        digest.update(page)
        self._progress.add(page.count(b"\n"))


def _read_ahead(pages: Iterator[bytes]) -> Generator[bytes]:
    """Read the next page in a thread, while the caller writes this one."""
    with ThreadPoolExecutor(1) as thread:
        following = thread.submit(next, pages, b"")
        while page := following.result():
            following = thread.submit(next, pages, b"")
            yield page


def _prove(
    engine: Engine, accounts: Sequence[str], report: ProgressCallback
) -> tuple[CopiedAccount, ...]:
    proven = []
    for account in accounts:
        with read_unit(engine, account) as uow:
            seals = check_seals(uow, progress=report) if uow.seals.last() else None
            proven.append(CopiedAccount(account, verify(uow, progress=report), seals))
    return tuple(proven)
