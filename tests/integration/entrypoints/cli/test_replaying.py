"""`tradebook replay` and `tradebook look-ahead`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.support.command_line import Command
from tests.support.servers import configured
from tradebook import AgentDecision, DatabaseManager
from tradebook.adapters.engine.factory import make_engine

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
def tradebook(sqlite_book: str) -> Command:
    return Command(sqlite_book)


def decide(url: str, *, late: bool = False) -> AgentDecision:
    """Record a decision upon two inputs; the second became available after it where `late` is true."""
    with DatabaseManager(url) as book:
        return book.record_decision(
            "ann",
            "AAPL",
            "BUY",
            model="m-1",
            parameters={"seed": 7},
            prompt_hash="ab12",
            decided_at=NOON,
            dated_inputs=[
                {"name": "close", "value": {"b": 1, "a": 2}, "available_at": NOON},
                {
                    "name": "news/wire",
                    "value": "up",
                    "available_at": NOON + timedelta(seconds=late),
                    "source": "wire",
                },
            ],
        )


def test_a_replay_shows_inputs_and_settings_and_writes_the_bytes(
    tradebook: Command, sqlite_book: str, tmp_path: Path
) -> None:
    decision = decide(sqlite_book)
    folder = tmp_path / "inputs"

    shown = tradebook("replay", str(decision.id), "--output", str(folder))
    document = tradebook.json("replay", str(decision.id))

    assert shown.exit_code == 0
    for words in ("m-1", '{"seed": 7}', "ab12", "close", "news/wire", "2 inputs"):
        assert words in shown.stdout
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert files == {"close.json": b'{"a":2,"b":1}', "news%2Fwire.json": b'"up"'}
    assert [each["is_intact"] for each in document["inputs"]] == [True, True]
    assert document["decision"]["parameters"] == {"seed": 7}
    assert "exists already" in tradebook.refused("replay", "1", "--output", str(folder))
    assert "decision 9" in tradebook.refused("replay", "9").lower()


def test_a_replay_says_which_input_was_changed(tradebook: Command, sqlite_book: str) -> None:
    decision = decide(sqlite_book)
    engine = make_engine(configured(sqlite_book))
    with engine.begin() as connection:
        connection.execute(text("UPDATE decision_inputs SET value = '3' WHERE name = 'close'"))
    engine.dispose()

    shown = tradebook("replay", str(decision.id))

    assert shown.exit_code == 1
    assert "input 'close' is not what was recorded" in shown.stdout


def test_look_ahead_exits_with_1_on_a_violation(tradebook: Command, sqlite_book: str) -> None:
    decide(sqlite_book)
    clean = tradebook("look-ahead")
    assert clean.exit_code == 0
    assert "1 decision: 0 pieces of data proven, 2 claimed, 0 violated" in clean.stdout

    late = decide(sqlite_book, late=True)
    shown = tradebook("look-ahead", "--agent", "ann")
    document = tradebook("look-ahead", "--decision", str(late.id), "--json")

    assert (shown.exit_code, document.exit_code) == (1, 1)
    assert "violated: 1 piece" in shown.stdout
    assert "news/wire" in shown.stdout
    assert "2 decisions: 0 pieces of data proven, 3 claimed, 1 violated" in shown.stdout
    assert '"is_clean": false' in document.stdout
    assert tradebook("look-ahead", "--until", "2026-03-01").exit_code == 0
    assert "decision 9" in tradebook.refused("look-ahead", "--decision", "9").lower()
