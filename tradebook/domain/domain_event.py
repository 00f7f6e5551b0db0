"""`DomainEvent`, the base of the changes that the domain returns, and the payload that records one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, ClassVar, Final, NoReturn, Self, dataclass_transform

from tradebook.domain.entity import Entity
from tradebook.domain.limits import MAX_NAME
from tradebook.domain.numbers import plain
from tradebook.domain.validation import Json, event_payload

EVIDENCE: Final = "evidence"
"""The entry of a payload that states the record: `{"version": 1, "record": {...}}`; see `Entity.evidence`."""
EVIDENCE_VERSION: Final = 1
"""Of the form of evidence. Events without any were written before the book had it."""


class JsonPayload(dict[str, Json]):
    """A payload that needs no conversion to JSON any more."""


def payload_object(value: Mapping[str, Json]) -> dict[str, Json]:
    """Convert the payload of an event to JSON, unless it is that already."""
    return value if type(value) is JsonPayload else event_payload(value)


def _simple_json(value: Json) -> Json:
    """Return the JSON of a value of the usual types; None where `event_payload` has to convert it.

    A booking has some twenty of them, and the general conversion checks each for its size.
    """
    kind = type(value)
    if kind is str and len(value) <= MAX_NAME and value.isascii() and value.isprintable():
        return value
    if kind is Decimal:
        return plain(value)
    if kind is datetime and value.tzinfo is UTC:
        return value.isoformat()
    if kind is JsonPayload:
        return value
    return value.value if issubclass(kind, StrEnum) else None


@dataclass_transform(kw_only_default=True, frozen_default=True)
class DomainEvent:
    """A change of one record; the annotations of a subclass are its fields.

    `changes` holds for each changed field the value before and the value after. `states_record` says whether the
    event is recorded with the evidence of its record.
    """

    states_record: ClassVar[bool] = True
    _required: ClassVar[frozenset[str]] = frozenset()
    _fields: ClassVar[frozenset[str]] = frozenset()

    # Not an attrs class: attrs would compile methods for each of the 30 subclasses at every start.
    def __init_subclass__(cls) -> None:
        """Collect the fields of the subclass, and which of them are required."""
        cls._fields = cls._fields.union(cls.__annotations__)
        cls._required = frozenset(field for field in cls._fields if not hasattr(cls, field))

    def __init__(self, **values: Any) -> None:
        """Take the values of the fields by name; those with a default may be left out."""
        given = values.keys()
        if not self._required <= given <= self._fields:
            wrong = (self._required - given) | (given - self._fields)
            raise TypeError(f"{type(self).__name__}: {', '.join(sorted(wrong))}")
        vars(self).update(values)

    def __setattr__(self, field: str, _value: object) -> NoReturn:
        """Refuse every assignment: an event cannot change."""
        raise AttributeError(f"{type(self).__name__}.{field} has happened")

    def __eq__(self, other: object) -> bool:
        """Compare kind and values; None is the same as no value."""
        if type(other) is not type(self):
            return NotImplemented
        return self._known() == other._known()

    def __repr__(self) -> str:
        """Show the values that are not None."""
        known = ", ".join(f"{name}={value!r}" for name, value in self._known().items())
        return f"{type(self).__name__}({known})"

    def _known(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if value is not None}

    def with_values(self, **values: Any) -> Self:
        """Return a copy with these values."""
        return type(self)(**{**vars(self), **values})

    def payload(self) -> JsonPayload:
        """Return the values by name as JSON; fields that are None are left out."""
        known = self._known()
        simple = {name: _simple_json(value) for name, value in known.items()}
        rest = {name: known[name] for name, value in simple.items() if value is None}
        return JsonPayload({**simple, **event_payload(rest)})

    def payload_about(self, record: Entity) -> JsonPayload:
        """Return the payload with which an event of a record is recorded: its values, and its evidence."""
        payload = self.payload()
        if self.states_record:
            payload[EVIDENCE] = {"version": EVIDENCE_VERSION, "record": record.evidence()}
        return payload
