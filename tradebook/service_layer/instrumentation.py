"""How long work tells how far it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Final, TypeAlias

from attrs import define, field

from tradebook.service_layer.call_context import CallContext

Progress: TypeAlias = Callable[[int, int], None]
"""Takes how much is done, and of how much."""


TRADES: Final = "trades"
DUPLICATES: Final = "duplicates"
BUSTS: Final = "busts"
ALERTS: Final = "alerts "
"""Before the severity."""

CUSTOM: Final = "custom"


@define(eq=False)
class Call:
    """One call that somebody watches: a handler or query with all its attempts, or a unit of work.

    Attributes:
        handler: its name; `custom` for functions that are not the book's own, so that there are few.
        account: whose book it is about.
        actor: who calls.
        correlation_id: of the request.
        retries: how often it was done again.
        conflicts: how often another writer was first.
        done: how many trades, duplicates, busts and alerts were made since the last commit or rollback.
        committed: how many of them are in the book.
    """

    handler: str
    account: str
    actor: str = ""
    correlation_id: str = ""
    retries: int = 0
    conflicts: int = 0
    done: Counter[str] = field(factory=Counter)
    committed: Counter[str] = field(factory=Counter)

    @classmethod
    def of(cls, handler: Callable[..., object], account: str, context: CallContext) -> Call:
        """The call of a handler or query."""
        return cls(handler_name(handler), account, context.actor, context.correlation_id)

    def commit(self) -> None:
        """What was done is in the book."""
        self.committed.update(self.done)
        self.done.clear()


_call: Final[ContextVar[Call | None]] = ContextVar("tradebook_call", default=None)


def current_call() -> Call | None:
    """The call that is watched here, if any is."""
    return _call.get()


@contextmanager
def calling(call: Call) -> Iterator[Call]:
    """Inside, `call` is the current one."""
    token = _call.set(call)
    try:
        yield call
    finally:
        with suppress(ValueError):  # frameworks leave in another context than they entered in
            _call.reset(token)


def note(what: str, count: int = 1) -> None:
    """Say what was done, to whoever watches."""
    call = _call.get()
    if call is not None and count:
        call.done[what] += count


def noted() -> Counter[str]:
    """What was noted since the last commit or rollback."""
    call = _call.get()
    return Counter() if call is None else Counter(call.done)


def note_commit() -> None:
    """What was done is in the book."""
    call = _call.get()
    if call is not None:
        call.commit()


def note_rollback() -> None:
    """What was done is undone."""
    call = _call.get()
    if call is not None:
        call.done.clear()


def handler_name(handler: Callable[..., object]) -> str:
    """The name of one of the book's own handlers or queries, `custom` of anybody else's."""
    is_ours = str(getattr(handler, "__module__", "")).startswith("tradebook.")
    name = str(getattr(handler, "__name__", ""))
    return name if is_ours and name.isidentifier() else CUSTOM
