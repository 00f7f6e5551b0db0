"""Runners: each call gets a unit of work, and another one after a conflict or a lost connection.

What must not change between attempts (the time, ids, order ids) is made once, in the `CallContext`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Generic, TypeAlias, TypeVar

from attrs import define, frozen
from sqlalchemy.orm import Session

from tradebook.adapters.commit_outcome import CommitMarker, was_committed
from tradebook.adapters.errors import commit_unknown, translated_errors
from tradebook.adapters.repositories.entity_rows import COMMIT_MARKER
from tradebook.adapters.runner.observers import Observer, observed
from tradebook.adapters.runner.retries import BackOff, Retries
from tradebook.adapters.unit_of_work import SqlAlchemyUnitOfWork
from tradebook.domain.errors import (
    CommitUnknown,
    ConcurrentUpdate,
    DatabaseUnavailable,
    TradebookError,
)
from tradebook.service_layer.call_context import CallContext
from tradebook.service_layer.handlers import record_trade
from tradebook.service_layer.instrumentation import CallRecord, current_call, handler_name
from tradebook.service_layer.unit_of_work import is_single_statement

R = TypeVar("R")
Work: TypeAlias = Callable[[SqlAlchemyUnitOfWork], R]


@frozen
class _Calls:
    """Everything that the calls of one manager share.

    Attributes:
        new_unit_of_work: makes one that writes, given the context of the call.
        new_read_unit_of_work: makes one with a consistent view over several statements.
        new_statement_unit_of_work: makes one for a single statement, without a transaction.
        first_use: checks the database's schema before the first call.
        retries: counts the attempts that are repeated.
        account: whose book it is, for observers.
        actor: who calls, where the surrounding `tradebook.context` names no one.
        observers: of every call; the list may grow later.
    """

    new_unit_of_work: Callable[..., Any]
    new_read_unit_of_work: Callable[..., Any]
    new_statement_unit_of_work: Callable[..., Any]
    first_use: Any
    retries: Retries
    account: str
    actor: str
    observers: Sequence[Observer]

    def _for_reading(self, query: Callable[..., object]) -> Callable[..., Any]:
        is_single = is_single_statement(query)
        return self.new_statement_unit_of_work if is_single else self.new_read_unit_of_work

    def _observed(
        self, function: Callable[..., object], context: CallContext
    ) -> AbstractContextManager[CallRecord]:
        return observed(handler_name(function), self.account, context, self.observers)


class Runner(_Calls):
    """Runs handlers and queries, each in a unit of work of its own."""

    def run(self, handler: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
        """Call `handler(uow, ...)` and commit; after a conflict or a lost connection do all of it again.

        Raises:
            BookBusy: conflicts outlasted every retry; the last one is its cause.
            DatabaseUnavailable: there was no connection for `MAX_OUTAGE` seconds.
            CommitUnknown: the same, after the connection was lost at COMMIT.
        """
        work = _CommittedWork(handler, args, kwargs)
        return self._call(self.new_unit_of_work, handler, work)

    def read(self, query: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
        """Call `query(uow, ...)` without committing; after a lost connection again."""
        new_unit_of_work = self._for_reading(query)
        return self._call(new_unit_of_work, query, lambda uow: query(uow, *args, **kwargs))

    def _call(
        self, new_unit_of_work: Callable[..., Any], function: Callable[..., object], work: Work[R]
    ) -> R:
        if not self.first_use.is_done:
            self.first_use.prepare()
        context = CallContext().with_default_actor(self.actor)
        attempts = self._trade_attempts if function is record_trade else self._attempts
        if not self.observers:
            return attempts(new_unit_of_work, context, function, work)
        with self._observed(function, context) as call:
            result = attempts(new_unit_of_work, context, function, work)
            call.commit()
            return result

    def _attempts(
        self,
        new_unit_of_work: Callable[..., Any],
        context: CallContext,
        function: Callable[..., object],
        work: Work[R],
    ) -> R:
        back_off: BackOff | None = None
        while True:
            try:
                with new_unit_of_work(context=context) as uow:
                    return work(uow)
            except (ConcurrentUpdate, DatabaseUnavailable) as error:
                back_off = back_off or BackOff(self.retries, function, context)
                wait = back_off.wait_after(error)
            time.sleep(wait)  # here, where the failed attempt's session and connection are gone

    _trade_attempts = _attempts  # another way, where a subclass has one


class AsyncRunner(_Calls):
    """The runner for asyncio: the same handlers, inside `run_sync`; its waits do not block the loop."""

    async def run(self, handler: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
        """Call `handler(uow, ...)` and commit; see `Runner.run`."""
        work = _CommittedWork(handler, args, kwargs)
        return await self._call(self.new_unit_of_work, handler, work)

    async def read(self, query: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
        """Call `query(uow, ...)` without committing; see `Runner.read`."""
        new_unit_of_work = self._for_reading(query)
        return await self._call(new_unit_of_work, query, lambda uow: query(uow, *args, **kwargs))

    async def _call(
        self, new_unit_of_work: Callable[..., Any], function: Callable[..., object], work: Work[R]
    ) -> R:
        if self.first_use.loop is not asyncio.get_running_loop():
            await self.first_use.prepare()
        context = CallContext().with_default_actor(self.actor)
        attempts = self._trade_attempts if function is record_trade else self._attempts
        if not self.observers:
            return await attempts(new_unit_of_work, context, function, work)
        with self._observed(function, context) as call:
            result = await attempts(new_unit_of_work, context, function, work)
            call.commit()
            return result

    async def _attempts(
        self,
        new_unit_of_work: Callable[..., Any],
        context: CallContext,
        function: Callable[..., object],
        work: Work[R],
    ) -> R:
        back_off: BackOff | None = None
        while True:
            try:
                async with new_unit_of_work(context=context) as uow:
                    result: R = await uow.run(work)
                    return result
            except (ConcurrentUpdate, DatabaseUnavailable) as error:
                back_off = back_off or BackOff(self.retries, function, context)
                wait = back_off.wait_after(error)
            await asyncio.sleep(wait)

    _trade_attempts = _attempts


@define
class _CommittedWork(Generic[R]):
    """One handler call over all its attempts, each committed.

    A connection that is lost at COMMIT leaves open whether the attempt is in the book; the next attempt finds
    out first, by the event that marks the commit.

    Attributes:
        handler: called with the unit of work and the arguments.
        args: its arguments after `uow`.
        kwargs: its named arguments.
        unanswered: commit marker and result of an attempt whose COMMIT was not answered.
        counts: the counts of that attempt, for observers.
    """

    handler: Callable[..., R]
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    unanswered: tuple[CommitMarker, R] | None = None
    counts: Mapping[str, int] = {}

    def __call__(self, uow: SqlAlchemyUnitOfWork) -> R:
        call = current_call.get()
        if self.unanswered is not None:
            marker, result = self.unanswered
            if _was_committed(uow.session, marker):
                if call is not None:
                    call.pending.update(self.counts)
                return result
            uow.rollback()
            self.unanswered = None
        result = self.handler(uow, *self.args, **self.kwargs)
        if call is not None:
            self.counts = dict(call.pending)
        try:
            uow.commit()
        except CommitUnknown:
            written: CommitMarker | None = uow.session.info.get(COMMIT_MARKER)
            self.unanswered = None if written is None else (written, result)
            raise
        return result


def _was_committed(session: Session, marker: CommitMarker) -> bool:
    try:
        with translated_errors():
            return was_committed(session, marker)
    except TradebookError as error:
        raise commit_unknown(error) from error
