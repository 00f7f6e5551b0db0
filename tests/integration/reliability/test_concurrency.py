"""Many writers on one book, briefly; `make soak` runs the same for as long as asked."""

from __future__ import annotations

import pytest
from sqlalchemy import URL

from reliability.concurrency import HOT, MANY, Senders, attack, in_processes, in_tasks, in_threads
from reliability.scenario import new_seed
from tests.support.backends import in_full_runs

ORDERS = 60


@pytest.mark.slow
@pytest.mark.parametrize(
    ("senders", "symbols"),
    [
        (in_threads, HOT),
        in_full_runs(in_processes, MANY),
        (in_tasks, HOT),
        in_full_runs(in_threads, MANY),
        in_full_runs(in_processes, HOT),
        in_full_runs(in_tasks, MANY),
    ],
)
def test_many_writers_on_postgresql_book_what_one_would_have(
    postgresql_book: URL, senders: Senders, symbols: int
) -> None:
    figures, _ = attack(postgresql_book, senders, symbols, ORDERS, new_seed())
    assert figures.kept, figures


@pytest.mark.slow
@pytest.mark.parametrize("symbols", [HOT, in_full_runs(MANY)])
def test_processes_on_one_sqlite_file_book_what_one_would_have(
    sqlite_url: str, symbols: int
) -> None:
    figures, _ = attack(sqlite_url, in_processes, symbols, ORDERS, new_seed())
    assert figures.kept, figures
