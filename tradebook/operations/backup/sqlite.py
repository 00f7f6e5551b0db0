"""Backups of SQLite by its online backup API: writers continue, and a restore is one transaction to readers."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
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
from tradebook.operations.backup.encryption import PIECE, Encryption, create_file
from tradebook.operations.backup.manifest import Source, read_counts
from tradebook.operations.server.programs import create_private
from tradebook.service_layer.instrumentation import ProgressCallback

_PAGES: Final = 512
"""Copied between two reports of progress: 2 MiB."""
_LOCK_SECONDS: Final = 30.0


def back_up_file(
    config: DatabaseConfig, folder: Path, encryption: Encryption | None, report: ProgressCallback
) -> Source:
    """Copy a book into a folder, as of one instant, while others write to it; refuse a damaged one."""
    path = _file_of(config)
    if not path.is_file():
        raise DatabaseUnavailable(f"there is no file {path} to back up; check --database")
    copy = folder / "book.db"
    create_private(copy).close()
    with _translated_errors(path), closing(_connect(path, "ro")) as source:
        # An open read transaction keeps the copy at one instant: without it, the backup API starts again
        # whenever another process writes.
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        _copy(source, copy, report)
    with _translated_errors(copy), closing(_connect(copy, "rw")) as made:
        # One file: in WAL mode even a reader makes two more.
        made.execute("PRAGMA journal_mode=DELETE")
        damage = [str(row[0]) for row in made.execute("PRAGMA integrity_check(5)")]
        if damage != ["ok"]:
            raise DatabaseCorrupt(f"{path}: {'; '.join(damage)}; restore a backup of it")
        described = _describe_source(made)
    if encryption is not None:
        # The backup API writes into a database, not a stream: the copy is in the clear until here.
        with copy.open("rb") as file, create_file(copy, encryption) as stream:
            shutil.copyfileobj(file, stream, PIECE)
        copy.unlink()
    return described


def _describe_source(copy: sqlite3.Connection) -> Source:
    def rows(query: str) -> list[tuple[Any, ...]]:
        return copy.execute(query).fetchall()

    tables = {name for (name,) in rows("SELECT name FROM sqlite_schema")}
    if "trades" not in tables:
        raise SchemaNotReady("the file has no tables of a book: nothing to back up")
    is_versioned = "alembic_version" in tables
    versions = rows("SELECT version_num FROM alembic_version") if is_versioned else []
    program = f"SQLite {sqlite3.sqlite_version}"
    revision = str(versions[0][0]) if versions else None
    return Source(
        server=program, version=0, program=program, revision=revision, counts=read_counts(rows)
    )


def _file_of(config: DatabaseConfig) -> Path:
    if config.is_in_memory:
        raise InvalidInput("database", config.safe_url, "a file: a book in memory has no backup")
    return Path(str(config.path))


def _copy(source: sqlite3.Connection, target: Path, report: ProgressCallback) -> None:
    """Copy a database into a file, in one transaction of that file."""
    size = source.execute("PRAGMA page_size").fetchone()[0]

    def progress(_status: int, remaining: int, total: int) -> None:
        report((total - remaining) * size, total * size)

    with _named_full_disk(target), closing(_connect(target, "rwc")) as copy:
        source.backup(copy, pages=_PAGES, progress=progress, sleep=0.01)


def restore_file(
    backup: Path, config: DatabaseConfig, report: ProgressCallback, *, overwrite: bool
) -> None:
    """Copy a decrypted backup into the file of a config.

    With `overwrite`, a book that is there is replaced in one transaction: programs that have it open read the
    restored one next. A file that is no database any more is moved aside.
    """
    path = _file_of(config)
    exists = path.exists() and path.stat().st_size > 0
    if exists and not overwrite:
        raise WouldOverwrite(
            f"{path} holds a book: restore into another file, or pass --overwrite to lose it"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(_connect(backup, "ro")) as source:
        if not exists:
            _create(source, path, report)
            return
        try:
            _copy(source, path, report)
        except sqlite3.OperationalError as error:  # locked by another process, or the disk is full
            raise DatabaseUnavailable(f"cannot write {path}: {error}") from error
        except sqlite3.DatabaseError:  # the file is no database any more
            for suffix in ("", "-wal", "-shm"):
                with suppress(FileNotFoundError):
                    os.replace(f"{path}{suffix}", f"{path}.damaged{suffix}")
            _create(source, path, report)


def _create(source: sqlite3.Connection, path: Path, report: ProgressCallback) -> None:
    """Copy a database into a new file, under a temporary name until it is complete."""
    new = path.with_name(f".{path.name}.restoring")
    new.unlink(missing_ok=True)
    try:
        _copy(source, new, report)
        # Unlike a rename, it fails where another process made the file meanwhile.
        os.link(new, path)
    except FileExistsError:
        raise WouldOverwrite(
            f"another process made {path} meanwhile; pass --overwrite to replace it"
        ) from None
    finally:
        new.unlink(missing_ok=True)


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    name = f"file:{quote(str(path.resolve()))}?mode={mode}"
    return sqlite3.connect(name, uri=True, timeout=_LOCK_SECONDS, isolation_level=None)


@contextmanager
def _named_full_disk(path: Path) -> Iterator[None]:
    """Raise SQLite's error of a full disk as the operating system's, with the path of the file."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error


@contextmanager
def _translated_errors(path: Path) -> Iterator[None]:
    try:
        with _named_full_disk(path):
            yield
    except sqlite3.OperationalError as error:
        raise DatabaseUnavailable(f"cannot read {path}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise DatabaseCorrupt(f"{path}: {error}; restore a backup of it") from error
