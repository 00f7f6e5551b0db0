"""A PostgreSQL server on a folder of its own: created, started and stopped, by root as another user.

HOME/data          the data directory
HOME/run           the socket, in a folder that only the server's user may enter
HOME/log           the server's log
HOME/pg_hba.conf   the rules for connections, where they are not those of the data directory
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shlex
import shutil
import socket
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from tradebook.domain.errors import OperationFailed
from tradebook.operations.server.programs import run, write_private

SERVER_USER: Final = "embedded_postgres"
"""The user that servers run as where this process is root's: PostgreSQL refuses to run as root."""

DEFAULT_PORT: Final = 5432
_LONGEST_SOCKET: Final = 100
"""Bytes of a socket's path; Linux allows 107, macOS 103."""
_START_SECONDS: Final = 3600
"""Long, because a server that recovers replays its log before it takes connections."""
_DYING_SECONDS: Final = 10.0
"""The processes of a killed server may hold its shared memory for this long."""


@frozen
class Server:
    """A PostgreSQL server, with or without a data directory yet.

    Attributes:
        home: the folder of everything.
        programs: the folder of `postgres` and `pg_ctl`, of the data directory's major version.
        port: part of the socket's name; also of TCP where `start` is given addresses.
    """

    home: Path
    programs: Path
    port: int = DEFAULT_PORT

    @property
    def data(self) -> Path:
        """The path of the data directory."""
        return self.home / "data"

    @property
    def log(self) -> Path:
        """The file of the server's log."""
        return self.home / "log"

    @property
    def sockets(self) -> Path:
        """The folder of the socket; a temporary one where the path would be too long for a socket."""
        folder = self.home / "run"
        if len(os.fsencode(folder / f".s.PGSQL.{self.port}")) <= _LONGEST_SOCKET:
            return folder
        name = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"tradebook-{name}"

    @property
    def is_running(self) -> bool:
        """True if a server accepts connections on the socket."""
        # Not by postmaster.pid: after a crash, another process can have the number in it.
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.sockets / f".s.PGSQL.{self.port}"))
            except OSError:
                return False
        return True

    def create(self, superuser: str, password: str, *, durable: bool = True) -> None:
        """Create an empty cluster: UTF-8, page checksums, a password; flushed to disk if `durable`."""
        # Under another name until it is complete: an interrupted initdb leaves no half data directory.
        new, secret = self.home / "data.new", self.home / "password.new"
        shutil.rmtree(new, ignore_errors=True)
        secret.unlink(missing_ok=True)
        options = ["--encoding=UTF8", "--locale=C", "--data-checksums", f"--username={superuser}"]
        options += ["--auth=scram-sha-256", f"--pwfile={secret}", f"--pgdata={new}"]
        options += [] if durable else ["--no-sync"]
        try:
            make_private_folder(new)
            write_private(secret, password)
            give_to_server(secret)
            self._run("initdb", options)
            new.rename(self.data)
        finally:
            secret.unlink(missing_ok=True)
            shutil.rmtree(new, ignore_errors=True)

    def start(self, settings: Mapping[str, Any], *, listen: str = "") -> None:
        """Start the server and wait until it accepts connections, up to an hour after a crash.

        The settings override those in its files. `listen` has the addresses of TCP, in addition to the socket.
        """
        make_private_folder(self.sockets)
        self.log.touch(0o600)
        give_to_server(self.log)
        hba = self.home / "pg_hba.conf"
        settings = {
            "listen_addresses": listen,
            "port": self.port,
            "unix_socket_directories": f'"{self.sockets}"',
            **({"hba_file": hba} if hba.exists() else {}),
            **settings,
        }
        options = " ".join(f"-c {shlex.quote(f'{n}={value}')}" for n, value in settings.items())
        deadline = time.monotonic() + _DYING_SECONDS
        while (failure := self._attempt(options)) is not None:
            if "shared memory block" not in failure or time.monotonic() > deadline:
                raise OperationFailed(f"the server did not start: {failure}; see {self.log}")
            time.sleep(0.1)

    def stop(self, mode: str = "fast") -> None:
        """Stop the server if it runs: `fast` with a checkpoint, `immediate` as a crash would."""
        if self.is_running:
            self._control("stop", "-m", mode)

    def _attempt(self, options: str) -> str | None:
        """Start the server; return the reason in its log where that fails."""
        before = self.log.stat().st_size
        try:
            self._control("start", "-l", str(self.log), "-o", options)
        except OperationFailed as error:
            return last_fatal_lines(self.log, before) or str(error)
        except BaseException:  # on Ctrl-C a server that is starting would outlive this process
            with suppress(OperationFailed):
                self._control("stop", "-m", "immediate")
            raise
        return None

    def _control(self, action: str, *options: str) -> None:
        arguments = [action, "-w", "-t", str(_START_SECONDS), "-D", str(self.data), *options]
        self._run("pg_ctl", arguments)

    def _run(self, name: str, arguments: Sequence[str]) -> None:
        user = server_user()
        require_entry(self.home, user)
        require_entry(self.programs, user)
        identity: dict[str, Any] = {}
        if user is not None:
            identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        run([self.programs / name, *arguments], cwd=self.home, **identity)


def last_fatal_lines(log: Path, start: int = 0) -> str:
    """Return the last two fatal messages of a server's log from byte `start` on; empty without any."""
    with log.open("rb") as file:
        file.seek(start)
        lines = file.read().decode(errors="replace").splitlines()
    fatal = [line for line in lines if "FATAL:" in line or "HINT:" in line or "PANIC:" in line]
    return "; ".join(line.partition(":  ")[2].strip() or line for line in fatal[-2:])


def server_user() -> pwd.struct_passwd | None:
    """Return the user that servers run as, created if missing; None where this process is not root's."""
    if os.geteuid() != 0:
        return None
    with suppress(KeyError):
        return pwd.getpwnam(SERVER_USER)
    run(["useradd", "--system", "--shell", "/usr/sbin/nologin", SERVER_USER])
    return pwd.getpwnam(SERVER_USER)


def give_to_server(path: Path) -> None:
    """Make the server's user the owner of a file, or of a folder and of everything in it."""
    user = server_user()
    if user is not None:
        for each in (path, *path.rglob("*")):
            if not each.is_symlink():  # whose target may be outside the folder
                os.chown(each, user.pw_uid, user.pw_gid)


def make_private_folder(folder: Path) -> None:
    """Make a folder that only the server's user may enter; refuse one that another user made first."""
    user = server_user()
    try:
        folder.mkdir(mode=0o700)
        give_to_server(folder)
    except FileExistsError:
        expected = os.geteuid() if user is None else user.pw_uid
        if folder.is_symlink() or folder.stat().st_uid != expected:
            raise OperationFailed(f"{folder} belongs to another user; remove it") from None


def require_entry(folder: Path, user: pwd.struct_passwd | None) -> None:
    """Refuse a folder that the server's user may not enter, before a program fails with less of a reason."""
    if user is None:
        return
    for parent in (folder, *folder.parents):
        found = parent.stat()
        if found.st_uid != user.pw_uid and not found.st_mode & 0o001:
            raise OperationFailed(
                f"the server runs as {user.pw_name} where you are root, and {user.pw_name} may not enter "
                f"{parent}: choose a folder elsewhere, such as /var/tmp/book, or `chmod o+x {parent}`"
            )
