"""Hypothesis strategies for everything in the book, for property tests of trading bots.

`fills()` is the one to start with: the executions of one instrument, through opening, adding,
reducing, closing and flipping, as `record_trade` takes them. Entities are as they are before they
are added to a unit of work, without an id.
"""

from __future__ import annotations

from tradebook.testing.strategies.entities import (
    accounts,
    actions,
    alerts,
    cash_flows,
    decision_inputs,
    decisions,
    events,
    metrics,
    portfolio_positions,
    portfolios,
    positions,
    signals,
    snapshots,
    trades,
)
from tradebook.testing.strategies.fills import fills, trade_terms
from tradebook.testing.strategies.values import (
    CURRENCIES,
    currencies,
    decimals,
    fees,
    float_decimals,
    fractions,
    instants,
    json_objects,
    json_values,
    multipliers,
    names,
    prices,
    quantities,
    symbols,
    texts,
)

__all__ = [
    "CURRENCIES",
    "accounts",
    "actions",
    "alerts",
    "cash_flows",
    "currencies",
    "decimals",
    "decision_inputs",
    "decisions",
    "events",
    "fees",
    "fills",
    "float_decimals",
    "fractions",
    "instants",
    "json_objects",
    "json_values",
    "metrics",
    "multipliers",
    "names",
    "portfolio_positions",
    "portfolios",
    "positions",
    "prices",
    "quantities",
    "signals",
    "snapshots",
    "symbols",
    "texts",
    "trade_terms",
    "trades",
]


def __dir__() -> list[str]:
    return sorted(__all__)  # without submodules: for help and completion
