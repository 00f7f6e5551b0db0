"""`explain`: where a trade, a position, a decision or an alert came from, what it led to, and what it earned.

Every tree is bounded: below a node stand at most `SHOWN` nodes of one kind, and a note says how many more there are.
Nothing folds a symbol, so that a trade of a symbol with a million others is explained as fast as one of ten.
"""

from __future__ import annotations

from tradebook.domain.errors import InvalidInput
from tradebook.domain.trades import Trade
from tradebook.domain.validation import argument, optional_id, optional_identifier
from tradebook.service_layer.explanations.lineage.alerts import alert_tree
from tradebook.service_layer.explanations.lineage.decision_nodes import (
    DecisionRecords,
    contradiction,
    decision_node,
    no_decision,
)
from tradebook.service_layer.explanations.lineage.decision_trees import decision_tree
from tradebook.service_layer.explanations.lineage.explanation import Explanation, NodeKind
from tradebook.service_layer.explanations.lineage.fills import (
    FillRecords,
    consequences,
    fill_facts,
    trade_node,
)
from tradebook.service_layer.explanations.lineage.orders import OrderTrades, brief_fills, order_node
from tradebook.service_layer.explanations.lineage.positions import position_tree
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork


def explain(
    uow: AbstractUnitOfWork,
    *,
    trade: int | None = None,
    position: str | None = None,
    decision: int | None = None,
    alert: int | None = None,
) -> Explanation:
    """Explain one record as a tree: what led to it, what it led to, and what it earned to the last digit.

    Of a trade: the decision with those above it, their signals, inputs, actions, costs and verdicts; the order with
    its fills; what the trade closed and opened; busts and corrections; its result in each currency. Of a decision:
    the same, then the decisions made upon it, and its orders and fills. Of a position: its totals, and its last 20
    trades with their agents. Of an alert: its events, the position of its symbol, and what came before it.

    Args:
        uow: a read-only unit of work, which has one consistent view.
        trade: the id of a trade; or
        position: the symbol of a position; or
        decision: the id of a decision; or
        alert: the id of an alert.

    Returns:
        The tree; `print` it, or read `amounts`, `facts` and `children`. Its last nodes are results: realized P&L is
        the book's, of the position that all who trade the symbol share.

    Raises:
        NotFound: this account has no such record.
        InvalidInput: none of them is given, or more than one, or a value is refused.
    """
    trade = argument("trade", optional_id, trade)
    position = argument("position", optional_identifier, position)
    decision = argument("decision", optional_id, decision)
    alert = argument("alert", optional_id, alert)
    named = {"trade": trade, "position": position, "decision": decision, "alert": alert}
    given = [name for name, value in named.items() if value is not None]
    if len(given) != 1:
        others = "alone" if given else "or a position, a decision, an alert"
        name = given[0] if given else "trade"
        raise InvalidInput(name, named[name], f"it {others}: one record is explained")
    if trade is not None:
        return _trade_tree(uow, uow.trades.get(trade))
    if position is not None:
        return position_tree(uow, position)
    if decision is not None:
        return decision_tree(uow, uow.decisions.get(decision))
    return alert_tree(uow, uow.alerts.get(named["alert"]))  # type: ignore[arg-type]


def _trade_tree(uow: AbstractUnitOfWork, trade: Trade) -> Explanation:
    found = OrderTrades.read(uow, trade.order_key)
    fills = FillRecords.read(uow, [trade], found.trades)
    order = order_node(found, found.order(uow, fills), *brief_fills(found, trade))
    children = *_reasons(uow, trade, fills), order, *consequences(trade, fills)
    return trade_node(NodeKind.TRADE, trade, fill_facts(trade, fills), children)


def _reasons(uow: AbstractUnitOfWork, trade: Trade, fills: FillRecords) -> list[Explanation]:
    if trade.decision_id is None:
        return [no_decision("trade", trade, fills)]
    records = DecisionRecords.read(uow, [trade.decision_id])
    decision = records.decisions.get(trade.decision_id)
    return [decision_node(trade.decision_id, records), *contradiction(trade, decision)]
