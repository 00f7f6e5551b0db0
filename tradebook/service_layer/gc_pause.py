"""Pauses of Python's garbage collector, where many objects are made of which none is garbage."""

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
    """Inside, nobody in the process looks for cycles of garbage: with ten thousand new objects, every look
    is at all of them again, and takes as long as making them.

    For work that ends soon. Pauses of several threads may overlap; what the program had set holds again
    after the last of them.
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


@contextmanager
def made_to_last() -> Iterator[None]:
    """As `no_collecting`, for what stays as long as the program: modules, classes, mappings.

    At the end it counts as old, and is looked at when everything is. Otherwise the next look, at all of it as
    at new objects, would take as long as those that were saved.
    """
    with no_collecting():
        try:
            yield
        finally:
            if not gc.get_freeze_count():  # the program's own frozen objects stay frozen
                gc.freeze()
                gc.unfreeze()
