"""The archive of PostgreSQL's write-ahead log (WAL): with a base backup, it leads to any moment since.

The server calls a shell script for each file (segment) of its log, so that its machine needs no Python.
"""

from __future__ import annotations

import os
import pwd
import re
import shlex
import shutil
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from attrs import evolve, frozen

from tradebook.config import DatabaseConfig
from tradebook.domain.errors import OperationFailed, WouldOverwrite
from tradebook.operations.backup.encryption import AGE, GPG, PIECE, Encryption, open_file
from tradebook.operations.backup.wal_survey import PARTIAL, SUM
from tradebook.operations.server import programs
from tradebook.operations.server.admin_connection import open_admin_connection
from tradebook.operations.server.cluster import require_entry

SCRIPT: Final = "archive-wal"
STREAM: Final = "tradebook_stream"
"""The name of the replication slot and of the connection that the log is received through."""
_SEGMENT: Final = re.compile(r"[0-9A-F]{24}|[0-9A-F]{8}\.history")
_POLL_SECONDS: Final = 0.05
# While archive_mode is off, the server shows the setting as `(disabled)`: its files have the command.
_COMMAND: Final = """\
SELECT coalesce(
  nullif(current_setting('archive_command'), '(disabled)'),
  (SELECT setting FROM pg_file_settings WHERE name = 'archive_command' ORDER BY seqno DESC LIMIT 1),
  ''
)"""

# The script for one file. `ln` rather than `mv`: it fails where the name is taken meanwhile. `sync` of the
# file keeps its content over a power failure, of the folder its name: only then may the server recycle it.
# The checksum is of what the server gave, so that it shows a copy that went wrong too.
_TEMPLATE: Final = """\
#!/bin/sh
# Written by `tradebook backup archive`. PostgreSQL calls it for each file of its write-ahead log:
#   archive_command = 'sh {script} "%p" "%f"'
# A file gets its name when it is complete and on disk. Nothing is overwritten: after a crash the server sends
# a file again, which is accepted where the content is the same; another content is an error.
set -eu
umask 077
from=$1 name=$2 folder={folder}
to=$folder/$name{suffix}
if [ -e "$to" ]; then
  {is_same} && exit 0
  echo "archive-wal: another $to is there already: do two servers archive into $folder?" >&2
  exit 1
fi
rm -f "$folder/.$name."*
new=$folder/.$name.$$
trap 'rm -f "$new"' EXIT
{copy}
sync "$new" "$folder/$name.sha256"
ln "$new" "$to"
sync "$folder"
"""
_COPY: Final = 'sha256sum < "$from" > "$folder/$name.sha256"\ncp "$from" "$new"'
_PLAIN: Final = {"is_same": 'cmp -s "$from" "$to"', "copy": _COPY, "suffix": ""}
# The same content encrypted twice differs: the checksum of the clear content is compared.
_IS_SAME_ENCRYPTED: Final = '[ "$(sha256sum < "$from")" = "$(head -n 1 "$folder/$name.sha256")" ]'
_COPY_ENCRYPTED: Final = """\
{encrypt} < "$from" > "$new"
sums=$(sha256sum < "$from"; sha256sum < "$new")
echo "$sums" > "$folder/$name.sha256\""""


@frozen
class Archiving:
    """The settings with which a server archives its log.

    Attributes:
        folder: the archive.
        settings: settings of the server, by name.
        restart: names of the settings that wait for a restart of the server; known once they are applied.
    """

    folder: Path
    settings: dict[str, str]
    restart: tuple[str, ...] = ()

    @property
    def lines(self) -> Iterator[str]:
        """The settings as lines of postgresql.conf."""
        for name, value in self.settings.items():
            quoted = value.replace("'", "''")
            yield f"{name} = '{quoted}'"


def prepare_archive(folder: Path, encryption: Encryption | None, version: int = 18) -> Archiving:
    """Write the archive's script into its folder, and return the settings with which a server calls it.

    The server's user must be able to write into the folder, and needs the public keys of an encryption.
    """
    folder = folder.resolve()
    folder.parent.mkdir(mode=0o711, parents=True, exist_ok=True)  # the server's user passes through
    folder.mkdir(mode=0o700, exist_ok=True)
    script = folder / SCRIPT
    parts = _PLAIN
    if encryption is not None:
        copy = _COPY_ENCRYPTED.format(encrypt=shlex.join(encryption.command))
        parts = {"is_same": _IS_SAME_ENCRYPTED, "copy": copy, "suffix": encryption.suffix}
    # Renamed into place, because a running server may call the script at any moment.
    new = folder / f"{SCRIPT}.new"
    new.write_text(_TEMPLATE.format(folder=shlex.quote(str(folder)), script=script, **parts))
    new.chmod(0o755)
    new.replace(script)
    settings = {
        "wal_level": "replica",
        "archive_mode": "on",
        "archive_command": _command(folder),
        "archive_timeout": "60s",
    }
    if version >= 17:  # the first with summaries
        settings["summarize_wal"] = "on"
    return Archiving(folder, settings)


def _command(folder: Path) -> str:
    return f'sh {_quoted(folder / SCRIPT)} "%p" "%f"'


def folder_in(command: str) -> Path | None:
    """Return the archive that an archive_command feeds; None where it is not one of ours."""
    with suppress(ValueError):  # quotes that are not closed
        match shlex.split(command):
            case ["sh", script, "%p", "%f"] if Path(script).name == SCRIPT:
                return Path(script.replace("%%", "%")).parent
    return None


def other_command(config: DatabaseConfig, folder: Path) -> str | None:
    """Return the archive_command of a server that archives elsewhere than into `folder`, or None."""
    with open_admin_connection(config) as admin:
        if library := admin.value("SELECT current_setting('archive_library', true)"):
            raise OperationFailed(
                f"the server archives its log by a library, {library}, beside which there can be no "
                "archive_command: stay with it, or ALTER SYSTEM SET archive_library = '' first"
            )
        command: str = admin.value(_COMMAND)
    return command if command not in ("", _command(folder.resolve())) else None


def archive_log(
    config: DatabaseConfig, folder: Path, encryption: Encryption | None, *, overwrite: bool = False
) -> Archiving:
    """Prepare an archive, and apply its settings to a running server.

    Where the data directory is on this machine and this process is root's, its owner gets the folder.

    Args:
        config: the database, as a superuser connects to it.
        folder: the folder of the archive.
        encryption: the tool and the public keys.
        overwrite: whether to replace another archive_command, such as another tool's.

    Raises:
        WouldOverwrite: the server archives by another command; nothing was changed.
        OperationFailed: it archives by a library.
    """
    other = other_command(config, folder)
    if other is not None and not overwrite:
        raise WouldOverwrite(
            f"the server has another archive_command, perhaps of another tool: {other}; pass "
            "--yes to replace it"
        )
    with open_admin_connection(config) as admin:
        archiving = prepare_archive(folder, encryption, admin.version)
        data = Path(str(admin.value("SHOW data_directory")))
        if os.geteuid() == 0 and data.is_dir():
            owner = pwd.getpwuid(data.stat().st_uid)
            for path in (archiving.folder, archiving.folder / SCRIPT):
                os.chown(path, owner.pw_uid, owner.pw_gid)
            require_entry(archiving.folder, owner)
        for name, value in archiving.settings.items():
            admin.rows(f"ALTER SYSTEM SET {name} = %s", value)
        admin.rows("SELECT pg_reload_conf()")
        # The reload reaches this session a moment later, so pending_restart may lag: archive_mode tells.
        pending = admin.rows(
            "SELECT name FROM pg_settings WHERE pending_restart OR (name = 'archive_mode' AND "
            "setting = 'off') ORDER BY name"
        )
    return evolve(archiving, restart=tuple(name for (name,) in pending))


def archive_now(config: DatabaseConfig, timeout: float = 30.0) -> str:
    """Have the server archive its log up to this moment, and wait until it has.

    Args:
        config: the database, as a superuser connects to it.
        timeout: seconds to wait.

    Returns:
        The name of the last segment that was needed.

    Raises:
        OperationFailed: archiving is off, or did not succeed in time.
    """
    with open_admin_connection(config) as admin:
        if admin.value("SHOW archive_mode") == "off":
            raise OperationFailed(
                "the server does not archive its log: `tradebook backup archive --apply`, then start "
                "the server again"
            )
        # An empty segment is not switched, and its name would never be archived: so write a record first.
        admin.rows("SELECT pg_logical_emit_message(true, 'tradebook', 'archive')")
        name = str(admin.value("SELECT pg_walfile_name(pg_switch_wal())"))
        deadline = time.monotonic() + timeout
        while True:
            [(last, failed, failures)] = admin.rows(
                "SELECT last_archived_wal, last_failed_wal, failed_count FROM pg_stat_archiver"
            )
            if last is not None and _position(last) >= _position(name):
                return name
            if time.monotonic() > deadline:
                last_one = f", the last of {failed}" if failed else ""
                raise OperationFailed(
                    f"{name} is not archived after {timeout:g} s ({failures} failures{last_one}); see "
                    "the server's log"
                )
            time.sleep(_POLL_SECONDS)


def _position(segment: str) -> str:
    """Return the part of a segment's name after its timeline, which orders the segments."""
    return segment[8:24]


def stream(config: DatabaseConfig, folder: Path) -> int:
    """Receive the server's log as it is written, until stopped; return the program's exit code.

    A record is flushed here before its receipt is reported. Where `synchronous_standby_names` is `STREAM`, the
    server acknowledges a commit only after that, so a lost server loses nothing that was acknowledged.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open_admin_connection(config) as admin:
        receive: list[str | Path] = [programs.find_program("pg_receivewal", admin.version)]
    receive += ["--no-password", f"--slot={STREAM}", f"--directory={folder}"]
    named = evolve(config, application_name=STREAM)
    with programs.connection_environment(named) as environment:
        programs.run([*receive, "--create-slot", "--if-not-exists"], env=environment)
    return programs.run_interactive([*receive, "--synchronous"], named)


def stop_streaming(config: DatabaseConfig) -> None:
    """Drop the slot of `stream`, for which the server otherwise keeps its log without end."""
    with open_admin_connection(config) as admin:
        admin.rows(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
            "WHERE slot_name = %s",
            STREAM,
        )


def restore_command(folders: Sequence[Path]) -> str:
    """Return the command that fetches a segment for a server, from the first folder that has it."""
    # A segment that was being received when the server was lost is `.partial`, in one folder of several.
    # Each folder is tried for the complete file first: a partial one would end the recovery too early.
    sources = [f"{_quoted(folder)}/%f{end}" for end in ("", PARTIAL) for folder in folders]
    # Without folders the backup's own log is all there is, and every request has to fail.
    return " || ".join(f'cp {source} "%p"' for source in sources) or "/bin/false"


def _quoted(path: Path) -> str:
    return shlex.quote(str(path)).replace("%", "%%")


def is_readable(folder: Path, user: pwd.struct_passwd | None) -> bool:
    """Return whether a recovering server can read an archive as it is: decrypted, and its user's."""
    if _tool_in(folder) is not None:
        return False
    return user is None or all(path.stat().st_uid == user.pw_uid for path in _files_in(folder))


def _tool_of(path: Path) -> str | None:
    """Return the tool that a file is encrypted with, if any."""
    return next((tool for tool in (GPG, AGE) if path.suffix == f".{tool}"), None)


def _tool_in(folder: Path) -> str | None:
    return next(filter(None, map(_tool_of, folder.iterdir())), None)


def _files_in(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if _SEGMENT.match(path.name)]


def copy_decrypted(
    folder: Path,
    segment: str,
    target: Path,
    identity: Path | None,
    altered: Collection[Path] = (),
) -> None:
    """Copy an archive's files from a segment on into another folder, decrypted, without the altered ones.

    Files that are there stay.
    """
    target.mkdir(mode=0o700, exist_ok=True)
    for path in _files_in(folder):
        tool = _tool_of(path)
        name = path.name.removesuffix(f".{tool}")
        # The history of timelines is needed whatever its age.
        is_needed = _position(name) >= _position(segment) or ".history" in name
        is_needed = is_needed and path.suffix != SUM and path not in altered
        if is_needed and not (target / name).exists():
            with open_file(path, tool, identity) as source, (target / name).open("wb") as file:
                shutil.copyfileobj(source, file, PIECE)


def remove_older(archive: Path, oldest: str) -> int:
    """Remove the segments before `oldest`, which no backup needs; return the number of files removed."""
    before = sum(1 for _ in archive.iterdir())
    tool = _tool_in(archive)
    cleanup = programs.find_program("pg_archivecleanup", 0)
    for extension in ("", SUM, *((f".{tool}",) if tool else ())):
        strip = ["-x", extension] if extension else []
        programs.run([cleanup, *strip, archive, oldest])
    return before - sum(1 for _ in archive.iterdir())
