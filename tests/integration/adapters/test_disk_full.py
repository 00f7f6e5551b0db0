"""The disk is full: what was acknowledged stays, what was not is not there, and room made is enough."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from secrets import token_hex
from subprocess import CalledProcessError
from typing import Any

import psycopg2
import pytest
from attrs import frozen
from sqlalchemy import URL, event, text

from tests.support.breakable_servers import BreakableServer, breakable_servers
from tests.support.disks import can_mount, tiny_disk
from tradebook import (
    AsyncDatabaseManager,
    DatabaseFull,
    DatabaseManager,
    DatabaseUnavailable,
    Trade,
)
from tradebook.adapters.runner import retries


@frozen
class Place:
    """A database that has little room.

    Attributes:
        url: of it.
        fill: leaves room for a few more trades, once the tables are there.
        make_room: ends that.
    """

    url: str | URL
    fill: Callable[[Any], None]
    make_room: Callable[[], None]


@pytest.fixture(scope="module")
def server() -> Iterator[BreakableServer]:
    """A PostgreSQL server whose data can be elsewhere."""
    with breakable_servers() as (made, _):
        made.create()
        yield made


@pytest.fixture
def file_on_a_tiny_disk(tmp_path: Path) -> Iterator[Place]:
    with tiny_disk(tmp_path / "disk", 4000) as disk:
        url = f"sqlite:///{disk.folder / 'book.db'}"
        yield Place(url, lambda _: disk.leave(300), lambda: disk.leave(4000))


@pytest.fixture
def file_of_few_pages(sqlite_url: str) -> Place:
    limits = [1_000_000]

    def limit(connection: Any, *_: object) -> None:
        connection.cursor().execute(f"PRAGMA max_page_count={limits[-1]}")

    def fill(manager: Any) -> None:
        with manager.get_session() as session:
            limits.append(session.execute(text("PRAGMA page_count")).scalar() + 10)
        event.listen(engine_of(manager), "checkout", limit)

    return Place(sqlite_url, fill, limits.pop)


@pytest.fixture
def server_on_a_tiny_disk(server: BreakableServer) -> Iterator[Place]:
    with tiny_disk(server.home / "disk", 20_000) as disk:
        server.own(disk.folder)
        server.execute(f"CREATE TABLESPACE tiny LOCATION '{disk.folder}'")
        server.execute("CREATE DATABASE tiny TABLESPACE tiny")
        yield Place(server.url("tiny"), lambda _: disk.leave(2000), lambda: disk.leave(20_000))
        server.execute("DROP DATABASE tiny WITH (FORCE)")
        server.execute("DROP TABLESPACE tiny")


@pytest.fixture
def server_that_says_so(new_database: Callable[[], URL]) -> Place:
    """Where we may not mount: the server's own error, raised by a trigger."""
    url = new_database()

    def run(statement: str) -> None:
        connection = psycopg2.connect(url.set(drivername="postgresql").render_as_string(False))
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
        connection.close()

    def fill(_manager: Any) -> None:
        run(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF (SELECT count(*)"
            " FROM trades) > 3 THEN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full';"
            " END IF; RETURN NEW; END $$;"
            " CREATE TRIGGER refuse BEFORE INSERT ON trades FOR EACH ROW EXECUTE FUNCTION refuse()"
        )

    return Place(url, fill, lambda: run("DROP TRIGGER refuse ON trades"))


PLACES = ["file_of_few_pages", "server_that_says_so"]
if can_mount():
    PLACES += ["file_on_a_tiny_disk", "server_on_a_tiny_disk"]


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def engine_of(manager: Any) -> Any:
    made = getattr(manager, "target", manager)
    is_async = isinstance(made, AsyncDatabaseManager)
    return made._container.engine().sync_engine if is_async else made._container.engine()


def book_one(manager: Any, number: int) -> None:
    """A trade that takes some room, also when it is compressed."""
    manager.record_trade(
        symbol="X",
        action="BUY",
        quantity=1,
        price=1,
        order_id=f"o-{number}",
        details={"note": token_hex(1500)},
    )


def booked_until_full(manager: Any) -> int:
    """How many trades were acknowledged before one was refused."""
    for number in count():
        try:
            book_one(manager, number)
        except DatabaseFull:
            return number
    raise AssertionError("never full")


def assert_booked(manager: Any, number: int) -> None:
    assert sorted(trade.order_id for trade in manager.iterate(Trade)) == sorted(
        f"o-{each}" for each in range(number)
    )
    assert manager.get_position_by_symbol("X").quantity == number
    assert manager.verify().proven


def test_a_full_disk_is_named_and_costs_nothing_that_was_acknowledged(
    new_manager: Callable[..., Any], place: Place
) -> None:
    manager = new_manager(place.url)
    manager.upgrade()
    place.fill(manager)
    booked = booked_until_full(manager)
    assert booked > 0
    assert manager.pool_status().checked_out == 0
    assert_booked(manager, booked)
    place.make_room()
    book_one(manager, booked)
    assert_booked(manager, booked + 1)


@pytest.mark.parametrize("kilobytes", [40, 150, 250] if can_mount() else [])
def test_a_new_file_on_a_full_disk_gets_all_of_its_tables_or_none(
    new_manager: Callable[..., Any], tmp_path: Path, kilobytes: int
) -> None:
    with tiny_disk(tmp_path / "disk", kilobytes) as disk:
        manager = new_manager(f"sqlite:///{disk.folder / 'book.db'}")
        with pytest.raises(DatabaseFull, match="make room"):
            manager.get_positions()
        disk.leave(4000)
        book_one(manager, 0)
        assert_booked(manager, 1)


@pytest.mark.parametrize("kilobytes", [0, 8] if can_mount() else [])
def test_a_book_that_is_opened_on_a_full_disk_says_so(
    new_manager: Callable[..., Any], tmp_path: Path, kilobytes: int
) -> None:
    with tiny_disk(tmp_path / "disk", 4000) as disk:
        url = f"sqlite:///{disk.folder / 'book.db'}"
        with DatabaseManager(url) as manager:
            book_one(manager, 0)
        disk.leave(kilobytes)
        with pytest.raises(DatabaseFull, match="make room"):
            book_one(new_manager(url), 1)
        disk.leave(4000)
        assert_booked(new_manager(url), 1)


if can_mount():

    def booked_until_its_log_is_full(manager: Any, server: BreakableServer) -> int:
        for number in count():
            try:
                book_one(manager, number)
                server.execute("SELECT pg_switch_wal()")  # uses a file of its log up
            except (DatabaseUnavailable, psycopg2.Error):
                return number
        raise AssertionError("never full")

    @pytest.mark.full
    def test_a_server_that_crashes_because_its_log_is_full_comes_back_with_everything(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(retries, "MAX_OUTAGE", 1)
        with breakable_servers() as (server, _), tiny_disk(server.home / "wal", 12_000) as disk:
            server.own(disk.folder)
            server.create(f"--waldir={disk.folder / 'log'}")
            server.execute("CREATE DATABASE book")
            with DatabaseManager(server.url("book")) as manager:
                manager.upgrade()
                disk.leave(200)
                booked = booked_until_its_log_is_full(manager, server)
                disk.leave(12_000)
                with suppress(CalledProcessError):  # it may have given up by itself
                    server.stop("immediate")
                server.start()
                book_one(manager, booked)  # perhaps it was booked, and the answer lost
                assert_booked(manager, booked + 1)
