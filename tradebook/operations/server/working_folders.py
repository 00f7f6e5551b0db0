"""Folders that a process works in: locked while it runs, so that what a killed one left can be removed.

The kernel ends the lock (flock of the folder itself) with the process, however that ends.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_PREFIX: Final = "tradebook-private-"
_AGE_SECONDS: Final = 86_400


@contextmanager
def working_folder(make: Callable[[], Path]) -> Iterator[Path]:
    """Yield a folder that `make` creates, locked until the block ends; the block removes or renames it."""
    while True:
        folder = make()
        # Another process may take it for abandoned before it is locked, and remove it.
        with suppress(BlockingIOError, FileNotFoundError):
            descriptor = _lock(folder)
            break
    try:
        yield folder
    finally:
        if descriptor is not None:
            os.close(descriptor)


@contextmanager
def private_folder(prefix: str = _PREFIX, parent: Path | None = None) -> Iterator[Path]:
    """Yield a temporary folder for this user alone; remove those with the prefix that killed processes left.

    A server that still runs in one of those stops by itself, within a minute, when its files are gone.
    """
    where = parent or Path(tempfile.gettempdir())
    for left in where.glob(f"{prefix}*"):
        remove_abandoned(left)
    with working_folder(lambda: Path(tempfile.mkdtemp(prefix=prefix, dir=where))) as folder:
        try:
            yield folder
        finally:
            shutil.rmtree(folder)


def remove_abandoned(folder: Path) -> None:
    """Remove a working folder, unless the process that made it runs."""
    with suppress(OSError):
        if (descriptor := _lock(folder)) is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(descriptor)
        elif is_aged(folder):
            shutil.rmtree(folder, ignore_errors=True)


def is_abandoned(folder: Path) -> bool:
    """Return whether the process that made a working folder is gone."""
    try:
        descriptor = _lock(folder)
    except OSError:
        return False
    if descriptor is None:
        return is_aged(folder)
    os.close(descriptor)
    return True


def is_aged(folder: Path) -> bool:
    """Return whether a folder was not changed for a day, for file systems and versions without locks."""
    return folder.stat().st_mtime < time.time() - _AGE_SECONDS


def _lock(folder: Path) -> int | None:
    """Lock a folder; return the descriptor that holds the lock, or None where its file system has no locks.

    Raises:
        BlockingIOError: another process has locked it.
        FileNotFoundError: it is gone, or has another name by now.
        PermissionError: it is another user's.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(descriptor).st_uid != os.geteuid():
            raise PermissionError(f"{folder} is another user's")
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(descriptor), folder.stat()):
            raise FileNotFoundError(folder)
    except (BlockingIOError, FileNotFoundError, PermissionError):
        os.close(descriptor)
        raise
    except OSError:  # NFS refuses an exclusive lock on what is open for reading
        os.close(descriptor)
        return None
    return descriptor
