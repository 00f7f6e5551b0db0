"""A book on which every handler was called, whoever is connected."""

from __future__ import annotations

from reliability.calls import BEGIN
from reliability.sides import KINDS, Side
from reliability.tour import TOUR
from tradebook import CallContext, DatabaseManager
from tradebook.service_layer import queries


def take_tour(manager: DatabaseManager) -> None:
    """Call each handler, each in a unit of work of its own; none may be refused."""
    side = Side("toured", manager)
    for call in TOUR:
        given = side.make([call], CallContext(at=BEGIN), commit=True)
        assert not isinstance(given, Exception), (call, given)
        with manager.unit_of_work(read_only=True) as uow:  # the ids that the next call names
            side._know({kind.__name__: queries.get_all(uow, kind, 10_000) for kind in KINDS})
