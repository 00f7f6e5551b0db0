"""Who calls, and for what request: a context variable that every call of the book takes them from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from attrs import evolve, field, frozen

from tradebook.domain.fields import key, named_fields


@frozen(kw_only=True, field_transformer=named_fields)
class Caller:
    """Who calls, `""` where nobody said."""

    actor: str = field(default="", converter=key)
    correlation_id: str = field(default="", converter=key)


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
