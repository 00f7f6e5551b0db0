"""What takes no writes says so, by name, and can still be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import attrs
import pytest
from sqlalchemy import URL

from tests.support.backends import BACKENDS, each_backend, new_book, within
from tests.support.breakable_servers import BreakableServer, breakable_servers
from tests.support.disks import can_write_protect, write_protected
from tests.support.servers import configured
from tradebook import DatabaseManager, DatabaseReadOnly, DatabaseUnavailable, handlers

ONE_TRADE: dict[str, Any] = {"symbol": "X", "action": "BUY", "quantity": 1, "price": 1}
NewManager = Callable[..., Any]


def assert_readable_only(manager: Any, quantity: int = 1) -> None:
    for _ in range(2):
        with pytest.raises(DatabaseReadOnly, match="read-only"):
            manager.record_trade(**ONE_TRADE)
        assert manager.get_position_by_symbol("X").quantity == quantity
    assert manager.verify().proven
    assert manager.pool_status().checked_out == 0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A book with one trade, in a folder of its own."""
    folder = tmp_path / "book"
    folder.mkdir()
    with DatabaseManager(f"sqlite:///{folder / 'book.db'}") as manager:
        manager.record_trade(**ONE_TRADE)
    return folder / "book.db"


def test_a_file_that_is_opened_to_be_read_takes_no_trade(
    new_manager: NewManager, path: Path
) -> None:
    assert_readable_only(new_manager(f"sqlite:///file:{path}?mode=ro&uri=true"))


if can_write_protect():

    def test_a_file_that_may_not_be_written_can_be_read(
        new_manager: NewManager, path: Path
    ) -> None:
        with write_protected(path):
            manager = new_manager(f"sqlite:///{path}")
            assert_readable_only(manager)
        again = new_manager(f"sqlite:///{path}")
        again.record_trade(**ONE_TRADE)
        assert again.get_position_by_symbol("X").quantity == 2

    def test_a_file_on_a_disk_that_is_mounted_read_only_says_how_it_is_read(
        new_manager: NewManager, path: Path
    ) -> None:
        with write_protected(path.parent):
            with pytest.raises(DatabaseUnavailable, match=r"file:PATH\?immutable=1&uri=true"):
                new_manager(f"sqlite:///{path}").get_positions()
            assert_readable_only(new_manager(f"sqlite:///file:{path}?immutable=1&uri=true"))


def test_a_server_that_is_set_to_read_only_takes_no_trade(
    new_manager: NewManager, new_database: Callable[[], URL]
) -> None:
    url = new_database()
    with DatabaseManager(url) as manager:
        manager.upgrade()
        manager.record_trade(**ONE_TRADE)
    config = configured(url)
    options = {**config.parameters, "options": "-c default_transaction_read_only=on"}
    assert_readable_only(new_manager(attrs.evolve(config, parameters=options)))


@pytest.fixture(scope="module")
def servers() -> Iterator[list[BreakableServer]]:
    """A primary with a book, and its standby."""
    with breakable_servers() as (primary, standby):
        primary.create()
        primary.execute("CREATE DATABASE book")
        primary.copy_to(standby)
        with DatabaseManager(primary.url("book")) as manager:
            manager.upgrade()
            manager.record_trade(**ONE_TRADE)
        yield [primary, standby]


def test_a_standby_is_read_and_takes_no_trade(
    new_manager: NewManager, servers: list[BreakableServer]
) -> None:
    _, standby = servers
    standby.wait_for("SELECT pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()")
    assert_readable_only(new_manager(standby.url("book")))


def test_of_several_hosts_the_one_that_takes_writes_is_found(
    new_manager: NewManager, servers: list[BreakableServer]
) -> None:
    primary, standby = servers
    hosts = {"host": f"{standby.home},{primary.home}", "target_session_attrs": "read-write"}
    manager = new_manager(primary.url("book").update_query_dict(hosts), uuid4().hex)
    manager.record_trade(**ONE_TRADE)
    assert manager.verify().trades == 1


@pytest.mark.usefixtures("brief_outages")
def test_hosts_that_are_all_standbys_are_named(
    new_manager: NewManager, servers: list[BreakableServer]
) -> None:
    _, standby = servers
    url = standby.url("book").update_query_dict({"target_session_attrs": "read-write"})
    with pytest.raises(DatabaseUnavailable, match="promote a standby"):
        new_manager(url).get_positions()


@pytest.mark.parametrize("name", each_backend())
def test_a_unit_of_work_that_only_reads_refuses_to_write_by_the_same_name(
    name: str, request: pytest.FixtureRequest
) -> None:
    kind, url = BACKENDS[name]
    where = [] if url is None else [request.getfixturevalue(url)]
    with new_book(kind, *where, account=name) as book:
        with (
            pytest.raises(DatabaseReadOnly, match="this unit of work is read-only"),
            book.unit_of_work(read_only=True) as uow,
        ):
            within(uow, handlers.record_trade, **ONE_TRADE)
        book.record_trade(**ONE_TRADE)
        assert len(book.get_trades()) == 1


@pytest.fixture
def memory_url() -> str:
    return "sqlite://"
