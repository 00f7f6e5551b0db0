"""`tradebook db`, on a SQLite file and on a PostgreSQL database."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from sqlalchemy import URL, text

from tests.support.command_line import Command
from tests.support.loggers import logging_restored
from tests.support.servers import configured
from tradebook import DatabaseManager
from tradebook.adapters.engine.factory import make_engine
from tradebook.adapters.migrations import revisions

HEAD = revisions.head_revision()
REVISIONS = [script.revision for script in revisions.all_revisions()]
_OF_ACTIONS = ("input_tokens", "model", "output_tokens", "span_id", "trace_id")
_OF_DECISIONS = ("parameters", "parent_id", "prompt_hash")


@pytest.fixture
def tradebook(empty_database: str | URL) -> Command:
    if isinstance(empty_database, str):
        Path(
            empty_database.removeprefix("sqlite:///")
        ).touch()  # an empty file is an empty database
    return Command(str(configured(empty_database).url))


def execute(tradebook: Command, statement: str) -> None:
    engine = make_engine(configured(tradebook.url))
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def record_trade(tradebook: Command, order_id: str) -> None:
    with DatabaseManager(tradebook.url) as manager:
        manager.record_trade(symbol="AAPL", action="BUY", quantity=1, price=1, order_id=order_id)


def test_a_schema_goes_up_and_says_where_it_is_on_the_way(tradebook: Command) -> None:
    assert tradebook.json("db", "current", exit_code=1)["state"] == "empty"
    first = tradebook("db", "upgrade", "0001")
    assert first.exit_code == 0
    assert "from nothing up to 0001:" in first.stdout
    assert first.stdout.endswith("  up to 0001: the book\nat 0001\n")
    behind = tradebook.json("db", "current", exit_code=1)
    assert [behind[key] for key in ("revision", "needs", "state")] == ["0001", HEAD, "behind"]
    states = [each["state"] for each in tradebook.json("db", "history")["revisions"]]
    assert states == ["applied", *["pending"] * (len(REVISIONS) - 1)]
    rest = tradebook.json("db", "upgrade")
    assert (rest["from"], rest["to"], rest["done"]) == ("0001", HEAD, True)
    assert rest["adds"] == [
        *(f"agent_actions.{name}" for name in _OF_ACTIONS),
        *(f"agent_decisions.{name}" for name in _OF_DECISIONS),
        *("cash_flows.bust_reason", "cash_flows.busts_id", "cash_flows.entitled_at"),
        *("decision_inputs", "imports"),
        "portfolio_positions.other_fees",
        *("positions.asset", "positions.mark_source", "positions.other_fees", "seals"),
        *("trades.asset", "trades.bust_sequence", "trades.busted_by"),
    ]
    assert tradebook("db", "current").stdout.startswith(f"revision {HEAD} (current)")
    again = tradebook("db", "upgrade")
    assert again.stdout == f"nothing to do: the schema is at {HEAD}\n"
    assert tradebook("db", "upgrade", "0001").stdout == again.stdout
    assert tradebook("db", "history").stdout.count("applied") == len(REVISIONS)


def test_a_dry_run_says_what_would_be_done_and_does_nothing(tradebook: Command) -> None:
    said = tradebook("db", "upgrade", "--dry-run").stdout
    assert "0002: corrections and seals" in said
    assert "nothing was done" in said
    assert tradebook.json("db", "upgrade", "--dry-run")["done"] is False
    assert tradebook.json("db", "current", exit_code=1)["revision"] is None


def test_going_down_says_what_is_lost_and_asks(tradebook: Command) -> None:
    tradebook("db", "upgrade")
    for number in range(3):
        record_trade(tradebook, f"o-{number}")
    tradebook("trades", "bust", "o-1", "--reason", "wrong")
    tradebook("audit", "seal")
    for answer in (None, "n\n"):
        refused = tradebook("db", "downgrade", "0001", stdin=answer)
        assert refused.exit_code == 1
        lost = [line for line in refused.stdout.splitlines() if line.startswith("loses")]
        assert lost == [
            *(f"loses column agent_actions.{name}, 0 rows" for name in _OF_ACTIONS),
            *(f"loses column agent_decisions.{name}, 0 rows" for name in _OF_DECISIONS),
            "loses column cash_flows.bust_reason, 0 rows",
            "loses column cash_flows.busts_id, 0 rows",
            "loses column cash_flows.entitled_at, 0 rows",
            "loses table decision_inputs, 0 rows",
            "loses table imports, 0 rows",
            "loses column portfolio_positions.other_fees, 0 rows",
            "loses column positions.asset, 1 row",
            "loses column positions.mark_source, 1 row",
            "loses column positions.other_fees, 1 row",
            "loses table seals, 1 row",
            "loses column trades.asset, 3 rows",
            "loses column trades.bust_sequence, 1 row",
            "loses column trades.busted_by, 1 row",
        ]
        assert "say --yes" in refused.stderr
        assert tradebook.json("db", "current")["revision"] == HEAD
    assert "nothing was done" in tradebook("db", "downgrade", "0001", "--dry-run").stdout
    assert tradebook("db", "downgrade", "0001", stdin="y\n").exit_code == 0
    assert tradebook.json("db", "current", exit_code=1)["revision"] == "0001"
    assert "nothing to do" in tradebook("db", "downgrade", "0001", "--yes").stdout
    assert "needs" in tradebook.refused("trades")
    tradebook("db", "upgrade")
    assert tradebook("verify").exit_code == 0
    document = tradebook.json("db", "downgrade", "base", "--yes")
    assert {loss["table"]: loss["rows"] for loss in document["losses"]}["trades"] == 3
    assert (document["to"], document["done"]) == (None, True)
    assert tradebook.json("db", "current", exit_code=1)["revision"] is None


def test_an_upgrade_logs_what_became_of_its_database_and_nothing_of_scratch_ones(
    tradebook: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRADEBOOK_LOG", "json")
    with logging_restored():
        up = tradebook("db", "upgrade").stderr
        down = tradebook("db", "downgrade", "0001", "--yes").stderr
    for said, revision in ((up, HEAD), (down, "0001")):
        [record] = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
        assert record["database"] == configured(tradebook.url).safe_url
        assert record["to_revision"] == revision
    assert up.count("None") == 1


def test_check_lists_what_differs(tradebook: Command) -> None:
    assert "run `tradebook db upgrade`" in tradebook.refused("db", "check")
    tradebook("db", "upgrade")
    assert tradebook("db", "check").stdout == "every table is as it should be\n"
    execute(tradebook, "DROP INDEX ix_trades_pending")
    execute(tradebook, "ALTER TABLE alerts ADD mood TEXT")
    definition = "(account, order_id) WHERE status = 'PENDING'"
    if "postgresql" in tradebook.url:
        definition = "USING btree (account, order_id) WHERE (status = 'PENDING'::text)"
    found = tradebook("db", "check")
    assert found.exit_code == 1
    assert found.stdout.splitlines() == [
        "2 differences from what this version expects:",
        "  alerts: column mood is unexpected (find out who made it, and take it back)",
        f"  trades: index ix_trades_pending is missing (make it again: {definition})",
    ]
    document = tradebook.json("db", "check", exit_code=1)
    assert document["sound"] is False
    assert [each["name"] for each in document["differences"]] == ["mood", "ix_trades_pending"]


def test_a_revision_that_is_not_known_or_newer_is_refused(tradebook: Command) -> None:
    tradebook("db", "upgrade")
    for command in ("upgrade", "downgrade"):
        assert "expected one of" in tradebook.refused("db", command, "0815")
    execute(tradebook, "UPDATE alembic_version SET version_num = 'f00d'")
    for arguments in (["upgrade"], ["downgrade", "0001", "--yes"], ["history"], ["check"]):
        assert "pip install --upgrade tradebook" in tradebook.refused("db", *arguments)
    assert tradebook.json("db", "current", exit_code=1)["state"] == "ahead"


@pytest.mark.parametrize(
    "arguments",
    [
        ["db", "current"],
        ["db", "check"],
        ["db", "history"],
        ["db", "upgrade", "--dry-run"],
        ["db", "downgrade", "base", "--dry-run"],
        ["db", "downgrade", "base", "--yes"],
        ["db", "revision", "-m", "x", "--database", "{}"],
    ],
)
def test_who_only_looks_makes_no_file(arguments: list[str], sqlite_url: str) -> None:
    said = Command(sqlite_url).refused(*(word.format(sqlite_url) for word in arguments))
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    assert f"there is no file {file}; check --database" in said
    assert not file.exists()


def test_an_upgrade_makes_the_file(sqlite_url: str) -> None:
    assert Command(sqlite_url)("db", "upgrade").stdout.endswith(f"at {HEAD}\n")


def test_no_password_is_shown(sqlite_url: str) -> None:
    tradebook = Command(sqlite_url)
    url = "postgresql://me:secret@localhost:1/book"
    for command in ("current", "history", "upgrade", "check"):
        assert "secret" not in tradebook.refused("db", command, "--database", url)


def test_a_revision_is_written_where_the_migrations_are(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tradebook = Command(sqlite_url)
    ignored = shutil.ignore_patterns("__pycache__")
    copy = shutil.copytree(revisions.migrations_folder(), tmp_path / "alembic", ignore=ignored)
    monkeypatch.setattr(revisions, "migrations_folder", lambda: copy)
    command = ("db", "revision", "-m", "A memo, on each trade!")
    assert tradebook.json(*command)["file"] is None
    assert tradebook(*command).stdout.startswith(
        "nothing differs: no revision is written (--empty "
    )
    assert list(copy.rglob("*memo*")) == []
    file = Path(tradebook.json(*command, "--empty")["file"])
    assert file.name == f"{int(HEAD) + 1:04}_a_memo_on_each_trade.py"
    assert f"down_revision = '{HEAD}'" in file.read_text()
