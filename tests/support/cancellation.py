"""Cancelling a task at each of the points where it waits, one after another, without a clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from functools import partial
from itertools import count
from typing import Any, Final

BEFORE, AFTER = "before", "after"
MOMENTS: Final = (BEFORE, AFTER)
"""As the task begins to wait; or when what it waits for has happened, and it does not know yet."""

MOST_WAITS: Final = 500


class Interrupted:
    """Awaits `work`, and cancels the task at its wait number `at`.

    Attributes:
        reached: whether there were as many waits.
    """

    def __init__(self, work: Coroutine[Any, Any, Any], at: int, moment: str) -> None:
        self.reached = False
        self._work, self._at, self._moment = work, at, moment

    def __await__(self) -> Generator[Any, Any, Any]:
        steps = self._work.__await__()
        resume: Callable[[], Any] = partial(next, steps)
        for waits in count():
            try:
                waited_for = resume()
            except StopIteration as end:
                return end.value
            if waits == self._at:
                self._cancel_at(waited_for)
            try:
                resume = partial(steps.send, (yield waited_for))
            except BaseException as error:
                resume = partial(steps.throw, error)

    def _cancel_at(self, waited_for: Any) -> None:
        self.reached = True
        task = asyncio.current_task()
        assert task is not None
        if self._moment == AFTER and waited_for is not None:
            waited_for.add_done_callback(lambda _: task.cancel())
        else:
            task.cancel()


async def interruptions(
    work: Callable[[int], Coroutine[Any, Any, Any]], moment: str, every: int = 1
) -> AsyncIterator[int]:
    """Run `work(0)` cancelled at its first wait, `work(1)` at its second, until one has no more waits.

    With `every` only at each wait of so many. Gives the number after each that was cancelled, for the caller to look at what is left.
    """
    for at in range(0, MOST_WAITS, every):
        interrupted = Interrupted(work(at), at, moment)
        [outcome] = await asyncio.gather(_awaiting(interrupted), return_exceptions=True)
        if not interrupted.reached:
            assert not isinstance(outcome, BaseException), outcome
            return
        if outcome is not None:  # some waits are the last of their task: it ends all the same
            assert isinstance(outcome, asyncio.CancelledError), outcome
        yield at
    raise AssertionError(f"still waiting after {MOST_WAITS} waits")


async def _awaiting(work: Awaitable[Any]) -> None:
    await work
