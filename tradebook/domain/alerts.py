"""Alerts: what needs a person's attention until somebody resolves it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Final

from attrs import define, field

from tradebook.domain.entity import Entity, named_fields
from tradebook.domain.errors import InvalidTransition, cut, shown
from tradebook.domain.events import AlertRaised, AlertResolved
from tradebook.domain.validation import (
    boolean,
    enum_member,
    identifier,
    long_text,
    optional_identifier,
    optional_long_text,
    optional_utc,
    short_text,
    utc,
    utc_now,
)


class Severity(StrEnum):
    """From the least to the most severe."""

    INFO = "INFO"
    WARNING = "WARNING"
    CRITICAL = "CRITICAL"
    EMERGENCY = "EMERGENCY"


def severity(value: Severity | str) -> Severity:
    """INFO, WARNING, CRITICAL or EMERGENCY."""
    return enum_member(Severity, value)


RESOLUTION: Final = ("resolved", "resolution", "resolved_at", "resolved_by")
"""What resolving an alert changes."""


@define(slots=False, eq=False, kw_only=True, field_transformer=named_fields)
class Alert(Entity):
    """Something that needs attention.

    Attributes:
        alert_type: the kind, such as `drawdown`.
        severity: see `Severity`.
        message: for a person.
        source: what raised it.
        symbol: the instrument that it is about.
        dedup_key: while an alert with this key is unresolved, raising it again adds none.
        resolved: whether somebody dealt with it.
        resolution: how.
        resolved_at: when, UTC.
        resolved_by: who.
        timestamp: when it was raised, UTC.
    """

    ordered_by: ClassVar[str] = "timestamp"

    alert_type: str = field(converter=identifier)
    severity: Severity = field(converter=severity)
    message: str = field(default="", converter=long_text)
    source: str = field(default="", converter=short_text)
    symbol: str | None = field(default=None, converter=optional_identifier)
    dedup_key: str | None = field(default=None, converter=optional_identifier)
    resolved: bool = field(default=False, converter=boolean)
    resolution: str | None = field(default=None, converter=optional_long_text)
    resolved_at: datetime | None = field(default=None, converter=optional_utc)
    resolved_by: str | None = field(default=None, converter=optional_long_text)
    timestamp: datetime = field(factory=utc_now, converter=utc)

    def raised(self) -> AlertRaised:
        """What happened when it was raised."""
        return AlertRaised(alert_type=self.alert_type, severity=self.severity, message=self.message)

    def resolve(self, resolution: str, *, by: str, at: datetime) -> AlertResolved | None:
        """Mark it as dealt with; the same resolution again changes nothing and returns None.

        Raises:
            InvalidTransition: it was resolved with another resolution; the message names that one.
        """
        if self.resolved:
            if self.resolution == resolution:
                return None
            raise InvalidTransition(
                f"alert {self.id} was already resolved by {cut(self.resolved_by or 'nobody named')} "
                f"at {self.resolved_at}: {shown(self.resolution)}"
            )
        before = {name: getattr(self, name) for name in RESOLUTION}
        self.resolution, self.resolved_by = resolution, by
        self.resolved_at = self.updated_at = at
        self.resolved = True
        changes = {name: [value, getattr(self, name)] for name, value in before.items()}
        return AlertResolved(resolution=resolution, resolved_by=by, changes=changes)
