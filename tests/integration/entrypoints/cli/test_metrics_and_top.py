"""`tradebook metrics` and `tradebook top` on a file, as processes of their own, and in a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import prometheus_client
import pytest
from typer.testing import CliRunner

from tests.support.checkout import ROOT
from tests.support.command_line import Command
from tests.support.loggers import logging_restored
from tradebook import DatabaseManager, DatabaseUnavailable
from tradebook.entrypoints.cli import app
from tradebook.entrypoints.cli.ops import top
from tradebook.entrypoints.cli.ops.metrics import PORT

DOCUMENT = (ROOT / "docs" / "monitoring.md").read_text()
BUY: dict[str, Any] = {"symbol": "AAPL", "action": "BUY", "quantity": 1, "price": 10}


@pytest.fixture(autouse=True)
def book(sqlite_book: str) -> Iterator[DatabaseManager]:
    with DatabaseManager(sqlite_book) as book:
        book.record_trade(**BUY)
        book.raise_alert("drawdown", "WARNING")
        yield book


@contextmanager
def running(sqlite_book: str, *arguments: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run the command as a process of its own, and kill it at the end."""
    code = "from tradebook.entrypoints.cli import main; main()"
    environment = {
        **os.environ,
        "TRADEBOOK_DATABASE_URL": sqlite_book,
        "TERM": "xterm",
        "COLUMNS": "120",
        "LINES": "40",
    }
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    with subprocess.Popen(command, env=environment, text=True, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def test_metrics_are_served_until_somebody_ends_it(sqlite_book: str, book: DatabaseManager) -> None:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with running(sqlite_book, "metrics", "--port", "0", **pipes) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        url = said.split()[1].removesuffix(";")
        for trades in (1, 2):
            with urlopen(url, timeout=10) as answer:
                text = answer.read().decode()
            assert f"tradebook_booked_trades_total {trades}.0" in text
            book.record_trade(**BUY)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
        assert (process.returncode, errors) == (0, "")


def test_a_port_that_is_taken_is_named(tradebook: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"--port: {port} is not accepted" in tradebook.refused(
            "metrics", "--port", str(port)
        )


@pytest.mark.parametrize("address", ["nonsense.invalid", "203.0.113.1"])
def test_an_address_that_is_not_this_machine_s_is_named(tradebook: Command, address: str) -> None:
    said = tradebook.refused("metrics", "--port", "0", "--address", address)
    assert f"--address: '{address}' is not accepted" in said


def test_top_is_live_in_a_terminal(sqlite_book: str) -> None:
    ours, theirs = pty.openpty()
    with running(sqlite_book, "top", "--interval", "0.1", stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        while shown.count(b"1 trade booked") < 2:
            shown += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        try:
            while os.read(ours, 4096):
                pass
        except OSError:  # Linux reports EIO once no process has the terminal open
            pass
        assert process.wait(20) == 0
    os.close(ours)
    assert b"1 WARNING" in shown
    assert b"Traceback" not in shown


def test_a_live_top_goes_on_when_the_database_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(top, "_PAUSE", 0)

    def readings() -> Iterator[dict[str, Any]]:
        yield {"look": 1}
        raise DatabaseUnavailable("it is away")

    seen = top._retrying(readings)
    expected = [{"look": 1}, "it is away", {"look": 1}, "it is away"]
    assert [next(seen) for _ in range(4)] == expected


def test_a_file_has_metrics_and_a_top_of_its_own(tradebook: Command) -> None:
    names = {sample["name"] for sample in tradebook.json("metrics")["metrics"]}
    assert "tradebook_booked_trades_total" in names
    assert not [name for name in names if "postgresql" in name]
    shown = tradebook.json("top", "--interval", "0.1")
    assert shown["book"]["booked"] == 1
    assert shown["book"]["unresolved_alerts"]["WARNING"] == 1
    assert "blocked" not in shown
    assert "SQLite" in tradebook("top", "--interval", "0.1").stdout  # no terminal: one look


@pytest.mark.parametrize("command", [("metrics", "--once"), ("top", "--once"), ("metrics",)])
def test_a_file_that_is_not_there_is_refused_and_not_made(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    file = tmp_path / "nowhere.db"
    said = Command(f"sqlite:///{file}").refused(*command)
    assert f"there is no file {file}" in said
    assert not file.exists()


def test_a_database_without_a_book_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "empty.db"
    file.touch()
    said = Command(f"sqlite:///{file}").refused("metrics", "--once")
    assert "schema is not ready" in said


def test_the_command_logs_as_it_is_asked_to(
    sqlite_book: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRADEBOOK_LOG", "json")
    monkeypatch.setenv("TRADEBOOK_DB_SLOW_QUERY_SECONDS", "0")
    with logging_restored():
        result = Command(sqlite_book)("positions", "--json")
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    assert {line["logger"] for line in lines} == {"tradebook.slow_queries"}
    assert any("plan" in line for line in lines)
    assert json.loads(result.stdout)["positions"]


def test_the_documentation_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    serve = prometheus_client.start_http_server
    monkeypatch.setattr(prometheus_client, "start_http_server", lambda _port: serve(0, "127.0.0.1"))
    names: dict[str, Any] = {}
    with logging_restored():
        for block in re.findall(r"```python\n(.*?)```", DOCUMENT, flags=re.DOTALL):
            exec(block, names)
        names["book"].record_trade(**BUY)
        names["book"].close()
    url = f"http://127.0.0.1:{names['server'].server_port}/metrics"
    with urlopen(url, timeout=10) as answer:
        assert 'tradebook_pool_size{pool="book.db"} 10.0' in answer.read().decode()
    names["server"].shutdown()
    names["server"].server_close()
    names["thread"].join()
    assert json.loads(capsys.readouterr().err.splitlines()[0])["logger"] == "tradebook.migrations"


@pytest.mark.parametrize("option", ["--once", "--json", "--port", "--app"])
def test_every_option_in_the_documentation_is_one_of_a_command(option: str) -> None:
    assert option in DOCUMENT
    helps = [CliRunner().invoke(app, [name, "--help"]).stdout for name in ("top", "metrics")]
    assert any(option in text for text in helps)


def test_an_application_exports_beside_the_command() -> None:
    shown = CliRunner().invoke(app, ["top", "--help"]).stdout
    assert f"http://localhost:{PORT + 1}/metrics" in shown
    assert f"start_http_server({PORT + 1})" in DOCUMENT
    assert f":{PORT}/" not in shown
