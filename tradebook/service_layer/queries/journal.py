"""Queries of alerts, signals, agents' decisions and actions, metrics, imports and events."""

from __future__ import annotations

from typing import Unpack

from tradebook.domain import validation
from tradebook.domain.agents import AgentAction, AgentDecision, DecisionStatus
from tradebook.domain.alerts import Alert, Severity
from tradebook.domain.decision_inputs import DecisionInput
from tradebook.domain.errors import NotFound
from tradebook.domain.events import Event
from tradebook.domain.imports import Import, ImportStatus
from tradebook.domain.performance import PerformanceMetric
from tradebook.domain.signals import Signal, SignalAction
from tradebook.domain.validation import argument, boolean
from tradebook.service_layer.handlers._common import given
from tradebook.service_layer.ports.paging import Page, Window
from tradebook.service_layer.queries.records import LONG
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork, single_statement


@single_statement
def get_alerts(
    uow: AbstractUnitOfWork,
    *,
    severity: Severity | str | None = None,
    symbol: str | None = None,
    resolved: bool | None = None,
    **window: Unpack[Window],
) -> Page[Alert]:
    """Return alerts, newest first; of one severity and symbol, resolved or not, or any."""
    return uow.alerts.page(**window, **given(severity=severity, symbol=symbol, resolved=resolved))


@single_statement
def get_unresolved_alerts(
    uow: AbstractUnitOfWork,
    severity: Severity | str | None = None,
    *,
    limit: int = LONG,
    after: str | None = None,
) -> Page[Alert]:
    """Return unresolved alerts, newest first; of one severity, or of all."""
    return uow.alerts.page(limit=limit, after=after, resolved=False, **given(severity=severity))


@single_statement
def get_signals(
    uow: AbstractUnitOfWork,
    *,
    symbol: str | None = None,
    action: SignalAction | str | None = None,
    source: str | None = None,
    strategy: str | None = None,
    **window: Unpack[Window],
) -> Page[Signal]:
    """Return signals, newest first; of one symbol, action, source and strategy, or of any."""
    return uow.signals.page(
        **window, **given(symbol=symbol, action=action, source=source, strategy=strategy)
    )


@single_statement
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
    """Return decisions, newest first; of one agent, symbol, action and status, or of any.

    Args:
        uow: the unit of work.
        agent: the name of the agent that decided.
        symbol: the instrument that the decision is about.
        action: BUY, SELL or HOLD.
        status: such as EXECUTED.
        with_signals: load `decision.signals` too, in the same statement.
        window: since, until, limit, after.
    """
    loads = argument("with_signals", boolean, with_signals)
    records = uow.decisions.with_signals if loads else uow.decisions
    wanted = given(agent=agent, symbol=symbol, action=action, status=status)
    return records.page(**window, **wanted)


@single_statement
def get_decision(uow: AbstractUnitOfWork, decision_id: int) -> AgentDecision | None:
    """Return the decision with this id, with the signals it was based on; None when there is none."""
    id_ = argument("decision_id", validation.record_id, decision_id)
    try:
        return uow.decisions.with_signals.get(id_)
    except NotFound:
        return None


@single_statement
def get_inputs(
    uow: AbstractUnitOfWork, *, decision_id: int | None = None, **window: Unpack[Window]
) -> Page[DecisionInput]:
    """Return inputs of decisions, newest first; of one decision, or of any. `since` and `until` are of `recorded_at`."""
    return uow.decision_inputs.page(**window, **given(decision_id=decision_id))


@single_statement
def get_actions(
    uow: AbstractUnitOfWork,
    *,
    agent: str | None = None,
    action_type: str | None = None,
    decision_id: int | None = None,
    **window: Unpack[Window],
) -> Page[AgentAction]:
    """Return actions of agents, newest first; of one agent, type and decision, or of any."""
    return uow.actions.page(
        **window, **given(agent=agent, action_type=action_type, decision_id=decision_id)
    )


@single_statement
def get_metrics(
    uow: AbstractUnitOfWork, *, name: str | None = None, **window: Unpack[Window]
) -> Page[PerformanceMetric]:
    """Return metrics by the end of their period, newest first; of one name, or of all."""
    return uow.metrics.page(**window, **given(name=name))


@single_statement
def get_imports(
    uow: AbstractUnitOfWork,
    *,
    status: ImportStatus | str | None = None,
    digest: str | None = None,
    **window: Unpack[Window],
) -> Page[Import]:
    """Return imports, newest first; of one status and one file's digest, or of any."""
    return uow.imports.page(**window, **given(status=status, digest=digest))


@single_statement
def get_events(
    uow: AbstractUnitOfWork,
    *,
    entity: str | None = None,
    entity_id: int | None = None,
    event_type: str | None = None,
    **window: Unpack[Window],
) -> Page[Event]:
    """Return events, newest first; of one kind of record, one record and one type, or of any.

    Args:
        uow: the unit of work.
        entity: the kind of record, such as "Trade".
        entity_id: the record's id.
        event_type: such as "TradeRecorded".
        window: since, until, limit, after.
    """
    return uow.events.page(
        **window, **given(entity=entity, entity_id=entity_id, event_type=event_type)
    )
