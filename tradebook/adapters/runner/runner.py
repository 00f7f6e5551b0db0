"""Runners: each call gets a unit of work, and another one after a conflict or a lost connection.

Values that must not change between attempts (the time, ids, order ids) are made once, in the `CallContext`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, Generic, TypeVar

from attrs import define, field, frozen
from sqlalchemy.util import await_only, greenlet_spawn

from tradebook.adapters.commit_outcome import CommitMarker, was_committed
from tradebook.adapters.errors import translated_commit
from tradebook.adapters.replicas.router import ReadRouter, Route
from tradebook.adapters.repositories.entity_rows import COMMIT_MARKER
from tradebook.adapters.runner.fast_record_trade import AutocommitScope, FastPath
from tradebook.adapters.runner.observers import Observer, observed
from tradebook.adapters.runner.retries import BackOff, Retries
from tradebook.adapters.unit_of_work import SqlAlchemyUnitOfWork
from tradebook.domain.errors import (
    CommitUnknown,
    ConcurrentUpdate,
    DatabaseUnavailable,
    TradebookError,
)
from tradebook.service_layer.call_context import CallContext, call_context, current_actor
from tradebook.service_layer.handlers import record_trade
from tradebook.service_layer.instrumentation import current_call, handler_name
from tradebook.service_layer.unit_of_work import is_single_statement

R = TypeVar("R")


@define
class Query(Generic[R]):
    """A query with its arguments after `uow`, and the maker of the unit of work of each attempt."""

    function: Callable[..., R]
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    new_unit_of_work: Callable[..., Any]

    def __call__(self, uow: SqlAlchemyUnitOfWork) -> R:
        """Call the function once, in an attempt's unit of work."""
        return self.function(uow, *self.args, **self.kwargs)


@define
class Command(Query[R]):
    """A handler with its arguments, which is called and committed in each attempt.

    A connection that is lost at COMMIT leaves open whether the attempt is in the book; the next attempt finds
    out first, by the event that marks the commit.

    Attributes:
        unanswered: commit marker and result of an attempt whose COMMIT was not answered.
        counts: the counts of that attempt, for observers.
    """

    unanswered: tuple[CommitMarker, R] | None = None
    counts: Mapping[str, int] = field(factory=dict)

    def __call__(self, uow: SqlAlchemyUnitOfWork) -> R:
        """Call the function once and commit, unless an unanswered COMMIT turns out to be done."""
        call = current_call.get()
        if self.unanswered is not None:
            marker, result = self.unanswered
            with translated_commit(TradebookError):
                is_done = was_committed(uow.session, marker)
            if is_done:
                if call is not None:
                    call.pending.update(self.counts)
                return result
            uow.rollback()  # ends the transaction in which the marker was read
            self.unanswered = None
        result = self.function(uow, *self.args, **self.kwargs)
        if call is not None:
            self.counts = dict(call.pending)  # a retry clears them
        try:
            uow.commit()
        except CommitUnknown:
            written: CommitMarker | None = uow.session.info.get(COMMIT_MARKER)
            self.unanswered = None if written is None else (written, result)
            raise
        return result


@frozen
class ReadMakers:
    """The makers of units of work on a server that reads may go to.

    Attributes:
        new_read_unit_of_work: makes one with a consistent view over several statements.
        new_statement_unit_of_work: makes one for a single statement, without a transaction.
    """

    new_read_unit_of_work: Callable[..., Any]
    new_statement_unit_of_work: Callable[..., Any]


@frozen
class _Runs:
    """Everything that the calls of one manager share.

    Attributes:
        new_unit_of_work: makes one that writes, given the context of the call.
        new_read_unit_of_work: makes one with a consistent view over several statements.
        new_statement_unit_of_work: makes one for a single statement, without a transaction.
        first_use: checks the database's schema before the first call.
        retries: counts the attempts that are repeated.
        account: of the manager, for observers.
        actor: recorded in the events where the surrounding `tradebook.context` names none.
        observers: of every call; the list may grow later.
        fast_path: returns what new fills are recorded with, where that takes no unit of work.
        group_commit: returns the queue of those that are recorded together; None where each is alone.
        router: chooses the server of each read; None where all reads go to the database itself.
        replicas: for each server that reads may go to the makers of units of work on it.
    """

    new_unit_of_work: Callable[..., Any]
    new_read_unit_of_work: Callable[..., Any]
    new_statement_unit_of_work: Callable[..., Any]
    first_use: Any
    retries: Retries
    account: str
    actor: str
    observers: Sequence[Observer]
    fast_path: Callable[[], FastPath]
    group_commit: Callable[[], Any]
    router: ReadRouter | None = None
    replicas: Sequence[ReadMakers] = ()

    def _query(self, function: Callable[..., R], args: Any, kwargs: Any) -> Query[R]:
        return Query(function, args, kwargs, self._maker(None, is_single_statement(function)))

    def _maker(self, route: Route | None, is_single: bool) -> Callable[..., Any]:
        """Return the maker of units of work that read where a route leads."""
        if route is not None and route.index is not None:
            makers = self.replicas[route.index]
            return makers.new_statement_unit_of_work if is_single else makers.new_read_unit_of_work
        return self.new_statement_unit_of_work if is_single else self.new_read_unit_of_work

    def context(self, given: CallContext | None = None) -> CallContext:
        """Return the context of a call, by the manager's actor where no other is named."""
        if given is None:
            return CallContext(actor=current_actor.get() or self.actor)
        return call_context(given).with_default_actor(self.actor)

    def _wait_for_server(self, back_off: BackOff, error: DatabaseUnavailable) -> float:
        """Return the seconds to wait on first use for a server that restarts; raise a failure that lasts."""
        if error.is_lasting or self.first_use.config.backend == "sqlite":
            raise error
        return back_off.wait_after(error)

    def observed(
        self, handler: str, context: CallContext, route: Route | None = None
    ) -> AbstractContextManager[Any]:
        """Return the context manager in which observers see a call of this name run, and where it reads."""
        if not self.observers:
            return nullcontext()
        return observed(handler, self.account, context, self.observers, route)


class Runner(_Runs):
    """Runs handlers and queries, each in a unit of work of its own."""

    def run(self, handler: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
        """Call `handler(uow, ...)` and commit; after a conflict or a lost connection do all of it again.

        Raises:
            BookBusy: conflicts outlasted every retry; the last one is its cause.
            DatabaseUnavailable: there was no connection for `MAX_OUTAGE` seconds.
            CommitUnknown: the same, after the connection was lost at COMMIT.
        """
        command = Command(handler, args, kwargs, self.new_unit_of_work)
        return self._run(command, self._record_trade if handler is record_trade else self._attempt)

    def read(self, query: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
        """Call `query(uow, ...)` without committing; after a lost connection again."""
        attempt = self._attempt if self.router is None else self._read
        return self._run(self._query(query, args, kwargs), attempt)

    def read_route(self) -> tuple[Route | None, Callable[..., Any]]:
        """Choose where a unit of work reads, and return the maker of those that read there."""
        route = None if self.router is None else self.router.choose(checks=True)
        return route, self._maker(route, is_single=False)

    def _run(self, query: Query[R], attempt: Callable[[Query[R], CallContext], R]) -> R:
        if not self.first_use.is_done:
            self._prepare(query)
        # After the first use, whose upgrade takes long: a context holds the time of the call.
        context = self.context()
        if not self.observers:
            return attempt(query, context)
        with self.observed(handler_name(query.function), context) as call:
            result = attempt(query, context)
            call.commit()  # a trade on the fast path commits without a unit of work
            return result

    def _prepare(self, query: Query[R]) -> None:
        """Check the schema before the first call; a server that restarts is waited for as in later ones."""
        back_off = BackOff(self.retries, query.function, self.context())
        while True:
            try:
                self.first_use.prepare()
            except DatabaseUnavailable as error:
                wait = self._wait_for_server(back_off, error)
            else:
                return
            time.sleep(wait)

    def _attempt(self, query: Query[R], context: CallContext) -> R:
        back_off: BackOff | None = None
        while True:
            try:
                with query.new_unit_of_work(context=context) as uow:
                    return query(uow)
            except (ConcurrentUpdate, DatabaseUnavailable) as error:
                back_off = back_off or BackOff(self.retries, query.function, context)
                wait = back_off.wait_after(error)
            time.sleep(wait)  # here, where the failed attempt's session and connection are gone

    def _read(self, query: Query[R], context: CallContext) -> R:
        """Read on the server that the router chooses; on the database itself where that fails."""
        assert self.router is not None
        route = self.router.choose()
        if route.index is not None:
            new = self._maker(route, is_single_statement(query.function))
            try:
                with new(context=context) as uow:
                    return query(uow)
            except (ConcurrentUpdate, DatabaseUnavailable) as error:
                self.router.failed(route, error)
        return self._attempt(query, context)

    def _record_trade(self, query: Query[Any], context: CallContext) -> Any:
        scope = AutocommitScope(self.fast_path(), context)
        group = self.group_commit()
        try:
            return self._new_fill(query, context, scope, group) or self._attempt(query, context)
        finally:
            # No call before a release: an exception thrown into the thread would arrive there.
            try:
                if scope.lock is not None:
                    try:  # noqa: SIM105
                        scope.lock.release()
                    except RuntimeError:  # not got in time
                        pass
            finally:
                if scope.slot is not None:
                    try:  # noqa: SIM105
                        scope.slot.release()
                    except RuntimeError:
                        pass
            if group is not None:
                group.leave()

    def _new_fill(
        self, query: Query[Any], context: CallContext, scope: AutocommitScope, group: Any
    ) -> Any:
        """Record a new fill, alone or with those of other calls; None where that takes a transaction."""
        if group is not None and not group.enter_alone(scope):
            call = group.wait(query.args, query.kwargs, context)
            if call is not None:
                recorded = group.result(query.function, call)
                if recorded is not None or call.error is not None:
                    return recorded
        return scope.attempt(query.function, query.args, query.kwargs)


class AsyncRunner(_Runs):
    """The runner for asyncio: the same handlers, inside `run_sync`; its waits do not block the loop."""

    async def run(self, handler: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
        """Call `handler(uow, ...)` and commit; see `Runner.run`."""
        attempt = self._record_trade if handler is record_trade else self._attempt
        return await self._run(Command(handler, args, kwargs, self.new_unit_of_work), attempt)

    async def read(self, query: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
        """Call `query(uow, ...)` without committing; see `Runner.read`."""
        attempt = self._attempt if self.router is None else self._read
        return await self._run(self._query(query, args, kwargs), attempt)

    async def read_route(self) -> tuple[Route | None, Callable[..., Any]]:
        """Choose where a unit of work reads, and return the maker of those that read there."""
        route = None if self.router is None else await self._choose(checks=True)
        return route, self._maker(route, is_single=False)

    async def _choose(self, *, checks: bool = False) -> Route:
        assert self.router is not None
        return await greenlet_spawn(self.router.choose, _sleep, checks=checks)

    async def _read(self, query: Query[R], context: CallContext) -> R:
        """Read on the server that the router chooses; see `Runner`."""
        assert self.router is not None
        route = await self._choose()
        if route.index is not None:
            new = self._maker(route, is_single_statement(query.function))
            try:
                async with new(context=context) as uow:
                    result: R = await uow.run(query)
                    return result
            except (ConcurrentUpdate, DatabaseUnavailable) as error:
                self.router.failed(route, error)
        return await self._attempt(query, context)

    async def _run(
        self, query: Query[R], attempt: Callable[[Query[R], CallContext], Awaitable[R]]
    ) -> R:
        if self.first_use.loop is not asyncio.get_running_loop():
            await self._prepare(query)
        context = self.context()
        if not self.observers:
            return await attempt(query, context)
        with self.observed(handler_name(query.function), context) as call:
            result = await attempt(query, context)
            call.commit()
            return result

    async def _prepare(self, query: Query[R]) -> None:
        back_off = BackOff(self.retries, query.function, self.context())
        while True:
            try:
                await self.first_use.prepare()
            except DatabaseUnavailable as error:
                wait = self._wait_for_server(back_off, error)
            else:
                return
            await asyncio.sleep(wait)

    async def _attempt(self, query: Query[R], context: CallContext) -> R:
        back_off: BackOff | None = None
        while True:
            try:
                async with query.new_unit_of_work(context=context) as uow:
                    result: R = await uow.run(query)
                    return result
            except (ConcurrentUpdate, DatabaseUnavailable) as error:
                back_off = back_off or BackOff(self.retries, query.function, context)
                wait = back_off.wait_after(error)
            await asyncio.sleep(wait)

    async def _record_trade(self, query: Query[Any], context: CallContext) -> Any:
        group = self.group_commit()
        if group is None:
            return await self._record_alone(query, context)
        is_alone = group.enter_alone()
        try:
            call = None if is_alone else await group.wait(query.args, query.kwargs, context)
            if call is not None:
                recorded = group.result(query.function, call)
                if recorded is not None:
                    return recorded
                if call.error is not None:
                    return await self._attempt(query, context)
            return await self._record_alone(query, context)
        finally:
            group.leave(was_alone=is_alone)

    async def _record_alone(self, query: Query[Any], context: CallContext) -> Any:
        scope = AutocommitScope(self.fast_path(), context)
        try:
            attempt = scope.attempt
            recorded = await greenlet_spawn(attempt, query.function, query.args, query.kwargs)
            return recorded or await self._attempt(query, context)
        finally:
            if scope.lock is not None:
                with suppress(RuntimeError):  # not got in time
                    scope.lock.release()


def _sleep(seconds: float) -> None:
    """Wait inside a greenlet of a task, without blocking the event loop."""
    await_only(asyncio.sleep(seconds))
