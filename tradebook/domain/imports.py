"""Imports: batches of records that came from one file, so that all of it can be taken back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Final

from attrs import define, field, frozen

from tradebook.domain.entity import Entity, named_fields
from tradebook.domain.errors import InvalidInput, InvalidTransition, shown
from tradebook.domain.events import ImportFinished, ImportStarted, ImportUndone
from tradebook.domain.plain_values import is_instance
from tradebook.domain.validation import (
    argument,
    enum_member,
    identifier,
    long_text,
    optional_identifier,
    optional_long_text,
    optional_utc,
    record_id,
    short_text,
    utc,
    utc_now,
)


class ImportStatus(StrEnum):
    """STARTED while rows are booked, or where the import was interrupted; FINISHED; UNDONE: all was taken back."""

    STARTED = "STARTED"
    FINISHED = "FINISHED"
    UNDONE = "UNDONE"


def import_status(value: ImportStatus | str) -> ImportStatus:
    """Convert a name to the status of an import."""
    return enum_member(ImportStatus, value)


@frozen
class ImportSource:
    """The origin of the records of an import.

    Attributes:
        name: of the file, or other words for a person.
        digest: the SHA-256 of the file, in hexadecimal; None where it is not known.
    """

    name: str
    digest: str | None = None


def import_source(value: ImportSource | str) -> ImportSource:
    """Check an origin; text is its name."""
    if isinstance(value, str):
        return ImportSource(long_text(value))
    if not is_instance(value, ImportSource):
        raise InvalidInput("", value, "the name of a file, or an ImportSource")
    name = argument("source.name", long_text, value.name)
    return ImportSource(name, argument("source.digest", optional_identifier, value.digest))


COUNTS: Final = ("booked", "duplicates", "skipped")
"""The fields of an import that count its rows."""
UNDO: Final = ("status", "updated_at", "undone_at", "undone_by", "undo_reason")
"""The fields that an undo changes."""


@define(slots=False, eq=False, kw_only=True, field_transformer=named_fields)
class Import(Entity):
    """A batch of records from one file.

    Attributes:
        source: the name of the file.
        digest: the SHA-256 of the file, in hexadecimal; none where it is not known.
        reference: the correlation id of the events that recorded its trades and cash flows, which so belong to it.
        status: see `ImportStatus`.
        booked: the number of records that were new.
        duplicates: the number of records that had been recorded before, on the same terms.
        skipped: the number of rows that were refused, and left out.
        actor: the user or program that imported.
        started_at: when it began, UTC.
        finished_at: when it ended, UTC; none before.
        undone_at: when it was undone, UTC; none before.
        undone_by: the actor that undid it.
        undo_reason: the reason that the actor gave.
    """

    ordered_by: ClassVar[str] = "started_at"

    source: str = field(converter=long_text)
    digest: str | None = field(default=None, converter=optional_identifier)
    reference: str = field(converter=identifier)
    status: ImportStatus = field(default=ImportStatus.STARTED, converter=import_status)
    booked: int = field(default=0, converter=record_id)
    duplicates: int = field(default=0, converter=record_id)
    skipped: int = field(default=0, converter=record_id)
    actor: str = field(default="", converter=short_text)
    started_at: datetime = field(factory=utc_now, converter=utc)
    finished_at: datetime | None = field(default=None, converter=optional_utc)
    undone_at: datetime | None = field(default=None, converter=optional_utc)
    undone_by: str = field(default="", converter=short_text)
    undo_reason: str | None = field(default=None, converter=optional_long_text)

    def started(self) -> ImportStarted:
        """Return the event that beginning this import emits."""
        return ImportStarted(source=self.source, digest=self.digest, reference=self.reference)

    def finish(self, counts: Mapping[str, int], at: datetime) -> ImportFinished | None:
        """Take the counts of what was booked; return None where it was finished before."""
        if self.status is not ImportStatus.STARTED:
            return None
        changes = self._change({**counts, "status": ImportStatus.FINISHED, "finished_at": at}, at)
        return ImportFinished(changes=changes)

    def undo(self, reason: str, *, by: str, at: datetime) -> ImportUndone:
        """Become UNDONE: what it recorded was taken back."""
        undone = {
            "status": ImportStatus.UNDONE,
            "undone_at": at,
            "undone_by": by,
            "undo_reason": reason,
        }
        return ImportUndone(reason=reason, changes=self._change(undone, at))

    def was_undone(self, reason: str) -> bool:
        """Return whether it was undone for this reason before.

        Raises:
            InvalidTransition: it was undone for another reason.
        """
        if self.status is ImportStatus.UNDONE and self.undo_reason != reason:
            by = f" by {self.undone_by}" if self.undone_by else ""
            raise InvalidTransition(
                f"import {self.id} was undone before, at {self.undone_at}{by}: {shown(self.undo_reason)}"
            )
        return self.status is ImportStatus.UNDONE

    def _change(self, values: Mapping[str, Any], at: datetime) -> dict[str, Any]:
        before = {name: getattr(self, name) for name in values}
        for name, value in values.items():
            setattr(self, name, value)
        self.updated_at = at
        now = {name: getattr(self, name) for name in values}
        return {name: [was, now[name]] for name, was in before.items() if was != now[name]}
