"""Observers of a manager's calls, such as metrics and traces."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Final, Protocol

from attrs import frozen
from sqlalchemy import Engine

from tradebook.adapters.errors import translated
from tradebook.adapters.replicas.router import Route
from tradebook.config import DatabaseConfig
from tradebook.domain.errors import ConcurrentUpdate, DatabaseUnavailable, TradebookError
from tradebook.service_layer.call_context import CallContext
from tradebook.service_layer.instrumentation import CallRecord, recorded_call
from tradebook.service_layer.ports.health import PoolStatus

UNIT_OF_WORK: Final = "unit_of_work"
"""The handler's name in the record of a unit of work that an application opened itself."""
SESSION: Final = "session"
"""The handler's name in the record of an ad hoc session."""

CONFLICT: Final = "conflict"
LOST_CONNECTION: Final = "lost connection"
OTHER: Final = "other"
# The names of psycopg2's own errors: raised outside SQLAlchemy, they carry no SQLSTATE.
_LOST: Final = ("OperationalError", "InterfaceError")


@frozen
class RetryAttempt:
    """One failed attempt of a unit of work.

    Attributes:
        handler: the function that was called.
        context: of the call.
        error: the error that ended the attempt.
        number: of the attempt, from 1.
        wait: seconds until the next one.
    """

    handler: Callable[..., object]
    context: CallContext
    error: BaseException
    number: int = 1
    wait: float = 0.0

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


class Observer(Protocol):
    """Receives the engines, calls and retries of a manager."""

    def observe_engine(self, engine: Engine) -> None:
        """Listen to the statements and the pool of an engine."""

    def observe_call(self, call: CallRecord) -> AbstractContextManager[object]:
        """Return the context in which the call runs; the record is complete when it ends."""

    def observe_retry(self, attempt: RetryAttempt) -> None:
        """Receive an attempt that failed and is repeated."""


@contextmanager
def observed(
    handler: str,
    account: str,
    context: CallContext,
    observers: Sequence[Observer],
    route: Route | None = None,
) -> Iterator[CallRecord]:
    """Record the call of a handler that runs inside the block, for observers; `route` is where it reads."""
    call = CallRecord(handler, account, context.actor, context.correlation_id)
    if route is not None:
        call.reads_from(route.server, route.reason, route.waited)
    with recorded_call(call), ExitStack() as stack:
        for observer in observers:
            stack.enter_context(observer.observe_call(call))
        yield call


class Observable(Protocol):
    """A manager whose calls can be observed."""

    config: DatabaseConfig

    def watch(self, observer: Observer) -> None:
        """Add an observer of every call from now on."""

    def pool_status(self) -> PoolStatus:
        """Return the state of the connection pool now."""
