"""What is done again: counted for each manager, logged, and told to whoever watches."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from attrs import frozen
from tenacity import RetryCallState

from tradebook.adapters import loggers
from tradebook.adapters.errors import translated
from tradebook.domain.errors import ConcurrentUpdate, DatabaseUnavailable, TradebookError
from tradebook.service_layer.call_context import CallContext
from tradebook.service_layer.instrumentation import current_call, handler_name

CONFLICT: Final = "conflict"
LOST_CONNECTION: Final = "lost connection"
OTHER: Final = "other"
# psycopg2's own, which SQLAlchemy did not see: they have no SQLSTATE.
_LOST: Final = ("OperationalError", "InterfaceError")
_LEVELS: Final = {CONFLICT: logging.INFO, LOST_CONNECTION: logging.WARNING, OTHER: logging.INFO}


@frozen
class Retry:
    """One unit of work that is done again, or given up.

    Attributes:
        called: the handler, and by whom it was called.
        error: why.
        attempt: how often it was tried.
        wait: seconds until it is tried again.
    """

    called: Called
    error: BaseException
    attempt: int = 1
    wait: float = 0.0

    @classmethod
    def of(cls, state: RetryCallState, called: Called) -> Retry:
        """What tenacity knows of it."""
        error = state.outcome.exception() if state.outcome else None
        assert error is not None  # tenacity waits after failures only
        return cls(called, error, state.attempt_number, state.upcoming_sleep)

    @property
    def reason(self) -> str:
        """`conflict`, `lost connection` or `other`."""
        meaning = self.meaning
        if isinstance(meaning, ConcurrentUpdate):
            return CONFLICT
        return LOST_CONNECTION if isinstance(meaning, DatabaseUnavailable) else OTHER

    @property
    def meaning(self) -> TradebookError | None:
        """The error in the book's own terms, without the values that a driver quotes."""
        if isinstance(self.error, TradebookError):
            return self.error
        meaning = translated(self.error)
        if meaning is None and type(self.error).__name__ in _LOST:
            return DatabaseUnavailable("the connection to the database was lost")
        return meaning


@frozen
class Called:
    """Which handler is called, and by whom."""

    handler: Callable[..., object]
    context: CallContext


class Retries:
    """Counts, for all runners of a manager and all their threads, what was done again.

    Args:
        account: of the manager, for the log.

    Attributes:
        count: how many times so far.
        listeners: told of each.
    """

    def __init__(self, account: str = "") -> None:
        self.count = 0
        self.listeners: tuple[Callable[[Retry], None], ...] = ()
        self._account = account
        self._lock = threading.Lock()

    def add(self, retry: Retry) -> None:
        """One more."""
        with self._lock:
            self.count += 1
        reason = retry.reason
        call = current_call()
        if call is not None:
            call.done.clear()  # it was rolled back
            call.retries += 1
            call.conflicts += reason == CONFLICT
        for listener in self.listeners:
            listener(retry)
        self._log(_LEVELS[reason], "%s: %s; tried again", retry)

    def gave_up(self, retry: Retry) -> None:
        """The last attempt failed too."""
        call = current_call()
        if call is not None:
            call.conflicts += retry.reason == CONFLICT
        self._log(logging.ERROR, "%s: %s; given up", retry)

    def _log(self, level: int, message: str, retry: Retry) -> None:
        if not loggers.RETRIES.isEnabledFor(level):
            return
        handler, context = handler_name(retry.called.handler), retry.called.context
        about = loggers.about(
            reason=retry.reason,
            handler=handler,
            account=self._account,
            actor=context.actor,
            correlation_id=context.correlation_id,
            attempt=retry.attempt,
            wait_seconds=round(retry.wait, 3),
        )
        said = retry.meaning or type(retry.error).__name__
        loggers.RETRIES.log(level, message, handler, said, extra=about)
