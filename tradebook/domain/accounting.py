"""Position accounting: the rule by which one fill changes the running balance of a position.

Carries the exact cost basis (what the open quantity cost), not an average price, so nothing is lost
to a rounded average. For CASH settlement, after any fills and to the last digit:
`realized_pnl - fees == cash_flow + cost_basis`.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from operator import attrgetter
from typing import Any, Final, NamedTuple, cast

from tradebook.domain.assets import is_in_kind, net_of_foreign_fee
from tradebook.domain.events import Effect
from tradebook.domain.numbers import ZERO, canonical, divide, exact
from tradebook.domain.trades import Settlement, Trade, TradeAction, TradeStatus


class BookedTrade(NamedTuple):
    """The fields of a booked `Trade` that folding reads, under their names there."""

    id: int
    symbol: str
    order_id: str
    execution_id: str
    strategy: str
    decision_id: int | None
    action: TradeAction
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str
    currency: str
    multiplier: Decimal
    settlement: Settlement
    asset: str | None
    executed_at: datetime
    status: TradeStatus
    sequence: int
    booked_at: datetime
    realized_pnl: Decimal
    corrects_id: int | None
    busted_at: datetime | None
    bust_sequence: int | None

    @classmethod
    def from_trade(cls, trade: Trade) -> BookedTrade:
        """Take the values of an entity."""
        return cls._make(cast("Any", _values)(trade))

    @property
    def is_paid(self) -> bool:
        """True where the notional is paid: settlement CASH."""
        return self.settlement is Settlement.CASH

    @property
    def signed_quantity(self) -> Decimal:
        """Positive when bought, negative when sold."""
        bought = self.action is TradeAction.BUY
        return self.quantity if bought else self.quantity.copy_negate()


_values: Final = attrgetter(*BookedTrade._fields)


class Balance(NamedTuple):
    """A position's running totals.

    Attributes:
        quantity: signed; negative is short.
        cost_basis: what the open quantity cost; its sign follows quantity times price.
        realized_pnl: price P&L of what was closed, before fees.
        fees: paid, less rebates; a fee in the position's asset counts at the price of its trade.
        cash_flow: what the position did to cash in its own currency; negative is paid.
    """

    quantity: Decimal = ZERO
    cost_basis: Decimal = ZERO
    realized_pnl: Decimal = ZERO
    fees: Decimal = ZERO
    cash_flow: Decimal = ZERO

    def apply(self, trade: Trade | BookedTrade) -> Moved:
        """Apply `trade` to the balance, exact but for the one rounding of a partly removed cost.

        Raises:
            InvalidInput: its fee is taken from the asset, and leaves nothing of the quantity.
        """
        with exact():
            return self.moved(*net_fill(trade), trade.is_paid)

    def totals(self) -> dict[str, Decimal]:
        """Return the totals in canonical form, by the name of their field in a position."""
        return {name: canonical(total) for name, total in self._asdict().items()}

    def moved(self, size: Decimal, unit_cash: Decimal, fee: Decimal, in_cash: bool) -> Moved:
        """Apply a fill to the balance; call it inside `exact()`.

        Args:
            size: of the fill; positive when bought, negative when sold.
            unit_cash: price times multiplier.
            fee: in the position's currency; negative is a rebate.
            in_cash: whether the notional is paid: settlement CASH.
        """
        quantity, cost_basis, realized_pnl, fees, cash_flow = self
        after, paid, realized = quantity + size, size * unit_cash, ZERO
        if not quantity or quantity.is_signed() == size.is_signed():
            done = Effect.INCREASED if quantity else Effect.OPENED
            cost_basis += paid
        elif abs(size) < abs(quantity):
            done, removed = Effect.REDUCED, divide(cost_basis * abs(size), abs(quantity))
            realized, cost_basis = -paid - removed, cost_basis - removed
        else:  # through zero or to it: the whole position is closed, the rest of the fill opens another
            done = Effect.FLIPPED if after else Effect.CLOSED
            realized, cost_basis = quantity * unit_cash - cost_basis, after * unit_cash
        cash = -paid if in_cash else realized
        if fee:
            cash, fees = cash - fee, fees + fee
        balance = Balance(after, cost_basis, realized_pnl + realized, fees, cash_flow + cash)
        return Moved(balance, realized, done)


class Moved(NamedTuple):
    """The result of applying a fill to a balance.

    Attributes:
        balance: after it.
        realized: the price P&L of what it closed.
        effect: on the position.
    """

    balance: Balance
    realized: Decimal
    effect: Effect


def net_fill(trade: Trade | BookedTrade) -> tuple[Decimal, Decimal, Decimal]:
    """Return the size, the unit cash and the fee with which `Balance.moved` applies a trade; call it inside `exact()`.

    Raises:
        InvalidInput: its fee is taken from the asset, and leaves nothing of the quantity.
    """
    size, unit_cash, fee = trade.signed_quantity, trade.price * trade.multiplier, trade.fee
    if fee and trade.fee_currency != trade.currency:
        size, fee = net_of_foreign_fee(size, unit_cash, fee, is_in_kind(trade))
    return size, unit_cash, fee


def entry_time(at: datetime, sequence: int, updated_at: datetime) -> datetime:
    """Return the booking time of a position's next entry: `at`, but never before the last entry's time."""
    return max(at, updated_at) if sequence else at
