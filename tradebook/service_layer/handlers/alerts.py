"""Handlers that raise and resolve alerts."""

from __future__ import annotations

from datetime import datetime

from tradebook.domain.alerts import RESOLUTION, Alert, Severity
from tradebook.domain.validation import argument, long_text, record_id
from tradebook.service_layer.handlers._common import dated, given_terms
from tradebook.service_layer.instrumentation import ALERTS, increment
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork


def raise_alert(
    uow: AbstractUnitOfWork,
    alert_type: str,
    severity: Severity | str,
    message: str = "",
    *,
    source: str = "",
    symbol: str | None = None,
    dedup_key: str | None = None,
    timestamp: datetime | None = None,
) -> Alert:
    """Raise an alert, unless an unresolved one has the same `dedup_key`.

    Args:
        uow: the unit of work.
        alert_type: the kind, such as `drawdown`.
        severity: INFO, WARNING, CRITICAL or EMERGENCY.
        message: text for a person.
        source: the program or rule that raises it.
        symbol: the instrument concerned.
        dedup_key: names the condition, so that it is raised once until it is resolved.
        timestamp: time of the condition, UTC; now by default.

    Returns:
        The new alert, or the unresolved one with the same key.
    """
    terms = given_terms(locals(), "alert_type", "severity", "message", "source")
    defaults = {"timestamp": uow.now()}
    alert = Alert(**{**defaults, **terms}, account=uow.account, created_at=uow.now())
    recorded = uow.alerts.add(dated(uow, alert))
    if recorded is alert:
        uow.record(alert.raised(), alert)
        increment(ALERTS + alert.severity)
    return recorded


def resolve_alert(
    uow: AbstractUnitOfWork, alert_id: int, resolution: str, *, resolved_by: str = ""
) -> Alert:
    """Record how an alert was dealt with; the same resolution again changes nothing.

    Args:
        uow: the unit of work.
        alert_id: the alert's id.
        resolution: text of what was done.
        resolved_by: the person or program; the unit of work's actor by default.

    Raises:
        NotFound: there is no such alert.
        InvalidTransition: it was resolved with another resolution, which the message names.
    """
    resolution = argument("resolution", long_text, resolution)
    by = argument("resolved_by", long_text, resolved_by) or uow.context.actor
    alert = uow.alerts.get(argument("alert_id", record_id, alert_id), lock=True)
    resolved = alert.resolve(resolution, by=by, at=uow.now())
    if resolved is not None:
        uow.alerts.write(alert, (*RESOLUTION, "updated_at"))
    uow.record(resolved, alert)
    return alert
