"""Evidence: what an event states of its record, so that a later check can tell whether the row is still that.

Every event but those of booked trades states all fields of its record as they were after the event, in the
entry `evidence` of its payload. A booking states the terms of its trade as values of its own: see
`tradebook.domain.trades.evidence`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any, Final, cast

from attrs import fields, frozen

from tradebook.domain.canonical_json import digest
from tradebook.domain.entity import Entity, is_link
from tradebook.domain.events import (
    DomainEvent,
    Event,
    JsonPayload,
    RecordDeleted,
    TradePartiallyFilled,
)
from tradebook.domain.limits import MAX_NAME
from tradebook.domain.numbers import plain
from tradebook.domain.validation import Json

EVIDENCE: Final = "evidence"
"""The entry of a payload: `{"version": 1, "record": {...}}`."""
VERSION: Final = 1
"""Of the form of evidence. Events without any were written before the book had it."""

_HASHED: Final = "sha256:"
_EMPTY: Final[tuple[Any, ...]] = (None, "", {}, [])
_NOT_STATED: Final = ("id", "account")
"""The event itself names these."""
_OF_ANOTHER: Final = (TradePartiallyFilled.__name__,)
"""Events whose payload names fields of another record than their own."""


def evidence_of(record: Entity) -> dict[str, Json]:
    """Return the fields of a record as an event states them, by name.

    Numbers are plain text, times ISO 8601 in UTC. Text above 200 characters, text that begins with `sha256:`, and
    JSON stand as `sha256:` and the SHA-256 of their canonical JSON. Empty values are left out.
    """
    kind: Any = type(record)
    stated = {name: _stated(getattr(record, name)) for name in _names(kind)}
    return {name: value for name, value in stated.items() if value is not None}


def digest_of(record: Entity) -> str:
    """Return the SHA-256 of a record's id and evidence, for the event of another record that it is part of."""
    return digest({**evidence_of(record), "id": record.id}).hex()


def payload_of(happened: DomainEvent, record: Entity) -> JsonPayload:
    """Return the payload with which an event of a record is recorded: its values, and its evidence."""
    payload = happened.payload()
    if happened.states_record:
        payload[EVIDENCE] = {"version": VERSION, "record": evidence_of(record)}
    return payload


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(f.name for f in fields(kind) if f.name not in _NOT_STATED and not is_link(f))


def _stated(value: Any) -> Json:
    if value in _EMPTY:
        return None
    if isinstance(value, str):
        is_long = len(value) > MAX_NAME or value.startswith(_HASHED)
        return _hashed(value) if is_long else str(value)
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return value if isinstance(value, int) else _hashed(value)


def _hashed(value: Any) -> str:
    return _HASHED + digest({"value": value}).hex()


@frozen
class Statement:
    """What the events of one record say of it.

    Attributes:
        event: the last of them.
        fields: the values that its fields must have, as `evidence_of` writes them.
        entries: what else the payloads hold, such as the `signals` of a decision; the last one of each name.
        is_whole: whether `fields` are all of them; events without evidence name only some.
        is_deleted: whether the last event says that the record was deleted.
    """

    event: Event
    fields: Mapping[str, Json]
    entries: Mapping[str, Json]
    is_whole: bool
    is_deleted: bool

    def differences(self, record: Entity) -> dict[str, tuple[Json, Json]]:
        """Return (stated, found) for each field of the record that is not as stated."""
        found = evidence_of(record)
        names = found.keys() | self.fields.keys() if self.is_whole else self.fields.keys()
        return {
            name: (self.fields.get(name), found.get(name))
            for name in sorted(names)
            if self.fields.get(name) != found.get(name)
        }


def statement_of(kind: type[Entity], events: Iterable[Event]) -> Statement | None:
    """Put together what the events of one record, oldest first, say of it; None where there are none."""
    known = frozenset(_names(cast("Any", kind)))
    values: dict[str, Json] = {}
    entries: dict[str, Json] = {}
    last, is_whole = None, False
    for event in events:
        last = event
        evidence = _mapping(event.payload.get(EVIDENCE))
        entries |= event.payload
        if evidence.get("version") == VERSION:
            values, is_whole = dict(_mapping(evidence.get("record"))), True
        else:
            said = _said_without_evidence(event)
            values |= {name: _stated(said[name]) for name in known.intersection(said)}
    if last is None:
        return None
    is_deleted = last.event_type == RecordDeleted.__name__
    return Statement(last, values, entries, is_whole, is_deleted)


def _said_without_evidence(event: Event) -> dict[str, Json]:
    payload = event.payload
    said = {} if event.event_type in _OF_ANOTHER else {**payload, **_mapping(payload.get("values"))}
    changes = _mapping(payload.get("changes"))
    return said | {
        name: pair[1] for name, pair in changes.items() if isinstance(pair, list) and len(pair) == 2
    }


def _mapping(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else {}
