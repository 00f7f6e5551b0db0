"""Outcomes of decisions: the move of the price, or the P&L of their trades; exact, in the symbol's currency."""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal
from enum import StrEnum
from typing import TypeAlias

from tradebook.domain.accounting import BookedTrade, net_fill
from tradebook.domain.assets import third_fee
from tradebook.domain.numbers import ONE, ZERO, canonical, exact


class OutcomeKind(StrEnum):
    """The outcomes by which decisions are judged: the later price, or the P&L of their trades."""

    PRICE = "price"
    PNL = "pnl"


class Unscored(StrEnum):
    """The reasons for which a decision has no outcome.

    UNFINISHED: its horizon is not over. NO_PRICE: there is no price before or after it. NO_TRADE: no trade of it was
    executed within the horizon. OPEN: its trades realized nothing. UNCONVERTED: they paid fees in a third asset, or have
    several currencies.
    """

    UNFINISHED = "unfinished"
    NO_PRICE = "no_price"
    NO_TRADE = "no_trade"
    OPEN = "open"
    UNCONVERTED = "unconverted"


Outcome: TypeAlias = Decimal | Unscored
"""The gain of a decision, above 0 where it was right; or the reason why it has none."""


def price_outcome(direction: int, before: Decimal | None, after: Decimal | None) -> Outcome:
    """Return the move of the price in the direction of a decision, 1 for BUY or -1 for SELL."""
    return gain(direction, ONE, ONE, before, after)


def gain(
    direction: int,
    quantity: Decimal,
    multiplier: Decimal,
    before: Decimal | None,
    after: Decimal | None,
) -> Outcome:
    """Return what a quantity above 0, bought or sold at one price, earns until another price; without fees."""
    if before is None or after is None:
        return Unscored.NO_PRICE
    with exact():
        return canonical((after - before) * quantity * multiplier * direction)


def realized_outcome(trades: Collection[BookedTrade]) -> Outcome:
    """Return the realized P&L of trades less their fees.

    The P&L is what each trade realized in the book, against the position's average cost. Trades that realized nothing
    have no outcome yet: they only opened or increased a position, or closed it at exactly its cost.
    """
    if not trades:
        return Unscored.NO_TRADE
    if not any(trade.realized_pnl for trade in trades):
        return Unscored.OPEN
    if len({trade.currency for trade in trades}) > 1 or any(third_fee(each) for each in trades):
        return Unscored.UNCONVERTED
    with exact():
        return canonical(sum((each.realized_pnl - net_fill(each)[2] for each in trades), ZERO))
