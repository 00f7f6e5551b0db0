"""Decisions on SQL, with the signals behind them where they are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

from sqlalchemy import (
    Select,
    and_,
    delete,
    select,
)
from sqlalchemy.orm import Session, aliased, contains_eager

from tradebook.adapters import orm
from tradebook.adapters.repositories import SqlRecords, SqlRepository
from tradebook.domain.agents import AgentDecision
from tradebook.domain.paging import Filter, Place, sort_keys
from tradebook.domain.repositories import (
    DecisionRepository,
)
from tradebook.domain.signals import Signal


class _WithSignals(SqlRecords[AgentDecision]):
    """Decisions and their signals, read together in one statement."""

    def fetch(
        self, statement: Select[Any], values: Mapping[str, Any] | None = None
    ) -> list[AgentDecision]:
        # Joined one after the other: a join in brackets, as `joinedload` has it, SQLite reads whole.
        found = statement.subquery()
        decision: Any = aliased(AgentDecision, found)
        links, signals = orm.decision_signals.c, orm.signals.c
        of_found = and_(links.account == found.c.account, links.decision_id == found.c.id)
        of_link = and_(signals.account == links.account, signals.id == links.signal_id)
        read = (
            select(decision)
            .outerjoin(orm.decision_signals, of_found)
            .outerjoin(Signal, of_link)
            .options(contains_eager(decision.signals))
            .order_by(found.c.id, signals.id)
            .execution_options(populate_existing=True)
        )
        return list(self.session.scalars(read, values).unique())

    def _reads_rows(self) -> bool:
        return True

    def _newest(self, wanted: Filter, place: Place | None, limit: int) -> list[AgentDecision]:
        found = super()._newest(wanted, place, limit)
        return sorted(found, key=attrgetter(*sort_keys(AgentDecision)), reverse=True)


class SqlDecisionRepository(SqlRepository[AgentDecision], DecisionRepository):
    def __init__(self, session: Session, account: str, kind: type[AgentDecision]) -> None:
        super().__init__(session, account, kind)
        self.with_signals = _WithSignals(session, account, kind)

    def add(self, entity: AgentDecision) -> AgentDecision:
        recorded = super().add(entity)
        if recorded is entity and entity.signals:
            links = [
                {"account": self.account, "decision_id": entity.id, "signal_id": signal.id}
                for signal in entity.signals
            ]
            self.session.connection().execute(orm.decision_signals.insert(), links)
        return recorded

    def _add_together(self, entities: Sequence[AgentDecision]) -> bool:  # noqa: ARG002
        return False  # each has links to its signals

    def remove(self, entity: AgentDecision) -> None:
        links = orm.decision_signals
        mine = (links.c.account == self.account, links.c.decision_id == entity.id)
        self.session.connection().execute(delete(links).where(*mine))
        super().remove(entity)
