"""Password rotation on a live server while trades are booked: no call fails, nothing is restarted."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from tests.support.secured_servers import SecuredServer, execute
from tradebook import AsyncDatabaseManager, DatabaseConfig, DatabaseManager, DatabaseUnavailable
from tradebook.adapters.engine.factory import make_async_engine, make_engine

WORKERS, TRADES_BETWEEN, ROTATIONS = 4, 12, 4
AT_MOST = 60
"""Seconds after which a test fails instead of waiting for ever."""


class Rotating:
    """A role whose password changes, and the file in which its clients find it."""

    def __init__(self, server: SecuredServer, folder: Path, source: str) -> None:
        self.server = server
        self.role = f"rotated_{source}_{folder.name}"
        self.file = folder / "password"
        self.file.write_text("first")
        self.reads = 0
        server.execute(f"CREATE ROLE {self.role} LOGIN SUPERUSER PASSWORD 'first'")
        database = server.create(f"db_{self.role}")
        with DatabaseManager(database) as manager:
            manager.upgrade()
        name = str(database.database)
        self.config = (
            server.config(name, self.role, password_file=self.file)
            if source == "file"
            else server.config(name, self.role, password=self.read)
        )

    def read(self) -> str:
        """Return the current password, as a client's password function."""
        self.reads += 1
        return self.file.read_text()

    def rotate(self, number: int) -> int:
        """Change the password at the server and for the clients, in either order, and end every session."""
        new = f"password {number}"
        if number % 2:
            self._tell(new)
        self.server.execute(f"ALTER ROLE {self.role} PASSWORD '{new}'")
        ended = self._end_sessions()
        if not number % 2:
            refused = failures_logged(self.server, self.role)
            until = time.monotonic() + AT_MOST
            while failures_logged(self.server, self.role) == refused:
                assert time.monotonic() < until, "nobody came with the old one"
            self._tell(new)
        return ended

    def _tell(self, new: str) -> None:
        whole = self.file.with_name("password.new")
        whole.write_text(new)
        whole.replace(self.file)

    def _end_sessions(self) -> int:
        ended = self.server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s",
            "postgres",
            self.role,
        )
        return len(ended)


def failures_logged(server: SecuredServer, role: str) -> int:
    """Count the refusals of the role's password in the server's log."""
    text = "".join(file.read_text() for file in server.log.glob("*.log"))
    return text.count(f'password authentication failed for user "{role}"')


@pytest.fixture(params=["file", "function"])
def rotating(request: pytest.FixtureRequest, secured: SecuredServer, tmp_path: Path) -> Rotating:
    return Rotating(secured, tmp_path, request.param)


def check(rotating: Rotating, booked: int, ended: int) -> None:
    """Check that every acknowledged trade is booked once, and that the first password is refused."""
    stored = execute(rotating.config, "SELECT count(*), count(DISTINCT order_id) FROM trades")
    assert stored == [(booked, booked)]
    assert ended > 0
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        execute(
            DatabaseConfig.from_url(rotating.config.url.replace("password%204", "first")),
            "SELECT 1",
        )


def test_threads_book_on_while_the_password_changes(rotating: Rotating) -> None:
    done, booked, failures = threading.Event(), threading.Semaphore(0), list[BaseException]()
    counts = [0] * WORKERS

    def work(worker: int, manager: DatabaseManager) -> None:
        try:
            while not done.is_set():
                order = f"{worker}-{counts[worker]}"
                manager.record_trade(
                    symbol=f"S{worker}", action="BUY", quantity=1, price=2, order_id=order
                )
                counts[worker] += 1
                booked.release()
        except BaseException as error:
            failures.append(error)
            booked.release(TRADES_BETWEEN * ROTATIONS)  # or the test waits for ever

    with DatabaseManager(rotating.config) as manager:
        threads = [threading.Thread(target=work, args=(n, manager)) for n in range(WORKERS)]
        for thread in threads:
            thread.start()
        ended = 0
        try:
            for number in range(1, ROTATIONS + 1):
                for _ in range(TRADES_BETWEEN):
                    assert booked.acquire(timeout=AT_MOST)
                ended += rotating.rotate(number)
            for _ in range(TRADES_BETWEEN):
                assert booked.acquire(timeout=AT_MOST)
        finally:
            done.set()
        for thread in threads:
            thread.join()
    assert failures == []
    check(rotating, sum(counts), ended)


def test_tasks_book_on_while_the_password_changes(rotating: Rotating) -> None:
    counts = [0] * WORKERS

    async def rotated() -> int:
        done, booked = asyncio.Event(), asyncio.Semaphore(0)

        async def work(worker: int, manager: AsyncDatabaseManager) -> None:
            while not done.is_set():
                order = f"{worker}-{counts[worker]}"
                await manager.record_trade(
                    symbol=f"S{worker}", action="BUY", quantity=1, price=2, order_id=order
                )
                counts[worker] += 1
                booked.release()

        async def rotate() -> int:
            ended = 0
            for number in range(1, ROTATIONS + 1):
                for _ in range(TRADES_BETWEEN):
                    await asyncio.wait_for(booked.acquire(), AT_MOST)
                ended += await asyncio.to_thread(rotating.rotate, number)
            for _ in range(TRADES_BETWEEN):
                await asyncio.wait_for(booked.acquire(), AT_MOST)
            done.set()
            return ended

        async with AsyncDatabaseManager(rotating.config) as manager:
            async with asyncio.TaskGroup() as group:
                rotation = group.create_task(rotate())
                for n in range(WORKERS):
                    group.create_task(work(n, manager))
            return rotation.result()

    check(rotating, ended=asyncio.run(rotated()), booked=sum(counts))


def connect(config: DatabaseConfig) -> None:
    engine = make_engine(config)
    try:
        engine.connect().close()
    finally:
        engine.dispose()


def connect_async(config: DatabaseConfig) -> None:
    async def once() -> None:
        engine = make_async_engine(config)
        try:
            async with engine.connect():
                pass
        finally:
            await engine.dispose()

    asyncio.run(once())


both = pytest.mark.parametrize("connects", [connect, connect_async], ids=["psycopg2", "asyncpg"])
Connects = Callable[[DatabaseConfig], None]


@both
def test_a_refused_password_is_asked_for_once_more(
    secured: SecuredServer, connects: Connects
) -> None:
    answers = iter(["stale", "s3cret/pass word"])
    connects(secured.config("postgres", password=lambda: next(answers)))
    assert list(answers) == []


@both
def test_the_same_password_is_not_tried_twice(secured: SecuredServer, connects: Connects) -> None:
    """A server may lock a role after some failures, so the same password is not tried twice."""
    asked: list[str] = []

    def ask() -> str:
        asked.append("wrong")
        return "wrong"

    before = failures_logged(secured, "nobody_knows")
    with pytest.raises(DatabaseUnavailable, match="TRADEBOOK_DB_PASSWORD"):
        connects(secured.config("postgres", "nobody_knows", password=ask))
    assert len(asked) == 2
    marker = failures_logged(secured, "marker")
    with pytest.raises(DatabaseUnavailable):
        connects(secured.config("postgres", "marker"))
    while failures_logged(secured, "marker") == marker:
        pass  # earlier entries are in the file by then
    assert failures_logged(secured, "nobody_knows") == before + 1


@both
def test_a_password_that_is_not_to_be_had_is_a_database_that_is_unavailable(
    secured: SecuredServer, connects: Connects, tmp_path: Path
) -> None:
    def fails() -> str:
        raise RuntimeError("the vault says s3cret")

    with pytest.raises(DatabaseUnavailable, match="RuntimeError") as error:
        connects(secured.config("postgres", password=fails))
    assert "s3cret" not in str(error.value)
    with pytest.raises(DatabaseUnavailable, match="nowhere cannot be read"):
        connects(secured.config("postgres", password_file=tmp_path / "nowhere"))
    nothing: Any = lambda: None  # noqa: E731, as somebody might write it
    with pytest.raises(DatabaseUnavailable, match="gave none"):
        connects(secured.config("postgres", password=nothing))


def test_a_password_file_shows_in_no_url_that_is_for_people(
    secured: SecuredServer, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text("s3cret/pass word")
    config = secured.config("postgres", password_file=file)
    assert "s3cret" in config.url
    assert config.safe_url == f"postgresql://admin:***@localhost:{secured.port}/postgres"
    assert "s3cret" not in repr(make_engine(config).url)
    assert "s3cret" not in repr(config)


@both
def test_a_pgpass_file_gives_the_password(
    secured: SecuredServer, connects: Connects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "pgpass"
    file.write_text("localhost:*:*:admin:s3cret/pass word\n")
    file.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(file))
    connects(secured.config("postgres", password=None))
