"""Clients and servers that are killed, briefly; `make soak` does the same for as long as asked."""

from __future__ import annotations

import pytest
from sqlalchemy import URL

from reliability.concurrency import postgresql_book as new_server
from reliability.crashes import cut_bytes, cut_commits, kill_clients, kill_servers
from reliability.scenario import new_seed
from tests.support.backends import in_full_runs
from tradebook import AsyncDatabaseManager, DatabaseManager


@pytest.mark.slow
@pytest.mark.parametrize("kills", [2, in_full_runs(4)])
@pytest.mark.parametrize("database", ["postgresql_book", "sqlite_url"])
def test_what_was_acknowledged_to_a_client_that_is_killed_is_there_once(
    database: str, kills: int, request: pytest.FixtureRequest
) -> None:
    figures = kill_clients(request.getfixturevalue(database), new_seed(), kills=kills)
    assert figures.kept, figures
    assert (figures.kills, figures.operations >= 2 * kills) == (2 * kills, True)


@pytest.mark.slow
@pytest.mark.parametrize("kills", [1, in_full_runs(2)])
def test_what_a_server_that_is_killed_acknowledged_is_there_once_and_no_call_fails(
    kills: int,
) -> None:
    with new_server() as server:
        figures = kill_servers(server, new_seed(), kills=kills)
    assert figures.kept, figures
    assert (figures.kills, figures.operations > 0) == (kills, True)


@pytest.mark.parametrize("kind", [DatabaseManager, in_full_runs(AsyncDatabaseManager)])
def test_every_change_whose_commit_is_cut_off_at_random_is_done_once(
    postgresql_book: URL, kind: type[DatabaseManager | AsyncDatabaseManager]
) -> None:
    figures = cut_commits(postgresql_book, new_seed(), kind)
    assert figures.kept, figures


@pytest.mark.parametrize("kind", [in_full_runs(DatabaseManager), AsyncDatabaseManager])
def test_every_change_that_is_cut_off_at_any_byte_is_done_once(
    postgresql_book: URL, kind: type[DatabaseManager | AsyncDatabaseManager]
) -> None:
    figures = cut_bytes(postgresql_book, new_seed(), kind)
    assert figures.kept, figures
    assert figures.kills > 0
