"""Damaged data is named, and never taken for an answer where the database notices; `verify` says so too."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.support.backends import in_full_runs
from tests.support.breakable_servers import BreakableServer, breakable_servers
from tradebook import (
    Alert,
    CashFlow,
    DatabaseCorrupt,
    DatabaseManager,
    Event,
    Portfolio,
    Trade,
    TradebookError,
)

NewManager = Callable[..., Any]
FLIPS = 80


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a sound book."""
    path = tmp_path_factory.mktemp("sound") / "book.db"
    with DatabaseManager(f"sqlite:///{path}") as manager:
        manager.record_cash_flow("DEPOSIT", 10_000)
        manager.raise_alert("drawdown", "INFO", "down 5 %")
        for number in range(60):
            action = "BUY" if number % 3 else "SELL"
            manager.record_trade(
                symbol=f"S{number % 3}", action=action, quantity=number + 1, price="12.5"
            )
        manager.take_snapshot()
    return path.read_bytes()


@pytest.fixture
def path(tmp_path: Path, sound: bytes) -> Path:
    """A file with that book."""
    path = tmp_path / "book.db"
    path.write_bytes(sound)
    return path


def read_all(manager: Any) -> list[str]:
    """All that the book says, or raises."""
    said = [repr(manager.verify())]
    for kind in (Trade, Event, Alert, Portfolio):
        said += [repr(entity) for entity in manager.iterate(kind)]
    return said


NAMED = ("nothing", "DatabaseCorrupt", "SchemaNotReady", "DatabaseUnavailable")
"""What may come of reading a damaged file; its schema may be what is damaged."""


def says(manager: DatabaseManager, read: Callable[[DatabaseManager], object]) -> str:
    """The name of our error; any other error is raised."""
    try:
        read(manager)
    except TradebookError as error:
        return type(error).__name__
    return "nothing"


def is_sound(path: Path) -> bool:
    """Whether SQLite notices nothing."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    except (sqlite3.DatabaseError, UnicodeDecodeError):
        return False
    finally:
        connection.close()


@pytest.mark.parametrize("seed", [*range(FLIPS // 2), *map(in_full_runs, range(FLIPS // 2, FLIPS))])
def test_whatever_bytes_are_damaged_nothing_wrong_is_said_where_sqlite_notices(
    path: Path, sound: bytes, seed: int
) -> None:
    damage = random.Random(seed)
    damaged = bytearray(sound)
    start = damage.randrange(len(sound))
    for place in range(start, min(start + damage.choice([1, 16, 300]), len(sound))):
        damaged[place] ^= damage.randrange(1, 256)
    path.write_bytes(damaged)
    with DatabaseManager(f"sqlite:///{path}") as manager:
        said = says(manager, DatabaseManager.verify)
        assert said in NAMED
        assert said != "nothing" or is_sound(path)
        assert says(manager, read_all) in NAMED


def test_bytes_flipped_in_the_middle_are_named_by_every_call(
    new_manager: NewManager, path: Path, sound: bytes
) -> None:
    middle = len(sound) // 2
    path.write_bytes(sound[:middle] + bytes(20_000) + sound[middle + 20_000 :])
    manager = new_manager(f"sqlite:///{path}")
    with pytest.raises(DatabaseCorrupt, match="restore a backup"):
        read_all(manager)
    with pytest.raises(DatabaseCorrupt, match="restore a backup"):
        manager.verify()
    assert manager.pool_status().checked_out == 0


@pytest.mark.parametrize("part", [0.02, 0.3, 0.5, 0.9])
def test_a_file_that_was_cut_off_is_named(
    new_manager: NewManager, path: Path, sound: bytes, part: float
) -> None:
    path.write_bytes(sound[: int(len(sound) * part)])
    manager = new_manager(f"sqlite:///{path}")
    with pytest.raises(DatabaseCorrupt, match="the database is damaged"):
        manager.verify()
    with pytest.raises(DatabaseCorrupt, match="the database is damaged"):
        manager.record_trade(symbol="S1", action="BUY", quantity=1, price=1)


@pytest.mark.parametrize("content", [b"symbol,action\nX,BUY\n" * 200, b"PK\3\4", b"\0" * 8192])
def test_a_file_that_is_no_database_is_named_and_left_alone(
    new_manager: NewManager, path: Path, content: bytes
) -> None:
    path.write_bytes(content)
    manager = new_manager(f"sqlite:///{path}")
    with pytest.raises(DatabaseCorrupt, match="not a database"):
        manager.get_positions()
    assert "not a database" in manager.health().error
    assert path.read_bytes() == content


def test_an_index_that_lost_an_entry_is_found_by_verify(
    new_manager: NewManager, path: Path, sound: bytes
) -> None:
    connection = sqlite3.connect(path)
    name, page = connection.execute(
        "SELECT name, rootpage FROM sqlite_schema WHERE name LIKE 'ix_alerts%' LIMIT 1"
    ).fetchone()
    page_size = connection.execute("PRAGMA page_size").fetchone()[0]
    connection.close()
    entries = (page - 1) * page_size + 4  # their number, in the header of the page
    assert sound[entries] == 1
    path.write_bytes(sound[:entries] + b"\0" + sound[entries + 1 :])
    with pytest.raises(DatabaseCorrupt, match=name):
        new_manager(f"sqlite:///{path}").verify()


def test_a_schema_that_is_no_text_is_named(
    new_manager: NewManager, path: Path, sound: bytes
) -> None:
    path.write_bytes(sound.replace(b"CREATE TABLE alerts", b"CREATE \xff\xfe\xfdLE alerts"))
    with pytest.raises(DatabaseCorrupt, match="no text"):
        new_manager(f"sqlite:///{path}").get_positions()


@pytest.mark.parametrize(
    ("column", "stored", "expected"),
    [
        ("trades.price", "12..5", "'12..5' is stored where a number belongs"),
        ("trades.executed_at", "soon", "'soon' is stored where a time belongs"),
        ("trades.details", "{", "'{' is stored where JSON belongs"),
        ("trades.status", "EXECUTE", "CHECK|'EXECUTE' is stored where one of"),
        ("trades.price", b"\xff\xfe", "number"),
        ("cash_flows.amount", "1..0", "'1..0' is stored where a number belongs"),
    ],
)
def test_a_value_that_nobody_can_read_is_named(
    new_manager: NewManager, path: Path, column: str, stored: object, expected: str
) -> None:
    table, name = column.split(".")
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA ignore_check_constraints=ON")
    connection.execute(f"UPDATE {table} SET {name} = ?", [stored])
    connection.commit()
    connection.close()
    manager = new_manager(f"sqlite:///{path}")
    with pytest.raises(DatabaseCorrupt, match=expected):
        list(manager.iterate(CashFlow if table == "cash_flows" else Trade))
    if name != "details":  # which no position depends on
        with pytest.raises(DatabaseCorrupt):
            manager.verify()


@pytest.fixture(scope="module")
def server() -> Iterator[BreakableServer]:
    """A PostgreSQL server whose files a test may damage."""
    with breakable_servers() as (made, _):
        made.create()
        yield made


def test_a_page_that_is_damaged_on_a_server_is_named(
    new_manager: NewManager, server: BreakableServer
) -> None:
    name = f"book{uuid4().hex}"
    server.execute(f"CREATE DATABASE {name}")
    manager = new_manager(server.url(name))
    manager.upgrade()
    manager.record_trade(symbol="X", action="BUY", quantity=1, price=1)
    file = server.data / server.execute("SELECT pg_relation_filepath('trades')", name)
    server.stop()
    page = bytearray(file.read_bytes())
    page[1000:1100] = bytes(reversed(range(100)))
    file.write_bytes(page)
    server.start()
    with pytest.raises(DatabaseCorrupt, match="invalid page"):
        manager.verify()
