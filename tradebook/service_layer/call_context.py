"""Who calls, and for what request: a context variable that every call of the book takes them from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Final
from uuid import uuid4

from attrs import evolve, field, frozen

from tradebook.domain.entity import named_fields
from tradebook.domain.errors import InvalidInput
from tradebook.domain.plain_values import is_instance
from tradebook.domain.validation import identifier, short_text, utc, utc_now


@frozen(kw_only=True, field_transformer=named_fields)
class Caller:
    """Who calls, `""` where nobody said."""

    actor: str = field(default="", converter=short_text)
    correlation_id: str = field(default="", converter=short_text)


_caller: Final[ContextVar[Caller]] = ContextVar("tradebook_caller", default=Caller())  # noqa: B039


def caller() -> Caller:
    """Who calls here."""
    return _caller.get()


@contextmanager
def context(*, actor: str | None = None, correlation_id: str | None = None) -> Iterator[None]:
    """Inside, every event of every book says who did it, and in which request.

    `with tradebook.context(actor="ann", correlation_id="request-42"): book.record_trade(...)`. Tasks of
    asyncio that are made inside, and `asyncio.to_thread`, take it along; a thread that is started inside
    does not, unless it runs in `contextvars.copy_context()`. What is left out stays as it was outside; a
    `CallContext` that is given to a unit of work goes before it, the book's own `actor` after it.

    Args:
        actor: who calls.
        correlation_id: shared by everything done for one request.

    Raises:
        InvalidInput: one of them is refused.
    """
    given = {"actor": actor, "correlation_id": correlation_id}
    inner = evolve(_caller.get(), **{name: v for name, v in given.items() if v is not None})
    token = _caller.set(inner)
    try:
        yield
    finally:
        _caller.reset(token)


DEFAULT_BASE_CURRENCY = "USD"


@frozen(kw_only=True, field_transformer=named_fields)
class CallContext:
    """What stays the same when a unit of work is tried again, so that a retry repeats, not adds.

    Attributes:
        at: the time of the call, UTC.
        token: the seed of the ids made during the call.
        actor: who calls; as the surrounding `tradebook.context` says by default.
        correlation_id: shared by the events of the call; the same.
    """

    at: datetime = field(factory=utc_now, converter=utc)
    token: str = field(factory=lambda: uuid4().hex, converter=identifier)
    actor: str = field(factory=lambda: caller().actor, converter=short_text)
    correlation_id: str = field(factory=lambda: caller().correlation_id, converter=short_text)

    @classmethod
    def of(cls, given: CallContext | None) -> CallContext | None:
        """The context that a caller gave.

        Raises:
            InvalidInput: it is no context.
        """
        if given is not None and not is_instance(given, cls):
            raise InvalidInput("context", given, "a CallContext")
        return given

    def or_by(self, actor: str) -> CallContext:
        """The same call, by `actor` where nobody else is named."""
        return self if self.actor or not actor else evolve(self, actor=actor)
