"""One unit of work for each call, tried again as a whole when another writer was first or the connection was lost.

What must not change between tries (the time, ids, order ids) is made once, in the `CallContext`. A
connection that is lost at COMMIT leaves open whether it was done: the next try asks first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Concatenate, Final, Generic, ParamSpec, TypeVar

from attrs import define, field
from sqlalchemy.orm import Session
from tenacity import AsyncRetrying, RetryCallState, Retrying, wait_random_exponential

from tradebook.adapters.commit_outcome import CommitMarker, commit_marker_of, was_committed
from tradebook.adapters.errors import commit_unknown, translated_errors
from tradebook.adapters.runner.retries import Called, Retries, Retry
from tradebook.adapters.unit_of_work import AsyncUnitOfWork, SqlAlchemyUnitOfWork
from tradebook.domain.errors import (
    BookBusy,
    CommitUnknown,
    ConcurrentUpdate,
    DatabaseUnavailable,
    StaleRecord,
    TradebookError,
)
from tradebook.service_layer.call_context import CallContext
from tradebook.service_layer.instrumentation import note, noted
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

P = ParamSpec("P")
R = TypeVar("R")

MAX_ATTEMPTS: Final = 20
"""How often a unit of work is tried while others are first."""

PATIENCE: Final = 20.0
"""Seconds for which a connection that was lost is sought again: a server that restarts needs some."""

_FIRST_WAIT: Final = 0.004
_LONGEST_WAIT: Final = 0.5


class Runner:
    """Runs handlers, each in a unit of work of its own."""

    def __init__(
        self, new_unit_of_work: Callable[..., SqlAlchemyUnitOfWork], retries: Retries
    ) -> None:
        self._new_unit_of_work = new_unit_of_work
        self._retries = retries

    def run(
        self,
        context: CallContext,
        handler: Callable[Concatenate[AbstractUnitOfWork, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Open a unit of work, call, commit; on a conflict or a lost connection do all of it again.

        Raises:
            BookBusy: conflicts outlasted every retry; the last one is its cause.
            DatabaseUnavailable: no connection was to be had for `PATIENCE` seconds.
            CommitUnknown: the same, after the connection was lost at COMMIT.
        """
        call = _Call(lambda uow: handler(uow, *args, **kwargs))

        def attempt() -> R:
            with self._new_unit_of_work(context=context) as uow:
                return call.attempt(uow, uow.session)

        return _tried(attempt, self._retries, Called(handler, context))

    def read(
        self,
        context: CallContext,
        query: Callable[Concatenate[AbstractUnitOfWork, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Open a unit of work and call, without committing; on a lost connection again."""

        def attempt() -> R:
            with self._new_unit_of_work(context=context) as uow:
                return query(uow, *args, **kwargs)

        return _tried(attempt, self._retries, Called(query, context))


class AsyncRunner:
    """The same for asyncio: the same handlers, inside `run_sync`; waiting does not block the loop."""

    def __init__(self, new_unit_of_work: Callable[..., AsyncUnitOfWork], retries: Retries) -> None:
        self._new_unit_of_work = new_unit_of_work
        self._retries = retries

    async def run(
        self,
        context: CallContext,
        handler: Callable[Concatenate[AbstractUnitOfWork, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Open a unit of work, call, commit; see `Runner.run`."""
        call = _Call(lambda uow: handler(uow, *args, **kwargs))

        async def attempt() -> R:
            async with self._new_unit_of_work(context=context) as uow:
                return await uow.run(call.attempt, uow.session.sync_session)

        return await _async_tried(attempt, self._retries, Called(handler, context))

    async def read(
        self,
        context: CallContext,
        query: Callable[Concatenate[AbstractUnitOfWork, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Open a unit of work and call, without committing; on a lost connection again."""

        async def attempt() -> R:
            async with self._new_unit_of_work(context=context) as uow:
                return await uow.run(query, *args, **kwargs)

        return await _async_tried(attempt, self._retries, Called(query, context))


@define
class _Call(Generic[R]):
    """One call over all its attempts.

    Attributes:
        work: the handler with its arguments.
        in_doubt: of an attempt whose COMMIT was not answered, its witness and its result.
        noted: what that attempt did, for whoever watches.
    """

    work: Callable[[AbstractUnitOfWork], R]
    in_doubt: tuple[CommitMarker, R] | None = None
    noted: Counter[str] = field(factory=Counter)

    def attempt(self, uow: AbstractUnitOfWork, session: Session) -> R:
        if self.in_doubt is not None:
            witness, result = self.in_doubt
            if _was_committed(session, witness):
                for what, count in self.noted.items():
                    note(what, count)
                return result
            uow.rollback()
            self.in_doubt = None
        result = self.work(uow)
        try:
            uow.commit()
        except CommitUnknown:
            witnessed = commit_marker_of(session)
            self.in_doubt = None if witnessed is None else (witnessed, result)
            self.noted = noted()
            raise
        return result


def _was_committed(session: Session, witness: CommitMarker) -> bool:
    """Ask; where that fails, for whatever reason, the doubt remains."""
    try:
        with translated_errors():
            return was_committed(session, witness)
    except TradebookError as error:
        raise commit_unknown(error) from error


def _tried(attempt: Callable[[], R], retries: Retries, called: Called) -> R:
    """Its result; tried again where that can help. Most programs never need tenacity, nor import it."""
    try:
        return attempt()
    except (ConcurrentUpdate, DatabaseUnavailable) as error:
        failed = [error]

    def again() -> R:
        if failed:  # the first attempt counts
            raise failed.pop()
        return attempt()

    return Retrying(**_policy(retries, called))(again)


async def _async_tried(attempt: Callable[[], Awaitable[R]], retries: Retries, called: Called) -> R:
    """The same for asyncio."""
    try:
        return await attempt()
    except (ConcurrentUpdate, DatabaseUnavailable) as error:
        failed = [error]

    async def again() -> R:
        if failed:
            raise failed.pop()
        return await attempt()

    return await AsyncRetrying(**_policy(retries, called))(again)


def _policy(retries: Retries, called: Called) -> dict[str, Any]:

    after_loss = wait_random_exponential(multiplier=0.05, max=1)
    after_conflict = wait_random_exponential(multiplier=_FIRST_WAIT, max=_LONGEST_WAIT)
    return {
        "retry": lambda state: _may_pass(_error(state)),
        "stop": _is_enough,
        "wait": lambda state: (after_loss if _is_loss(state) else after_conflict)(state),
        "before_sleep": lambda state: retries.add(Retry.of(state, called)),
        "retry_error_callback": lambda state: _exhausted(state, retries, called),
    }


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _may_pass(error: BaseException | None) -> bool:
    if isinstance(error, StaleRecord):
        return False
    return isinstance(error, ConcurrentUpdate | DatabaseUnavailable)


def _is_loss(state: RetryCallState) -> bool:
    return isinstance(_error(state), DatabaseUnavailable)


def _is_enough(state: RetryCallState) -> bool:
    if _is_loss(state):
        return (state.seconds_since_start or 0.0) >= PATIENCE
    return state.attempt_number >= MAX_ATTEMPTS


def _exhausted(state: RetryCallState, retries: Retries, called: Called) -> None:
    error = _error(state)
    retries.gave_up(Retry.of(state, called))
    if isinstance(error, DatabaseUnavailable):
        error.attempts = state.attempt_number
        raise error
    raise BookBusy(
        f"other writers were first {state.attempt_number} times; try again later ({error})",
        state.attempt_number,
    ) from error
