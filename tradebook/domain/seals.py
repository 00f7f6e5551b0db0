"""Seals: hashes over the audit trail, each over some events and over the seal before it.

Whoever keeps the last hash elsewhere can tell whether anything below it was changed: see
`check_seals` for what that proves, and what it cannot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any, ClassVar, Final, cast

from attrs import define, field, fields, frozen

from tradebook.domain.canonical_json import digest
from tradebook.domain.entity import IMMUTABLE, Entity, named_fields
from tradebook.domain.events import Event
from tradebook.domain.validation import Json, identifier, json_value, record_id, short_text, utc

FIRST: Final = ""
"""What stands for the hash before the first seal's."""

_PRINT: Final = 12
"""Hexadecimal digits of an event's hash that a seal keeps: they name which event was changed."""


def _pairs(value: Json) -> list[list[Any]]:
    return cast("list[list[Any]]", json_value(value))


@define(slots=False, eq=False, kw_only=True, field_transformer=named_fields)
class Seal(Entity):
    """A hash over some events of an account and over its seal before; append-only, and no event itself.

    Attributes:
        number: from 1, without gaps.
        from_id, to_id: the lowest and the highest id of the events that it covers.
        count: how many events it covers.
        covered: for each of them its id and the beginning of its hash, by id. Ids are given before
            events are committed, so a seal may cover some that are lower than those of the one before.
        settled_id: every event with an id up to this one is covered by this seal or one before, and no
            transaction is left that could still commit another.
        horizon: what the database says of the transactions that had begun; see `TransactionSnapshot`; 0 for nothing.
        events_hash: the SHA-256 over the hashes of the events.
        previous_hash: the hash of the seal before, `""` for the first.
        actor: who sealed.
        correlation_id: of the call.
        sealed_at: when, UTC.
        seal_hash: the SHA-256 over all of this but `covered`, which follows from the events.
    """

    dated_by: ClassVar[str] = "sealed_at"

    number: int = field(on_setattr=IMMUTABLE)
    from_id: int = field(converter=record_id, on_setattr=IMMUTABLE)
    to_id: int = field(converter=record_id, on_setattr=IMMUTABLE)
    count: int = field(on_setattr=IMMUTABLE)
    covered: list[list[Any]] = field(converter=_pairs, on_setattr=IMMUTABLE)
    settled_id: int = field(converter=record_id, on_setattr=IMMUTABLE)
    horizon: int = field(on_setattr=IMMUTABLE)
    events_hash: str = field(converter=identifier, on_setattr=IMMUTABLE)
    previous_hash: str = field(converter=short_text, on_setattr=IMMUTABLE)
    actor: str = field(default="", converter=short_text, on_setattr=IMMUTABLE)
    correlation_id: str = field(default="", converter=short_text, on_setattr=IMMUTABLE)
    sealed_at: datetime = field(converter=utc, on_setattr=IMMUTABLE)
    seal_hash: str = field(converter=identifier, on_setattr=IMMUTABLE)

    @seal_hash.default
    def _of_itself(self) -> str:
        return hash_of(self.facts())

    def facts(self) -> dict[str, Any]:
        """What the hash is over: enough to recompute it elsewhere."""
        return {fact: getattr(self, fact) for fact in FACTS}

    @property
    def ids(self) -> list[int]:
        """The ids of the events that it covers, in order."""
        return [id_ for id_, _ in self.covered]


FACTS: Final = (
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
"""The fields of a seal that its hash is over."""

_COLUMNS: Final = tuple(f.name for f in fields(Event))


def hash_of(facts: Mapping[str, Any]) -> str:
    """The hash of a seal with these facts: 64 hexadecimal digits."""
    return digest(facts).hex()


@frozen
class Digests:
    """Events as a seal sees them.

    Attributes:
        covered: for each event its id and the beginning of its hash.
        hash: the SHA-256 over the hashes of all of them.
    """

    covered: list[list[Any]]
    hash: str

    @classmethod
    def of(cls, events: Iterable[Event]) -> Digests:
        """Those of events, in their order: of every column of each."""
        covered, together = [], sha256()
        for event in events:
            print_ = digest({column: getattr(event, column) for column in _COLUMNS})
            together.update(print_)
            covered.append([event.id, print_.hex()[:_PRINT]])
        return cls(covered, together.hexdigest())
