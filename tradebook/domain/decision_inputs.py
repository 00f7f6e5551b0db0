"""Inputs of decisions: the pieces of data that a decision was made from, and when each became available."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Final, TypedDict

from attrs import define, field

from tradebook.domain.canonical_json import canonical_bytes, digest
from tradebook.domain.entity import IMMUTABLE, Entity, named_fields
from tradebook.domain.errors import InvalidInput
from tradebook.domain.events import InputRecorded
from tradebook.domain.plain_values import entries, is_instance
from tradebook.domain.validation import (
    Json,
    argument,
    identifier,
    json_value,
    record_id,
    short_text,
    utc,
)


class _Named(TypedDict):
    name: str
    value: Json


class InputTerms(_Named, total=False):
    """One input of a decision, as `record_decision` takes it.

    Keys:
        name: unique in the decision, such as `close` or `news`.
        value: any JSON value.
        available_at: the time from which the data could be had, UTC; by default the time of the call.
        source: the file, feed or service that it came from.
    """

    available_at: datetime
    source: str


_REQUIRED: Final = InputTerms.__required_keys__
_KEYS: Final = _REQUIRED | InputTerms.__optional_keys__


def input_terms(value: Sequence[InputTerms]) -> list[InputTerms]:
    """Check a list of inputs: each a mapping that names a `name` and a `value`, no name twice.

    Raises:
        InvalidInput: no list, no such mapping, an unknown key, or a name that is there before.
    """
    names: set[object] = set()
    checked = entries(value)
    for each in checked:
        if not is_instance(each, Mapping) or not _REQUIRED <= each.keys() <= _KEYS:
            raise InvalidInput(
                "", each, "mappings of name, value, and optionally available_at, source"
            )
        name = argument("name", identifier, each["name"])
        if name in names:
            raise InvalidInput("name", name, "a name that no other input of the decision has")
        names.add(name)
    return checked


def input_digest(value: Json) -> str:
    """Return the SHA-256 of an input's canonical JSON, in hexadecimal."""
    return digest({"value": value}).hex()


class Knowledge(StrEnum):
    """The evidence that a decision could know a piece of data; see `knowledge`."""

    PROVEN = "PROVEN"
    CLAIMED = "CLAIMED"
    VIOLATED = "VIOLATED"


def knowledge(available_at: datetime, recorded_at: datetime, decided_at: datetime) -> Knowledge:
    """Judge whether a decision could know a piece of data.

    Args:
        available_at: the time from which it could be had, as its recorder states it.
        recorded_at: the time of the event that recorded it in the book.
        decided_at: the time of the decision.

    Returns:
        VIOLATED: the data became available after the decision. Otherwise PROVEN: the book recorded it no later than
        the decision was made. Otherwise CLAIMED: it says so, and the book cannot show it.
    """
    if available_at > decided_at:
        return Knowledge.VIOLATED
    return Knowledge.PROVEN if recorded_at <= decided_at else Knowledge.CLAIMED


@define(slots=False, eq=False, kw_only=True, field_transformer=named_fields)
class DecisionInput(Entity):
    """A piece of data that a decision was made from, immutable.

    Attributes:
        decision_id: the decision.
        name: unique in the decision, such as `close` or `news`.
        value: the data, as JSON.
        digest: the SHA-256 of `{"value": ...}` as canonical JSON (see `domain/canonical_json.py`), in hexadecimal.
        available_at: the time from which the data could be had, UTC, as the recorder states it.
        recorded_at: the time when the book recorded it, UTC; no caller sets it.
        source: the file, feed or service that it came from; `""` where not recorded.
    """

    ordered_by: ClassVar[str] = "id"
    dated_by: ClassVar[str] = "recorded_at"

    decision_id: int = field(converter=record_id, on_setattr=IMMUTABLE)
    name: str = field(converter=identifier, on_setattr=IMMUTABLE)
    value: Json = field(converter=json_value, on_setattr=IMMUTABLE)
    digest: str = field(converter=identifier, on_setattr=IMMUTABLE)
    available_at: datetime = field(converter=utc, on_setattr=IMMUTABLE)
    recorded_at: datetime = field(converter=utc, on_setattr=IMMUTABLE)
    source: str = field(default="", converter=short_text, on_setattr=IMMUTABLE)

    @property
    def canonical_value(self) -> bytes:
        """The value as canonical JSON in UTF-8: the same bytes on every database."""
        return canonical_bytes({"value": self.value})[len(b'{"value":') : -1]

    @property
    def is_intact(self) -> bool:
        """True where the value has the digest that was recorded with it."""
        return input_digest(self.value) == self.digest

    def recorded(self) -> InputRecorded:
        """Return the event that recording this input emits."""
        return InputRecorded(decision_id=self.decision_id, name=self.name, digest=self.digest)
