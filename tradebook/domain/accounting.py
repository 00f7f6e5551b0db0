"""The fold: what one fill does to the running balance of a position.

Carries the exact cost basis (what the open quantity cost), not an average price, so nothing is lost
to a rounded average. For CASH settlement, after any fills and to the last digit:
`realized_pnl - fees == cash_flow + cost_basis`.
"""

from __future__ import annotations

from decimal import Decimal

from attrs import frozen

from tradebook.domain.events import Effect
from tradebook.domain.numbers import ZERO, divide, exact
from tradebook.domain.trades import Settlement, Trade


@frozen
class Balance:
    """A position's running totals.

    Attributes:
        quantity: signed; negative is short.
        cost_basis: what the open quantity cost; its sign follows quantity times price.
        realized_pnl: price P&L of what was closed, before fees.
        fees: paid, less rebates.
        cash_flow: what the position did to cash; negative is paid.
    """

    quantity: Decimal = ZERO
    cost_basis: Decimal = ZERO
    realized_pnl: Decimal = ZERO
    fees: Decimal = ZERO
    cash_flow: Decimal = ZERO

    def after(self, trade: Trade) -> Balance:
        """This balance after `trade`; exact but for the one rounding of a partly removed cost."""
        size, unit_cash = trade.signed_quantity, trade.price
        with exact():
            unit_cash *= trade.multiplier
            closed = _closed(self.quantity, size)
            removed = self._removed_cost(closed)
            # What closing brought in: selling a long receives, covering a short pays.
            proceeds = unit_cash * (closed if self.quantity > 0 else -closed)
            realized = proceeds - removed if closed else ZERO
            opened = size + closed if size < 0 else size - closed
            if trade.settlement is Settlement.CASH:
                cash = -size * unit_cash - trade.fee
            else:
                cash = realized - trade.fee
            return Balance(
                quantity=self.quantity + size,
                cost_basis=self.cost_basis - removed + opened * unit_cash,
                realized_pnl=self.realized_pnl + realized,
                fees=self.fees + trade.fee,
                cash_flow=self.cash_flow + cash,
            )

    def _removed_cost(self, closed: Decimal) -> Decimal:
        if not closed:
            return ZERO
        held = abs(self.quantity)
        if closed == held:
            return self.cost_basis
        return divide(self.cost_basis * closed, held)


def _closed(held: Decimal, size: Decimal) -> Decimal:
    """How much of `held` a fill of `size` closes, unsigned: none when they point the same way."""
    same_way = (held > 0) == (size > 0)
    return ZERO if not held or same_way else min(abs(size), abs(held))


def effect(before: Decimal, after: Decimal) -> Effect:
    """What happened to a position whose signed quantity went from `before` to `after`."""
    if not before:
        return Effect.OPENED
    if not after:
        return Effect.CLOSED
    if (before > 0) != (after > 0):
        return Effect.FLIPPED
    grows = after.copy_abs() > before.copy_abs()  # unlike abs() it keeps all digits
    return Effect.INCREASED if grows else Effect.REDUCED
