"""The book's loggers, as they were before a test."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from tradebook.adapters import log


@contextmanager
def logging_restored() -> Iterator[None]:
    """Afterwards the loggers have the handlers and levels of before."""
    loggers = [logging.getLogger(name) for name in (log.ROOT, log.ADAPTERS)]
    before = [(list(logger.handlers), logger.level, logger.propagate) for logger in loggers]
    try:
        yield
    finally:
        for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)
