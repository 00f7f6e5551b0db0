"""Seals: a chain of hashes over the audit trail, each over some events and over the seal before it.

A copy of the last hash, kept outside the database, reveals any later change to a sealed event: see
`check_seals` for what that proves, and what it cannot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any, ClassVar, Final, cast

from attrs import Factory, define, field, fields, frozen

from tradebook.domain.canonical_json import digest
from tradebook.domain.entity import IMMUTABLE, Entity, named_fields
from tradebook.domain.events import Event
from tradebook.domain.validation import Json, identifier, json_value, record_id, short_text, utc

FIRST: Final = ""
"""The `previous_hash` of the first seal."""

_DIGITS: Final = 12
"""Hexadecimal digits of each event's hash that a seal keeps, to name the event that was changed."""


FACTS_BEFORE: Final = (
    "account",
    "number",
    "from_id",
    "to_id",
    "count",
    "settled_id",
    "horizon",
    "events_hash",
    "previous_hash",
    "actor",
    "correlation_id",
    "sealed_at",
)
"""The fields that the hash covers of a seal that was made before hashes covered its id and all of its times."""
FACTS: Final = (*FACTS_BEFORE, "id", "created_at", "updated_at")
"""The fields of a seal that its hash covers; they are known before it is recorded."""
TIMES: Final = ("sealed_at", "created_at", "updated_at")
"""Those of them that are times."""


def _id_and_digest_pairs(value: Json) -> list[list[Any]]:
    return cast("list[list[Any]]", json_value(value))


@define(slots=False, eq=False, kw_only=True, field_transformer=named_fields)
class Seal(Entity):
    """A hash over some events of an account and over the seal before it; append-only.

    Attributes:
        number: from 1, without gaps.
        from_id, to_id: the lowest and the highest id of the events that it covers.
        count: how many events it covers.
        covered: for each of them its id and the beginning of its hash, by id. Ids are given before
            events are committed, so a seal may cover some that are lower than those of the one before.
        settled_id: every event with an id up to this one is covered by this seal or one before, and no
            running transaction can still commit another.
        horizon: the watermark of the database's transactions, see `TransactionSnapshot`; 0 for unknown.
        events_hash: the SHA-256 over the hashes of the events.
        previous_hash: the hash of the seal before, `""` for the first.
        actor: the person or program that sealed.
        correlation_id: of the call.
        sealed_at: the time of sealing, UTC.
        seal_hash: the SHA-256 over all fields above but `covered`, which follows from the events, and over the id
            and the times of the record.
    """

    dated_by: ClassVar[str] = "sealed_at"

    number: int = field(on_setattr=IMMUTABLE)
    from_id: int = field(converter=record_id, on_setattr=IMMUTABLE)
    to_id: int = field(converter=record_id, on_setattr=IMMUTABLE)
    count: int = field(on_setattr=IMMUTABLE)
    covered: list[list[Any]] = field(converter=_id_and_digest_pairs, on_setattr=IMMUTABLE)
    settled_id: int = field(converter=record_id, on_setattr=IMMUTABLE)
    horizon: int = field(on_setattr=IMMUTABLE)
    events_hash: str = field(converter=identifier, on_setattr=IMMUTABLE)
    previous_hash: str = field(converter=short_text, on_setattr=IMMUTABLE)
    actor: str = field(default="", converter=short_text, on_setattr=IMMUTABLE)
    correlation_id: str = field(default="", converter=short_text, on_setattr=IMMUTABLE)
    sealed_at: datetime = field(converter=utc, on_setattr=IMMUTABLE)
    seal_hash: str = field(
        default=Factory(lambda seal: compute_hash(_facts(seal, FACTS)), takes_self=True),
        converter=identifier,
        on_setattr=IMMUTABLE,
    )

    def facts(self) -> dict[str, Any]:
        """Return the values that the hash covers, enough to compute it again elsewhere."""
        facts, fewer = _facts(self, FACTS), _facts(self, FACTS_BEFORE)
        return fewer if compute_hash(fewer) == self.seal_hash else facts

    @property
    def ids(self) -> list[int]:
        """Ids of the covered events, in their order."""
        return [id_ for id_, _ in self.covered]


def _facts(seal: Seal, names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(seal, name) for name in names}


_COLUMNS: Final = tuple(f.name for f in fields(Event))


def compute_hash(facts: Mapping[str, Any]) -> str:
    """Compute the hash of a seal with these facts: 64 hexadecimal digits."""
    return digest(facts).hex()


@frozen
class Digests:
    """The hashes of some events.

    Attributes:
        covered: for each event its id and the first digits of its hash.
        hash: the SHA-256 over the hashes of all of them.
    """

    covered: list[list[Any]]
    hash: str

    @classmethod
    def from_events(cls, events: Iterable[Event]) -> Digests:
        """Hash every column of each event, in the order of the events."""
        covered, together = [], sha256()
        for event in events:
            event_hash = digest({column: getattr(event, column) for column in _COLUMNS})
            together.update(event_hash)
            covered.append([event.id, event_hash.hex()[:_DIGITS]])
        return cls(covered, together.hexdigest())
