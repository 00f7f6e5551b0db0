"""One unit of work for each call, tried again as a whole when another writer was first.

What must not change between tries (the time, ids, order ids) is made once, in the `CallContext`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    retry_if_not_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from tradebook.adapters.async_unit_of_work import AsyncUnitOfWork
from tradebook.domain.errors import BookBusy, ConcurrentUpdate, StaleRecord
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork, CallContext

P = ParamSpec("P")
R = TypeVar("R")

MAX_ATTEMPTS: Final = 20
_FIRST_WAIT: Final = 0.004
_LONGEST_WAIT: Final = 0.5


def _exhausted(state: RetryCallState) -> None:
    cause = state.outcome.exception() if state.outcome else None
    raise BookBusy(
        f"other writers were first {state.attempt_number} times; try again later ({cause})"
    ) from cause


def _policy() -> dict[str, Any]:
    return {
        "retry": retry_if_exception_type(ConcurrentUpdate)
        & retry_if_not_exception_type(StaleRecord),
        "stop": stop_after_attempt(MAX_ATTEMPTS),
        "wait": wait_random_exponential(multiplier=_FIRST_WAIT, max=_LONGEST_WAIT),
        "retry_error_callback": _exhausted,
    }


class Runner:
    """Runs handlers, each in a unit of work of its own."""

    def __init__(self, new_unit_of_work: Callable[..., AbstractUnitOfWork]) -> None:
        self._new_unit_of_work = new_unit_of_work

    def run(
        self,
        context: CallContext,
        handler: Callable[Concatenate[AbstractUnitOfWork, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Open a unit of work, call, commit; on a conflict do all of it again.

        Raises:
            BookBusy: conflicts outlasted every retry; the last one is its cause.
        """

        def attempt() -> R:
            with self._new_unit_of_work(context=context) as uow:
                return _committed(uow, handler, *args, **kwargs)

        return Retrying(**_policy())(attempt)


class AsyncRunner:
    """The same for asyncio: the same handlers, inside `run_sync`; waiting does not block the loop."""

    def __init__(self, new_unit_of_work: Callable[..., AsyncUnitOfWork]) -> None:
        self._new_unit_of_work = new_unit_of_work

    async def run(
        self,
        context: CallContext,
        handler: Callable[Concatenate[AbstractUnitOfWork, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Open a unit of work, call, commit; on a conflict do all of it again.

        Raises:
            BookBusy: conflicts outlasted every retry; the last one is its cause.
        """

        async def attempt() -> R:
            async with self._new_unit_of_work(context=context) as uow:
                return await uow.run(lambda inner: _committed(inner, handler, *args, **kwargs))

        return await AsyncRetrying(**_policy())(attempt)


def _committed(
    uow: AbstractUnitOfWork,
    handler: Callable[Concatenate[AbstractUnitOfWork, P], R],
    *args: P.args,
    **kwargs: P.kwargs,
) -> R:
    result = handler(uow, *args, **kwargs)
    uow.commit()
    return result
