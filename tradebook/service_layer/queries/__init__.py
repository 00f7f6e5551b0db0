"""The queries of the book: plain functions `query(uow, ...)` that write nothing."""

from __future__ import annotations

from tradebook.service_layer.queries.accounts import (
    get_accounts,
    get_consolidated_portfolio,
    get_consolidated_positions,
)
from tradebook.service_layer.queries.as_of import portfolio_as_of, positions_as_of
from tradebook.service_layer.queries.balances import get_balances, reconcile
from tradebook.service_layer.queries.journal import (
    get_actions,
    get_alerts,
    get_decision,
    get_decisions,
    get_events,
    get_imports,
    get_inputs,
    get_metrics,
    get_signals,
    get_unresolved_alerts,
)
from tradebook.service_layer.queries.orders import get_open_orders, get_order
from tradebook.service_layer.queries.portfolio import (
    CashBalance,
    get_cash_balances,
    get_cash_flows,
    get_latest_portfolio,
    get_open_positions,
    get_portfolio_history,
    get_portfolio_positions,
    get_position_by_symbol,
    get_positions,
    get_recent_trades,
    get_trades,
    get_trades_by_symbol,
)
from tradebook.service_layer.queries.records import count, exists, get, get_all, get_rows
from tradebook.service_layer.queries.snapshots import get_snapshot
from tradebook.service_layer.queries.statements import reconcile_statement

__all__ = [
    "CashBalance",
    "count",
    "exists",
    "get",
    "get_accounts",
    "get_actions",
    "get_alerts",
    "get_all",
    "get_balances",
    "get_cash_balances",
    "get_cash_flows",
    "get_consolidated_portfolio",
    "get_consolidated_positions",
    "get_decision",
    "get_decisions",
    "get_events",
    "get_imports",
    "get_inputs",
    "get_latest_portfolio",
    "get_metrics",
    "get_open_orders",
    "get_open_positions",
    "get_order",
    "get_portfolio_history",
    "get_portfolio_positions",
    "get_position_by_symbol",
    "get_positions",
    "get_recent_trades",
    "get_rows",
    "get_signals",
    "get_snapshot",
    "get_trades",
    "get_trades_by_symbol",
    "get_unresolved_alerts",
    "portfolio_as_of",
    "positions_as_of",
    "reconcile",
    "reconcile_statement",
]


def __dir__() -> list[str]:
    return sorted(__all__)  # without submodules: for help and completion
