"""PgBouncer for the tests: as it is installed, or fetched from Debian's packages into a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Final

import psycopg2
import pytest
from attrs import frozen
from sqlalchemy import URL

from tests.support.breakable_servers import server_user

PACKAGES: Final = ("pgbouncer", "libc-ares2")
NEEDED: Final = (
    "needs PgBouncer, which is neither installed nor to be had by `apt-get download`: "
    "apt-get install pgbouncer"
)
_SETTINGS: Final = {
    "pool_mode": "transaction",
    "auth_type": "trust",
    "listen_addr": "",
    "listen_port": "6432",
    "max_client_conn": "1000",
    "server_round_robin": "1",  # so that two transactions in turn see two backends
    "server_login_retry": "0.1",
    "query_wait_timeout": "60",
    "log_connections": "0",
    "log_disconnections": "0",
}


@frozen
class Program:
    """An executable, and the folder of the libraries that were fetched with it."""

    path: str
    libraries: str = ""


@cache
def pgbouncer() -> Program | None:
    """Find PgBouncer, or fetch it; None where neither is possible."""
    installed = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if installed is not None:
        return Program(installed)
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "tradebook-pgbouncer")
    if not (folder / "usr/sbin/pgbouncer").exists() and not _fetch(folder):
        return None
    libraries = next(folder.glob("usr/lib/*/libcares.so.2"), folder).parent
    return Program(str(folder / "usr/sbin/pgbouncer"), str(libraries))


def _fetch(folder: Path) -> bool:
    """Unpack Debian's packages into a folder; False where there are none to be had."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        return False
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix="tradebook-pgbouncer-", dir=folder.parent))
    quiet = {"cwd": made, "capture_output": True, "timeout": 60, "check": True}
    try:
        subprocess.run(["apt-get", "download", *PACKAGES], **quiet)  # type: ignore[call-overload]
        for package in made.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", package.name, "."], **quiet)  # type: ignore[call-overload]
        with suppress(OSError):  # another worker was first
            made.rename(folder)
    except (subprocess.SubprocessError, OSError):
        pass
    shutil.rmtree(made, ignore_errors=True)
    return (folder / "usr/sbin/pgbouncer").exists()


class Pooler:
    """PgBouncer before a server.

    Attributes:
        url: of the server's database, through the pooler.
    """

    def __init__(
        self, program: Program, server: URL, home: Path, settings: Mapping[str, str]
    ) -> None:
        self._program, self._home = program, home
        host = server.host or server.query["host"]
        where = f"host={host} port={server.port or server.query.get('port', 5432)}"
        stated = {
            **_SETTINGS,
            "unix_socket_dir": str(home),
            "auth_file": str(home / "users"),
            "logfile": str(home / "log"),
            **settings,
        }
        lines = ["[databases]", f"* = {where}", "[pgbouncer]"]
        (home / "ini").write_text("\n".join([*lines, *(f"{n} = {v}" for n, v in stated.items())]))
        (home / "users").write_text('"postgres" ""\n')
        place = {"host": str(home), "port": "6432"}
        self.url = server.set(host=None, port=None).update_query_dict(place)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        user = server_user()
        if user is not None:  # it refuses to run as root
            shutil.chown(self._home, user)
        as_user = [] if user is None else ["--user", user]
        libraries = self._program.libraries
        self._process = subprocess.Popen(
            [self._program.path, "--quiet", *as_user, str(self._home / "ini")],
            env={**os.environ, "LD_LIBRARY_PATH": libraries} if libraries else None,
            stderr=subprocess.DEVNULL,
        )
        plain = self.url.set(drivername="postgresql").render_as_string(hide_password=False)
        for _ in range(1000):
            assert self._process.poll() is None, (self._home / "log").read_text()
            with suppress(psycopg2.OperationalError):
                psycopg2.connect(plain).close()
                return
            time.sleep(0.01)
        raise AssertionError(f"PgBouncer does not answer: {(self._home / 'log').read_text()}")

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()
        (self._home / ".s.PGSQL.6432").unlink(missing_ok=True)

    def restart(self) -> None:
        """End it at once, and start it again."""
        self.kill()
        self.start()


@contextmanager
def pooler(server: URL, *, size: int = 2, **settings: str) -> Iterator[Pooler]:
    """Run PgBouncer before a server, in transaction mode.

    Args:
        server: the server's URL.
        size: connections to the server for each database and role.
        settings: of PgBouncer, besides and instead of those of the tests.
    """
    program = pgbouncer()
    if program is None:
        pytest.skip(NEEDED)
    home = Path(tempfile.mkdtemp(prefix="tradebook-pooler-"))
    made = Pooler(program, server, home, {"default_pool_size": str(size), **settings})
    made.start()
    try:
        yield made
    finally:
        made.kill()
        shutil.rmtree(home, ignore_errors=True)


def in_transactions(url: URL) -> URL:
    """Say in a URL that a pooler in transaction mode stands there."""
    return url.update_query_dict({"pooler": "transaction"})
