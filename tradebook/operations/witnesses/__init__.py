"""Witnesses of seals: files, object stores, git repositories and timestamp services."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from attrs import evolve

from tradebook.config import DatabaseConfig
from tradebook.config.witnesses import FILE, GIT, OBJECTS, TIMESTAMPS, WitnessUrl, witness_url
from tradebook.domain.errors import WitnessFailed
from tradebook.service_layer.handlers.seals import Sealed
from tradebook.service_layer.ports.witnesses import Witness, WitnessedSeal, WitnessState

__all__ = ["Appending", "open_witnesses"]


# A kind is loaded when a setting names it: the others need libraries that are extras, and locks of POSIX.


def _file(url: WitnessUrl) -> Witness:
    from tradebook.operations.witnesses.files import FileWitness

    return FileWitness(url)


def _objects(url: WitnessUrl) -> Witness:
    from tradebook.operations.witnesses.objects import ObjectWitness

    return ObjectWitness(url)


def _git(url: WitnessUrl) -> Witness:
    from tradebook.operations.witnesses.repositories import GitWitness

    return GitWitness(url)


def _timestamps(url: WitnessUrl) -> Witness:
    from tradebook.operations.witnesses.timestamps import TimestampWitness

    return TimestampWitness(url)


_KINDS: Final[Mapping[str, Callable[[WitnessUrl], Witness]]] = {
    FILE: _file,
    OBJECTS: _objects,
    GIT: _git,
    TIMESTAMPS: _timestamps,
}


def open_witnesses(config: DatabaseConfig) -> list[Witness]:
    """Make the witnesses that a configuration names; none is read or connected yet.

    Raises:
        ExtraNotInstalled: the library of one is missing.
        InvalidInput: one is in a store that no library supports.
    """
    urls = map(witness_url, config.seal_witness)
    return [_KINDS[url.kind](url) for url in urls]


class Appending:
    """The outcome of appending an account's seals to its witnesses, one after the other.

    A witness that fails keeps no other from its seals.
    """

    def __init__(self) -> None:
        """Begin without a witness."""
        self._states: list[WitnessState] = []

    @contextmanager
    def to(self, witness: Witness) -> Iterator[None]:
        """Keep the failure of one witness, which the block appends to."""
        try:
            yield
        except WitnessFailed as error:
            self._states.append(WitnessState(witness.name, error=str(error)))

    def done(self, witness: Witness, last: WitnessedSeal | None) -> None:
        """Keep the last seal that a witness has now."""
        self._states.append(WitnessState.from_last(witness.name, last))

    def outcome(self, sealed: Sealed) -> Sealed:
        """Return what was sealed, with the state of each witness.

        Raises:
            WitnessFailed: a witness failed.
        """
        sealed = evolve(sealed, witnesses=tuple(self._states))
        failed = [state.error for state in self._states if state.error]
        if failed:
            stays = (
                f"what was sealed stays sealed (seals: {sealed.seals:,}, events: {sealed.events:,}); "
                "the next `seal` appends what a witness lacks"
            )
            raise WitnessFailed(*failed, stays, sealed=sealed)
        return sealed
