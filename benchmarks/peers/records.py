"""Many signals and alerts at a time: `bulk_create` next to Django's, which is given its objects ready made.

Ours are ready made too. Django writes the rows alone, and in another row of the table the events as well, as ours
always does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import Any, Final

from benchmarks.comparing import Times
from benchmarks.peers.with_django import Django
from benchmarks.results import Goal, Result, Settings
from tradebook import Alert, DatabaseManager, Signal
from tradebook.domain.entity import Entity
from tradebook.domain.validation import utc_now

OURS: Final = "tradebook bulk_create"
DJANGO, WITH_EVENTS = "Django bulk_create", "Django bulk_create, events too"
_NUMBERS: Final = count()
_SAID: Final = {
    "Signal": ("symbol", "action", "source"),
    "Alert": ("alert_type", "severity", "message"),
}
"""What their events say."""


def results(manager: DatabaseManager, django: Django, settings: Settings) -> Iterator[Result]:
    """Of either kind, the throughput next to Django's with events."""
    many = settings.size(200, 10_000, 10_000)
    for kind, new in ((Signal, signal), (Alert, alert)):
        model = getattr(django.models, kind.__name__)
        times = Times()
        for round_ in range(-1, settings.size(1, 5, 5)):  # the first is a warm-up
            for name, milliseconds in _one_round(manager, django, kind, model, new, many):
                if round_ >= 0:
                    times.add(name, milliseconds * 1000 / many)
        check(manager, kind)
        yield times.result(
            f"{many:,} {kind.__name__.lower()}s in bulk",
            {OURS: Goal(3)},
            base=WITH_EVENTS,
            unit="us a record",
        )


def signal() -> dict[str, Any]:
    """The terms of a new one."""
    number = next(_NUMBERS)
    return {
        "symbol": f"S{number % 500}",
        "action": "BUY",
        "strength": Decimal("0.5"),
        "confidence": Decimal("0.75"),
        "source": "model",
        "strategy": "momentum",
        "price": Decimal(10_000 + number) / 100,
        "generated_at": datetime.now(UTC),
        "reference": f"signal-{number}",
        "details": {},
    }


def alert() -> dict[str, Any]:
    """The terms of a new one."""
    number = next(_NUMBERS)
    return {
        "alert_type": "drawdown",
        "severity": "WARNING",
        "message": f"number {number} is below its limit",
        "source": "risk",
        "symbol": f"S{number % 500}",
        "dedup_key": f"alert-{number}",
        "timestamp": datetime.now(UTC),
    }


def _one_round(
    manager: DatabaseManager,
    django: Django,
    kind: type[Entity],
    model: Any,
    new: Callable[[], dict[str, Any]],
    many: int,
) -> Iterator[tuple[str, float]]:
    entities = [kind(**new()) for _ in range(many)]
    yield OURS, _milliseconds(lambda: manager.bulk_create(entities))
    alone, evented = ([_of_django(model, new()) for _ in range(many)] for _ in range(2))
    yield DJANGO, _milliseconds(lambda: django.create(alone))
    yield WITH_EVENTS, _milliseconds(lambda: django.create(evented, _event_of))


def _of_django(model: Any, terms: dict[str, Any]) -> Any:
    now = utc_now()
    resolved = {"resolved": False} if model.__name__ == "Alert" else {}
    return model(account="main", created_at=now, updated_at=now, **terms, **resolved)


def _event_of(record: Any) -> dict[str, Any]:
    """The values of the event that ours writes."""
    now, is_alert = utc_now(), type(record).__name__ == "Alert"
    names = _SAID[type(record).__name__]
    return {
        "account": record.account,
        "created_at": now,
        "updated_at": now,
        "event_type": "AlertRaised" if is_alert else "SignalRecorded",
        "entity": type(record).__name__,
        "entity_id": record.id,
        "payload": {name: getattr(record, name) for name in names},
        "actor": "",
        "correlation_id": "",
        "occurred_at": now,
    }


def _milliseconds(action: Callable[[], object]) -> float:
    begun = time.perf_counter()
    action()
    return (time.perf_counter() - begun) * 1000


def check(manager: DatabaseManager, kind: type[Entity]) -> None:
    """Ours and Django's events say as much."""
    told = manager.get_events(entity=kind.__name__, limit=10_000)
    assert len({tuple(sorted(event.payload)) for event in told}) == 1
