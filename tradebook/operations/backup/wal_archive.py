"""The archive of PostgreSQL's write-ahead log: between base backups, what leads to any moment.

The server calls a short script for each file of its log; it needs nothing of ours on its machine.
"""

from __future__ import annotations

import os
import pwd
import re
import shlex
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from attrs import evolve, frozen

from tradebook.config import DatabaseConfig
from tradebook.domain.errors import OperationFailed, WouldOverwrite
from tradebook.operations.backup.encryption import AGE, GPG, Encryption, read
from tradebook.operations.server.admin_connection import Statements, connected
from tradebook.operations.server.cluster import require_entry
from tradebook.operations.server.programs import connection_environment, program, run, run_in_place

SCRIPT: Final = "archive-wal"
_SEGMENT: Final = re.compile(r"[0-9A-F]{24}|[0-9A-F]{8}\.history")
_SUMMARIES_SINCE: Final = 17
_PARTIAL: Final = ".partial"
_SUM: Final = ".sha256"
STREAM: Final = "tradebook_stream"
"""The name of the slot and of the connection that the log is received through."""

_PLAIN: Final = """\
#!/bin/sh
# Written by `tradebook backup archive`. PostgreSQL calls it for each file of its write-ahead log:
#   archive_command = 'sh {script} "%p" "%f"'
# A file gets its name when it is whole and on disk. Nothing is overwritten: the same file again is fine
# (the server asks again after a crash), another one under its name is an error.
set -eu
umask 077
from=$1 name=$2 folder={folder}
to=$folder/$name
if [ -e "$to" ]; then
  cmp -s "$from" "$to" && exit 0
  echo "archive-wal: another $to is there already: do two servers archive into $folder?" >&2
  exit 1
fi
rm -f "$folder/.$name."*
new=$folder/.$name.$$
trap 'rm -f "$new"' EXIT
cp "$from" "$new"
sync "$new"
ln "$new" "$to"
sync "$folder"
"""

_ENCRYPTED: Final = """\
#!/bin/sh
# Written by `tradebook backup archive`. PostgreSQL calls it for each file of its write-ahead log:
#   archive_command = 'sh {script} "%p" "%f"'
# A file is encrypted, and gets its name when it is whole and on disk. Nothing is overwritten: the same file
# again is fine (the server asks again after a crash; a checksum tells), another one is an error.
set -eu
umask 077
from=$1 name=$2 folder={folder}
to=$folder/$name{suffix}
sum=$(sha256sum < "$from")
if [ -e "$to" ]; then
  [ "$sum" = "$(cat "$folder/$name.sha256")" ] && exit 0
  echo "archive-wal: another $to is there already: do two servers archive into $folder?" >&2
  exit 1
fi
rm -f "$folder/.$name."*
new=$folder/.$name.$$
trap 'rm -f "$new"' EXIT
{encrypt} < "$from" > "$new"
printf '%s' "$sum" > "$folder/$name.sha256"
sync "$new" "$folder/$name.sha256"
ln "$new" "$to"
sync "$folder"
"""


@frozen
class Archiving:
    """How a server is to archive its log.

    Attributes:
        folder: the archive.
        settings: of the server, by name.
        restart: names of those that count after it is started again; known once applied.
    """

    folder: Path
    settings: dict[str, str]
    restart: tuple[str, ...] = ()

    @property
    def lines(self) -> Iterator[str]:
        """For postgresql.conf."""
        for name, value in self.settings.items():
            quoted = value.replace("'", "''")
            yield f"{name} = '{quoted}'"


def set_up(folder: Path, encryption: Encryption | None, version: int = 18) -> Archiving:
    """Write the archive's script into its folder, which is made; gives the settings that use it.

    Args:
        folder: of the archive; the server's user must be able to write into it.
        encryption: by whose public keys, which the server's user needs.
        version: the server's major version.
    """
    folder = folder.resolve()
    folder.parent.mkdir(mode=0o711, parents=True, exist_ok=True)  # the server's user passes through
    folder.mkdir(mode=0o700, exist_ok=True)
    script = folder / SCRIPT
    new = folder / f"{SCRIPT}.new"
    new.write_text(_script(folder, script, encryption))
    new.chmod(0o755)
    new.replace(script)
    settings = {
        "wal_level": "replica",
        "archive_mode": "on",
        "archive_command": _command(folder),
        "archive_timeout": "60s",
    }
    if version >= _SUMMARIES_SINCE:
        settings["summarize_wal"] = "on"
    return Archiving(folder, settings)


def _command(folder: Path) -> str:
    return f'sh {_quoted(folder / SCRIPT)} "%p" "%f"'


def _script(folder: Path, script: Path, encryption: Encryption | None) -> str:
    names = {"folder": shlex.quote(str(folder)), "script": script}
    if encryption is None:
        return _PLAIN.format(**names)
    return _ENCRYPTED.format(
        **names, suffix=encryption.suffix, encrypt=shlex.join(encryption.command)
    )


def other_command(config: DatabaseConfig, folder: Path) -> str | None:
    """The command by which a server archives its log elsewhere, by another tool say; None where it does not.

    Args:
        config: of a superuser.
        folder: of the archive that is not elsewhere.

    Raises:
        OperationFailed: it archives by a library, beside which there can be no command.
    """
    with connected(config) as statements:
        return _other_command(statements, folder)


def _other_command(statements: Statements, folder: Path) -> str | None:
    if library := statements.value("SELECT current_setting('archive_library', true)"):
        raise OperationFailed(
            f"the server archives its log by a library, {library}, beside which there can be no "
            "archive_command: stay with it, or ALTER SYSTEM SET archive_library = '' first"
        )
    command: str = statements.value(_COMMAND)
    return command if command not in ("", _command(folder.resolve())) else None


_COMMAND: Final = """\
SELECT coalesce(
  nullif(current_setting('archive_command'), '(disabled)'),
  (SELECT setting FROM pg_file_settings WHERE name = 'archive_command' ORDER BY seqno DESC LIMIT 1),
  ''
)"""
"""While archive_mode is off a server says `(disabled)`, whatever its files say."""


def apply(
    config: DatabaseConfig, folder: Path, encryption: Encryption | None, *, overwrite: bool = False
) -> Archiving:
    """Set up the archive, and tell a running server of it.

    The folder goes to the owner of the data directory, where that is on this machine and we are root.
    Settings that need it wait for the server's next start: `restart` says which.

    Args:
        config: of a superuser.
        folder: of the archive.
        encryption: by whose public keys.
        overwrite: whether another archive_command, which may be another tool's, is replaced.

    Raises:
        WouldOverwrite: the server archives by another command; nothing was done.
        OperationFailed: it archives by a library.
    """
    with connected(config) as statements:
        other = _other_command(statements, folder)
        if other is not None and not overwrite:
            raise WouldOverwrite(
                f"the server has another archive_command, perhaps of another tool: {other}; say "
                "--yes to replace it"
            )
        archiving = set_up(folder, encryption, statements.version)
        _give_to_server(archiving.folder, statements)
        for name, value in archiving.settings.items():
            statements.rows(f"ALTER SYSTEM SET {name} = %s", value)
        statements.rows("SELECT pg_reload_conf()")
        pending = statements.rows(
            "SELECT name FROM pg_settings WHERE pending_restart OR (name = 'archive_mode' AND "
            "setting = 'off') ORDER BY name"
        )
    return Archiving(archiving.folder, archiving.settings, tuple(name for (name,) in pending))


def _give_to_server(folder: Path, statements: Statements) -> None:
    data = Path(str(statements.value("SHOW data_directory")))
    if os.geteuid() == 0 and data.is_dir():
        owner = pwd.getpwuid(data.stat().st_uid)
        for path in (folder, folder / SCRIPT):
            os.chown(path, owner.pw_uid, owner.pw_gid)
        require_entry(folder, owner)


def archive_now(config: DatabaseConfig, patience: float = 30.0) -> str:
    """Let the server archive its log up to this moment, and wait until it has.

    Args:
        config: of a superuser.
        patience: seconds to wait.

    Returns:
        The name of the last file that was needed.

    Raises:
        OperationFailed: archiving is off, or fails; says what the server says.
    """
    with connected(config) as statements:
        if statements.value("SHOW archive_mode") == "off":
            raise OperationFailed(
                "the server does not archive its log: `tradebook backup archive --apply`, then start "
                "the server again"
            )
        statements.rows("SELECT pg_logical_emit_message(true, 'tradebook', 'archive')")
        name = str(statements.value("SELECT pg_walfile_name(pg_switch_wal())"))
        give_up = time.monotonic() + patience
        while True:
            [(last, failed, failures)] = statements.rows(
                "SELECT last_archived_wal, last_failed_wal, failed_count FROM pg_stat_archiver"
            )
            if last is not None and last[8:24] >= name[8:24]:
                return name
            if time.monotonic() > give_up:
                reason = (
                    f"{failures} failures, the last of {failed}" if failed else "no failure yet"
                )
                raise OperationFailed(
                    f"{name} is not archived after {patience:g} s ({reason}); see the server's log"
                )
            time.sleep(0.05)


def stream(config: DatabaseConfig, folder: Path) -> int:
    """Receive the server's log as it is written, until stopped; gives the program's exit code.

    Each piece is on disk here before the server is told so. A server whose `synchronous_standby_names` is
    `STREAM` acknowledges a trade only then: nothing acknowledged is lost with it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with connected(config) as statements:
        receive: list[str | Path] = [program("pg_receivewal", statements.version)]
    receive += ["--no-password", f"--slot={STREAM}", f"--directory={folder}"]
    named = evolve(config, application_name=STREAM)
    with connection_environment(named) as environment:
        run([*receive, "--create-slot", "--if-not-exists"], env=environment)
    return run_in_place([*receive, "--synchronous"], named)


def stop_streaming(config: DatabaseConfig) -> None:
    """Let the server keep its log for nobody; nobody may be receiving it.

    Raises:
        OperationFailed: it is being received.
    """
    with connected(config) as statements:
        statements.rows(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
            "WHERE slot_name = %s",
            STREAM,
        )


def restore_command(folders: Sequence[Path]) -> str:
    """What fetches a file of the log for the server, from the first folder that has it.

    A file that was being received when the server ended is the last to be taken.
    """
    tried = [f'cp {_quoted(folder)}/%f "%p"' for folder in folders]
    tried += [f'cp {_quoted(folder)}/%f{_PARTIAL} "%p"' for folder in folders]
    return " || ".join(tried) or "/bin/false"  # it has what its backup brought along


def _quoted(folder: Path) -> str:
    return shlex.quote(str(folder)).replace("%", "%%")


def is_readable(folder: Path, user: pwd.struct_passwd | None) -> bool:
    """Whether a server that recovers can read an archive as it is: in the clear, and its user's."""
    if _tool_of(folder) is not None:
        return False
    return user is None or all(path.stat().st_uid == user.pw_uid for path in _files_of(folder))


def _tool_of(folder: Path) -> str | None:
    for tool in (GPG, AGE):
        if any(folder.glob(f"*.{tool}")):
            return tool
    return None


def _files_of(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if _SEGMENT.match(path.name)]


def collect(folder: Path, segment: str, target: Path, identity: Path | None) -> None:
    """Copy what is needed of an archive from a file of the log on, decrypted, where it is not there yet."""
    target.mkdir(mode=0o700, exist_ok=True)
    for path in _files_of(folder):
        tool = next((tool for tool in (GPG, AGE) if path.suffix == f".{tool}"), None)
        name = path.name.removesuffix(f".{tool}")
        is_needed = name[8:24] >= segment[8:24] or ".history" in name
        if is_needed and path.suffix != _SUM and not (target / name).exists():
            with read(path, tool, identity) as source, (target / name).open("wb") as file:
                shutil.copyfileobj(source, file)


def clean_up(archive: Path, oldest: str) -> int:
    """Remove what no backup needs any more: files of the log before `oldest`; gives how many.

    Raises:
        ProgramMissing: pg_archivecleanup is not installed.
    """
    before = sum(1 for _ in archive.iterdir())
    tool = _tool_of(archive)
    cleanup = program("pg_archivecleanup", 0)
    for extension in ("", *((f".{tool}", _SUM) if tool else ())):
        strip = ["-x", extension] if extension else []
        run([cleanup, *strip, archive, oldest])
    return before - sum(1 for _ in archive.iterdir())
