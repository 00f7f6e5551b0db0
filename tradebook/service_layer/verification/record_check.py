"""The check of records against their events: each row is what the last event says, none is missing or too many.

The terms of booked trades are left to `trade_evidence`, and positions, which follow from trades, to `verify`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, Final

from attrs import define

from tradebook.domain.agents import AgentAction, AgentDecision
from tradebook.domain.alerts import Alert
from tradebook.domain.cash import Account, CashFlow
from tradebook.domain.decision_inputs import DecisionInput
from tradebook.domain.entity import Entity
from tradebook.domain.events import CREATIONS, DELETIONS, Event
from tradebook.domain.evidence import Statement, digest_of, statement_of
from tradebook.domain.imports import Import
from tradebook.domain.performance import PerformanceMetric
from tradebook.domain.portfolio import Portfolio, PortfolioPosition
from tradebook.domain.signals import Signal
from tradebook.domain.trades import Trade
from tradebook.domain.validation import Json
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork
from tradebook.service_layer.verification.cash_folds import Cut
from tradebook.service_layer.verification.findings import (
    CHANGED,
    INSERTED,
    REMOVED,
    Finding,
    changed,
)

LOWEST: Final = -(2**63)
"""Below every id, also those that a tamperer made up."""
KINDS: Final[tuple[type[Entity], ...]] = (
    *(Account, Signal, AgentDecision, DecisionInput, AgentAction, CashFlow, Import),
    *(Portfolio, Alert, PerformanceMetric),
)
"""The kinds of records that are compared with their events as a whole."""
_RECORDED: Final = (*KINDS, Trade)


@define
class Compared:
    """How many records of a kind were compared with their events.

    Attributes:
        records: all of them.
        unsealed: those whose last event no seal covers: nothing protects that event yet.
        partly: those of which only some fields were compared, as their events were written before events had
            evidence.
    """

    records: int = 0
    unsealed: int = 0
    partly: int = 0


class RecordCheck:
    """Compares the records of one account with their events, kind by kind, in bounded memory.

    Attributes:
        compared: by the name of the kind, what was compared so far.
        cuts: the cash flows that each snapshot counted, as its event says; none of snapshots whose event does not.
    """

    def __init__(
        self, uow: AbstractUnitOfWork, is_sealed: Callable[[Event], bool] = lambda _: False
    ) -> None:
        """Take a read-only unit of work, and a function that says whether a seal covers an event."""
        self.uow = uow
        self.compared: dict[str, Compared] = {kind.__name__: Compared() for kind in _RECORDED}
        self.cuts: list[Cut] = []
        self._is_sealed = is_sealed

    def pages(self, kind: type[Entity]) -> Iterator[Sequence[Any]]:
        """Iterate over the records of one of `KINDS`, by id; decisions with their signals."""
        by_signals = kind is AgentDecision
        records = self.uow.decisions.with_signals if by_signals else self.uow.records(kind)
        return records.batches(after=LOWEST)

    def compare(self, kind: type[Entity], page: Collection[Any]) -> Iterator[Finding]:
        """Compare some records of a kind with their events."""
        said = self.events_of(kind, page)
        stated = {id_: statement_of(kind, events) for id_, events in said.items()}
        for record in page:
            yield from self._findings(record, stated[record.id])
        if kind is Portfolio:
            yield from self._position_findings(page, stated)

    def events_of(self, kind: type[Entity], page: Iterable[Any]) -> dict[int, list[Event]]:
        """Read all events of some records of a kind, oldest first, by the id of the record."""
        ids = [record.id for record in page]
        return by_record(ids, self.uow.events.about(kind.__name__, ids) if ids else ())

    def count(self, kind: type[Entity], last: Event, *, is_whole: bool = True) -> None:
        """Count a record of a kind that was compared with its last event."""
        compared = self.compared[kind.__name__]
        compared.records += 1
        compared.unsealed += not self._is_sealed(last)
        compared.partly += not is_whole

    def missing(self, *, trades: int | None = None) -> Iterator[Finding]:
        """Yield the records that events created and that are not there.

        Counts show first whether there are any; only then all events are read.

        Args:
            trades: the number of trades that were found; by default those that were compared.
        """
        counts = {name: compared.records for name, compared in self.compared.items()}
        if trades is not None:
            counts[Trade.__name__] = trades
        kinds = {kind.__name__: kind for kind in _RECORDED}
        recorded = self.uow.events.count_recorded()
        lacking = {name: k for name, k in kinds.items() if recorded.get(name, 0) != counts[name]}
        for page in self.uow.events.batches(after=LOWEST) if lacking else ():
            for name, kind in lacking.items():
                yield from self._missing_of(kind, [e for e in page if e.entity == name])

    def _findings(self, record: Any, stated: Statement | None) -> Iterator[Finding]:
        entity, key = type(record).__name__, key_of(record)
        if stated is None:
            yield Finding(entity, key, INSERTED, "no event says that it was recorded")
            return
        if stated.is_deleted:
            detail = f"event {stated.event.id} says that it was deleted"
            yield Finding(entity, key, INSERTED, detail, event=stated.event.id)
            return
        self.count(type(record), stated.event, is_whole=stated.is_whole)
        differences = dict(stated.differences(record))
        linked = stated.entries.get("signals")
        if isinstance(record, AgentDecision) and isinstance(linked, list):
            found = [signal.id for signal in record.signals]
            if sorted(set(linked), key=str) != sorted(found, key=str):
                differences["signals"] = (linked, found)
        if differences:
            yield changed(entity, key, differences, stated.event)

    def _position_findings(
        self, page: Iterable[Portfolio], stated: dict[int, Statement | None]
    ) -> Iterator[Finding]:
        rows: dict[int, dict[str, PortfolioPosition]] = {portfolio.id: {} for portfolio in page}
        for row in self.uow.portfolios.positions_of(list(rows)):
            rows[row.portfolio_id][row.symbol] = row
        for portfolio_id, found in rows.items():
            statement = stated[portfolio_id]
            said = None if statement is None else statement.entries.get("positions")
            if statement is not None:
                self._add_cut(portfolio_id, statement.entries.get("cash_flows"))
            if statement is not None and isinstance(said, dict):
                yield from _compared_positions(portfolio_id, said, found, statement.event)

    def _add_cut(self, portfolio_id: int, said: Json) -> None:
        if isinstance(said, list) and [type(number) for number in said] == [int, int]:
            self.cuts.append(Cut(portfolio_id, *said))

    def _missing_of(self, kind: type[Entity], events: Iterable[Event]) -> Iterator[Finding]:
        created = {e.entity_id: e for e in events if e.event_type in CREATIONS}
        there = {record.id for record in self.uow.records(kind).found(created.keys())}
        gone = created.keys() - there
        later = self.uow.events.about(kind.__name__, gone) if gone else []
        deleted = {event.entity_id for event in later if event.event_type in DELETIONS}
        for id_ in sorted(gone - deleted):
            event = created[id_]
            order = event.payload.get("order_id")
            key = f"{id_} (order {order!r})" if kind is Trade else str(id_)
            detail = f"event {event.id} says that it was recorded"
            yield Finding(kind.__name__, key, REMOVED, detail, event=event.id)


def _compared_positions(
    portfolio_id: int, said: dict[str, Any], found: dict[str, PortfolioPosition], event: Event
) -> Iterator[Finding]:
    for symbol in sorted(said.keys() | found.keys()):
        row = found.get(symbol)
        if row is not None and said.get(symbol) == digest_of(row):
            continue
        if symbol not in said:
            what, detail = INSERTED, f"event {event.id} knows no such position of its snapshot"
        elif row is None:
            what, detail = REMOVED, f"event {event.id} says that its snapshot has it"
        else:
            what, detail = CHANGED, f"it is not the row of which event {event.id} has the hash"
        key = f"{portfolio_id} {symbol}"
        yield Finding(PortfolioPosition.__name__, key, what, detail, event=event.id)


def by_record(ids: Iterable[int], events: Iterable[Event]) -> dict[int, list[Event]]:
    """Group the events of some records by the id of the record."""
    said: dict[int, list[Event]] = {id_: [] for id_ in ids}
    for event in events:
        said[event.entity_id].append(event)
    return said


def key_of(record: Entity) -> str:
    """Return the id of a record, with the order of a trade: `5 (order 'o-1' for AAPL)`."""
    return f"{record.id} (order {record.identity})" if isinstance(record, Trade) else str(record.id)
