"""Upgrades and downgrades of an empty SQLite file and an empty PostgreSQL database."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import URL, Engine, event, inspect, text
from sqlalchemy.exc import DatabaseError

import tradebook
from tests.support.servers import configured
from tradebook import DatabaseManager, OperationFailed, SchemaNotReady
from tradebook.adapters import orm
from tradebook.adapters.engine.factory import make_engine
from tradebook.adapters.migrations import revisions
from tradebook.adapters.migrations import upgrade as migrations
from tradebook.adapters.migrations.schema_state import SCHEMA_REVISION, read_schema_state
from tradebook.operations.schema_check import check_schema


@pytest.fixture
def engine(empty_database: str | URL) -> Iterator[Engine]:
    made = make_engine(configured(empty_database))
    yield made
    made.dispose()


def _index(index: Any) -> str:
    options = {name: str(value) for name, value in index.pop("dialect_options", {}).items()}
    return f"{sorted(index.items())} {sorted(options.items())}"


def schema(engine: Engine) -> dict[str, object]:
    """Return everything that SQLAlchemy can reflect of a schema, as one comparable value."""
    found = inspect(engine)
    return {
        table: (
            [(c["name"], str(c["type"]), c["nullable"]) for c in found.get_columns(table)],
            found.get_pk_constraint(table),
            sorted(map(str, found.get_unique_constraints(table))),
            sorted(map(str, found.get_check_constraints(table))),
            sorted(map(str, found.get_foreign_keys(table))),
            sorted(map(_index, found.get_indexes(table))),
        )
        for table in sorted(found.get_table_names())
        if table != "alembic_version"
    }


def test_upgrade_downgrade_and_upgrade_leave_the_same_schema(engine: Engine) -> None:
    assert read_schema_state(engine).name == "empty"
    migrations.upgrade(engine)
    first = schema(engine)
    assert set(first) == set(orm.metadata.tables)
    migrations.upgrade(engine)
    migrations.downgrade(engine, revisions.BASE)
    assert schema(engine) == {}
    migrations.upgrade(engine)
    assert schema(engine) == first
    assert migrations.current_revision(engine) == revisions.head_revision() == SCHEMA_REVISION


def test_one_question_tells_that_the_schema_is_current(engine: Engine) -> None:
    migrations.upgrade(engine)
    asked: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    assert read_schema_state(engine).name == "current"
    assert ["version_num" in sql for sql in asked if "SELECT" in sql] == [True]


def test_the_migrated_schema_is_that_of_the_tables(engine: Engine) -> None:
    migrations.upgrade(engine)
    assert check_schema(engine) == ()
    migrated = schema(engine)
    migrations.downgrade(engine, revisions.BASE)
    orm.metadata.create_all(engine)
    assert schema(engine) == migrated


def test_a_role_that_may_set_marks_may_set_their_source(new_database: Callable[[], URL]) -> None:
    engine, role = make_engine(configured(new_database())), f"Writer {uuid4().hex}"
    migrations.upgrade(engine, "0004")
    with engine.begin() as connection:
        connection.exec_driver_sql(f'CREATE ROLE "{role}"')
        connection.exec_driver_sql(f'GRANT UPDATE (marked_at) ON positions TO "{role}"')
    migrations.upgrade(engine)
    with engine.begin() as connection:
        may = text("SELECT has_column_privilege(:role, 'positions', 'mark_source', 'UPDATE')")
        assert connection.scalar(may, {"role": role})
        connection.exec_driver_sql(f'DROP OWNED BY "{role}"')
        connection.exec_driver_sql(f'DROP ROLE "{role}"')
    engine.dispose()


AGAIN = "for index in metadata.tables['alerts'].indexes: index.drop(engine); index.create(engine)"


@pytest.mark.parametrize(
    "programs", [["metadata.create_all(engine)"], ["metadata.create_all(engine)", AGAIN]]
)
def test_partial_indexes_are_partial_where_no_migration_ever_ran(
    sqlite_url: str, programs: list[str]
) -> None:
    engine_made = f"engine = sqlalchemy.create_engine({sqlite_url!r})"
    for program in programs:  # in processes of their own: this one may have run migrations
        code = f"import sqlalchemy; from tradebook import metadata; {engine_made}\n{program}"
        subprocess.run([sys.executable, "-c", code], check=True)
    engine = make_engine(configured(sqlite_url))
    conditions = {
        str(index["name"]): str(index["dialect_options"].get("sqlite_where"))
        for index in inspect(engine).get_indexes("alerts")
    }
    engine.dispose()
    assert conditions["ix_alerts_unresolved"] == "NOT resolved"
    assert "NOT resolved" in conditions["uq_alerts_account_dedup_key"]
    assert conditions["ix_alerts_account_timestamp_id"] == "None"


def test_a_failed_upgrade_leaves_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE trades (already TEXT)"))
    with pytest.raises(tradebook.DatabaseFailure):
        migrations.upgrade(engine)
    assert inspect(engine).get_table_names() == ["trades"]


def test_upgrades_at_once_from_several_threads_all_succeed(empty_database: str | URL) -> None:
    def upgrade(_: int) -> None:
        with DatabaseManager(empty_database) as manager:
            manager.upgrade()

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(upgrade, range(3)))
    with DatabaseManager(empty_database) as manager:
        assert manager.verify().proven


def test_upgrades_at_once_from_several_processes_all_succeed(
    empty_database: str | URL, programs: Path
) -> None:
    environment = {**os.environ, "TRADEBOOK_DATABASE_URL": str(configured(empty_database).url)}
    command = [str(programs / "tradebook"), "db", "upgrade"]
    processes = [
        subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) for _ in range(3)
    ]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]
    with DatabaseManager(empty_database) as manager:
        assert manager.verify().proven


def test_a_server_without_the_schema_says_what_to_run(new_database: object) -> None:
    assert callable(new_database)
    with (
        DatabaseManager(new_database()) as manager,
        pytest.raises(SchemaNotReady, match="tradebook db upgrade"),
    ):
        manager.record_trade(symbol="X", action="BUY", quantity=1, price=1)


def test_a_new_embedded_database_gets_its_tables_by_itself(sqlite_url: str) -> None:
    with DatabaseManager(sqlite_url) as manager:
        assert manager.get_open_positions() == []


def test_the_top_level_folder_of_migrations_does_not_hide_the_alembic_package() -> None:
    import alembic

    folder = revisions.migrations_folder()
    assert not (folder / "__init__.py").exists()
    assert Path(alembic.__file__).parent != folder


def test_a_downgrade_refuses_orders_that_have_no_price(engine: Engine) -> None:
    with DatabaseManager(engine.url) as manager:
        manager.upgrade()
        order = manager.record_trade(symbol="A", action="BUY", quantity=1, status="PENDING")
        with pytest.raises(OperationFailed, match="1 orders have no price"):
            migrations.downgrade(engine, "0005")
        assert manager.get_order(order.order_id).price is None
        manager.execute_trade(trade_id=order.id, price=2)
    migrations.downgrade(engine, "0005")
    migrations.upgrade(engine)
    assert check_schema(engine) == ()


@pytest.mark.parametrize("status", ["EXECUTED", "BUSTED"])
def test_the_database_refuses_a_booked_trade_without_a_price(engine: Engine, status: str) -> None:
    with DatabaseManager(engine.url) as manager:
        manager.upgrade()
        manager.record_trade(symbol="A", action="BUY", quantity=1, price=1, order_id="o")
        if status == "BUSTED":
            manager.bust_trade(order_id="o", reason="wrong")
    with pytest.raises(DatabaseError, match="booked_has_price"), engine.begin() as connection:
        connection.execute(text("UPDATE trades SET price = NULL"))
