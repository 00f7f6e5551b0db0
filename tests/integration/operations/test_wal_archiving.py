"""WAL that is not archived, or kept for an unused slot: reported by the doctor, the metrics and `top`."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
from sqlalchemy import Connection, Engine

from tests.integration.adapters.engine.test_pool import until
from tests.integration.operations.test_activity import samples
from tests.integration.operations.test_doctor import bad, diagnosis
from tests.support.breakable_servers import BreakableServer, breakable_servers
from tests.support.command_line import Command
from tests.support.servers import configured
from tradebook import DatabaseManager
from tradebook.operations.activity import monitoring_engine
from tradebook.operations.doctor import Finding, Level, postgresql
from tradebook.operations.metrics import catalog
from tradebook.operations.server.programs import find_program
from tradebook.operations.server.wal import Archive, read_archive

FAILURES = (catalog.ARCHIVE_FAILURES.name, ())
AGE = (catalog.ARCHIVE_AGE.name, ())
STATUS = "FROM pg_ls_archive_statusdir()"


@pytest.fixture(scope="module")
def server() -> Iterator[BreakableServer]:
    """Start a server with a book and an archive command that fails."""
    with breakable_servers() as (server, _):
        server.create("--set=archive_mode=on", "--set=archive_command=false")
        with DatabaseManager(server.url("postgres")) as book:
            book.upgrade()
        yield server


@pytest.fixture
def engine(server: BreakableServer) -> Iterator[Engine]:
    with monitoring_engine(configured(server.url("postgres")), "watcher") as engine:
        yield engine


def trouble(server: BreakableServer) -> dict[str, Finding]:
    return bad(diagnosis(configured(server.url("postgres"))))


def archive_with(server: BreakableServer, command: str) -> None:
    server.execute(f"ALTER SYSTEM SET archive_command = '{command}'")
    server.execute("SELECT pg_reload_conf()")
    server.wait_for(f"SELECT current_setting('archive_command') = '{command}'")


def archived(server: BreakableServer) -> bool:
    """Check the last attempt to archive, and trigger the next: the server waits a minute by itself."""
    server.execute("SELECT txid_current(), pg_switch_wal()")
    return "archive" not in trouble(server)


def test_archiving_that_fails_is_found_and_that_it_went_on(
    server: BreakableServer, engine: Engine
) -> None:
    archive_with(server, "false")
    server.execute("SELECT txid_current(), pg_switch_wal()")
    until(lambda: samples(engine)[FAILURES] > 0)
    found = trouble(server)["archive"]
    assert found.level is Level.RED
    assert found.what.startswith(server.execute("SELECT last_failed_wal FROM pg_stat_archiver"))
    assert "archive_command" in found.fix
    failed = samples(engine)
    assert failed[AGE] > 0
    archive_with(server, "true")
    until(lambda: archived(server))
    server.wait_for(f"SELECT count(*) = 0 {STATUS} WHERE name LIKE '%.ready'")
    assert server.execute(f"SELECT count(*) {STATUS}") > 0
    assert samples(engine)[AGE] == 0
    assert samples(engine)[FAILURES] >= failed[FAILURES]


def test_archiving_without_a_command_is_red(server: BreakableServer) -> None:
    archive_with(server, "")
    found = trouble(server)["archive"]
    assert found.level is Level.RED
    assert "without an archive_command" in found.what


def test_a_standby_leaves_archiving_to_its_primary_unless_it_always_archives(
    server: BreakableServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive_with(server, "")

    def level(**changed: Any) -> Level:
        def changed_archive(connection: Connection) -> Archive:
            return attrs.evolve(read_archive(connection), **changed)

        monkeypatch.setattr(postgresql, "read_archive", changed_archive)
        found = diagnosis(configured(server.url("postgres"))).findings
        return next(finding.level for finding in found if finding.check == "archive")

    assert level(is_standby=True) is Level.GREEN
    assert level(is_standby=True, mode="always") is Level.RED


def test_an_unused_slot_is_found_with_the_size_of_its_log(
    server: BreakableServer, engine: Engine
) -> None:
    assert "slots" not in trouble(server)
    server.execute("SELECT pg_create_physical_replication_slot('gone', true)")
    try:
        server.execute("SELECT txid_current(), pg_switch_wal()")
        kept = samples(engine)[catalog.SLOT_RETAINED.name, ("gone",)]
        found = trouble(server)["slots"]
        tradebook = Command(server.url("postgres").render_as_string(False))
        shown = tradebook.json("top", "--once", "--interval", "0.1")["slots"]
    finally:
        server.execute("SELECT pg_drop_replication_slot('gone')")
    assert 0 < kept < 32 * 2**20
    assert found.level is Level.YELLOW
    assert found.what.startswith("gone is not in use; ")
    assert "pg_drop_replication_slot('gone')" in found.fix
    assert [(slot["name"], slot["active"]) for slot in shown] == [("gone", False)]


@contextmanager
def running(server: BreakableServer, name: str, *arguments: str, called: str) -> Iterator[int]:
    """Run a program of PostgreSQL, with the processes it starts, within the block; yield its process group."""
    command = [
        find_program(name, 18),
        *arguments,
        "-d",
        server.url("postgres").render_as_string(False),
    ]
    started = subprocess.Popen(
        command,
        env={**os.environ, "PGAPPNAME": called},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield started.pid
    finally:
        os.killpg(started.pid, signal.SIGKILL)
        started.wait()


def replicas(engine: Engine) -> dict[Any, float]:
    return {labels: n for (name, labels), n in samples(engine).items() if "_replica" in name}


@pytest.mark.parametrize("slot", [True, False])
def test_a_receiver_of_the_log_is_as_late_as_what_it_has_written(
    server: BreakableServer, engine: Engine, tmp_path: Path, slot: bool
) -> None:
    lag = (catalog.REPLICATION_LAG_BYTES.name, ("tradebook_stream",))
    arguments = [f"--directory={tmp_path}", "--no-loop", "--status-interval=1"]
    if slot:
        server.execute("SELECT pg_create_physical_replication_slot('receiver', true)")
        arguments += ["--slot=receiver", "--synchronous"]
    with running(server, "pg_receivewal", *arguments, called="tradebook_stream") as receiver:
        until(lambda: samples(engine)[catalog.REPLICAS.name, ()] == 1)
        assert server.execute("SELECT replay_lsn IS NULL FROM pg_stat_replication")
        until(lambda: samples(engine)[lag] == 0)
        os.killpg(receiver, signal.SIGSTOP)
        server.execute("SELECT pg_logical_emit_message(false, 'test', repeat('x', 9000), true)")
        assert samples(engine)[lag] > 9000
        os.killpg(receiver, signal.SIGCONT)
        until(lambda: samples(engine)[lag] == 0)
        assert "slots" not in trouble(server)
    until(lambda: samples(engine)[catalog.REPLICAS.name, ()] == 0)
    if slot:
        server.execute("SELECT pg_drop_replication_slot('receiver')")


def test_a_base_backup_that_streams_the_log_is_no_standby(
    server: BreakableServer, engine: Engine, tmp_path: Path
) -> None:
    target = [f"--pgdata={tmp_path / 'copy'}", "--checkpoint=fast", "--max-rate=32k", "--no-sync"]
    streaming = (
        "SELECT count(*) = 1 FROM pg_stat_replication "
        "WHERE state = 'streaming' AND application_name = 'pg_basebackup'"
    )
    with running(server, "pg_basebackup", *target, called="pg_basebackup"):
        until(lambda: server.execute(streaming))
        assert samples(engine)[catalog.REPLICAS.name, ()] == 0
        assert server.execute(streaming)
    server.wait_for("SELECT count(*) = 0 FROM pg_stat_replication")


def test_a_slot_in_use_that_is_far_behind_is_yellow() -> None:
    found = postgresql._bad_slot(postgresql.Slot(name="far", active=True, retained_bytes=2**31))
    assert found.level is Level.YELLOW
    assert found.what == "far is far behind: 2,048 MiB of the log are kept for it"
    assert "its receiver" in found.fix
