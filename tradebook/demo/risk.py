"""The demo's risk limits: they reject decisions, and raise alerts on drawdowns."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from attrs import frozen

from tradebook.demo.figures import max_drawdown
from tradebook.domain.alerts import Severity
from tradebook.domain.numbers import ZERO
from tradebook.service_layer import handlers, queries
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

SOURCE: Final = "risk limits"
MAX_SHARE: Final = Decimal("0.35")
"""The largest share of the account's total value in one stock."""


@frozen
class DrawdownLimit:
    """A drawdown limit: its alert is raised above `limit`, and resolved below half of it.

    Attributes:
        severity: of the alert.
        limit: as a ratio; 0.04 is 4 %.
    """

    severity: Severity
    limit: Decimal

    @property
    def key(self) -> str:
        """Deduplication key of its alert, so that it is raised once until resolved."""
        return f"demo/drawdown/{self.limit}"


LIMITS: Final = (
    DrawdownLimit(Severity.WARNING, Decimal("0.04")),
    DrawdownLimit(Severity.CRITICAL, Decimal("0.08")),
)


def objection(
    uow: AbstractUnitOfWork, symbol: str, cost: Decimal, total_value: Decimal
) -> str | None:
    """Check a purchase against the limits.

    Args:
        uow: the unit of work.
        symbol: the stock to buy.
        cost: of the purchase with its fee, in USD.
        total_value: of the account at the last close, in USD.

    Returns:
        The limit that the purchase breaks, in words; None where it is allowed.
    """
    cash = sum((balance.balance for balance in queries.get_cash_balances(uow)), start=ZERO)
    if cost > cash:
        return f"it would cost {cost:,.2f} and the cash is {cash:,.2f}"
    position = queries.get_position_by_symbol(uow, symbol)
    held = position.market_value if position else None
    share = ((held or ZERO) + cost) / total_value
    if share > MAX_SHARE:
        return f"{symbol} would be {share:.0%} of the account, the limit is {MAX_SHARE:.0%}"
    return None


class DrawdownWatch:
    """Raises an alert when a limit breaks, and resolves it when the account has recovered."""

    def __init__(self, values: Sequence[Decimal], open_alerts: dict[str, int]) -> None:
        """Continue after these total values, with the ids of unresolved alerts by key."""
        self._peak = max(values, default=ZERO)
        self._open = open_alerts

    def check(self, uow: AbstractUnitOfWork, total_value: Decimal) -> None:
        """Compare a day's total value with the limits."""
        self._peak = max(self._peak, total_value)
        fallen = max_drawdown([self._peak, total_value])
        for limit in LIMITS:
            alert_id = self._open.get(limit.key)
            if alert_id is None and fallen > limit.limit:
                message = (
                    f"Total value {total_value:,.2f} is {fallen:.2%} below its peak of "
                    f"{self._peak:,.2f}; the limit is {limit.limit:.0%}."
                )
                alert = handlers.raise_alert(
                    uow, "drawdown", limit.severity, message, source=SOURCE, dedup_key=limit.key
                )
                self._open[limit.key] = alert.id
            elif alert_id is not None and fallen < limit.limit / 2:
                resolution = f"Recovered: the drawdown is down to {fallen:.2%}."
                handlers.resolve_alert(uow, alert_id, resolution, resolved_by=SOURCE)
                del self._open[limit.key]
