"""A PostgreSQL server in a folder, to try things out: a real one, safe by default, gone when it is removed."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TextIO

from attrs import asdict, evolve, field, frozen

from tradebook.adapters.engine.factory import engine_for
from tradebook.adapters.migrations import upgrade as migrations
from tradebook.config import DatabaseConfig
from tradebook.domain.errors import OperationFailed, WouldOverwrite
from tradebook.operations.server import programs
from tradebook.operations.server.admin_connection import open_admin_connection
from tradebook.operations.server.cluster import DEFAULT_PORT, Server
from tradebook.operations.server.programs import find_program, translated_os_errors

SCRATCH_SETTINGS: Final = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
"""The settings of a server whose data is thrown away."""
_NAME: Final = "tradebook"
_FILE: Final = "sandbox.json"
_PASSWORD_BYTES: Final = 24
_LOOPBACK: Final = "127.0.0.1"
_UNFINISHED: Final = {"data", "data.new", "password", "password.new", f"{_FILE}.new", "run", "log"}
"""The files and folders that an interrupted start can leave."""


@frozen
class Sandbox:
    """A server in a folder.

    Attributes:
        home: the folder.
        version: PostgreSQL's major version.
        port: the port of TCP, on this machine's loopback only; None for the socket alone.
        username: the name of the superuser.
        database: the database of the book.
        settings: settings of the server; they override those in its files.
    """

    home: Path
    version: int
    port: int | None = None
    username: str = _NAME
    database: str = _NAME
    settings: Mapping[str, str] = field(factory=dict)

    @classmethod
    def from_folder(cls, home: Path) -> Sandbox:
        """Read the description of the sandbox in a folder.

        Raises:
            OperationFailed: the folder holds no sandbox.
        """
        file = home.resolve() / _FILE
        try:
            return cls(home.resolve(), **json.loads(file.read_text()))
        except FileNotFoundError:
            raise OperationFailed(
                f"there is no sandbox in {home}; `tradebook sandbox start {home}` makes one"
            ) from None
        except (OSError, ValueError, TypeError) as error:
            raise OperationFailed(f"{file} cannot be read: {error}") from error

    @property
    def server(self) -> Server:
        """The server itself, of which the sandbox is the description."""
        postgres = find_program("postgres", self.version, exactly=True)
        return Server(self.home, postgres.parent, self.port or DEFAULT_PORT)

    @property
    def config(self) -> DatabaseConfig:
        """The configuration that connects to the book's database as the superuser."""
        return DatabaseConfig(
            host=_LOOPBACK if self.port else str(self.server.sockets),
            port=self.port or DEFAULT_PORT,
            database=self.database,
            username=self.username,
            password=self._password(),
        )

    @translated_os_errors()
    def _password(self) -> str | None:
        # A restored server has none: its pg_hba.conf admits every user who may enter the socket's folder.
        file = self.home / "password"
        return file.read_text() if file.exists() else None

    @property
    def is_running(self) -> bool:
        """True if its server accepts connections."""
        return self.server.is_running

    def start(self) -> bool:
        """Start the server; return False where it runs already."""
        if self.is_running:
            return False
        self.server.start(self.settings, listen=_LOOPBACK if self.port else "")
        return True

    def stop(self) -> bool:
        """Stop the server with a checkpoint; return False where it does not run."""
        was_running = self.is_running
        self.server.stop()
        return was_running

    def save(self) -> None:
        """Write the description that `from_folder` reads."""
        fields = asdict(self, recurse=False)
        del fields["home"]
        new = self.home / f"{_FILE}.new"
        new.write_text(json.dumps(fields))
        new.replace(self.home / _FILE)


def is_sandbox(home: Path) -> bool:
    """Return whether a folder holds a sandbox."""
    return (home / _FILE).exists()


@translated_os_errors()
def start_sandbox(
    home: Path, port: int | None = None, *, tables: bool = True, durable: bool = True
) -> tuple[Sandbox, bool]:
    """Start the sandbox in a folder; create it where there is none.

    Args:
        home: the folder, made with its parents if missing.
        port: a port of TCP to listen on, on loopback, for programs that cannot use a socket.
        tables: whether its database gets the book's schema, upgraded to this version.
        durable: whether what it commits survives a crash; a scratch server does without.

    Returns:
        The sandbox, and whether this call started it.

    Raises:
        ExtraNotInstalled: the wheel with PostgreSQL is not installed.
        WouldOverwrite: the folder holds something else.
        OperationFailed: the server did not start; the message quotes its log.
    """
    home = home.resolve()
    with _locked(home):
        if not is_sandbox(home):
            _create(home, port, durable=durable)
        sandbox = Sandbox.from_folder(home)
        if port not in (None, sandbox.port):
            if sandbox.is_running:  # a running server cannot change its port
                raise OperationFailed(
                    f"the sandbox runs on {sandbox.config.safe_url}; stop it first to give it port "
                    f"{port}"
                )
            sandbox = evolve(sandbox, port=port)
            sandbox.save()
        started = sandbox.start()
        try:
            _prepare_database(sandbox, tables=tables)
        except BaseException:  # Ctrl-C too: the caller has no sandbox yet to stop
            if started:
                sandbox.stop()
            raise
    return sandbox, started


@translated_os_errors()
def remove_sandbox(home: Path) -> None:
    """Stop the server and remove its folder, with all data.

    Raises:
        OperationFailed: the folder holds no sandbox.
    """
    sandbox = Sandbox.from_folder(home)
    server = sandbox.server
    server.stop("immediate")
    shutil.rmtree(server.sockets, ignore_errors=True)
    shutil.rmtree(sandbox.home)


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Hold the lock of a folder, so that two starts run one after the other; a failure leaves no new folder."""
    is_new = not home.exists()
    home.mkdir(parents=True, exist_ok=True)
    others = {path.name for path in home.iterdir()} - {"lock"}
    if not is_sandbox(home) and not others <= _UNFINISHED:
        raise WouldOverwrite(
            f"{home} holds something else ({', '.join(sorted(others)[:3])}): choose an empty folder"
        )
    with _lock(home / "lock") as lock:
        try:
            yield
        except BaseException:
            with suppress(OSError):  # another process has put something into the folder meanwhile
                if os.listdir(home) == ["lock"]:
                    os.unlink(lock.name)
                    if is_new:
                        home.rmdir()
            raise


def _lock(path: Path) -> TextIO:
    """Return the locked file at a path, made where it is missing."""
    # The previous holder may have removed the folder while this process waited: the lock is then held on a
    # file without a name, and the next process would lock another one. So compare, and begin again.
    while True:
        with suppress(FileNotFoundError):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("w")
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    return file
            except BaseException:
                file.close()
                raise
            file.close()


def _create(home: Path, port: int | None, *, durable: bool) -> None:
    folder = programs.wheel_programs()
    version = programs.major_version(folder / "postgres")
    sandbox = Sandbox(home, version, port, settings={} if durable else SCRATCH_SETTINGS)
    shutil.rmtree(home / "data", ignore_errors=True)
    (home / "password").unlink(missing_ok=True)
    password = secrets.token_urlsafe(_PASSWORD_BYTES)
    Server(home, folder).create(sandbox.username, password, durable=durable)
    programs.write_private(home / "password", password)
    sandbox.save()


def _prepare_database(sandbox: Sandbox, *, tables: bool) -> None:
    with open_admin_connection(evolve(sandbox.config, database="postgres")) as admin:
        if not admin.value("SELECT 1 FROM pg_database WHERE datname = %s", sandbox.database):
            admin.rows(f'CREATE DATABASE "{sandbox.database}"')
    if tables:
        with engine_for(sandbox.config) as engine:
            migrations.upgrade(engine)
