"""The repositories of signals and of agents' decisions, and the links between them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from operator import attrgetter
from typing import Any

from sqlalchemy import (
    BindParameter,
    Select,
    and_,
    bindparam,
    delete,
    literal,
    literal_column,
    select,
    tuple_,
)
from sqlalchemy.orm import Session, aliased, contains_eager
from typing_extensions import override

from tradebook.adapters import orm
from tradebook.adapters.repositories.base import SqlRecords, SqlRepository
from tradebook.adapters.repositories.read_sessions import entities_from
from tradebook.domain.agents import AgentDecision, DecisionFacts
from tradebook.domain.decision_inputs import DecisionInput
from tradebook.domain.errors import NotFound
from tradebook.domain.signals import Signal
from tradebook.domain.validation import record_id as checked_id
from tradebook.service_layer.ports.decisions import (
    DecisionInputRepository,
    DecisionRepository,
    SignalRepository,
)
from tradebook.service_layer.ports.paging import Filter, Place, sort_keys
from tradebook.service_layer.ports.records import BATCH_OF_VALUES


class SqlSignalRepository(SqlRepository[Signal], SignalRepository):
    """Signals of strategies."""

    @override
    def of_ids(self, ids: Collection[int]) -> list[Signal]:
        wanted = [checked_id(id_) for id_ in ids]
        if not wanted:
            return []
        found = {s.id: s for s in self.fetch(self.where(self.table.c.id.in_(wanted)))}
        for id_ in wanted:
            if id_ not in found:
                raise NotFound("Signal", id_, self.account)
        return [found[id_] for id_ in wanted]

    @override
    def behind(self, decision_ids: Collection[int], *, limit: int) -> list[tuple[int, Signal]]:
        if not decision_ids:
            return []
        self.session.flush()
        values = {"of_account": self.account, "of_any": list(decision_ids), "at_most": limit}
        found = self.session.connection().execute(_signals_behind(), values).all()
        signals = entities_from(Signal, [row[1:] for row in found])
        return [*zip((row[0] for row in found), signals, strict=True)]


@cache
def _signals_behind() -> Select[Any]:
    links, signals = orm.decision_signals.c, orm.signals.c
    of_link = and_(signals.account == links.account, signals.id == links.signal_id)
    return (
        select(links.decision_id, orm.signals)
        .join_from(orm.decision_signals, orm.signals, of_link)
        .where(links.account == bindparam("of_account"))
        .where(links.decision_id.in_(bindparam("of_any", expanding=True)))
        .order_by(links.decision_id.desc(), links.signal_id.desc())
        .limit(bindparam("at_most"))
    )


class _WithSignals(SqlRecords[AgentDecision]):
    """Decisions and their signals, read together in one statement."""

    def __init__(self, session: Session, account: str, kind: type[AgentDecision]) -> None:
        super().__init__(session, account, kind)
        self._reads_rows = True  # `fetch` makes entities of whole rows in any session

    @override
    def get(self, record_id: int, *, lock: bool = False) -> AgentDecision:
        if lock:
            super().get(record_id, lock=True)
        return super().get(record_id)

    @override
    def fetch(
        self, statement: Select[Any], values: Mapping[str, Any] | None = None
    ) -> list[AgentDecision]:
        # Two joins in a row: SQLite would read the whole of a nested join, which `joinedload` makes.
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

    def _newest(self, wanted: Filter, place: Place | None, limit: int) -> list[AgentDecision]:
        found = super()._newest(wanted, place, limit)
        return sorted(found, key=attrgetter(*sort_keys(AgentDecision)), reverse=True)


class SqlDecisionRepository(SqlRepository[AgentDecision], DecisionRepository):
    """Decisions of agents, alone or with the signals behind them."""

    def __init__(self, session: Session, account: str, kind: type[AgentDecision]) -> None:
        """Take what every repository takes."""
        super().__init__(session, account, kind)
        self.with_signals = _WithSignals(session, account, kind)

    @override
    def _facts(self, wanted: Filter, place: Place | None, limit: int) -> list[DecisionFacts]:
        self.session.flush()
        statement, values = self._page(DecisionFacts._fields, wanted, place, limit)
        return [*map(DecisionFacts._make, self.session.connection().execute(statement, values))]

    @override
    def ancestry(self, ids: Collection[int], *, limit: int) -> list[AgentDecision]:
        if not ids:
            return []
        values = {"of_account": self.account, "of_any": list(ids), "at_most": limit}
        return self.fetch(_ancestry(self._reads_rows), values)

    @override
    def add(self, entity: AgentDecision) -> AgentDecision:
        recorded = super().add(entity)
        if recorded is entity and entity.signals:
            links = [
                {"account": self.account, "decision_id": entity.id, "signal_id": signal.id}
                for signal in entity.signals
            ]
            self.session.connection().execute(orm.decision_signals.insert(), links)
        return recorded

    @override
    def signal_sources(self) -> Iterator[tuple[int, str]]:
        self.session.flush()
        links, signals = orm.decision_signals.c, orm.signals.c
        of_link = and_(signals.account == links.account, signals.id == links.signal_id)
        read = (
            select(links.decision_id, links.signal_id, signals.source)
            .join_from(orm.decision_signals, orm.signals, of_link)
            .where(links.account == self.account)
            .order_by(links.decision_id, links.signal_id)
            .limit(BATCH_OF_VALUES)
        )
        place = tuple_(links.decision_id, links.signal_id)
        found = self.session.connection().execute(read).all()
        while found:
            yield from ((decision_id, source) for decision_id, _, source in found)
            if len(found) < BATCH_OF_VALUES:
                return
            last = tuple_(*map(literal, found[-1][:2]))
            found = self.session.connection().execute(read.where(place > last)).all()

    def _add_together(self, entities: Sequence[AgentDecision]) -> Sequence[AgentDecision]:  # noqa: ARG002
        return ()  # each has links to its signals

    @override
    def remove(self, entity: AgentDecision) -> None:
        links = orm.decision_signals
        mine = (links.c.account == self.account, links.c.decision_id == entity.id)
        self.session.connection().execute(delete(links).where(*mine))
        super().remove(entity)


class SqlDecisionInputRepository(SqlRepository[DecisionInput], DecisionInputRepository):
    """Inputs of decisions."""

    @override
    def of_decisions(self, ids: Collection[int]) -> list[DecisionInput]:
        if not ids:
            return []
        columns = self.table.c
        of_them = self.where(columns.decision_id.in_(ids))
        return self.fetch(of_them.order_by(columns.decision_id, columns.id))


@cache
def _ancestry(reads_rows: bool) -> Select[Any]:
    """Return the statement that follows `parent_id`; levels end it where a damaged book has a circle."""
    account: BindParameter[str] = bindparam("of_account")
    ids: BindParameter[Any] = bindparam("of_any", expanding=True)
    table = orm.agent_decisions
    columns, above = table.c, table.alias("above")
    begin = (
        select(columns.id, columns.parent_id, literal_column("1").label("level"))
        .where(columns.account == account, columns.id.in_(ids))
        .cte("ancestry", recursive=True)
    )
    one_up = (
        select(above.c.id, above.c.parent_id, begin.c.level + 1)
        .join_from(begin, above, above.c.id == begin.c.parent_id)
        .where(above.c.account == account, begin.c.level < bindparam("at_most"))
    )
    found: Select[Any] = select(table if reads_rows else AgentDecision)
    return found.where(
        columns.account == account, columns.id.in_(select(begin.union(one_up).c.id))
    ).order_by(columns.id.desc())
