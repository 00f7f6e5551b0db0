"""Witnesses: places besides the book that keep its seals, so that none can be dropped in silence."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import frozen


@frozen
class WitnessedSeal:
    """One seal as a witness has it.

    Attributes:
        number: of the seal.
        hash: of the seal.
        at: when it was witnessed, UTC; by the clock of the machine that appended it, or, where
            `is_certified`, by a timestamp service that signed it.
        is_certified: whether a service signed the time.
    """

    number: int
    hash: str
    at: datetime
    is_certified: bool = False


@frozen
class WitnessState:
    """What a witness has of an account.

    Attributes:
        witness: its name, passwords masked.
        seals: the number of the last seal that it has; 0 where it has none.
        at: when that one was witnessed, UTC; None where it has none.
        error: why it could not be read, or refused a seal; `""` where nothing failed.
    """

    witness: str
    seals: int = 0
    at: datetime | None = None
    error: str = ""

    @classmethod
    def from_last(cls, witness: str, last: WitnessedSeal | None) -> WitnessState:
        """Return the state of a witness whose last seal this is."""
        return cls(witness) if last is None else cls(witness, last.number, last.at)


class Witness(ABC):
    """A place that keeps seals. Each method raises `WitnessFailed` where it cannot be done.

    Attributes:
        name: the setting that names it, passwords masked.
    """

    name: str

    @abstractmethod
    def last(self, account: str) -> WitnessedSeal | None:
        """Return the newest seal that it has of an account; None where it has none."""

    @abstractmethod
    def append(self, account: str, entries: Sequence[Mapping[str, Any]]) -> None:
        """Append seals, as entries of `seal_files.document`, without those that it has already.

        Without entries it completes what an earlier call left undone.

        Raises:
            WitnessFailed: it cannot be reached, or has another seal of one of these numbers.
        """

    @abstractmethod
    def read(self, account: str) -> dict[int, WitnessedSeal]:
        """Read and verify every seal that it has of an account.

        Raises:
            WitnessFailed: it cannot be reached; or, with `is_altered`, is not as it was written.
        """
