"""A PostgreSQL server on a folder of its own: made, started, stopped; by root as another user.

HOME/data          the data directory
HOME/run           the socket, in a folder that only the server's user may enter
HOME/log           what the server says
HOME/pg_hba.conf   who may connect, where that is not the data directory's own
"""

from __future__ import annotations

import hashlib
import os
import pwd
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
from tradebook.operations.server.programs import run

SERVER_USER: Final = "embedded_postgres"
"""Whom the server runs as where we are root: it refuses to be root."""

DEFAULT_PORT: Final = 5432
_LONGEST_SOCKET: Final = 100
_STARTING: Final = 3600
"""Seconds: a server that recovers replays its log first."""
_DYING: Final = 10.0
"""Seconds for which processes of a server that was killed may live on."""


@frozen
class Server:
    """A server that is not ours until `make`, or a restore, made its data directory.

    Attributes:
        home: the folder of everything.
        programs: the folder of `postgres` and `pg_ctl`, of the data's major version.
        port: in the name of its socket, and of TCP where that is asked for.
    """

    home: Path
    programs: Path
    port: int = DEFAULT_PORT

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.home / "data"

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.home / "log"

    @property
    def sockets(self) -> Path:
        """The folder of its socket; a temporary one where the name would be too long for a socket."""
        folder = self.home / "run"
        if len(os.fsencode(folder / f".s.PGSQL.{self.port}")) <= _LONGEST_SOCKET:
            return folder
        name = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"tradebook-{name}"

    @property
    def is_running(self) -> bool:
        """Whether somebody listens; a file that names a process proves nothing after a crash."""
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.sockets / f".s.PGSQL.{self.port}"))
            except OSError:
                return False
        return True

    def make(self, superuser: str, password: str, *, lasting: bool = True) -> None:
        """Make an empty cluster: checksums, UTF-8, and a password for every connection.

        Whatever interrupts this, there is a whole data directory or none; on disk, if `lasting`.
        """
        new, secret = self.home / "data.new", self.home / "password.new"
        shutil.rmtree(new, ignore_errors=True)
        secret.unlink(missing_ok=True)
        try:
            own(new)
            secret.touch(0o600)
            secret.write_text(password)
            give(secret)
            options = [
                "--encoding=UTF8",
                "--locale=C",
                "--data-checksums",
                f"--username={superuser}",
            ]
            options += ["--auth=scram-sha-256", f"--pwfile={secret}", f"--pgdata={new}"]
            self._run("initdb", options if lasting else [*options, "--no-sync"])
            new.rename(self.data)
        finally:
            secret.unlink(missing_ok=True)
            shutil.rmtree(new, ignore_errors=True)

    def start(self, settings: Mapping[str, Any], *, listen: str = "") -> None:
        """Start it, and wait until it takes connections: after a recovery that can take a while.

        Args:
            settings: stronger than those in its files.
            listen: the addresses of TCP; none by default, the socket alone.

        Raises:
            OperationFailed: it did not start; says what its log says.
        """
        own(self.sockets)
        self.log.touch(0o600)
        give(self.log)
        hba = self.home / "pg_hba.conf"
        settings = {
            "listen_addresses": listen,
            "port": self.port,
            "unix_socket_directories": f'"{self.sockets}"',
            **({"hba_file": hba} if hba.exists() else {}),
            **settings,
        }
        options = " ".join(f"-c {_quoted(f'{name}={value}')}" for name, value in settings.items())
        give_up = time.monotonic() + _DYING
        while (said := self._attempt(options)) is not None:
            if "shared memory block" not in said or time.monotonic() > give_up:
                raise OperationFailed(f"the server did not start: {said}; see {self.log}")
            time.sleep(0.1)

    def stop(self, mode: str = "fast") -> None:
        """Stop it, if it runs: `fast` in good order, `immediate` as a crash does."""
        if self.is_running:
            self._control("stop", "-m", mode)

    def _attempt(self, options: str) -> str | None:
        """Start it; gives what the log says where that fails."""
        before = self.log.stat().st_size
        try:
            self._control("start", "-l", str(self.log), "-o", options)
        except OperationFailed as error:
            return complaint(self.log, before) or str(error)
        except BaseException:  # Ctrl-C, say: it may be starting
            self._abandon()
            raise
        return None

    def _abandon(self) -> None:
        with suppress(OperationFailed):  # it was not started yet
            self._control("stop", "-m", "immediate")

    def _control(self, action: str, *options: str) -> None:
        self._run("pg_ctl", [action, "-w", "-t", str(_STARTING), "-D", str(self.data), *options])

    def _run(self, name: str, arguments: Sequence[str]) -> None:
        user = server_user()
        require_entry(self.home, user)
        require_entry(self.programs, user)
        run([self.programs / name, *arguments], cwd=self.home, **as_user(user))


def _quoted(text: str) -> str:
    """For the shell through which pg_ctl starts the server."""
    return "'" + text.replace("'", "'\\''") + "'"


def complaint(log: Path, start: int = 0) -> str:
    """The last fatal words of a server's log from `start` on; empty where there are none."""
    with log.open("rb") as file:
        file.seek(start)
        lines = file.read().decode(errors="replace").splitlines()
    fatal = [line for line in lines if "FATAL:" in line or "HINT:" in line or "PANIC:" in line]
    return "; ".join(line.partition(":  ")[2].strip() or line for line in fatal[-2:])


def server_user() -> pwd.struct_passwd | None:
    """Whom servers run as, made where there is no such user; None where that is whoever we are."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(SERVER_USER)
    except KeyError:
        run(["useradd", "--system", "--shell", "/usr/sbin/nologin", SERVER_USER])
        return pwd.getpwnam(SERVER_USER)


def as_user(user: pwd.struct_passwd | None) -> dict[str, Any]:
    """The options of `subprocess.run` that run a program as `user`."""
    if user is None:
        return {}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def give(path: Path) -> None:
    """Let the server's user own a file or a folder."""
    user = server_user()
    if user is not None:
        os.chown(path, user.pw_uid, user.pw_gid)


def own(folder: Path) -> None:
    """Make a folder that only the server's user may enter; one that is somebody else's is refused.

    Raises:
        OperationFailed: somebody else made it first.
    """
    user = server_user()
    try:
        folder.mkdir(mode=0o700)
        give(folder)
    except FileExistsError:
        expected = os.geteuid() if user is None else user.pw_uid
        if folder.is_symlink() or folder.stat().st_uid != expected:
            raise OperationFailed(f"{folder} belongs to somebody else; remove it") from None


def give_all(folder: Path) -> None:
    """Let the server's user own a folder and everything in it."""
    if server_user() is None:
        return
    give(folder)
    for path in folder.rglob("*"):
        if not path.is_symlink():
            give(path)


def require_entry(folder: Path, user: pwd.struct_passwd | None) -> None:
    """Whether the server's user gets there, said before a program fails with less to go by.

    Raises:
        OperationFailed: naming the folder that it may not enter, and what to do.
    """
    if user is None:
        return
    for parent in (folder, *folder.parents):
        found = parent.stat()
        if found.st_uid != user.pw_uid and not found.st_mode & 0o001:
            raise OperationFailed(
                f"the server runs as {user.pw_name} where you are root, and {user.pw_name} may not enter "
                f"{parent}: choose a folder elsewhere, such as /var/tmp/book, or `chmod o+x {parent}`"
            )
