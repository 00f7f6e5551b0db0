"""Requests to venues that are sent again where the network or the venue failed for a moment."""

from __future__ import annotations

from collections.abc import Callable
from time import sleep
from typing import Any, Final

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter

ATTEMPTS: Final = 6
"""The most times that a request is sent."""


def repeated(
    request: Callable[[], Any], is_transient: Callable[[BaseException], bool], pause: float
) -> Any:
    """Send a request that only reads, again after each error that passes.

    Args:
        request: sends it and returns the answer.
        is_transient: tells whether an error may be gone with the next attempt.
        pause: seconds before the second attempt; they double with each further one, up to 30.

    Raises:
        Exception: that of the last attempt.
    """
    for attempt in Retrying(
        retry=retry_if_exception(is_transient),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential_jitter(multiplier=pause, max=30, jitter=pause),
        sleep=sleep,
        reraise=True,
    ):
        with attempt:
            answer = request()
    return answer
