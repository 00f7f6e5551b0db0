"""The fold: what one fill does to the running balance of a position.

Carries the exact cost basis (what the open quantity cost), not an average price, so nothing is lost
to a rounded average. For CASH settlement, after any fills and to the last digit:
`realized_pnl - fees == cash_flow + cost_basis`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from tradebook.domain.events import Effect
from tradebook.domain.numbers import ZERO, divide, exact
from tradebook.domain.trades import Settlement, Trade


class Balance(NamedTuple):
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
        size, in_cash = trade.signed_quantity, trade.settlement is Settlement.CASH
        with exact():
            return self.moved(size, trade.price * trade.multiplier, trade.fee, in_cash)[0]

    def moved(
        self, size: Decimal, unit_cash: Decimal, fee: Decimal, in_cash: bool
    ) -> tuple[Balance, Decimal]:
        """The rule itself, to be called inside `exact()`.

        Args:
            size: of the fill; positive when bought, negative when sold.
            unit_cash: price times multiplier.
            fee: negative is a rebate.
            in_cash: whether the notional is paid: settlement CASH.

        Returns:
            This balance after the fill, and the price P&L that the fill realized.
        """
        quantity, cost_basis, realized_pnl, fees, cash_flow = self
        closed = _closed(quantity, size) if quantity else ZERO
        if closed:
            removed = self._removed_cost(closed)
            # What closing brought in: selling a long receives, covering a short pays.
            proceeds = unit_cash * (closed if quantity > 0 else -closed)
            realized = proceeds - removed
            opened = size + closed if size < 0 else size - closed
            cost_basis = cost_basis - removed + opened * unit_cash
            realized_pnl += realized
        else:
            realized = ZERO
            cost_basis += size * unit_cash
        cash = -size * unit_cash if in_cash else realized
        if fee:
            cash -= fee
            fees += fee
        after = Balance(quantity + size, cost_basis, realized_pnl, fees, cash_flow + cash)
        return after, realized

    def _removed_cost(self, closed: Decimal) -> Decimal:
        held = abs(self.quantity)
        if closed == held:
            return self.cost_basis
        return divide(self.cost_basis * closed, held)


def _closed(held: Decimal, size: Decimal) -> Decimal:
    """How much of `held` a fill of `size` closes, unsigned: none when they point the same way."""
    same_way = (held > 0) == (size > 0)
    return ZERO if same_way else min(abs(size), abs(held))


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
