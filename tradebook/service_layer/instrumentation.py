"""Records of calls that are observed, and reports of progress."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Final, TypeAlias, TypeVar

from attrs import define, field

ProgressCallback: TypeAlias = Callable[[int, int], None]
"""Is called with how much is done, and how much there is to do."""

T = TypeVar("T")

TRADES: Final = "trades"
DUPLICATES: Final = "duplicates"
BUSTS: Final = "busts"
ALERTS: Final = "alerts "
"""The counter of alerts, followed by their severity."""

CUSTOM: Final = "custom"


@define(eq=False)
class CallRecord:
    """One observed call: a handler or query with all its attempts, or a unit of work.

    Attributes:
        handler: its name; `custom` for functions of applications, which keeps the number of names low.
        account: the account that it reads or writes.
        actor: the user or program that makes the call.
        correlation_id: of the request.
        retries: the number of attempts after the first.
        conflicts: the number of attempts that failed because another writer was first.
        pending: trades, duplicates, busts and alerts counted since the last commit or rollback.
        committed: the same counts, of what is in the book.
        read_from: the server that it read from, where queries may go to several; else `""`.
        read_reason: why that one.
        read_wait: seconds that it waited for a standby.
    """

    handler: str
    account: str
    actor: str = ""
    correlation_id: str = ""
    retries: int = 0
    conflicts: int = 0
    pending: Counter[str] = field(factory=Counter)
    committed: Counter[str] = field(factory=Counter)
    read_from: str = ""
    read_reason: str = ""
    read_wait: float = 0.0

    def reads_from(self, server: str, reason: str, waited: float) -> None:
        """Note where it reads, and why."""
        self.read_from, self.read_reason, self.read_wait = server, reason, waited

    def commit(self) -> None:
        """Count the pending work as committed."""
        self.committed.update(self.pending)
        self.pending.clear()

    def rollback(self) -> None:
        """Discard the counts of pending work."""
        self.pending.clear()


current_call: Final[ContextVar[CallRecord | None]] = ContextVar("tradebook_call", default=None)
"""The record of the call that runs here; None where calls are not observed."""


@contextmanager
def recorded_call(call: CallRecord) -> Iterator[CallRecord]:
    """Make `call` the current call inside the block."""
    token = current_call.set(call)
    try:
        yield call
    finally:
        with suppress(ValueError):  # some frameworks leave a block in another context
            current_call.reset(token)


def increment(counter: str, by: int = 1) -> None:
    """Add to a counter of the current call, where there is one."""
    call = current_call.get()
    if call is not None and by:
        call.pending[counter] += by


def handler_name(handler: Callable[..., object]) -> str:
    """Return the name of one of the book's own handlers or queries, `custom` for any other function."""
    is_own = str(getattr(handler, "__module__", "")).startswith("tradebook.")
    name = str(getattr(handler, "__name__", ""))
    return name if is_own and name.isidentifier() else CUSTOM


@define
class Progress:
    """A count of the records that a call is done with, and the reports of it."""

    report: ProgressCallback | None
    total: int  # as counted beforehand
    done: int = 0
    every: int = 1000  # records between two reports, where they are counted one by one

    def add(self, count: int) -> None:
        """Count records as done, and report; there may be more of them than were counted beforehand."""
        self.done += count
        if self.report is not None:
            self.report(self.done, max(self.total, self.done))

    def over(self, records: Iterable[T]) -> Iterator[T]:
        """Iterate over records, each counted before it is yielded; report each `every` and the last."""
        for record in records:
            self.done += 1
            if self.report is not None and (self.done % self.every == 0 or self.done == self.total):
                self.report(self.done, self.total)
            yield record
