"""Balances of assets, over all positions and cash, and their comparison with what a venue says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from itertools import chain
from typing import Any, Final

from attrs import frozen

from tradebook.domain.accounting import net_fill
from tradebook.domain.assets import third_fee
from tradebook.domain.errors import InvalidInput, shown
from tradebook.domain.numbers import EXACT, ZERO, Number, canonical, exact, number, sums_by_name
from tradebook.domain.plain_values import is_instance, mapping
from tradebook.domain.portfolio import Holdings
from tradebook.domain.trades import Trade, TradeStatus
from tradebook.domain.validation import argument, asset_of, identifier

_TOTAL: Final = "total"
"""The key under which ccxt's `fetch_balance` gives what is free and used together, by asset."""


@frozen
class AssetBalance:
    """The amount of an asset that an account has: `balance = positions + cash`.

    Attributes:
        asset: a currency, a coin, or another instrument, such as a stock.
        positions: the sum of the quantities of all CASH positions in the asset; negative is short.
        cash: the account's cash in it, as `get_cash_balances` gives it.
        balance: the sum of both, in units of the asset.
    """

    asset: str
    positions: Decimal = ZERO
    cash: Decimal = ZERO
    balance: Decimal = ZERO


@frozen
class AssetEntry:
    """A trade or a cash flow that changed the balance of an asset.

    Attributes:
        entity: Trade or CashFlow.
        id: of the record.
        name: the trade's order in words, or the cash flow's kind and reference.
        at: trade time, or `occurred_at`, UTC.
        amount: what it added to the balance; negative is taken.
    """

    entity: str
    id: int
    name: str
    at: datetime
    amount: Decimal


@frozen
class BalanceDifference:
    """One asset of which the book and the venue do not have the same.

    Attributes:
        asset: its name.
        book: the balance in the book.
        venue: the balance that the venue says; 0 where it names none.
        difference: `venue - book`: what the book lacks; negative is what it has too much.
        entries: the last ones that changed the book's balance, newest first.
    """

    asset: str
    book: Decimal
    venue: Decimal
    difference: Decimal
    entries: tuple[AssetEntry, ...] = ()


@frozen
class Reconciliation:
    """The result of `reconcile`.

    Attributes:
        account: the account that was compared.
        assets: the number of assets compared: all that the book or the venue has.
        differences: the assets that differ by more than the tolerance, sorted by name.
    """

    account: str
    assets: int
    differences: tuple[BalanceDifference, ...]

    @property
    def agrees(self) -> bool:
        """True where no asset differs."""
        return not self.differences


def balances_of(holdings: Holdings) -> list[AssetBalance]:
    """Return the balance of every asset that was ever held, sorted by asset.

    A MARGINED position holds nothing of its asset: it moves cash only.
    """
    held = sums_by_name((p.quantity, p.asset) for p in holdings.positions if p.is_paid)
    flows = ((amount, t.currency) for t in holdings.cash for amount in (t.external, t.income))
    moved = (moved for position in holdings.positions for moved in position.cash_moved)
    cash = sums_by_name(chain(flows, moved))
    balances = sums_by_name((each[asset], asset) for each in (held, cash) for asset in each)
    return [
        AssetBalance(asset, held.get(asset, ZERO), cash.get(asset, ZERO), balance)
        for asset, balance in balances.items()
    ]


def effects_of(trade: Trade) -> dict[str, Decimal]:
    """Return what a trade adds to the balance of each asset that it changes; nothing where it does not count.

    The sum over all trades and cash flows is what `balances_of` returns.
    """
    if trade.status is not TradeStatus.EXECUTED:
        return {}
    with exact():
        size, unit_cash, fee = net_fill(trade)
        earned = -size * unit_cash if trade.is_paid else trade.realized_pnl
        effects = [(earned - fee, trade.currency), (-third_fee(trade), trade.fee_currency)]
    if trade.is_paid:
        effects.append((size, asset_of(trade)))
    return {asset: amount for asset, amount in sums_by_name(effects).items() if amount}


def differing(
    book: Mapping[str, Decimal], venue: Mapping[str, Decimal], also: Iterable[str], most: Decimal
) -> Iterator[tuple[str, Decimal, Decimal, Decimal]]:
    """Compare the amounts of the book and of a venue.

    Args:
        book: the book's, by name.
        venue: the venue's; one that it does not name counts as 0.
        also: names that are compared though the venue does not name them.
        most: the largest difference that is passed over.

    Yields:
        Name, the book's amount, the venue's, and `venue - book`, of each that differs; sorted by name.
    """
    for name in sorted({*venue, *also}):
        ours, theirs = book.get(name, ZERO), venue.get(name, ZERO)
        difference = canonical(EXACT.subtract(theirs, ours))
        if difference.copy_abs() > most:
            yield name, ours, theirs, difference


def venue_balances(given: Mapping[str, Any]) -> dict[str, Decimal]:
    """Convert the balances that a venue says.

    Args:
        given: the balance by asset, or the result of ccxt's `fetch_balance`, of which `total` counts.

    Raises:
        InvalidInput: naming the asset, or what is no mapping.
    """
    said = argument("balances", mapping, given)
    totals: Any = said.get(_TOTAL)
    by_asset = mapping(totals) if is_instance(totals, Mapping) else said
    return {
        argument("balances", identifier, asset): argument(
            f"balances[{shown(asset)}]", _balance, amount
        )
        for asset, amount in by_asset.items()
    }


def _balance(value: Number | None) -> Decimal:
    if value is None:
        raise InvalidInput(
            "", value, "a number: the venue does not say how much; leave the asset out"
        )
    return number(value)
