"""Revision 0003 on a SQLite file that was made before it: its JSON columns were declared JSON."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import JSON, Engine

from tests.support.servers import configured, drift_of
from tradebook import DatabaseManager
from tradebook.adapters import orm, types
from tradebook.adapters.engine.factory import make_engine
from tradebook.adapters.migrations import upgrade as migrations

STORED = ["7", "-9223372036854775808", "1.5", "0.1", "1e300", "123456789012345678901", "true"]
STORED += ['"12"', '[123456789012345678901234567890, "12.50"]', '{"n": 1.0}', None]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "book.db"


@pytest.fixture
def engine(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Create a file at revision 0002 with an action for each of STORED, and one that was deleted."""
    made = make_engine(configured(f"sqlite:///{path}"))
    with monkeypatch.context() as then:
        then.setattr(types, "json_type", lambda: JSON(none_as_null=True))
        migrations.upgrade(made, "0002")
    with made.begin() as connection:
        for value in [*STORED, "0"]:
            connection.exec_driver_sql(
                "INSERT INTO agent_actions (account, created_at, updated_at, agent, action_type, "
                "input, status, started_at, duration, cost, cost_currency) "
                "VALUES ('main', '2026-03-02 12:00:00.000000', '2026-03-02 12:00:00.000000', 'a', "
                "'call', ?, 'SUCCEEDED', '2026-03-02 12:00:00.000000', '1', '0', 'USD')",
                (value,),
            )
        connection.exec_driver_sql("DELETE FROM agent_actions WHERE id = last_insert_rowid()")
        connection.exec_driver_sql("CREATE VIEW calls AS SELECT input FROM agent_actions")
        connection.exec_driver_sql("CREATE TABLE noted (id)")
        connection.exec_driver_sql(
            "CREATE TRIGGER note AFTER INSERT ON agent_actions BEGIN INSERT INTO noted VALUES (new.id); END"
        )
    yield made
    made.dispose()


def asked(path: Path, question: str) -> list[Any]:
    connection = sqlite3.connect(path)
    found = connection.execute(question).fetchall()
    connection.close()
    return found


def read(stored: object) -> object:
    return json.loads(stored) if isinstance(stored, str) else stored


def test_every_value_is_kept_as_it_could_be_read_and_is_text_from_now_on(
    engine: Engine, path: Path
) -> None:
    question = "SELECT input FROM agent_actions ORDER BY id"
    before = [read(stored) for (stored,) in asked(path, question)]
    assert before[0] == 7
    assert isinstance(before[5], float)  # the digits that 0002 lost
    migrations.upgrade(engine)
    after = [stored for (stored,) in asked(path, question)]
    assert [repr(read(stored)) for stored in after] == [repr(value) for value in before]
    assert {type(stored) for stored in after} == {str, type(None)}
    assert [each.name for each in drift_of(engine)] == ["note"]  # the trigger


def test_no_table_keeps_a_column_declared_json(engine: Engine, path: Path) -> None:
    question = "SELECT count(*) FROM sqlite_master WHERE sql LIKE '% JSON%'"
    assert asked(path, question) == [(8,)]
    migrations.upgrade(engine)
    assert asked(path, question) == [(0,)]


def test_indexes_triggers_views_and_the_last_id_stay(engine: Engine, path: Path) -> None:
    question = "SELECT name FROM sqlite_master ORDER BY name"
    before = asked(path, question)
    migrations.upgrade(engine)
    assert set(before) - set(asked(path, question)) == set()
    with DatabaseManager(f"sqlite:///{path}") as manager:
        action = manager.record_action("bot", "call", input=10**30)
    assert action.id == len(STORED) + 2
    assert asked(path, "SELECT * FROM noted") == [(action.id,)]
    assert asked(path, "SELECT count(*) FROM calls") == [(len(STORED) + 1,)]
    assert asked(path, "PRAGMA integrity_check") == [("ok",)]
    assert asked(path, "PRAGMA foreign_key_check") == []


def test_foreign_keys_are_kept_again_afterwards(engine: Engine) -> None:
    migrations.upgrade(engine)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


LATER = (
    "positions ADD COLUMN mark_source TEXT",
    "positions ADD COLUMN asset TEXT NOT NULL DEFAULT ''",
    "positions ADD COLUMN other_fees TEXT NOT NULL DEFAULT '{}'",
    "portfolio_positions ADD COLUMN other_fees TEXT NOT NULL DEFAULT '{}'",
    "trades ADD COLUMN asset TEXT",
    "agent_decisions ADD COLUMN parent_id BIGINT",
    "agent_decisions ADD COLUMN parameters TEXT",
    "agent_decisions ADD COLUMN prompt_hash TEXT",
)
"""Columns that this version writes, and that later revisions add."""


def test_records_that_others_refer_to_survive_the_rebuilding_of_their_table(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{path}"
    with monkeypatch.context() as then:
        then.setattr(types, "json_type", lambda: JSON(none_as_null=True))
        old = make_engine(configured(url))
        migrations.upgrade(old, "0002")
        with old.begin() as connection:
            for column in LATER:
                connection.exec_driver_sql(f"ALTER TABLE {column}")
            orm.imports.create(connection)
            orm.decision_inputs.create(connection)
        old.dispose()
    monkeypatch.setattr("tradebook.adapters.migrations.schema_state.SCHEMA_REVISION", "0002")
    with DatabaseManager(url) as manager:
        signal = manager.record_signal("AAPL", "BUY", reference="s")
        decision = manager.record_decision(
            "bot", "AAPL", "BUY", signals=[signal.id], cost=0, confidence=1
        )
        manager.record_trade(
            symbol="AAPL", action="BUY", quantity=1, price=1, decision_id=decision.id
        )
        manager.take_snapshot()
    monkeypatch.undo()
    with DatabaseManager(url) as manager:
        manager.upgrade()
        [kept] = manager.get_decisions(with_signals=True)
        assert [kept.id, kept.signals[0].id] == [decision.id, signal.id]
        assert manager.get_trades()[0].decision_id == decision.id
        assert manager.verify().proven
