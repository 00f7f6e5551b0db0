"""Findings: what a check of the book reports of a record that was tampered with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen

from tradebook.domain.errors import shown
from tradebook.domain.events import Event
from tradebook.domain.validation import Json

CHANGED: Final = "changed"
REMOVED: Final = "removed"
INSERTED: Final = "inserted"


@frozen
class Finding:
    """One record that was tampered with.

    Attributes:
        entity: the kind of record, such as Event, Seal or Trade; Witness for what a witness of the seals has.
        key: an event's id, a seal's number, a trade's id and order, a witness's setting, the id of any other record.
        what: changed, removed or inserted.
        detail: the evidence in words.
        field: the first field that differs; `""` where the record as a whole is missing or too many.
        recorded: the value of the field that the event says, as JSON; None for none.
        found: the value of the field that is stored, as JSON; None for none.
        event: the id of the event that says it; None where there is none.
        seal: the number of the seal that covers that event; None where none does.
    """

    entity: str
    key: str
    what: str
    detail: str
    field: str = ""
    recorded: Json = None
    found: Json = None
    event: int | None = None
    seal: int | None = None

    def __str__(self) -> str:
        """Return the finding as one line of text."""
        by = "" if self.event is None else "; no seal covers that event yet"
        if self.seal is not None:
            by = f"; seal {self.seal} covers that event"
        return f"{self.entity} {self.key} was {self.what}: {self.detail}{by}"


def changed(
    entity: str, key: str, differences: Mapping[str, tuple[Any, Any]], event: Event
) -> Finding:
    """Return the finding of a record with fields that are not what an event says.

    Args:
        entity: the kind of record.
        key: which record.
        differences: for each such field (recorded, found); not empty.
        event: the event that says it.
    """
    both = (f"{n} is {shown(found)}, not {shown(said)}" for n, (said, found) in differences.items())
    first = next(iter(differences))
    recorded, found = differences[first]
    return Finding(
        entity,
        key,
        CHANGED,
        f"{', '.join(both)} as event {event.id} says",
        field=first,
        recorded=recorded,
        found=found,
        event=event.id,
    )
