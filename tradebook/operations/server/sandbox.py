"""A PostgreSQL of one's own in a folder, to try things out: real, safe by default, gone when removed."""

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
from tradebook.operations.server.admin_connection import connected
from tradebook.operations.server.cluster import DEFAULT_PORT, Server
from tradebook.operations.server.programs import (
    major_version,
    program,
    told_apart,
    wheel_programs,
    write_private,
)

DEFAULT_FOLDER: Final = Path("tradebook-sandbox")
SUPERUSER: Final = "tradebook"
DATABASE: Final = "tradebook"
SCRATCH: Final = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
"""The settings of a server that is thrown away."""
_FILE: Final = "sandbox.json"
_PASSWORD_BYTES: Final = 24
_LOOPBACK: Final = "127.0.0.1"


@frozen
class Sandbox:
    """A server in a folder.

    Attributes:
        home: the folder.
        version: PostgreSQL's major version.
        port: of TCP, on this machine's loopback only; None for the socket alone.
        username: of the superuser.
        database: where the book is.
        settings: of the server, stronger than those in its files.
    """

    home: Path
    version: int
    port: int | None = None
    username: str = SUPERUSER
    database: str = DATABASE
    settings: Mapping[str, str] = field(factory=dict)

    @classmethod
    def at(cls, home: Path) -> Sandbox:
        """The sandbox in a folder.

        Raises:
            OperationFailed: there is none.
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
        """The server itself."""
        programs = program("postgres", self.version, exactly=True).parent
        return Server(self.home, programs, self.port or DEFAULT_PORT)

    @property
    def config(self) -> DatabaseConfig:
        """What connects to it as its superuser."""
        return DatabaseConfig(
            host=_LOOPBACK if self.port else str(self.server.sockets),
            port=self.port or DEFAULT_PORT,
            database=self.database,
            username=self.username,
            password=self._password(),
        )

    @told_apart()
    def _password(self) -> str | None:
        """None where the folder lets in nobody else: a restored server's."""
        file = self.home / "password"
        return file.read_text() if file.exists() else None

    @property
    def is_running(self) -> bool:
        """Whether its server takes connections."""
        return self.server.is_running

    def start(self) -> bool:
        """Start it; gives False where it runs already."""
        if self.is_running:
            return False
        self.server.start(self.settings, listen=_LOOPBACK if self.port else "")
        return True

    def stop(self) -> bool:
        """Stop it in good order; gives False where it does not run."""
        was_running = self.is_running
        self.server.stop()
        return was_running

    def save(self) -> None:
        """Write down what the folder holds, for `at`."""
        fields = asdict(self, recurse=False)
        del fields["home"]
        new = self.home / f"{_FILE}.new"
        new.write_text(json.dumps(fields))
        new.replace(self.home / _FILE)


def is_sandbox(home: Path) -> bool:
    """Whether a folder holds a sandbox."""
    return (home / _FILE).exists()


@told_apart()
def start_sandbox(
    home: Path, port: int | None = None, *, tables: bool = True, lasting: bool = True
) -> tuple[Sandbox, bool]:
    """The sandbox in a folder, running; made where there is none.

    Args:
        home: the folder; what is missing of its path is made.
        port: on which it listens on loopback too, for programs that cannot use a socket.
        tables: whether its database gets the book's schema, or is brought up to this version.
        lasting: whether what it acknowledges outlives a crash; a scratch server need not.

    Returns:
        The sandbox, and whether it was started by this call.

    Raises:
        ExtraNotInstalled: the wheel with PostgreSQL is not installed.
        WouldOverwrite: the folder holds something else.
        OperationFailed: the server did not start; says what its log says.
    """
    home = home.resolve()
    with _locked(home):
        if not is_sandbox(home):
            _make(home, port, lasting=lasting)
        sandbox = Sandbox.at(home)
        if port not in (None, sandbox.port):
            sandbox = _moved(sandbox, port)
        started = sandbox.start()
        try:
            _prepare(sandbox, tables=tables)
        except BaseException:  # Ctrl-C, say: nobody knows yet that it runs
            if started:
                sandbox.stop()
            raise
    return sandbox, started


@told_apart()
def remove_sandbox(home: Path) -> None:
    """Stop the server and remove its folder, with all data.

    Raises:
        OperationFailed: there is no sandbox.
    """
    sandbox = Sandbox.at(home)
    server = sandbox.server
    server.stop("immediate")
    shutil.rmtree(server.sockets, ignore_errors=True)
    shutil.rmtree(sandbox.home)


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Two who start the same sandbox at once wait for each other; a failure leaves no empty folder."""
    is_new = not home.exists()
    home.mkdir(parents=True, exist_ok=True)
    others = [path.name for path in home.iterdir() if path.name != "lock"]
    if others and not is_sandbox(home) and not set(others) <= _UNFINISHED:
        raise WouldOverwrite(
            f"{home} holds something else ({', '.join(sorted(others)[:3])}): choose an empty folder"
        )
    with _lock(home / "lock"):
        try:
            yield
        except BaseException:
            with suppress(OSError):  # somebody else needs it after all
                _tidy_up(home, is_new=is_new)
            raise


def _tidy_up(home: Path, *, is_new: bool) -> None:
    if os.listdir(home) == ["lock"]:
        (home / "lock").unlink()
        if is_new:
            home.rmdir()


def _lock(path: Path) -> TextIO:
    """A file that is locked, and still there: whoever had it before may have removed its folder."""
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


_UNFINISHED: Final = {"data", "data.new", "password", "password.new", f"{_FILE}.new", "run", "log"}
"""What an interrupted start leaves."""


def _make(home: Path, port: int | None, *, lasting: bool) -> None:
    programs = wheel_programs()
    version = major_version(programs / "postgres")
    sandbox = Sandbox(home, version, port, settings={} if lasting else SCRATCH)
    shutil.rmtree(home / "data", ignore_errors=True)
    (home / "password").unlink(missing_ok=True)
    password = secrets.token_urlsafe(_PASSWORD_BYTES)
    Server(home, programs).make(SUPERUSER, password, lasting=lasting)
    write_private(home / "password", password)
    sandbox.save()


def _moved(sandbox: Sandbox, port: int | None) -> Sandbox:
    """The same on another port, which a server that runs cannot change."""
    if sandbox.is_running:
        raise OperationFailed(
            f"the sandbox runs on {sandbox.config.safe_url}; stop it first to give it port {port}"
        )
    moved = evolve(sandbox, port=port)
    moved.save()
    return moved


def _prepare(sandbox: Sandbox, *, tables: bool) -> None:
    """Make the database, and its tables."""
    with connected(evolve(sandbox.config, database="postgres")) as statements:
        if not statements.value("SELECT 1 FROM pg_database WHERE datname = %s", sandbox.database):
            statements.rows(f'CREATE DATABASE "{sandbox.database}"')
    if tables:
        with engine_for(sandbox.config) as engine:
            migrations.upgrade(engine)
