"""Positions explained: their totals, their last trades, and the agents of these."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from tradebook.domain.agents import AgentDecision
from tradebook.domain.errors import NotFound
from tradebook.domain.fill_results import Earned
from tradebook.domain.numbers import ZERO, plain
from tradebook.domain.positions import Position
from tradebook.domain.trades import Trade
from tradebook.service_layer.explanations.lineage.decision_nodes import brief_decision
from tradebook.service_layer.explanations.lineage.explanation import (
    SHOWN,
    Amount,
    Explanation,
    NodeKind,
    amounts_in,
    known,
    note,
)
from tradebook.service_layer.explanations.lineage.fills import (
    FillRecords,
    fill_node,
    result,
    results,
)
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork


def position_tree(uow: AbstractUnitOfWork, symbol: str) -> Explanation:
    """Explain a position: its last 20 trades, each with its decision, their agents, and its totals.

    Args:
        uow: reads, in five statements.
        symbol: of the position.

    Raises:
        NotFound: the symbol was never traded.
    """
    position = uow.positions.by_symbol(symbol)
    if position is None:
        raise NotFound("Position", symbol, uow.account)
    trades = uow.trades.newest_booked(symbol, limit=SHOWN)
    records = FillRecords.read(uow, trades)
    ids = {trade.decision_id for trade in trades if trade.decision_id is not None}
    decisions = {each.id: each for each in uow.decisions.found(ids)} if ids else {}
    fills = [fill_node(trade, records, *_decision(trade, decisions)) for trade in trades]
    return Explanation(
        **position_values(position),
        children=(
            *fills,
            *_earlier(trades),
            *_agents(trades, decisions),
            *position_results(position),
        ),
    )


def position_values(position: Position) -> dict[str, Any]:
    """Return the values of the node of a position, but its children."""
    currency, asset = position.currency, position.asset
    price = position.entry_price
    return {
        "kind": NodeKind.POSITION,
        "title": f"position {position.symbol}: {plain(position.quantity)} {asset}, {position.status}",
        "id": position.id,
        "at": position.updated_at,
        "amounts": {
            "quantity": Amount(position.quantity, asset),
            **amounts_in(
                currency,
                cost_basis=position.cost_basis,
                entry_price=price,
                current_price=position.current_price,
                market_value=position.market_value,
            ),
        },
        "facts": known(
            symbol=position.symbol,
            status=position.status,
            settlement=position.settlement,
            opened_at=position.opened_at,
            closed_at=position.closed_at,
            marked_at=position.marked_at,
            entries=position.sequence,
        ),
    }


def position_results(position: Position) -> list[Explanation]:
    """Return what a position earned: with what is open in its own currency, then fees in others."""
    net, currency = position.net_pnl, position.currency
    said = "not known: it has no price" if net is None else f"{plain(net)} {currency}"
    own = Explanation(
        kind=NodeKind.RESULT,
        title=f"net {said}",
        amounts=amounts_in(
            currency,
            realized_pnl=position.realized_pnl,
            unrealized_pnl=position.unrealized_pnl,
            fees=position.fees,
            net_pnl=net,
        ),
    )
    others = [result(Earned(name, ZERO, fee)) for fee, name in position.fees_paid[1:]]
    return [own, *others]


def _decision(trade: Trade, decisions: Mapping[int, AgentDecision]) -> list[Explanation]:
    decision = decisions.get(trade.decision_id or 0)
    return [] if decision is None else [brief_decision(decision)]


def _earlier(trades: Sequence[Trade]) -> list[Explanation]:
    """Return the note on how many entries the position's ledger has before the trades that are shown."""
    earlier = min((trade.sequence or 1 for trade in trades), default=1) - 1
    if not earlier:
        return []
    return [note(f"and {earlier:,} earlier entries in its ledger, each a trade or a bust")]


def _agents(trades: Sequence[Trade], decisions: Mapping[int, AgentDecision]) -> list[Explanation]:
    """Return a node for each agent of the trades that are shown, with what these earned."""
    by_agent: dict[str, list[Trade]] = defaultdict(list)
    for trade in trades:
        decision = decisions.get(trade.decision_id or 0)
        by_agent["" if decision is None else decision.agent].append(trade)
    return [
        Explanation(
            kind=NodeKind.AGENT,
            title=f"{agent or 'no agent'}: {len(mine):,} of these trades",
            facts=known(agent=agent, trades=len(mine)),
            children=tuple(results(mine)),
        )
        for agent, mine in sorted(by_agent.items())
    ]
