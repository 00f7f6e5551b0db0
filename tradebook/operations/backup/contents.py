"""The records in a book, counted before and after; and the proof of a restored one, account by account."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import astuple, fields_dict, frozen
from sqlalchemy import text
from sqlalchemy.orm import sessionmaker

from tradebook.adapters import orm
from tradebook.adapters.engine.factory import engine_for
from tradebook.adapters.engine.transactions import READ_ONLY
from tradebook.adapters.errors import translated_errors
from tradebook.adapters.migrations.schema_state import read_schema_state
from tradebook.adapters.repositories.read_sessions import ReadSession
from tradebook.adapters.unit_of_work import SqlAlchemyUnitOfWork
from tradebook.config import DatabaseConfig
from tradebook.operations.backup.manifest import Counts, Manifest
from tradebook.service_layer.verification.verify import Verification, verify


@frozen
class AccountProof:
    """An account of a restored book, compared with its backup and folded again.

    Attributes:
        account: its name.
        expected: the counts of the manifest.
        found: the counts of the restored book.
        is_whole: whether the two agree; a physical backup may hold more, booked while it was made.
        verification: the verification of every position, P&L and cash balance, folded again from the trades.
    """

    account: str
    expected: Counts
    found: Counts
    is_whole: bool
    verification: Verification

    @property
    def proven(self) -> bool:
        """True if every record is there, and the stored state follows from the trades."""
        return self.is_whole and self.verification.proven


def read_counts(rows: Callable[[str], Sequence[Sequence[Any]]]) -> dict[str, Counts]:
    """Count the records of each account.

    Args:
        rows: runs a query; in a transaction with one snapshot, or the counts are of different instants.
    """
    found: dict[str, dict[str, int]] = {
        name: {} for (name,) in rows("SELECT account FROM accounts")
    }
    for table in fields_dict(Counts):
        query = f"SELECT account, count(*) FROM {table} GROUP BY account"  # noqa: S608  # our names
        for account, count in rows(query):
            found.setdefault(account, {})[table] = count
    return {account: Counts(**counts) for account, counts in sorted(found.items())}


def prove(config: DatabaseConfig, manifest: Manifest) -> tuple[AccountProof, ...]:
    """Compare a restored book with its backup's manifest, and verify every account of it.

    Raises:
        SchemaNotReady: the book has another revision than this code; upgrade it, or install the version
            that fits.
    """
    orm.start_mappers()
    with engine_for(config) as engine:
        read_schema_state(engine).require()
        with translated_errors(), engine.connect() as connection:
            found = read_counts(lambda query: connection.execute(text(query)).fetchall())
        reading = engine.execution_options(**{READ_ONLY: True})
        sessions = sessionmaker(reading, class_=ReadSession, expire_on_commit=False)
        proofs = []
        for account in sorted({*manifest.counts, *found}):
            with SqlAlchemyUnitOfWork(sessions, account) as uow:
                verification = verify(uow)
            expected, here = manifest.counts.get(account, Counts()), found.get(account, Counts())
            # A physical backup was counted when the copy began, and is consistent as of its end.
            pairs = zip(astuple(here), astuple(expected), strict=True)
            is_whole = here == expected or (manifest.is_physical and all(a >= b for a, b in pairs))
            proofs.append(AccountProof(account, expected, here, is_whole, verification))
    return tuple(proofs)
