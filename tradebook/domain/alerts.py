"""Alerts: conditions that need a person's attention until they are resolved."""

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
    """The severities of alerts, from the least to the most severe."""

    INFO = "INFO"
    WARNING = "WARNING"
    CRITICAL = "CRITICAL"
    EMERGENCY = "EMERGENCY"


def severity(value: Severity | str) -> Severity:
    """Convert text to a `Severity`."""
    return enum_member(Severity, value)


RESOLUTION: Final = ("resolved", "resolution", "resolved_at", "resolved_by")
"""The fields that resolving an alert changes."""


@define(slots=False, eq=False, kw_only=True, field_transformer=named_fields)
class Alert(Entity):
    """A condition that needs a person's attention.

    Attributes:
        alert_type: the kind, such as `drawdown`.
        severity: see `Severity`.
        message: text for the person who reads it.
        source: the program or rule that raised it.
        symbol: the instrument that it is about.
        dedup_key: while an alert with this key is unresolved, raising it again adds none.
        resolved: whether the condition was dealt with.
        resolution: how it was dealt with.
        resolved_at: the time of that, UTC.
        resolved_by: the person or program that resolved it.
        timestamp: the time when it was raised, UTC.
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
        """Return the event that raising this alert emits."""
        return AlertRaised(alert_type=self.alert_type, severity=self.severity, message=self.message)

    def resolve(self, resolution: str, *, by: str, at: datetime) -> AlertResolved | None:
        """Mark the alert as resolved; the same resolution again changes nothing.

        Args:
            resolution: how the condition was dealt with.
            by: the person or program that resolved it.
            at: the time of the call, UTC.

        Returns:
            The event to record; None where it was resolved in the same way before.

        Raises:
            InvalidTransition: it has another resolution, which the message names.
        """
        if self.resolved:
            if self.resolution == resolution:
                return None
            raise InvalidTransition(
                f"alert {self.id} was already resolved by {cut(self.resolved_by or 'an unnamed caller')} "
                f"at {self.resolved_at}: {shown(self.resolution)}"
            )
        before = {name: getattr(self, name) for name in RESOLUTION}
        self.resolution, self.resolved_by = resolution, by
        self.resolved_at = self.updated_at = at
        self.resolved = True
        changes = {name: [value, getattr(self, name)] for name, value in before.items()}
        return AlertResolved(resolution=resolution, resolved_by=by, changes=changes)
