"""Files that are opened, locked and closed again."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tradebook.domain.errors import WitnessFailed

_PATIENCE: Final = 10.0
"""Seconds that another process may hold a lock."""


@contextmanager
def opened(path: str | os.PathLike[str], flags: int = os.O_RDONLY) -> Iterator[int]:
    """Open a file or folder, which a new file's owner alone can read, and close it."""
    descriptor = os.open(path, flags, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: str | os.PathLike[str], flags: int, witness: str) -> Iterator[int]:
    """Open a file and lock it until the block ends.

    Raises:
        WitnessFailed: another process keeps it locked.
    """
    end = time.monotonic() + _PATIENCE
    with opened(path, flags) as descriptor:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise WitnessFailed(f"{witness} is locked by another process") from None
                time.sleep(0.02)
        yield descriptor


def flush_folder(path: str | os.PathLike[str]) -> None:
    """Write the entries of a folder to the disk."""
    with opened(path) as descriptor:
        os.fsync(descriptor)
