"""What the events of a record say of it, so that a check can tell whether the row is still what the book wrote.

Every event but those of booked trades states all fields of its record as they were after the event: its
evidence, see `Entity.evidence`. A booking states the terms of its trade as values of its own: see
`tradebook.domain.trades.evidence`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from attrs import frozen

from tradebook.domain.canonical_json import digest
from tradebook.domain.domain_event import EVIDENCE, EVIDENCE_VERSION
from tradebook.domain.entity import Entity, evidence_of, stated, stated_names
from tradebook.domain.events import Event, RecordDeleted, TradePartiallyFilled
from tradebook.domain.validation import Json

_OF_ANOTHER: Final = (TradePartiallyFilled.__name__,)
"""Events whose payload names fields of another record than their own."""


def digest_of(record: Entity) -> str:
    """Return the SHA-256 of a record's id and evidence, for the event of another record that it is part of."""
    return digest({**record.evidence(), "id": record.id}).hex()


def digest_of_row(kind: type[Entity], row: Mapping[str, Any]) -> str:
    """Return `digest_of` the record of a kind that has these fields."""
    return digest({**evidence_of(kind, row), "id": row["id"]}).hex()


@frozen
class Statement:
    """What the events of one record say of it.

    Attributes:
        event: the last of them.
        fields: the values that its fields must have, as `Entity.evidence` writes them.
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
        found = record.evidence()
        names = found.keys() | self.fields.keys() if self.is_whole else self.fields.keys()
        return {
            name: (self.fields.get(name), found.get(name))
            for name in sorted(names)
            if self.fields.get(name) != found.get(name)
        }


def statement_of(kind: type[Entity], events: Iterable[Event]) -> Statement | None:
    """Put together what the events of one record, oldest first, say of it; None where there are none."""
    known = frozenset(stated_names(cast("Any", kind)))
    values: dict[str, Json] = {}
    entries: dict[str, Json] = {}
    last, is_whole = None, False
    for event in events:
        last = event
        evidence = _mapping(event.payload.get(EVIDENCE))
        entries |= event.payload
        if evidence.get("version") == EVIDENCE_VERSION:
            values, is_whole = dict(_mapping(evidence.get("record"))), True
        else:
            said = _said_without_evidence(event)
            values |= {name: stated(said[name]) for name in known.intersection(said)}
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
