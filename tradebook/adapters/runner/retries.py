"""Failed attempts of units of work: the back-off between them, and their count, log and observers."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from random import SystemRandom
from typing import Final

from attrs import define, field

from tradebook.adapters import loggers
from tradebook.adapters.runner.observers import CONFLICT, LOST_CONNECTION, Observer, RetryAttempt
from tradebook.domain.errors import BookBusy, ConcurrentUpdate, DatabaseUnavailable, StaleRecord
from tradebook.service_layer.call_context import CallContext
from tradebook.service_layer.instrumentation import current_call, handler_name

MAX_ATTEMPTS: Final = 20
"""The number of attempts of a unit of work that ends in conflicts."""

MAX_OUTAGE: Final = 20.0
"""Seconds for which a lost connection is sought again: a server that restarts needs some."""

MAX_LOCK_WAIT: Final = 20.0
"""Seconds after the first failure within which a lock is waited for again."""

# First and longest wait, in seconds.
_AFTER_CONFLICT: Final = (0.004, 0.5)
_AFTER_LOSS: Final = (0.05, 1.0)
# Seeded by the system: processes forked from one parent would otherwise draw the same waits, and collide again.
_JITTER: Final = SystemRandom()


@define
class Retries:
    """The count, the log and the observers of repeated attempts, for all calls of a manager."""

    account: str = ""
    observers: Sequence[Observer] = ()
    count: int = 0
    _lock: AbstractContextManager[bool] = field(factory=threading.Lock, init=False)

    def add(self, attempt: RetryAttempt) -> None:
        """Count an attempt that is repeated."""
        with self._lock:
            self.count += 1
        call = current_call.get()
        if call is not None:
            call.rollback()
            call.retries += 1
            call.conflicts += attempt.reason == CONFLICT
        for observer in self.observers:
            observer.observe_retry(attempt)
        level = logging.WARNING if attempt.reason == LOST_CONNECTION else logging.INFO
        self._log(level, "%s: %s; tried again", attempt)

    def gave_up(self, attempt: RetryAttempt) -> None:
        """Log the last attempt of a call that fails."""
        call = current_call.get()
        if call is not None:
            call.conflicts += attempt.reason == CONFLICT
        self._log(logging.ERROR, "%s: %s; given up", attempt)

    def _log(self, level: int, message: str, attempt: RetryAttempt) -> None:
        if not loggers.RETRIES.isEnabledFor(level):
            return
        handler = handler_name(attempt.handler)
        about = loggers.about(
            reason=attempt.reason,
            handler=handler,
            account=self.account,
            actor=attempt.context.actor,
            correlation_id=attempt.context.correlation_id,
            attempt=attempt.number,
            wait_seconds=round(attempt.wait, 3),
        )
        error = attempt.meaning or type(attempt.error).__name__
        loggers.RETRIES.log(level, message, handler, error, extra=about)


@define
class BackOff:
    """Decides after each failed attempt of one call whether it is repeated, and after which wait.

    Waits grow exponentially and are drawn at random up to their bound, so that writers that collided once do
    not collide again.
    """

    retries: Retries
    handler: Callable[..., object]
    context: CallContext
    attempts: int = 0
    started: float = field(factory=time.monotonic)

    def wait_after(self, error: ConcurrentUpdate | DatabaseUnavailable) -> float:
        """Return the seconds to wait before the next attempt.

        Raises:
            StaleRecord: the error itself: a record that the caller read is stale, and stays so.
            BookBusy: from the error, after `MAX_ATTEMPTS` attempts, or `MAX_LOCK_WAIT` seconds where a lock was
                waited for in vain.
            DatabaseUnavailable: the error itself, `MAX_OUTAGE` seconds after the first one.
        """
        if isinstance(error, StaleRecord):
            raise error
        self.attempts += 1
        bounds = _AFTER_CONFLICT
        if isinstance(error, DatabaseUnavailable):
            bounds = _AFTER_LOSS
            if time.monotonic() - self.started >= MAX_OUTAGE:
                self.retries.gave_up(self._failed(error))
                error.attempts = self.attempts
                raise error
        elif self.attempts >= MAX_ATTEMPTS or self._has_waited(error):
            self.retries.gave_up(self._failed(error))
            raise BookBusy(
                f"other writers were first {self.attempts} times; try again later ({error})",
                self.attempts,
            ) from error
        first, longest = bounds
        wait = _JITTER.uniform(0, min(longest, first * 2 ** (self.attempts - 1)))
        self.retries.add(self._failed(error, wait))
        return wait

    def _has_waited(self, error: ConcurrentUpdate) -> bool:
        return error.waited_for_lock and time.monotonic() - self.started >= MAX_LOCK_WAIT

    def _failed(self, error: BaseException, wait: float = 0.0) -> RetryAttempt:
        return RetryAttempt(self.handler, self.context, error, self.attempts, wait)
