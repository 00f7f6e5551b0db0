"""Alerts explained: who raised and resolved one, and what its symbol was doing before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from tradebook.domain.alerts import Alert
from tradebook.domain.events import Event
from tradebook.domain.trades import Trade
from tradebook.service_layer.explanations.lineage.decision_nodes import brief_decision, event_node
from tradebook.service_layer.explanations.lineage.explanation import (
    READ,
    Explanation,
    NodeKind,
    known,
    note,
)
from tradebook.service_layer.explanations.lineage.fills import trade_node
from tradebook.service_layer.explanations.lineage.positions import position_results, position_values
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

BEFORE: Final = 5
"""The most decisions, and the most trades, of its symbol that are shown before an alert."""
WITHIN: Final = timedelta(days=1)
"""How long before an alert decisions are looked for: no index leads to the decisions of a symbol."""
_FIRST: Final = datetime.min.replace(tzinfo=UTC)


def alert_tree(uow: AbstractUnitOfWork, alert: Alert) -> Explanation:
    """Explain an alert: its events, the last decisions and trades of its symbol before it, and the position.

    Args:
        uow: reads, in at most four statements.
        alert: to be explained.
    """
    events = uow.events.referring("entity_id", [alert.id], limit=READ, entity=Alert.__name__)
    return Explanation(
        kind=NodeKind.ALERT,
        title=f"alert {alert.id}: {alert.severity} {alert.alert_type}, "
        f"{'resolved' if alert.resolved else 'unresolved'}",
        id=alert.id,
        at=alert.timestamp,
        facts=known(
            message=alert.message,
            source=alert.source,
            symbol=alert.symbol,
            dedup_key=alert.dedup_key,
            resolution=alert.resolution,
            resolved_by=alert.resolved_by,
            resolved_at=alert.resolved_at,
        ),
        children=(*map(_event, reversed(events)), *_about_symbol(uow, alert)),
    )


def _event(event: Event) -> Explanation:
    said = {name: event.payload.get(name) for name in ("resolved_by", "resolution", "changes")}
    facts = {"actor": event.actor, "correlation_id": event.correlation_id, **said}
    return event_node(NodeKind.EVENT, event.event_type, event, facts)


def _about_symbol(uow: AbstractUnitOfWork, alert: Alert) -> list[Explanation]:
    """Return the nodes of the last decisions and trades before an alert, and of the position as it is now."""
    symbol, until = alert.symbol, alert.timestamp
    if symbol is None:
        return [note("it names no symbol, so no position, decision or trade is shown")]
    since = until - min(WITHIN, until - _FIRST)
    decisions = uow.decisions.page(limit=BEFORE, symbol=symbol, since=since, until=until)
    trades = uow.trades.page(limit=BEFORE, symbol=symbol, until=until)
    position = uow.positions.by_symbol(symbol)
    nodes = [brief_decision(decision) for decision in reversed(decisions)]
    if not decisions:
        nodes.append(note(f"no decision about {symbol} in the day before it"))
    nodes += [_trade(trade) for trade in reversed(trades)]
    if not trades:
        nodes.append(note(f"no trade of {symbol} before it"))
    if position is None:
        return [*nodes, note(f"{symbol} was never traded")]
    now = Explanation(**position_values(position), children=tuple(position_results(position)))
    return [*nodes, now]


def _trade(trade: Trade) -> Explanation:
    facts = known(
        status=trade.status,
        order_id=trade.order_id,
        strategy=trade.strategy,
        decision_id=trade.decision_id,
    )
    return trade_node(NodeKind.FILL, trade, facts)
