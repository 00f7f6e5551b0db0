"""Queries go to the read URL, writes and what decides them never: here it is a standby that stopped long ago."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import attrs
import pytest

from tests.support.backends import new_book
from tests.support.command_line import Command
from tests.support.secured_servers import SecuredServer, execute
from tradebook import AsyncDatabaseManager, DatabaseConfig, DatabaseManager, DatabaseReadOnly, Trade


@pytest.fixture(scope="module")
def split(secured: SecuredServer, tmp_path_factory: pytest.TempPathFactory) -> DatabaseConfig:
    """Writes go to one database as the writer, queries to its old copy as the reader."""
    folder: Path = tmp_path_factory.mktemp("secrets")
    for kind in ("writer", "reader"):
        (folder / f"split_{kind}").write_text(f"{kind}'s")
    primary, copy = secured.create("split"), secured.create("split_copy")
    for config in (primary, copy):
        command = Command(str(config.url))
        assert command("init").exit_code == 0
        arguments = ("--prefix", "split", "--passwords", str(folder), "--yes")
        assert command("db", "roles", *arguments).exit_code == 0
    with DatabaseManager(copy, account="old") as manager:
        manager.record_trade(symbol="OLD", action="BUY", quantity=1, price=1)
    read_url = (
        f"postgresql://split_reader@localhost:{secured.port}/split_copy"
        f"?password_file={folder / 'split_reader'}"
    )
    return secured.config(
        "split",
        "split_writer",
        password_file=folder / "split_writer",
        read_url=read_url,
        read_consistency="eventual",
    )


def test_queries_go_to_the_read_url_and_writes_to_the_database(
    split: DatabaseConfig, new_manager: Callable[..., Any]
) -> None:
    account = f"old{uuid4().hex}"
    book = new_manager(split, account)
    book.record_trade(symbol="A", action="BUY", quantity=1, price=1, order_id="o-1")
    assert len(book.run(lambda uow: uow.trades.of_order("o-1"))) == 1
    assert book.get_positions() == []  # the lag of a standby, made as long as it can be
    assert book.verify().trades == 0
    assert book.read(lambda uow: uow.trades.of_order("o-1")) == []
    whole = new_manager(attrs.evolve(split, read_url=None), account)
    assert [position.symbol for position in whole.get_positions()] == ["A"]
    old = new_manager(split, "old")
    assert [position.symbol for position in old.get_positions()] == ["OLD"]


def test_what_decides_a_write_is_never_read_there(
    split: DatabaseConfig, new_manager: Callable[..., Any]
) -> None:
    account = f"decided{uuid4().hex}"
    book = new_manager(split, account)
    fill = {"symbol": "A", "action": "BUY", "quantity": 2, "price": 3, "order_id": "o-1"}
    first = book.record_trade(**fill)
    assert book.record_trade(**fill).id == first.id
    assert book.import_trades([fill, {**fill, "order_id": "o-2"}]).duplicates == 1
    assert book.seal().events > 0
    assert book.seal().events == 0
    book.bust_trade(order_id="o-2", reason="wrong")
    book.rebuild()
    book.record_cash_flow(kind="DEPOSIT", amount=100, reference="d")
    assert book.take_snapshot().total_value == 100
    alert = book.raise_alert(alert_type="a", severity="INFO", dedup_key="k")
    assert book.raise_alert(alert_type="a", severity="INFO", dedup_key="k").id == alert.id
    book.resolve_alert(alert.id, resolution="done")
    whole = new_manager(attrs.evolve(split, read_url=None), account)
    assert whole.verify().proven
    assert whole.count(Trade) == 2
    assert whole.check_seals().sound


def test_commands_show_what_they_have_just_put_right(
    split: DatabaseConfig, secured: SecuredServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = f"corrected{uuid4().hex}"
    here = secured.config("split")
    with DatabaseManager(here, account=account) as manager:
        for order in ("o-1", "o-2"):
            manager.record_trade(symbol="A", action="BUY", quantity=2, price=3, order_id=order)
    monkeypatch.setenv("TRADEBOOK_DATABASE_READ_URL", str(split.read_url))
    command = Command(str(here.url))
    of = ("--account", account, "--reason", "wrong")
    assert command.json("trades", "bust", "o-1", *of)["position"]["quantity"] == "2"
    right = ("trades", "correct", "o-2", "--quantity", "5")
    assert command.json(*right, *of)["position"]["quantity"] == "5"
    execute(here, "UPDATE positions SET quantity = 1 WHERE account = %s", account)
    assert command.json("rebuild", "--account", account)["positions"] == ["A"]
    document = command.json("doctor", "--account", account, exit_code=1)
    [proof] = [found for found in document["findings"] if found["check"] == "verify"]
    assert "3 trades" in proof["what"]


def test_health_and_the_schema_are_those_of_the_database_itself(
    split: DatabaseConfig, new_manager: Callable[..., Any], secured: SecuredServer
) -> None:
    empty = secured.create(f"empty{uuid4().hex}")
    read_url = f"postgresql://admin@localhost:{secured.port}/{empty.database}"
    book = new_manager(attrs.evolve(split, read_url=read_url), "any")
    assert book.health().schema == "current"
    book.record_trade(symbol="A", action="BUY", quantity=1, price=1)


def test_the_role_of_queries_may_not_write(
    split: DatabaseConfig, new_manager: Callable[..., Any]
) -> None:
    [reader] = split.for_reading()
    with pytest.raises(DatabaseReadOnly):
        new_manager(reader, "any").record_trade(symbol="A", action="BUY", quantity=1, price=1)


@pytest.mark.parametrize("kind", [DatabaseManager, AsyncDatabaseManager])
def test_connections_to_both_are_closed_with_the_manager(
    kind: Any, split: DatabaseConfig, secured: SecuredServer
) -> None:
    name = f"closing {uuid4().hex}"
    book = new_book(kind, attrs.evolve(split, application_name=name), "any")
    book.record_trade(symbol="A", action="BUY", quantity=1, price=1)
    _ = book.get_positions()
    connected = (
        "SELECT DISTINCT datname FROM pg_stat_activity WHERE application_name = %s ORDER BY 1"
    )
    superuser = secured.config("postgres")
    assert execute(superuser, connected, name) == [("split",), ("split_copy",)]
    book.close()
    while execute(superuser, connected, name):
        pass  # the server notices in its own time
