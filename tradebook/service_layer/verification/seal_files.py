"""The document of exported seals, which reveals a replaced chain of seals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC
from typing import Any, Final

from attrs import frozen

from tradebook.domain.errors import InvalidInput
from tradebook.domain.plain_values import is_instance
from tradebook.domain.seals import FACTS, FACTS_BEFORE, FIRST, TIMES, Seal, compute_hash
from tradebook.domain.validation import Json

FORMAT: Final = "tradebook seals 1"


def document(account: str, seals: Iterable[Seal]) -> dict[str, Json]:
    """Build the document of an account's seals, as JSON."""
    entries: list[Json] = []
    for seal in seals:
        facts = {**seal.facts(), "hash": seal.seal_hash}
        del facts["account"]
        for name in facts.keys() & TIMES:
            facts[name] = facts[name].astimezone(UTC).isoformat(timespec="microseconds")
        entries.append(facts)
    return {"format": FORMAT, "account": account, "seals": entries}


@frozen
class KeptSeal:
    """The hash of one seal of a document, and the span of its events, for messages."""

    hash: str
    covers: str


def kept_seals(given: Any, account: str) -> dict[int, KeptSeal]:
    """Read the seals of a document by number, checking its chain of hashes.

    Raises:
        InvalidInput: it is of another account, no document of seals, or was altered.
    """
    if not is_instance(given, Mapping) or given.get("format") != FORMAT:
        raise InvalidInput("kept", given, "what export_seals made")
    if given.get("account") != account:
        raise InvalidInput("kept", given.get("account"), f"seals of the account {account!r}")
    try:
        return _read(given["seals"], account)
    except InvalidInput:
        raise
    except (ArithmeticError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise InvalidInput("kept", "this document", "one that is whole") from error


def _read(entries: Iterable[Mapping[str, Any]], account: str) -> dict[int, KeptSeal]:
    seals: dict[int, KeptSeal] = {}
    last = FIRST
    for number, entry in enumerate(entries, start=1):
        names = FACTS if "created_at" in entry else FACTS_BEFORE
        facts = {fact: entry[fact] for fact in names if fact != "account"}
        is_next = (entry["number"], entry["previous_hash"]) == (number, last)
        if not is_next or compute_hash({**facts, "account": account}) != entry["hash"]:
            raise InvalidInput("kept", f"seal {number}", "the document as it was exported")
        seals[number] = KeptSeal(
            entry["hash"], f"events from {entry['from_id']} to {entry['to_id']}"
        )
        last = entry["hash"]
    return seals
