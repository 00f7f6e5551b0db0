"""Results of single fills: what each opened and closed, and what trades earned, by currency.

A fill's effect follows from the event of its booking, so that no other trade of its symbol is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

from attrs import frozen

from tradebook.domain.accounting import net_fill
from tradebook.domain.assets import third_fee
from tradebook.domain.events import Effect
from tradebook.domain.numbers import EXACT, ZERO, canonical, exact, sums_by_name
from tradebook.domain.trades import Trade, TradeStatus
from tradebook.domain.validation import Json

_CLOSING: Final = (Effect.REDUCED, Effect.CLOSED, Effect.FLIPPED)


@frozen
class FillEffect:
    """The effect of one fill on its position; `realized_pnl == proceeds - cost_removed`, exactly.

    Attributes:
        effect: OPENED, INCREASED, REDUCED, CLOSED or FLIPPED.
        quantity_before: the position's signed quantity before the fill, in units of the asset.
        quantity_after: the same after it.
        closed: the quantity that it closed, 0 or above.
        opened: the quantity that it opened, 0 or above; of a fill whose fee is taken from the asset, net of that.
        cost: of what it opened, in the trade's currency; negative of a short one.
        proceeds: of what it closed, in the trade's currency; negative where a short position was bought back.
        cost_removed: the cost basis of what it closed, in the trade's currency; negative of a short one.
        realized_pnl: price P&L of what it closed, in the trade's currency, before fees.
    """

    effect: Effect
    quantity_before: Decimal
    quantity_after: Decimal
    closed: Decimal
    opened: Decimal
    cost: Decimal
    proceeds: Decimal
    cost_removed: Decimal
    realized_pnl: Decimal


def fill_effect(trade: Trade, payload: Mapping[str, Json]) -> FillEffect | None:
    """Return the effect of a booked trade, as the event of its booking states it.

    Args:
        trade: EXECUTED.
        payload: of the event that recorded its booking.

    Returns:
        The effect; None where the event states none (that of a correction), or states another size or another
        realized P&L than the trade has now.
    """
    stated = [payload.get(name) for name in ("quantity_before", "quantity_after", "realized_pnl")]
    if "effect" not in payload or None in stated:
        return None
    before, after, realized = (canonical(Decimal(str(value))) for value in stated)
    with exact():
        size, unit_cash, _ = net_fill(trade)
        if after - before != size or realized != trade.realized_pnl:
            return None
        effect = Effect(payload["effect"])
        closed = min(abs(size), abs(before)) if effect in _CLOSING else ZERO
        opened = abs(size) - closed
        proceeds = (closed if before > 0 else -closed) * unit_cash
        return FillEffect(
            effect=effect,
            quantity_before=before,
            quantity_after=after,
            closed=canonical(closed),
            opened=canonical(opened),
            cost=canonical((opened if size > 0 else -opened) * unit_cash),
            proceeds=canonical(proceeds),
            cost_removed=canonical(proceeds - realized),
            realized_pnl=realized,
        )


class Bust(NamedTuple):
    """A trade that was taken out of its position.

    Attributes:
        sequence: the entry in its position's ledger that booked it.
        bust_sequence: the entry that busted it.
    """

    sequence: int
    bust_sequence: int


def is_refolded(sequence: int, busts: Iterable[Bust]) -> bool:
    """Return whether a trade was folded again after it was booked, because one before it was busted.

    A correction counts at the place of the trade that it corrects, whose bust precedes it.

    Args:
        sequence: the entry that booked the trade.
        busts: of its symbol.
    """
    return any(bust.sequence < sequence < bust.bust_sequence for bust in busts)


@frozen
class Earned:
    """Earnings of trades in one currency.

    Attributes:
        currency: of all amounts.
        realized_pnl: price P&L of what they closed, before fees.
        fees: that they paid, less rebates; a fee that was taken from the asset counts at the price of its trade.
    """

    currency: str
    realized_pnl: Decimal
    fees: Decimal

    @property
    def net_pnl(self) -> Decimal:
        """Realized P&L less fees."""
        return canonical(EXACT.subtract(self.realized_pnl, self.fees))


def earned(trades: Sequence[Trade]) -> list[Earned]:
    """Add up what trades realized and paid, exactly; only those that count, sorted by currency."""
    counting = [trade for trade in trades if trade.status is TradeStatus.EXECUTED]
    with exact():
        fees = [(net_fill(trade)[2], trade.currency) for trade in counting]
    others = [(fee, trade.fee_currency) for trade in counting if (fee := third_fee(trade))]
    paid = sums_by_name([*fees, *others])
    realized = sums_by_name((trade.realized_pnl, trade.currency) for trade in counting)
    return [Earned(currency, realized.get(currency, ZERO), fee) for currency, fee in paid.items()]
