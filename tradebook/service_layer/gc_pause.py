"""Pauses of Python's garbage collector, for code that makes many objects of which none is garbage."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_pausing = 0
_was_enabled = False


@contextmanager
def no_collecting() -> Iterator[None]:
    """Pause the collection of reference cycles in the whole process while the block runs.

    The collector examines new objects again and again while they become more: with ten thousand of them that takes
    as long as making them. For blocks that end soon. Pauses of several threads may overlap; the collector is
    enabled again after the last of them, unless the program had disabled it.
    """
    global _pausing, _was_enabled
    with _lock:
        if not _pausing:
            _was_enabled = gc.isenabled()
            gc.disable()
        _pausing += 1
    try:
        yield
    finally:
        with _lock:
            _pausing -= 1
            if not _pausing and _was_enabled:
                gc.enable()
