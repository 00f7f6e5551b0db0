"""A scenario: a promise, and what tries to break it for a while."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator

from attrs import define, frozen


@define
class Figures:
    """What a scenario did; lost and duplicated must be 0.

    Attributes:
        rounds: how often it began anew.
        operations: calls on the book that were acknowledged, or examples that were tried.
        kills: processes, servers and connections that were cut off.
        lost: acknowledged changes that are not in the book afterwards.
        duplicated: changes that are in the book more than once.
    """

    rounds: int = 0
    operations: int = 0
    kills: int = 0
    lost: int = 0
    duplicated: int = 0

    def add(self, other: Figures) -> None:
        """Count what another run did, too."""
        self.rounds += other.rounds
        self.operations += other.operations
        self.kills += other.kills
        self.lost += other.lost
        self.duplicated += other.duplicated

    @property
    def kept(self) -> bool:
        """Whether the promise held."""
        return self.rounds > 0 and not self.lost and not self.duplicated


@frozen
class Scenario:
    """One promise under attack.

    Attributes:
        name: short, for `--only`.
        promise: what must hold, a sentence.
        test: the test that runs it briefly.
        run: attacks for about so many seconds, one round at least; raises AssertionError, saying how to
            see it again, where the promise is broken in a way that the figures do not count.
    """

    name: str
    promise: str
    test: str
    run: Callable[[float], Figures]


def new_seed() -> int:
    """A seed; say it, so that a round can be seen again."""
    return random.randrange(2**32)


def say(text: str) -> None:
    """Tell what a round does, where tests capture it and show it when they fail."""
    sys.stderr.write(f"{text}\n")


def rounds_for(seconds: float) -> Iterator[int]:
    """Round numbers: one at least, and more until the time is up."""
    end = time.monotonic() + seconds
    number = 0
    while number == 0 or time.monotonic() < end:
        yield number
        number += 1
