"""The events of changes that no handler made: of a session, or of a unit of work's repositories."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from tradebook.domain.agents import AgentDecision
from tradebook.domain.entity import Entity, stated_names
from tradebook.domain.events import Event, RecordCreated, RecordDeleted, RecordUpdated
from tradebook.domain.portfolio import PortfolioPosition
from tradebook.domain.positions import Position
from tradebook.domain.seals import Seal

BOOKKEEPING: Final = ("id", "account", "created_at", "updated_at")
"""The fields that the book keeps by itself."""
WITHOUT_EVENTS: Final = (Event, Seal, Position, PortfolioPosition)
"""Kinds of records that no event of their own states: they are events, follow from others, or cover them."""


def created(entity: Entity) -> RecordCreated:
    """Return the event of a record that was added; its id must be known for the event's record."""
    signals = None
    if isinstance(entity, AgentDecision) and "signals" in vars(entity):
        signals = [signal.id for signal in entity.signals]
    return RecordCreated(values=values_of(entity), signals=signals)


def updated(before: Any, after: Entity) -> RecordUpdated | None:
    """Return the event of a record that was changed; None where nothing but its bookkeeping was.

    Args:
        before: the fields before the change, by name.
        after: the record now.
    """
    now = values_of(after)
    changes = {name: [before[name], value] for name, value in now.items() if before[name] != value}
    return RecordUpdated(changes=changes) if changes else None


def deleted(entity: Entity) -> RecordDeleted:
    """Return the event of a record that was deleted."""
    return RecordDeleted(values=values_of(entity))


def values_of(entity: Entity) -> dict[str, Any]:
    """Return the fields of a record but its bookkeeping, by name."""
    kind: Any = type(entity)
    return {name: getattr(entity, name) for name in _names(kind)}


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(name for name in stated_names(kind) if name not in BOOKKEEPING)
