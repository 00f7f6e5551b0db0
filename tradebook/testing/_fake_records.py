"""The common repository in memory, and those of signals, of decisions and of their inputs."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from operator import attrgetter, itemgetter
from typing import Generic, TypeVar

from tradebook.domain.agents import AgentDecision, DecisionFacts
from tradebook.domain.decision_inputs import DecisionInput
from tradebook.domain.entity import Entity
from tradebook.domain.signals import Signal
from tradebook.service_layer.ports import decisions as ports
from tradebook.service_layer.ports.paging import BATCH, Filter, Place, sort_keys
from tradebook.service_layer.ports.records import Repository
from tradebook.testing._fake_session import FakeSession
from tradebook.testing.fake_store import Values

E = TypeVar("E", bound=Entity)


class FakeRepository(Repository[E], Generic[E]):
    def __init__(self, session: FakeSession, kind: type[E]) -> None:
        self._session = session
        self.kind = kind

    def add(self, entity: E) -> E:
        return self._session.add(entity)

    def write(self, entity: E, fields: Collection[str]) -> None:
        """Leave it to the commit, which writes every change."""

    def remove(self, entity: E) -> None:
        self._session.remove(entity)

    def get(self, record_id: int, *, lock: bool = False) -> E:  # noqa: ARG002  # `commit` checks
        return self._session.get(self.kind, record_id)

    def in_order(self, *, after: int = 0, limit: int = BATCH) -> list[E]:
        return self._session.find(self.kind, lambda row: row["id"] > after, limit=limit)

    def found(self, ids: Collection[int], *, lock: bool = False) -> list[E]:  # noqa: ARG002  # as `get`
        wanted = set(ids)
        return self._session.find(self.kind, lambda row: row["id"] in wanted)

    def _newest(self, wanted: Filter, place: Place | None, limit: int) -> list[E]:
        keys = sort_keys(self.kind)

        def is_wanted(row: Values) -> bool:
            follows = place is None or tuple(row[key] for key in keys) < place
            return follows and wanted.holds(row)

        return self._session.find(self.kind, is_wanted, by=keys[0], newest_first=True, limit=limit)

    def _referring(self, field: str, ids: Collection[int], wanted: Filter, limit: int) -> list[E]:
        def is_wanted(row: Values) -> bool:
            return row[field] in ids and wanted.holds(row)

        found = self._session.find(self.kind, is_wanted)
        return sorted(found, key=attrgetter(field, "id"), reverse=True)[:limit]

    def _count(self, wanted: Filter) -> int:
        return sum(wanted.holds(row) for row in self._session.rows(self.kind))


class FakeSignalRepository(FakeRepository[Signal], ports.SignalRepository):
    def of_ids(self, ids: Collection[int]) -> list[Signal]:
        return [self.get(id_) for id_ in ids]

    def behind(self, decision_ids: Collection[int], *, limit: int) -> list[tuple[int, Signal]]:
        decisions = self._session.find(AgentDecision, lambda row: row["id"] in decision_ids)
        found = [(decision.id, signal) for decision in decisions for signal in decision.signals]
        return sorted(found, key=lambda pair: (pair[0], pair[1].id), reverse=True)[:limit]


class FakeDecisionRepository(FakeRepository[AgentDecision], ports.DecisionRepository):
    """Loads every decision with its signals; on a database only `with_signals` does."""

    def __init__(self, session: FakeSession, kind: type[AgentDecision]) -> None:
        super().__init__(session, kind)
        self.with_signals = self

    def _facts(self, wanted: Filter, place: Place | None, limit: int) -> list[DecisionFacts]:
        values = attrgetter(*DecisionFacts._fields)
        return [DecisionFacts._make(values(each)) for each in self._newest(wanted, place, limit)]

    def ancestry(self, ids: Collection[int], *, limit: int) -> list[AgentDecision]:
        found: dict[int, AgentDecision] = {}
        level = set(ids)
        for _ in range(limit):
            decisions = self.found(level)
            found |= {decision.id: decision for decision in decisions}
            level = {each.parent_id for each in decisions if each.parent_id is not None}
        return [found[id_] for id_ in sorted(found, reverse=True)]

    def signal_sources(self) -> Iterator[tuple[int, str]]:
        sources = {row["id"]: row["source"] for row in self._session.rows(Signal)}
        for row in sorted(self._session.rows(AgentDecision), key=itemgetter("id")):
            yield from ((row["id"], sources[id_]) for id_ in sorted(row["signals"]))


class FakeDecisionInputRepository(FakeRepository[DecisionInput], ports.DecisionInputRepository):
    def of_decisions(self, ids: Collection[int]) -> list[DecisionInput]:
        found = self._session.find(DecisionInput, lambda row: row["decision_id"] in ids)
        return sorted(found, key=lambda each: (each.decision_id, each.id))
