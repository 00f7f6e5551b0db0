"""Who is told of a manager's calls, and runners that tell: a manager has them once somebody watches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from tradebook.adapters.runner.retries import Retry
from tradebook.config import DatabaseConfig
from tradebook.service_layer.call_context import CallContext
from tradebook.service_layer.instrumentation import Call, calling
from tradebook.service_layer.ports.health import PoolStatus
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

P = ParamSpec("P")
R = TypeVar("R")

UNIT_OF_WORK: Final = "unit_of_work"
"""Stands for the handler where an application opened the unit of work itself."""
SESSION: Final = "session"
"""Stands for it where it works by hand."""


class Watcher(Protocol):
    """What is told of a manager's calls: metrics, traces."""

    def attend(self, engine: Engine) -> None:
        """See the statements of an engine, and its pool."""

    def around(self, call: Call) -> AbstractContextManager[object]:
        """What surrounds a call; at its end the call says what it did."""

    def retried(self, retry: Retry) -> None:
        """A unit of work is done again."""


@contextmanager
def watched(call: Call, watchers: Sequence[Watcher]) -> Iterator[Call]:
    """Tell watchers of a call."""
    with calling(call), ExitStack() as stack:
        for watcher in watchers:
            stack.enter_context(watcher.around(call))
        yield call


class WatchedRunner:
    """Runs with another runner, and tells watchers."""

    def __init__(self, runner: Any, account: str, watchers: Sequence[Watcher]) -> None:
        self._runner, self._account, self._watchers = runner, account, watchers

    def run(
        self,
        context: CallContext,
        handler: Callable[Concatenate[AbstractUnitOfWork, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """As `Runner.run`."""
        with watched(Call.of(handler, self._account, context), self._watchers) as call:
            result: R = self._runner.run(context, handler, *args, **kwargs)
            call.commit()
            return result

    def read(
        self,
        context: CallContext,
        query: Callable[Concatenate[AbstractUnitOfWork, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """As `Runner.read`."""
        with watched(Call.of(query, self._account, context), self._watchers):
            result: R = self._runner.read(context, query, *args, **kwargs)
            return result


class AsyncWatchedRunner:
    """The same for asyncio."""

    def __init__(self, runner: Any, account: str, watchers: Sequence[Watcher]) -> None:
        self._runner, self._account, self._watchers = runner, account, watchers

    async def run(
        self,
        context: CallContext,
        handler: Callable[Concatenate[AbstractUnitOfWork, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """As `AsyncRunner.run`."""
        with watched(Call.of(handler, self._account, context), self._watchers) as call:
            result: R = await self._runner.run(context, handler, *args, **kwargs)
            call.commit()
            return result

    async def read(
        self,
        context: CallContext,
        query: Callable[Concatenate[AbstractUnitOfWork, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """As `AsyncRunner.read`."""
        with watched(Call.of(query, self._account, context), self._watchers):
            result: R = await self._runner.read(context, query, *args, **kwargs)
            return result


@contextmanager
def watched_session(
    call: Call, watchers: Sequence[Watcher], session: AbstractContextManager[Session]
) -> Iterator[Session]:
    """A session for work by hand, of which watchers are told."""
    with watched(call, watchers), session as opened:
        yield opened


class Watchable(Protocol):
    """A manager that can be watched."""

    config: DatabaseConfig

    def watch(self, watcher: Watcher) -> None:
        """Let `watcher` know of every call from now on."""

    def pool_status(self) -> PoolStatus:
        """What the pool of connections is doing now."""
