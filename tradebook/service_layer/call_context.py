"""The context of a call: its time, the seed of its ids, its actor and its request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from functools import partial
from secrets import token_hex
from typing import Any, Final, cast

from attrs import Attribute, evolve, field, frozen

from tradebook.domain.consistency import Consistency, checked_token, consistency_of
from tradebook.domain.errors import InvalidInput
from tradebook.domain.plain_values import is_instance
from tradebook.domain.validation import argument, identifier, short_text, utc, utc_now

current_actor: Final[ContextVar[str]] = ContextVar("tradebook_actor", default="")
"""The actor that the surrounding `context` names, or `""`."""

current_correlation_id: Final[ContextVar[str]] = ContextVar("tradebook_correlation_id", default="")
"""The correlation id that the surrounding `context` names, or `""`."""


current_consistency: Final[ContextVar[Consistency | None]] = ContextVar(
    "tradebook_consistency", default=None
)
"""What reads have to see in the surrounding `context`; None for what the manager is configured for."""

current_token: Final[ContextVar[str]] = ContextVar("tradebook_consistency_token", default="")
"""The consistency token that the surrounding `context` names, or `""`."""


@contextmanager
def context(
    *,
    actor: str | None = None,
    correlation_id: str | None = None,
    consistency: Consistency | str | None = None,
    consistency_token: str | None = None,
) -> Iterator[None]:
    """Name the actor and the request for every event that any book records inside the block.

    `with tradebook.context(actor="ann", correlation_id="request-42"): book.record_trade(...)`. Tasks of
    asyncio that are made inside, and `asyncio.to_thread`, inherit both; a thread that is started inside
    does not, unless it runs in `contextvars.copy_context()`. An argument that is left out keeps its outer
    value. A `CallContext` that is given to a unit of work takes precedence; the manager's own `actor`
    applies only where no other is named.

    Args:
        actor: the user or program that makes the calls.
        correlation_id: shared by everything done for one request.
        consistency: what reads have to see where queries may go to standbys: `eventual`, `own-writes` or `strong`;
            see `Consistency`.
        consistency_token: of another process, as `consistency_token()` of its book returned it: reads see at least
            what that process had written then.

    Raises:
        InvalidInput: a name is not text of at most 200 characters; the consistency or the token is none.
    """
    arguments: tuple[tuple[ContextVar[Any], str, Any, Callable[[Any], Any]], ...] = (
        (current_actor, "actor", actor, short_text),
        (current_correlation_id, "correlation_id", correlation_id, short_text),
        (current_consistency, "consistency", consistency, consistency_of),
        (current_token, "consistency_token", consistency_token, checked_token),
    )
    given = [
        (variable, argument(name, convert, value))
        for variable, name, value, convert in arguments
        if value is not None
    ]
    tokens = [(variable, variable.set(value)) for variable, value in given]
    try:
        yield
    finally:
        for variable, token in tokens:
            variable.reset(token)


def _named(_: type, fields: list[Attribute[Any]]) -> list[Attribute[Any]]:
    # As `entity.named_fields`, without its wrappers: every call makes a context.
    return [
        each.evolve(converter=partial(argument, each.name, cast("Any", each.converter)))
        for each in fields
    ]


@frozen(kw_only=True, field_transformer=_named)
class CallContext:
    """The values that stay the same when a unit of work is retried, so that a retry repeats, not adds.

    Attributes:
        at: the time of the call, UTC; a naive time is taken as UTC; now by default.
        token: the seed of the ids made during the call; a random one by default.
        actor: the user or program that makes the call; by default the one of `tradebook.context`.
        correlation_id: shared by the events of the call; by default the one of `tradebook.context`.
    """

    at: datetime = field(factory=utc_now, converter=utc)
    token: str = field(factory=partial(token_hex, 16), converter=identifier)
    actor: str = field(factory=current_actor.get, converter=short_text)
    correlation_id: str = field(factory=current_correlation_id.get, converter=short_text)

    def with_default_actor(self, actor: str) -> CallContext:
        """Return this context, with `actor` as its actor where it names none."""
        return self if self.actor or not actor else evolve(self, actor=actor)


def call_context(value: CallContext) -> CallContext:
    """Return the value, a `CallContext`; refuse any other."""
    if not is_instance(value, CallContext):
        raise InvalidInput("context", value, "a CallContext")
    return value
