"""The context of a call: its time, the seed of its ids, who makes it, and for which request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from attrs import evolve, frozen

from tradebook.domain.errors import InvalidInput
from tradebook.domain.plain_values import is_instance
from tradebook.domain.validation import argument, identifier, short_text, utc

DEFAULT_BASE_CURRENCY: Final = "USD"

current_actor: Final[ContextVar[str]] = ContextVar("tradebook_actor", default="")
"""The actor that the surrounding `context` names, or `""`."""

current_correlation_id: Final[ContextVar[str]] = ContextVar("tradebook_correlation_id", default="")
"""The correlation id that the surrounding `context` names, or `""`."""


@contextmanager
def context(*, actor: str | None = None, correlation_id: str | None = None) -> Iterator[None]:
    """Name the actor and the request for every event that any book records inside the block.

    `with tradebook.context(actor="ann", correlation_id="request-42"): book.record_trade(...)`. Tasks of
    asyncio that are made inside, and `asyncio.to_thread`, inherit both; a thread that is started inside
    does not, unless it runs in `contextvars.copy_context()`. An argument that is left out keeps its outer
    value. A `CallContext` that is given to a unit of work takes precedence; the manager's own `actor`
    applies only where no other is named.

    Args:
        actor: the user or program that makes the calls.
        correlation_id: shared by everything done for one request.

    Raises:
        InvalidInput: one of them is not text of at most 200 characters.
    """
    given = [
        (variable, argument(name, short_text, value))
        for variable, name, value in (
            (current_actor, "actor", actor),
            (current_correlation_id, "correlation_id", correlation_id),
        )
        if value is not None
    ]
    tokens = [(variable, variable.set(value)) for variable, value in given]
    try:
        yield
    finally:
        for variable, token in tokens:
            variable.reset(token)


@frozen(kw_only=True, init=False)
class CallContext:
    """The values that stay the same when a unit of work is retried, so that a retry repeats, not adds.

    Attributes:
        at: the time of the call, UTC; a naive time is taken as UTC; now by default.
        token: the seed of the ids made during the call; a random one by default.
        actor: the user or program that makes the call; by default the one of `tradebook.context`.
        correlation_id: shared by the events of the call; by default the one of `tradebook.context`.
    """

    at: datetime
    token: str
    actor: str
    correlation_id: str

    def __init__(
        self,
        *,
        at: datetime | None = None,
        token: str | None = None,
        actor: str | None = None,
        correlation_id: str | None = None,
    ) -> None:
        """Check the values that are given (`InvalidInput` names a wrong one), and make the others."""
        self.__attrs_init__(
            # Defaults skip the checks: they are valid as made, and every call makes them.
            at=datetime.now(UTC) if at is None else argument("at", utc, at),
            token=uuid4().hex if token is None else argument("token", identifier, token),
            actor=current_actor.get() if actor is None else argument("actor", short_text, actor),
            correlation_id=current_correlation_id.get()
            if correlation_id is None
            else argument("correlation_id", short_text, correlation_id),
        )

    def with_default_actor(self, actor: str) -> CallContext:
        """Return this context, with `actor` as its actor where it names none."""
        return self if self.actor or not actor else evolve(self, actor=actor)


def call_context(value: CallContext) -> CallContext:
    """Return the value, a `CallContext`; refuse any other."""
    if not is_instance(value, CallContext):
        raise InvalidInput("context", value, "a CallContext")
    return value
