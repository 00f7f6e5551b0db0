"""The comparison of an account's seals with those that witnesses have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from attrs import evolve, frozen

from tradebook.domain.errors import WitnessFailed
from tradebook.service_layer.ports.witnesses import Witness, WitnessedSeal, WitnessState
from tradebook.service_layer.verification.findings import CHANGED, REMOVED, Finding
from tradebook.service_layer.verification.seal_check import SealCheck

Entry = Mapping[str, Any]
"""A seal in a document of exported seals; only its number, hash and time are read here."""

_TOLERANCE: Final = timedelta(minutes=5)


@frozen
class WitnessReading:
    """What one witness gave: its seals by number, or why it could not be read.

    Attributes:
        witness: its name.
        seals: of the account, by number; empty where it failed.
        failure: None where it could be read.
    """

    witness: str
    seals: Mapping[int, WitnessedSeal]
    failure: WitnessFailed | None = None

    @property
    def state(self) -> WitnessState:
        """What it has, without the seals themselves."""
        if self.failure is not None:
            return WitnessState(self.witness, error=str(self.failure))
        return WitnessState.from_last(
            self.witness, self.seals[max(self.seals)] if self.seals else None
        )


def read_witness(witness: Witness, account: str) -> WitnessReading:
    """Read every seal that a witness has of an account; a failure is part of the result."""
    try:
        return WitnessReading(witness.name, witness.read(account))
    except WitnessFailed as error:
        return WitnessReading(witness.name, {}, error)


def with_witnesses(
    checked: SealCheck,
    readings: Iterable[WitnessReading],
    entries: Iterable[Entry],
    max_ahead: timedelta,
) -> SealCheck:
    """Add to a check of seals what witnesses say of them.

    Args:
        checked: the check of the account's seals.
        readings: what the witnesses gave, read before the seals below.
        entries: the account's seals.
        max_ahead: by how much the clock that dated a seal may have been ahead.
    """
    own = {entry["number"]: entry for entry in entries}
    findings, states = list(checked.findings), []
    for reading in readings:
        states.append(reading.state)
        if reading.failure is not None and reading.failure.is_altered:
            findings.append(Finding("Witness", reading.witness, CHANGED, str(reading.failure)))
        findings += _differences(reading, own, max(max_ahead, _TOLERANCE))
    return evolve(checked, findings=tuple(findings), witnesses=tuple(states))


def _differences(
    reading: WitnessReading, own: Mapping[int, Entry], max_ahead: timedelta
) -> Iterator[Finding]:
    """Yield the first seal that is not the witnessed one, since those after it differ as a consequence."""
    for number, seal in sorted(reading.seals.items()):
        by = f"{reading.witness} has it"
        entry = own.get(number)
        if entry is None:
            yield Finding("Seal", str(number), REMOVED, f"{by} since {_time(seal.at)}")
            return
        if entry["hash"] != seal.hash:
            yield Finding("Seal", str(number), CHANGED, f"{by} with the hash {seal.hash[:12]}...")
            return
        if not seal.is_certified:
            continue
        sealed_at = datetime.fromisoformat(entry["sealed_at"])
        if sealed_at > seal.at + max_ahead:
            said = (
                f"it says {_time(sealed_at)}, and {reading.witness} signed it at {_time(seal.at)}"
            )
            yield Finding("Seal", str(number), CHANGED, said)


def number_before(last: WitnessedSeal | None) -> int:
    """Return the number above which `following` wants the account's seals."""
    return 0 if last is None else last.number - 1


def following(witness: str, last: WitnessedSeal | None, entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries after the last seal that a witness has.

    Args:
        witness: its name.
        last: its last seal.
        entries: the account's seals above `number_before` it, read after it.

    Raises:
        WitnessFailed: the last seal is not among them, or is another one.
    """
    if last is None:
        return [*entries]
    if not entries or entries[0]["number"] != last.number:
        raise contradicts(witness, f"seal {last.number}, which the book does not have")
    return lacking(witness, {last.number: last}, entries)


def lacking(
    witness: str, known: Mapping[int, WitnessedSeal], entries: Sequence[Entry]
) -> list[Entry]:
    """Return the entries that a witness does not have, given seals that it has.

    Raises:
        WitnessFailed: it has another seal of one of these numbers.
    """
    new = []
    for entry in entries:
        seal = known.get(entry["number"])
        if seal is None:
            new.append(entry)
        elif seal.hash != entry["hash"]:
            raise contradicts(witness, f"another seal {seal.number}")
    return new


def contradicts(witness: str, what: str) -> WitnessFailed:
    """Return the error for a witness that has other seals than the book."""
    return WitnessFailed(
        f"{witness} has {what}: nothing was appended. `tradebook audit check` shows what differs; a book "
        "beside another in one witness, or restored from before its last seal, needs a name of its "
        "own: ?book=NAME"
    )


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
