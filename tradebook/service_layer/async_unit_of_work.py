"""The unit of work for asyncio: the same handlers and queries, awaited."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar

from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

P = ParamSpec("P")
R = TypeVar("R")


class AbstractAsyncUnitOfWork(ABC):
    """One transaction on one account's book; leaving it without `commit` discards what was done.

    It is one transaction, so its calls come one after another: never from two tasks at a time.
    """

    @abstractmethod
    async def run(
        self,
        function: Callable[Concatenate[AbstractUnitOfWork, P], R],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Call a handler or query in this transaction, without committing, and return its result.

        Args:
            function: `handlers.record_trade`, `queries.get_all`, or a function of yours
                `function(uow, ...)`: an ordinary one, in which `uow` needs no `await`.
            args: its arguments after `uow`.
            kwargs: its named arguments.
        """

    @abstractmethod
    async def commit(self) -> None:
        """Make everything done so far durable.

        Raises:
            ConcurrentUpdate: another writer was first; run the whole unit of work again.
            CommitUnknown: the connection was lost at COMMIT; do it again, with the same order ids and
                references.
        """

    @abstractmethod
    async def rollback(self) -> None:
        """Discard everything done since the last commit; entities keep the values they have."""

    @abstractmethod
    async def __aenter__(self) -> Self:
        """Begin; the transaction starts with the first statement."""

    @abstractmethod
    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End; what was not committed is discarded, and the connection returned."""
