"""Many trades at a time on databases: killed in the middle, cut off, and by the thousand."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import psycopg2
import pytest
from sqlalchemy import URL, make_url

from tests.support.backends import in_full_runs
from tests.support.servers import configured
from tests.support.statements import statements
from tradebook import DatabaseManager, DatabaseUnavailable, Signal
from tradebook.adapters.runner import retries

KILLED = """
import os, signal, sys
from tests.integration.adapters.ledger.test_bulk_ledger import fills
from tradebook import DatabaseManager

def progress(done, _total):
    if done >= 600:
        os.kill(os.getpid(), signal.SIGKILL)

with DatabaseManager(sys.argv[1]) as manager:
    manager.import_trades(fills(1200), progress=progress, batch=150)
"""


def fills(count: int) -> list[Any]:
    """Fills of several symbols; every tenth comes twice."""
    rows = [
        {
            "symbol": f"S{n % 7}",
            "action": "BUY" if n % 3 else "SELL",
            "quantity": f"{n % 11 + 1}.5",
            "price": f"{n % 101 + 1}.25",
            "fee": "0.01",
            "order_id": f"o{n}",
        }
        for n in range(count)
    ]
    return rows + rows[::10]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    name = "sqlite_book" if request.param == "sqlite" else "own_postgresql_book"
    return str(configured(request.getfixturevalue(name)).url)


@pytest.fixture
def manager(url: str) -> Iterator[DatabaseManager]:
    with DatabaseManager(url) as manager:
        yield manager


def totals(manager: DatabaseManager) -> list[tuple[str, Decimal, Decimal, Decimal, int]]:
    return [
        (p.symbol, p.quantity, p.cost_basis, p.realized_pnl, p.sequence)
        for p in manager.get_positions()
    ]


def test_thousands_of_fills_are_proven(manager: DatabaseManager) -> None:
    result = manager.import_trades(fills(5000))

    assert (result.booked, result.duplicates) == (5000, 500)
    proof = manager.verify()
    assert (proof.trades, proof.proven) == (5000, True)


def test_an_import_that_is_killed_in_the_middle_has_booked_nothing_and_the_next_one_all(
    manager: DatabaseManager, url: str
) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, url], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert manager.get_positions() == []

    manager.import_trades(fills(1200))

    with DatabaseManager("sqlite://") as other:
        other.record_trades(fills(1200))
        assert totals(manager) == totals(other)
    assert manager.verify().proven


def test_a_connection_that_is_lost_in_the_middle_says_so_and_books_nothing(
    own_postgresql_book: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "MAX_OUTAGE", 1)
    url = own_postgresql_book

    def cut_off(done: int, _total: int) -> None:
        if done == 500:
            plain = make_url(url).set(drivername="postgresql").render_as_string(False)
            with psycopg2.connect(plain) as connection, connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE pid <> pg_backend_pid() AND datname = current_database()"
                )
            connection.close()

    with DatabaseManager(url) as manager:
        with pytest.raises(DatabaseUnavailable):
            manager.import_trades(fills(4000), progress=cut_off, batch=500)
        assert manager.get_positions() == []
        assert manager.import_trades(fills(100)).booked == 100


@pytest.mark.parametrize("url", [in_full_runs("sqlite"), "postgresql"], indirect=True)
def test_memory_does_not_grow_with_the_number_of_trades(url: str) -> None:
    peaks = []
    for count in (3_000, 30_000):
        code = (
            "import resource, sys; from tradebook import DatabaseManager\n"
            "rows = ({'symbol': 'A', 'action': 'BUY', 'quantity': 1, 'price': n % 9 + 1, "
            f"'order_id': f'{count}-{{n}}'}} for n in range({count}))\n"
            "with DatabaseManager(sys.argv[1]) as manager: manager.import_trades(rows, batch=1000)\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        printed = subprocess.run(
            [sys.executable, "-c", code, url], check=True, capture_output=True, text=True
        )
        peaks.append(int(printed.stdout))
    assert peaks[1] < peaks[0] + 8 * 1024


def test_many_new_records_take_few_statements(manager: DatabaseManager) -> None:
    given = [Signal(symbol="AAPL", action="BUY", reference=str(number)) for number in range(200)]
    manager.get_signals()  # its tables are there
    with statements() as sent:
        manager.bulk_create(given)
    assert len(sent) <= 12, sent
    assert manager.count(Signal) == 200
