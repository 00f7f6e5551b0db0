"""SQLite through its online backup API: writers go on, and a restore is one transaction to who reads."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from tradebook.config import DatabaseConfig
from tradebook.domain.errors import (
    DatabaseCorrupt,
    DatabaseUnavailable,
    InvalidInput,
    SchemaNotReady,
    WouldOverwrite,
)
from tradebook.operations.backup.contents import read_counts
from tradebook.operations.backup.encryption import Encryption, written
from tradebook.operations.backup.manifest import Facts
from tradebook.service_layer.instrumentation import ProgressCallback

BOOK: Final = "book.db"
_PAGES: Final = 512
"""Copied between two reports: 2 MiB."""
_WAIT: Final = 30.0
_PIECE: Final = 1 << 20
_VERSIONS: Final = "alembic_version"


def back_up_file(
    config: DatabaseConfig, folder: Path, encryption: Encryption | None, report: ProgressCallback
) -> Facts:
    """Copy a book that others write into, as it is at one instant; gives what it is of.

    Raises:
        DatabaseUnavailable: there is no such file.
        DatabaseCorrupt: it is damaged; a copy of it would be no backup.
    """
    path = file_of(config)
    if not path.is_file():
        raise DatabaseUnavailable(f"there is no file {path} to back up; check --database")
    copy = folder / BOOK
    os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with _damage_of(path), closing(_opened(path, "ro")) as source:
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        # Its own read transaction keeps the instant: without it, each writer would make it start again.
        copy_database(source, copy, report)
    with _damage_of(copy), closing(_opened(copy, "rw")) as made:
        made.execute("PRAGMA journal_mode=DELETE")  # one file, without its log beside it
        _require_intact(made)
        facts = _facts_of(made)
    if encryption is not None:
        _encrypt(copy, encryption)
    return facts


def _facts_of(copy: sqlite3.Connection) -> Facts:
    def rows(query: str) -> list[tuple[Any, ...]]:
        return copy.execute(query).fetchall()

    tables = {name for (name,) in rows("SELECT name FROM sqlite_schema")}
    if "trades" not in tables:
        raise SchemaNotReady("the file has no tables of a book: nothing to back up")
    versions = rows("SELECT version_num FROM alembic_version") if _VERSIONS in tables else []
    program = f"SQLite {sqlite3.sqlite_version}"
    revision = str(versions[0][0]) if versions else None
    return Facts(
        server=program, version=0, program=program, revision=revision, counts=read_counts(rows)
    )


def file_of(config: DatabaseConfig) -> Path:
    """The file that a book is in.

    Raises:
        InvalidInput: it is in memory.
    """
    if config.is_in_memory:
        raise InvalidInput("database", config.safe_url, "a file: a book in memory has no backup")
    return Path(str(config.path))


def copy_database(source: sqlite3.Connection, target: Path, report: ProgressCallback) -> None:
    """Copy all of a database into a file, whoever has it open: they see the old or the new one."""
    size = source.execute("PRAGMA page_size").fetchone()[0]

    def progress(_status: int, remaining: int, total: int) -> None:
        report((total - remaining) * size, total * size)

    with closing(_opened(target, "rwc")) as copy:
        source.backup(copy, pages=_PAGES, progress=progress, sleep=0.01)


def restore_file(
    backup: Path, config: DatabaseConfig, report: ProgressCallback, *, overwrite: bool
) -> None:
    """Put a backup's book where a config says.

    Args:
        backup: the copy, decrypted.
        config: of the file to write.
        overwrite: whether a book that is there may go. It is replaced in one transaction, so that
            programs that have it open see the restored one next. A damaged one is moved aside.

    Raises:
        WouldOverwrite: there is a book, and `overwrite` is not set.
    """
    path = file_of(config)
    is_there = path.exists() and path.stat().st_size > 0
    if is_there and not overwrite:
        raise WouldOverwrite(
            f"{path} holds a book: restore into another file, or say --overwrite to lose it"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(_opened(backup, "ro")) as source:
        if is_there:
            _replace(source, path, report)
        else:
            _create(source, path, report)


def _create(source: sqlite3.Connection, path: Path, report: ProgressCallback) -> None:
    """Whatever interrupts this, there is a whole book or none."""
    new = path.with_name(f".{path.name}.restoring")
    new.unlink(missing_ok=True)
    try:
        copy_database(source, new, report)
        os.link(new, path)  # unlike a rename, never over what somebody made meanwhile
    except FileExistsError:
        raise WouldOverwrite(f"somebody made {path} meanwhile") from None
    finally:
        new.unlink(missing_ok=True)


def _replace(source: sqlite3.Connection, path: Path, report: ProgressCallback) -> None:
    try:
        copy_database(source, path, report)
    except sqlite3.OperationalError as error:  # locked, or no room
        raise DatabaseUnavailable(f"cannot write {path}: {error}") from error
    except sqlite3.DatabaseError:  # the one that is there is no database any more
        _move_aside(path)
        _create(source, path, report)


def _move_aside(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.replace(path.with_name(f"{path.name}.damaged{suffix}"))


def _opened(path: Path, mode: str) -> sqlite3.Connection:
    name = f"file:{quote(str(path.resolve()))}?mode={mode}"
    return sqlite3.connect(name, uri=True, timeout=_WAIT, isolation_level=None)


@contextmanager
def _damage_of(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise DatabaseUnavailable(f"cannot read {path}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise DatabaseCorrupt(f"{path}: {error}") from error


def _require_intact(connection: sqlite3.Connection) -> None:
    damages = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(5)")]
    if damages != ["ok"]:
        raise DatabaseCorrupt("; ".join(damages))


def _encrypt(copy: Path, encryption: Encryption) -> None:
    """The copy must be in the clear while it is made; it goes as soon as it is encrypted."""
    encrypted = copy.with_name(copy.name + encryption.suffix)
    with copy.open("rb") as file, written(encrypted, encryption) as stream:
        while piece := file.read(_PIECE):
            stream.write(piece)
    copy.unlink()
