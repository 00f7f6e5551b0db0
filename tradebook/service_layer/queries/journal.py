"""What was noted beside the trades: alerts, signals, what agents decided and did, metrics, events."""

from __future__ import annotations

from typing import Unpack

from tradebook.domain import validation
from tradebook.domain.agents import AgentAction, AgentDecision, DecisionStatus
from tradebook.domain.alerts import Alert, Severity
from tradebook.domain.errors import NotFound
from tradebook.domain.events import Event
from tradebook.domain.performance import PerformanceMetric
from tradebook.domain.signals import Signal, SignalAction
from tradebook.domain.validation import argument, boolean
from tradebook.service_layer.ports.paging import Page, Window
from tradebook.service_layer.queries.records import LONG, asked
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork


def get_alerts(
    uow: AbstractUnitOfWork,
    *,
    severity: Severity | str | None = None,
    symbol: str | None = None,
    resolved: bool | None = None,
    **window: Unpack[Window],
) -> Page[Alert]:
    """Alerts, newest first; of one severity and symbol, resolved or not, or any."""
    wanted = asked(severity=severity, symbol=symbol, resolved=resolved)
    return uow.alerts.page(**window, **wanted)


def get_unresolved_alerts(
    uow: AbstractUnitOfWork,
    severity: Severity | str | None = None,
    *,
    limit: int = LONG,
    after: str | None = None,
) -> Page[Alert]:
    """Alerts that nobody dealt with, newest first; of one severity, or of all."""
    wanted = asked(severity=severity)
    return uow.alerts.page(limit=limit, after=after, resolved=False, **wanted)


def get_signals(
    uow: AbstractUnitOfWork,
    *,
    symbol: str | None = None,
    action: SignalAction | str | None = None,
    source: str | None = None,
    strategy: str | None = None,
    **window: Unpack[Window],
) -> Page[Signal]:
    """Signals, newest first; of one symbol, action, source and strategy, or of any."""
    wanted = asked(symbol=symbol, action=action, source=source, strategy=strategy)
    return uow.signals.page(**window, **wanted)


def get_decisions(
    uow: AbstractUnitOfWork,
    *,
    agent: str | None = None,
    symbol: str | None = None,
    action: SignalAction | str | None = None,
    status: DecisionStatus | str | None = None,
    with_signals: bool = False,
    **window: Unpack[Window],
) -> Page[AgentDecision]:
    """Decisions, newest first; of one agent, symbol, action and status, or of any.

    Args:
        uow: the unit of work.
        agent: who decided.
        symbol: about which instrument.
        action: BUY, SELL or HOLD.
        status: such as EXECUTED.
        with_signals: whether `decision.signals` is loaded too, in the same query.
        window: since, until, limit, after.
    """
    loads = argument("with_signals", boolean, with_signals)
    records = uow.decisions.with_signals if loads else uow.decisions
    wanted = asked(agent=agent, symbol=symbol, action=action, status=status)
    return records.page(**window, **wanted)


def get_decision(uow: AbstractUnitOfWork, decision_id: int) -> AgentDecision | None:
    """The decision with this id and the signals it was based on, or None when there is none."""
    id_ = argument("decision_id", validation.record_id, decision_id)
    try:
        return uow.decisions.with_signals.get(id_)
    except NotFound:
        return None


def get_actions(
    uow: AbstractUnitOfWork,
    *,
    agent: str | None = None,
    action_type: str | None = None,
    decision_id: int | None = None,
    **window: Unpack[Window],
) -> Page[AgentAction]:
    """Steps of agents, newest first; of one agent, type and decision, or of any."""
    wanted = asked(agent=agent, action_type=action_type, decision_id=decision_id)
    return uow.actions.page(**window, **wanted)


def get_metrics(
    uow: AbstractUnitOfWork, *, name: str | None = None, **window: Unpack[Window]
) -> Page[PerformanceMetric]:
    """Metrics by the end of their period, newest first; of one name, or of all."""
    return uow.metrics.page(**window, **asked(name=name))


def get_events(
    uow: AbstractUnitOfWork,
    *,
    entity: str | None = None,
    entity_id: int | None = None,
    event_type: str | None = None,
    **window: Unpack[Window],
) -> Page[Event]:
    """What happened, newest first; to one kind of record and one record, of one type, or all.

    Args:
        uow: the unit of work.
        entity: the kind of record, such as "Trade".
        entity_id: the record's id.
        event_type: such as "TradeRecorded".
        window: since, until, limit, after.
    """
    wanted = asked(entity=entity, entity_id=entity_id, event_type=event_type)
    return uow.events.page(**window, **wanted)
