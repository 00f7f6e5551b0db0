"""Many records at a time, on every store: as if each had been created by itself."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import attrs
import pytest

from tests.support.backends import within
from tradebook import (
    AgentAction,
    AgentDecision,
    Alert,
    CashFlow,
    DuplicateRecord,
    Event,
    PerformanceMetric,
    Signal,
)
from tradebook.domain.entity import Entity
from tradebook.service_layer import handlers, queries

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MANY = 25
TEXTS = [
    "tab\there",
    "line\nbreak\rreturn",
    "back\\slash \\N \\.",
    "'quoted' \"twice\"",
    "naïve 日本 🙂",
]


def text(number: int) -> str:
    return f"{TEXTS[number % len(TEXTS)]} {number}"


def signal(number: int, **terms: Any) -> Signal:
    given: dict[str, Any] = {
        "symbol": "AAPL",
        "action": ("BUY", "SELL", "HOLD")[number % 3],
        "strength": "0.123456789012345678",
        "confidence": Decimal(number) / 100,
        "price": None if number % 2 else "12345678901234567890.5",
        "generated_at": NOON,
        "reference": f"s-{number}",
        "details": {text(number): [None, True, 1, text(number), {}]},
    }
    return Signal(**{**given, **terms})


NEW: dict[type[Entity], Any] = {
    Signal: signal,
    Alert: lambda n: Alert(alert_type="drawdown", severity="INFO", message=text(n)),
    AgentAction: lambda n: AgentAction(
        agent="ann", action_type="call", input={"n": n}, output=text(n) if n % 2 else [n]
    ),
    AgentDecision: lambda n: AgentDecision(agent="ann", symbol="AAPL", action="BUY", reasoning=text(n)),
    CashFlow: lambda n: CashFlow(kind="DEPOSIT", amount=n + 1, currency="USD", reference=f"c-{n}"),
    PerformanceMetric: lambda n: PerformanceMetric(
        name="sharpe", value=n, period_start=NOON, period_end=NOON, parameters={"n": text(n)}
    ),
}  # fmt: skip


def fields_of(entity: Any) -> dict[str, Any]:
    names = [field.name for field in attrs.fields(type(entity)) if field.name != "signals"]
    return {name: getattr(entity, name) for name in names}


@pytest.mark.parametrize("kind", NEW, ids=lambda kind: kind.__name__)
def test_every_value_of_every_record_is_kept_with_an_event_of_its_own(
    book: Any, kind: type[Entity]
) -> None:
    made = book.bulk_create([NEW[kind](number) for number in range(MANY)])

    ids = [entity.id for entity in made]
    assert ids == sorted(set(ids))
    for entity in made:
        assert fields_of(book.get(kind, entity.id)) == fields_of(entity)
    told = [event.entity_id for event in book.iterate(Event, entity=kind.__name__)]
    assert sorted(told) == ids


def test_what_is_recorded_already_is_recognised_among_many(book: Any) -> None:
    [before] = book.bulk_create([signal(7)])

    made = book.bulk_create([signal(number % 20) for number in range(MANY)])

    assert made[7].id == before.id
    assert [one.id for one in made[:5]] == [one.id for one in made[20:]]
    assert book.count(Signal) == book.count(Event, entity="Signal") == 20
    with pytest.raises(DuplicateRecord, match="symbol"):
        book.bulk_create([signal(number, symbol="MSFT") for number in range(19, 19 + MANY)])
    assert book.count(Signal) == 20


@pytest.mark.filterwarnings("ignore::tradebook.UncommittedWork")
def test_what_was_added_is_in_the_unit_of_work_and_goes_with_it(book: Any) -> None:
    alerts = [Alert(alert_type="drawdown", severity="INFO", dedup_key=str(n)) for n in range(MANY)]
    with book.unit_of_work() as uow:
        made = within(uow, handlers.bulk_create, alerts)
        within(uow, handlers.resolve_alert, made[3].id, resolution="seen")
        assert made[3].resolved
        assert len(within(uow, queries.get_alerts, resolved=False)) == MANY - 1
    assert book.count(Alert) == book.count(Event) == 0
