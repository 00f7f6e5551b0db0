"""Equity curves: the value of an account, or of each of its strategies, agents or symbols, at points of time."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final

from attrs import fields, frozen


class Basis(StrEnum):
    """The records that count at a time.

    RECORDED: those that the book had then, by their booking times; a trade counts until it was busted.
    RESTATED: those that are true now and had happened by then, by their own times.
    """

    RECORDED = "recorded"
    RESTATED = "restated"


class EquityBy(StrEnum):
    """The groups of an equity curve, as those of `attribution` under the same names."""

    STRATEGY = "strategy"
    AGENT = "agent"
    SYMBOL = "symbol"


@frozen(kw_only=True)
class EquityPoint:
    """The value of an account or of a group at a time; all amounts are in the account's base currency.

    To the last digit: `total_value = cash + positions_value
    = external_flows + income + realized_pnl + unrealized_pnl - fees`.

    Attributes:
        time: UTC; what happened at this time is included.
        total_value: of the account; of a group what it adds to that of the account.
        cash: of the account; of a group what its trades and its income did to it.
        positions_value: market value of CASH positions and unrealized P&L of MARGINED ones.
        gross_exposure: sum of the absolute market values of positions; of those of each group, where there are groups.
        net_exposure: sum of the market values.
        realized_pnl: before fees, since the first trade; of a group on a cost basis of its own.
        unrealized_pnl: of what is open.
        fees: since the first trade; a rebate counts below 0.
        income: dividends, interest, funding and other cash flows.
        external_flows: deposits less withdrawals, with transfers.
        group: the name of the group; "" for the account, `none` for what belongs to no group.
        kind: of the group, as in `AttributionRow`; "" for the account.
    """

    time: datetime
    total_value: Decimal
    cash: Decimal
    positions_value: Decimal
    gross_exposure: Decimal
    net_exposure: Decimal
    realized_pnl: Decimal
    unrealized_pnl: Decimal
    fees: Decimal
    income: Decimal
    external_flows: Decimal
    group: str = ""
    kind: str = ""


_NAMES: Final = tuple(each.name for each in fields(EquityPoint))
AMOUNTS: Final = _NAMES[_NAMES.index("total_value") : _NAMES.index("group")]
"""The amounts of a point, in the order of columns."""
