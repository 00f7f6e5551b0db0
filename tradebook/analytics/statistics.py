"""Statistics of returns, of total values and of trades, as pure functions on sequences.

Numbers are Decimal, int, str or float; None is a missing value, and is left out. Results are Decimals of at most 50
significant digits, or None where they are undefined. Ratios are not percentages: 0.02 is 2 %.
"""

from __future__ import annotations

from tradebook.analytics.drawdowns import Drawdown, calmar_ratio, drawdowns, max_drawdown
from tradebook.analytics.ratios import (
    alpha,
    beta,
    downside_risk,
    omega_ratio,
    sharpe_ratio,
    sortino_ratio,
    volatility,
)
from tradebook.analytics.returns import cagr, compounded, to_returns, total_return
from tradebook.analytics.tails import expected_shortfall, value_at_risk
from tradebook.analytics.trade_statistics import (
    average_loss,
    average_win,
    expectancy,
    profit_factor,
    system_quality_number,
    win_rate,
)

__all__ = [
    "Drawdown",
    "alpha",
    "average_loss",
    "average_win",
    "beta",
    "cagr",
    "calmar_ratio",
    "compounded",
    "downside_risk",
    "drawdowns",
    "expectancy",
    "expected_shortfall",
    "max_drawdown",
    "omega_ratio",
    "profit_factor",
    "sharpe_ratio",
    "sortino_ratio",
    "system_quality_number",
    "to_returns",
    "total_return",
    "value_at_risk",
    "volatility",
    "win_rate",
]
