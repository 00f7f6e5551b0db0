"""What an import recorded, as it is now."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from tradebook.domain.events import TradeRecorded
from tradebook.domain.imports import Import
from tradebook.domain.trades import Trade
from tradebook.service_layer.handlers.imports import events_of
from tradebook.service_layer.ports.paging import BATCH
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork


def recorded_trades(uow: AbstractUnitOfWork, imported: Import) -> Iterator[Trade]:
    """Iterate over the trades that an import booked, in the order in which they were written, as they are now."""
    booked = (
        event.entity_id
        for event in events_of(uow, imported)
        if event.event_type == TradeRecorded.__name__
    )
    while ids := list(islice(booked, BATCH)):
        found = {trade.id: trade for trade in uow.trades.found(ids)}
        yield from (found[id_] for id_ in ids)
