"""Assets: what the quantity of a position is units of, and fees that are not in the position's currency.

A fee in the asset is taken from the quantity: less arrives, or more leaves. A fee in a third asset moves no quantity
and no total of the position; it is kept beside them, by its currency.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Final, Protocol

from tradebook.domain.errors import InvalidInput
from tradebook.domain.limits import MAX_AMOUNT_PLACES
from tradebook.domain.numbers import EXACT, ZERO, Number, amount, plain
from tradebook.domain.plain_values import mapping
from tradebook.domain.validation import argument, asset_of, identifier

_MAX_TEXT: Final = 2 * MAX_AMOUNT_PLACES + 2


class Charged(Protocol):
    """A trade, as far as its fee goes: `Trade`, or the plain values that folding reads."""

    @property
    def symbol(self) -> str:
        """The instrument."""

    @property
    def asset(self) -> str | None:
        """The unit of the quantity; None for the asset that the symbol names."""

    @property
    def fee(self) -> Decimal:
        """The fee, in `fee_currency`."""

    @property
    def fee_currency(self) -> str:
        """The currency of the fee."""

    @property
    def currency(self) -> str:
        """The currency of the price."""

    @property
    def is_paid(self) -> bool:
        """True where the notional is paid: settlement CASH."""


def is_in_kind(trade: Charged) -> bool:
    """Return whether the fee of a trade is taken from the asset that it moves; only one that is paid moves any."""
    return trade.is_paid and trade.fee_currency == asset_of(trade)


def net_of_foreign_fee(
    size: Decimal, unit_cash: Decimal, fee: Decimal, in_kind: bool
) -> tuple[Decimal, Decimal]:
    """Return the size that moves the position, and the fee in its currency, of a fill whose fee is in another.

    Call it inside `exact()`. What a fee in kind takes is paid for at the price of the fill, and counts as a fee at
    that price. A fee in a third asset changes nothing here.

    Args:
        size: of the fill; positive when bought, negative when sold.
        unit_cash: price times multiplier.
        fee: not 0; negative is a rebate.
        in_kind: whether `is_in_kind` says so of the trade.

    Raises:
        InvalidInput: a fee in kind leaves nothing of the size.
    """
    if not in_kind:
        return size, ZERO
    net = size - fee
    if not net or net.is_signed() != size.is_signed():
        expected = f"less than the quantity {plain(abs(size))}, since it is taken from that"
        raise InvalidInput("fee", plain(fee), expected)
    return net, fee * unit_cash


def third_fee(trade: Charged) -> Decimal:
    """Return the fee of a trade that is in neither the currency nor the asset of its position; 0 for any other."""
    is_third = trade.fee_currency != trade.currency and not is_in_kind(trade)
    return trade.fee if is_third else ZERO


def with_fee(fees: Mapping[str, str], currency: str, fee: Decimal) -> dict[str, str]:
    """Return fees by currency, as text, with one more added to those of its currency.

    Currencies are sorted and those whose fees are 0 are left out, so that equal fees are written alike everywhere.
    """
    total = EXACT.add(Decimal(fees.get(currency, "0")), fee)
    added = {**fees, currency: plain(total)}
    return {name: added[name] for name in sorted(added) if name != currency or total}


def fees_by_currency(value: Mapping[str, Number]) -> dict[str, str]:
    """Check fees by currency, and write them in canonical form."""
    fees = {
        identifier(currency): plain(argument(currency, _total, fee))
        for currency, fee in mapping(value).items()
    }
    return {currency: fees[currency] for currency in sorted(fees) if fees[currency] != "0"}


def _total(fee: Number) -> Decimal:
    """Convert a sum of fees, which may have more digits as text than a number that a caller gives."""
    try:
        return amount(Decimal(fee) if type(fee) is str and len(fee) <= _MAX_TEXT else fee)
    except InvalidOperation:
        raise InvalidInput("", fee, "a number") from None
