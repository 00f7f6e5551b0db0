"""Decisions explained: what led to one, the decisions made upon it, its orders and fills, what they earned."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from attrs import evolve, frozen

from tradebook.domain.agents import AgentDecision
from tradebook.domain.orders import by_order
from tradebook.domain.trades import OrderKey, Trade
from tradebook.service_layer.explanations.lineage.decision_nodes import (
    DecisionRecords,
    contradiction,
    decision_node,
)
from tradebook.service_layer.explanations.lineage.explanation import (
    READ,
    SHOWN,
    TRADES_READ,
    Explanation,
    NodeKind,
    limited,
    note,
)
from tradebook.service_layer.explanations.lineage.fills import FillRecords, fill_node, results
from tradebook.service_layer.explanations.lineage.orders import (
    OrderTrades,
    in_booking_order,
    order_node,
)
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

LEVELS: Final = 5
"""The most levels of decisions made upon one that are read."""
_SHARED: Final = (
    "realized P&L is the book's, of the position that all who trade the symbol share: it may close what others opened; "
    "attribution folds the trades of each decision by themselves, with what is still open"
)
_NOTHING: Final = "no trade names it, nor a decision made upon it: it earned nothing"
_UNADDED: Final = f"more than {TRADES_READ:,} trades came of it, which are not added up here: attribution adds all of them up"
_MORE_UPON: Final = (
    f"more decisions were made upon it than are read here: at most {READ} on {LEVELS} levels; what all of them earned "
    "is not added up here"
)


@frozen
class _Below:
    """The decisions made upon one, directly and upon those.

    Attributes:
        decisions: level by level.
        is_whole: false where there may be more.
    """

    decisions: Sequence[AgentDecision]
    is_whole: bool

    @classmethod
    def read(cls, uow: AbstractUnitOfWork, decision: AgentDecision) -> _Below:
        """Read a level with each statement, up to the first that is empty."""
        below: list[AgentDecision] = []
        level = [decision.id]
        for _ in range(LEVELS):
            room = READ - len(below)
            found = uow.decisions.referring("parent_id", level, limit=room + 1)
            below += reversed(found[:room])
            if not found or len(found) > room:
                return cls(below, not found)
            level = [each.id for each in found]
        return cls(below, is_whole=False)


@frozen
class _Consequences:
    """What a decision and those made upon it led to.

    Attributes:
        records: of the decision, those above it and those made upon it.
        children: the decisions made upon each, by its id.
        trades: of each decision, by its id, in the order in which they were recorded.
        orders: those that are shown.
        fills: the records of the trades in these.
        is_added_up: false where more trades were not read.
    """

    records: DecisionRecords
    children: Mapping[int, Sequence[AgentDecision]]
    trades: Mapping[int, Sequence[Trade]]
    orders: Mapping[OrderKey, Explanation]
    fills: FillRecords
    is_added_up: bool

    @classmethod
    def read(cls, uow: AbstractUnitOfWork, decision: AgentDecision, below: _Below) -> _Consequences:
        """Read the records of all decisions together, then each of the first 20 orders."""
        above = uow.decisions.ancestry([decision.id], limit=SHOWN)
        ids = [decision.id, *(each.id for each in below.decisions)]
        found = uow.trades.referring("decision_id", ids, limit=TRADES_READ + 1)
        trades, children = defaultdict(list), defaultdict(list)
        for trade in reversed(found[:TRADES_READ]):
            trades[trade.decision_id or 0].append(trade)
        for child in below.decisions:
            children[child.parent_id or 0].append(child)
        in_order = [trade for id_ in ids for trade in trades.get(id_, ())]
        orders = [OrderTrades.read(uow, key) for key in list(by_order(in_order))[:SHOWN]]
        shown = {order.key for order in orders}
        fills = FillRecords.read(
            uow,
            [trade for trade in in_order if trade.order_key in shown],
            [trade for order in orders for trade in order.trades],
        )
        return cls(
            records=DecisionRecords.about(uow, [*above, *below.decisions]),
            children=children,
            trades=trades,
            orders={order.key: order_node(order, order.order(uow, fills)) for order in orders},
            fills=fills,
            is_added_up=len(found) <= TRADES_READ,
        )

    def node(
        self, decision: AgentDecision, *closing: Explanation, kind: NodeKind = NodeKind.CHILD
    ) -> Explanation:
        """Return the node of a decision with all that it led to; `closing` nodes come before its results."""
        trades = self.trades.get(decision.id, ())
        against = [each for trade in trades for each in contradiction(trade, decision)]
        return decision_node(
            decision.id,
            self.records,
            *limited(self.children.get(decision.id, ()), self.node, "decisions made upon it"),
            *against[:1],
            *self._orders(trades),
            *closing,
            *(results(trades) if self.is_added_up else [note(_UNADDED)]),
            kind=kind,
        )

    def _orders(self, trades: Sequence[Trade]) -> list[Explanation]:
        grouped = by_order(trades)
        shown = [self._order(key, mine) for key, mine in grouped.items() if key in self.orders]
        more = len(grouped) - len(shown)
        return [*shown, note(f"and {more:,} more orders")] if more else shown

    def _order(self, key: OrderKey, mine: Sequence[Trade]) -> Explanation:
        """Return the node of an order with the fills that are of one decision."""
        fills = limited(in_booking_order(mine), lambda trade: fill_node(trade, self.fills), "fills")
        order = self.orders[key]
        return evolve(order, children=(*fills, *order.children))


def decision_tree(uow: AbstractUnitOfWork, decision: AgentDecision) -> Explanation:
    """Explain a decision: what led to it, the decisions made upon it, its orders and fills, what these earned.

    Args:
        uow: reads, a fixed number of statements, and one for each level of decisions and each order that is shown.
        decision: to be explained.
    """
    below = _Below.read(uow, decision)
    found = _Consequences.read(uow, decision, below)
    every = [trade for trades in found.trades.values() for trade in trades]
    closing = [] if below.is_whole else [note(_MORE_UPON)]
    tree = found.node(
        decision, *closing, note(_SHARED if every else _NOTHING), kind=NodeKind.DECISION
    )
    own = found.trades.get(decision.id, ())
    if len(every) == len(own) or not (found.is_added_up and below.is_whole):
        return tree
    together = Explanation(
        kind=NodeKind.TOTAL,
        title="together with the decisions made upon it",
        children=tuple(results(every)),
    )
    return evolve(tree, children=(*tree.children, together))
