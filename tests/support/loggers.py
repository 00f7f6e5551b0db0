"""The book's loggers, as they were before a test."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from tradebook.adapters import loggers


@contextmanager
def logging_restored() -> Iterator[None]:
    """Afterwards the loggers have the handlers and levels of before."""
    named = [logging.getLogger(name) for name in (loggers.ROOT, loggers.ADAPTERS)]
    before = [(list(logger.handlers), logger.level, logger.propagate) for logger in named]
    try:
        yield
    finally:
        for logger, (handlers, level, propagate) in zip(named, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)
