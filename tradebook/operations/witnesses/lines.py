"""Seals as lines of JSON, as files, objects and git repositories keep them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from attrs import field, frozen

from tradebook.config.witnesses import masked
from tradebook.domain.errors import InvalidInput, WitnessFailed
from tradebook.domain.validation import utc, utc_now
from tradebook.service_layer.ports.witnesses import WitnessedSeal
from tradebook.service_layer.verification.seal_files import FORMAT as SEALS
from tradebook.service_layer.verification.seal_files import kept_seals

FORMAT: Final = "tradebook witness 1"
BEGINNING: Final = json.dumps({"format": FORMAT}).removesuffix("}").encode()
"""The beginning of every line, by which a file of something else is told apart."""
_NO_SEAL: Final = (ArithmeticError, KeyError, RecursionError, TypeError, ValueError)
"""Errors of reading a line that is cut off, or says something else."""


@contextmanager
def failures(
    witness: str,
    errors: type[Exception] | tuple[type[Exception], ...] = OSError,
) -> Iterator[None]:
    """Raise errors of a file, server or library as `WitnessFailed`, passwords of URLs masked."""
    try:
        yield
    except WitnessFailed:
        raise
    except errors as error:
        text = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise WitnessFailed(f"{witness} cannot be used: {masked(text)}") from None


def require_folder(witness: str, folder: Path) -> None:
    """Refuse a folder that is missing, such as one on a disk that is not mounted: it would look empty."""
    if not folder.is_dir():
        raise WitnessFailed(f"{witness} cannot be used: there is no folder {folder}")


def folder_of(book: str, account: str) -> str:
    """Return the relative folder of an account's seals: readable, and one for each name of an account."""
    readable = re.sub(r"[^A-Za-z0-9_-]+", "_", account)[:40]
    return f"{book}/{readable}-{sha256(account.encode()).hexdigest()[:8]}"


def to_lines(book: str, account: str, entries: Sequence[Mapping[str, Any]]) -> bytes:
    """Format seals as lines, witnessed now."""
    now = utc_now().astimezone(UTC).isoformat(timespec="microseconds")
    facts = {"format": FORMAT, "book": book, "account": account, "witnessed_at": now}
    return b"".join(json.dumps({**facts, "seal": each}).encode() + b"\n" for each in entries)


@frozen
class KeptLines:
    """The seals of one account among the lines of a witness.

    Attributes:
        witness: its name.
        account: whose seals.
        entries: the seals by number, as `export_seals` gives them.
        seals: the same, as the witness's own statements.
    """

    witness: str
    account: str
    entries: dict[int, Mapping[str, Any]] = field(factory=dict)
    seals: dict[int, WitnessedSeal] = field(factory=dict)

    @classmethod
    def from_bytes(cls, witness: str, book: str, account: str, content: bytes) -> KeptLines:
        """Read the lines of an account; a line that is not whole, as a crash leaves one, says nothing.

        Raises:
            WitnessFailed: two lines contradict each other.
        """
        kept = cls(witness, account)
        for line in content.splitlines():
            try:
                said = json.loads(line)
                if (said["format"], said["book"], said["account"]) == (FORMAT, book, account):
                    kept._add(said["seal"], utc(said["witnessed_at"]))
            except _NO_SEAL:
                continue
        return kept

    def _add(self, entry: Mapping[str, Any], at: datetime) -> None:
        seal = WitnessedSeal(int(entry["number"]), str(entry["hash"]), at)
        known = self.seals.setdefault(seal.number, seal)
        self.entries.setdefault(seal.number, entry)
        if known.hash != seal.hash:
            raise self._altered(f"it has two seals {seal.number}")

    @property
    def last(self) -> WitnessedSeal | None:
        """The seal with the highest number."""
        return self.seals[max(self.seals)] if self.seals else None

    def verified(self) -> dict[int, WitnessedSeal]:
        """Return the seals after checking that they are one chain of hashes.

        Raises:
            WitnessFailed: a seal is missing among them, or altered.
        """
        entries = [self.entries[number] for number in sorted(self.entries)]
        document = {"format": SEALS, "account": self.account, "seals": entries}
        try:
            kept_seals(document, self.account)
        except InvalidInput as error:
            raise self._altered(f"{error.value} is not as it was appended") from None
        return self.seals

    def _altered(self, what: str) -> WitnessFailed:
        return WitnessFailed(f"{self.witness}: {what}", is_altered=True)
