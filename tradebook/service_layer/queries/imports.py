"""What an import recorded, as it is now."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TypeVar

from tradebook.domain.cash import CashFlow
from tradebook.domain.events import CashFlowRecorded, TradeRecorded
from tradebook.domain.imports import Import
from tradebook.domain.trades import Trade
from tradebook.service_layer.handlers.imports import events_of
from tradebook.service_layer.ports.paging import BATCH
from tradebook.service_layer.ports.records import Repository
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

E = TypeVar("E", Trade, CashFlow)


def recorded_trades(uow: AbstractUnitOfWork, imported: Import) -> Iterator[Trade]:
    """Iterate over the trades that an import booked, in the order in which they were written, as they are now."""
    return _recorded(uow, imported, TradeRecorded.__name__, uow.trades)


def recorded_cash_flows(uow: AbstractUnitOfWork, imported: Import) -> Iterator[CashFlow]:
    """Iterate over the cash flows that an import recorded, in the order in which they were written."""
    return _recorded(uow, imported, CashFlowRecorded.__name__, uow.cash_flows)


def _recorded(
    uow: AbstractUnitOfWork, imported: Import, event_type: str, records: Repository[E]
) -> Iterator[E]:
    events = events_of(uow, imported)
    booked = (event.entity_id for event in events if event.event_type == event_type)
    while ids := list(islice(booked, BATCH)):
        found = {record.id: record for record in records.found(ids)}
        yield from (found[id_] for id_ in ids)
