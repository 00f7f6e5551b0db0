"""What is in a book, counted before and after; and the proof of a restored one, account by account."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from attrs import frozen
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

COUNTED: Final = {
    "trades": "SELECT account, count(*) FROM trades GROUP BY account",
    "positions": "SELECT account, count(*) FROM positions GROUP BY account",
    "events": "SELECT account, count(*) FROM events GROUP BY account",
}


@frozen
class AccountProof:
    """An account of a restored book.

    Attributes:
        account: which.
        expected: what the manifest says.
        found: what is there.
        is_whole: whether that agrees; a physical backup may hold more, booked while it was made.
        verification: every position, P&L and cash, folded again from the trades.
    """

    account: str
    expected: Counts
    found: Counts
    is_whole: bool
    verification: Verification

    @property
    def proven(self) -> bool:
        """Whether everything is there, and follows from the trades."""
        return self.is_whole and self.verification.proven


def read_counts(rows: Callable[[str], Sequence[Sequence[Any]]]) -> dict[str, Counts]:
    """The counts of each account, by three queries that see one instant if the caller's session does."""
    found: dict[str, dict[str, int]] = {
        name: {} for (name,) in rows("SELECT account FROM accounts")
    }
    for table, query in COUNTED.items():
        for account, count in rows(query):
            found.setdefault(account, {})[table] = count
    return {account: Counts(**counts) for account, counts in sorted(found.items())}


def prove(config: DatabaseConfig, manifest: Manifest) -> tuple[AccountProof, ...]:
    """Compare a restored book with its backup's manifest, and verify every account of it.

    Raises:
        SchemaNotReady: it is of another revision than this code; install the version that fits.
    """
    orm.start_mappers()
    with engine_for(config) as engine:
        read_schema_state(engine).require()
        with translated_errors(), engine.connect() as connection:
            found = read_counts(lambda query: connection.execute(text(query)).fetchall())
        reading = engine.execution_options(**{READ_ONLY: True})
        sessions = sessionmaker(reading, class_=ReadSession, expire_on_commit=False)
        return tuple(
            _prove_account(sessions, account, manifest, found)
            for account in sorted({*manifest.counts, *found})
        )


def _prove_account(
    sessions: Callable[[], Any], account: str, manifest: Manifest, found: Mapping[str, Counts]
) -> AccountProof:
    with SqlAlchemyUnitOfWork(sessions, account) as uow:
        verification = verify(uow)
    expected, here = manifest.counts.get(account, Counts()), found.get(account, Counts())
    return AccountProof(account, expected, here, _is_whole(expected, here, manifest), verification)


def _is_whole(expected: Counts, found: Counts, manifest: Manifest) -> bool:
    if not manifest.is_physical:
        return found == expected
    return all(getattr(found, table) >= getattr(expected, table) for table in COUNTED)
