"""The scenarios of reliability through PgBouncer: kills, cuts and restarts cost nothing that was acknowledged."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

import pytest
from sqlalchemy import URL

from reliability import crashes, failures
from reliability.changes import contents, every_change
from reliability.concurrency import HOT, MANY, Senders, attack, in_processes, in_tasks, in_threads
from reliability.concurrency import postgresql_book as new_server
from reliability.proof import require_proven
from reliability.scenario import new_seed, say
from reliability.writers import SYMBOLS, Writers, compared
from tests.integration.poolers.conftest import PooledBook
from tests.support.backends import new_book
from tests.support.breakable_servers import breakable_servers
from tests.support.cut_connections import CUTS, CuttingFront
from tests.support.poolers import in_transactions, pooler
from tests.support.servers import configured, kill_server, start_server
from tradebook import AsyncDatabaseManager, DatabaseManager

pytestmark = [pytest.mark.pooler, pytest.mark.slow]
KINDS = [DatabaseManager, AsyncDatabaseManager]


@pytest.fixture
def way(pooled: PooledBook) -> URL:
    return in_transactions(pooled.url)


@pytest.mark.parametrize("limited_by", ["transaction", "database"])
@pytest.mark.parametrize("symbols", [HOT, MANY])
@pytest.mark.parametrize("senders", [in_threads, in_processes, in_tasks])
def test_many_writers_book_what_one_would_have(
    pooled: PooledBook, way: URL, senders: Senders, symbols: int, limited_by: str
) -> None:
    if limited_by == "database":
        pooled.limit_database()
    figures, _ = attack(way, senders, symbols, 60, new_seed())
    assert figures.kept, figures


def test_what_was_acknowledged_to_a_client_that_is_killed_is_there_once(way: URL) -> None:
    figures = crashes.kill_clients(way, new_seed(), kills=4)
    assert figures.kept, figures


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cut", [crashes.cut_commits, crashes.cut_bytes])
@pytest.mark.parametrize("limited_by", ["transaction", "database"])
def test_every_change_whose_connection_to_the_pooler_is_cut_is_done_once(
    pooled: PooledBook, way: URL, cut: Any, kind: type[Any], limited_by: str
) -> None:
    if limited_by == "database":
        pooled.limit_database()
    figures = cut(way, new_seed(), kind)
    assert figures.kept, figures


@pytest.mark.parametrize("kind", KINDS)
def test_every_change_whose_commit_is_cut_between_the_pooler_and_the_server_is_done_once(
    own_postgresql_book: URL, kind: type[Any]
) -> None:
    chance, front = random.Random(seed := new_seed()), CuttingFront(own_postgresql_book)
    say(f"seed {seed}")
    with front, pooler(front.url) as made, new_book(kind, in_transactions(made.url), "cut") as book:
        for _ in every_change(book):
            front.cut_next(chance.choice(CUTS))
        found, wanted = contents(book), crashes.undisturbed()
        require_proven(book)
        assert front.cuts > 0
        assert found == wanted


def test_what_a_server_that_is_killed_acknowledged_is_there_once_and_no_call_fails() -> None:
    with new_server() as server, pooler(server) as made:
        writers = crashes.Writers(configured(in_transactions(made.url)), "killed")
        with writers:
            for _ in range(2):
                writers.wait_for_more()
                kill_server(server)
                start_server(server)
            writers.wait_for_more()
        assert not writers.errors, writers.errors
        with DatabaseManager(server, "killed") as manager:
            figures = crashes.check_crashed(manager, set(writers.acknowledged))
    assert (figures.lost, figures.duplicated) == (0, 0)
    assert figures.operations > 0


@pytest.mark.parametrize("is_async", [False, True])
def test_a_restart_under_load_loses_and_doubles_nothing(is_async: bool) -> None:
    with breakable_servers() as (server, _):
        server.create()
        book = failures.new_book(server)
        with pooler(book) as made:
            writers = Writers(in_transactions(made.url), is_async=is_async)
            modes = ["fast", "immediate"]
            writers.attack([partial(failures.restart, server, mode) for mode in modes])
        with DatabaseManager(book) as manager:
            figures = compared(manager, writers.acknowledged, kills=len(modes))
    assert figures.kept, figures


@pytest.mark.parametrize("is_async", [False, True])
def test_a_restart_of_the_pooler_under_load_loses_and_doubles_nothing(
    own_postgresql_book: URL, is_async: bool
) -> None:
    with pooler(own_postgresql_book) as made:
        with DatabaseManager(own_postgresql_book) as manager:
            for symbol in SYMBOLS:
                manager.record_trade(symbol=symbol, action="BUY", quantity=1, price=10)
        writers = Writers(in_transactions(made.url), is_async=is_async)
        writers.attack([made.restart] * 2)
        with DatabaseManager(own_postgresql_book) as manager:
            figures = compared(manager, writers.acknowledged, kills=2)
    assert figures.kept, figures
