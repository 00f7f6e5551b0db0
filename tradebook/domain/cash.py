"""Accounts, and cash flows that no trade caused: deposits, dividends, interest, funding."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from itertools import count
from typing import ClassVar, Final

from attrs import define, field, frozen

from tradebook.domain.entity import IMMUTABLE, Entity, named_fields
from tradebook.domain.errors import InvalidInput, InvalidTransition
from tradebook.domain.events import AccountOpened, CashFlowBusted, CashFlowRecorded
from tradebook.domain.numbers import EXACT, ZERO, canonical, nonzero
from tradebook.domain.validation import (
    enum_member,
    identifier,
    optional_id,
    optional_identifier,
    optional_long_text,
    optional_utc,
    utc,
    utc_now,
)


class CashFlowKind(StrEnum):
    """The kinds of cash flows: external ones move money in or out, all others earn or cost it."""

    DEPOSIT = "DEPOSIT"
    WITHDRAWAL = "WITHDRAWAL"
    TRANSFER = "TRANSFER"
    DIVIDEND = "DIVIDEND"
    INTEREST = "INTEREST"
    FUNDING = "FUNDING"
    FEE = "FEE"
    TAX = "TAX"
    ADJUSTMENT = "ADJUSTMENT"


ALL_ACCOUNTS: Final = "all"
_RESERVED: Final = (ALL_ACCOUNTS, "*")
"""Names that stand for every account: on the command line, and in the bindings of roles."""

EXTERNAL: Final = (CashFlowKind.DEPOSIT, CashFlowKind.WITHDRAWAL, CashFlowKind.TRANSFER)


def cash_flow_kind(value: CashFlowKind | str) -> CashFlowKind:
    """Convert text to a `CashFlowKind`."""
    return enum_member(CashFlowKind, value)


def account_name(value: str) -> str:
    """Check the name of an account that a book is opened on."""
    name = identifier(value)
    if name in _RESERVED:
        raise InvalidInput("", name, "the name of one account: this one stands for all of them")
    return name


def numbered_references(wanted: str) -> Iterator[str]:
    """Return the references under which a cash flow may be recorded, without end: `w-1`, `w-1 #2`, `w-1 #3`."""
    yield wanted
    yield from (f"{wanted} #{number}" for number in count(2))


def check_base_currency(account: str, base_currency: str | None, named: str | None) -> None:
    """Refuse a base currency that was named and is not the one that the account was opened with.

    Args:
        account: its name.
        base_currency: the account's; None where it is not open yet.
        named: the one that the caller names; None where none was named.
    """
    if base_currency is not None and named not in (None, base_currency):
        expected = f"{base_currency}, in which account {account!r} was opened, or none"
        raise InvalidInput("base_currency", named, expected)


@define(slots=False, eq=False, kw_only=True, field_transformer=named_fields)
class Account(Entity):
    """A tenant of the book, opened by its first trade, cash flow or snapshot.

    Attributes:
        base_currency: the currency of its snapshots.
    """

    base_currency: str = field(default="USD", converter=identifier, on_setattr=IMMUTABLE)

    def opened(self) -> AccountOpened:
        """Return the event that the first use of this account emits."""
        return AccountOpened(base_currency=self.base_currency)


@define(slots=False, eq=False, kw_only=True, field_transformer=named_fields)
class CashFlow(Entity):
    """Cash that no trade moved; append-only: a wrong entry is busted by another one, its reversal.

    Attributes:
        kind: see `CashFlowKind`.
        amount: in `currency`, signed by its effect on cash; DEPOSIT > 0, WITHDRAWAL < 0.
        currency: of the amount.
        symbol: the instrument that it came from, such as a dividend's.
        occurred_at: the time when cash moved, UTC.
        entitled_at: the time at which the holders of `symbol` became entitled to it, UTC: the ex-date of a dividend.
            None where it is not known, and `occurred_at` is taken for it.
        reference: unique in the account; recording the same entry again returns the first.
        busts_id: the cash flow that this entry, its reversal, takes back; none of any other entry.
        bust_reason: the reason that the actor of the bust gave.
    """

    ordered_by: ClassVar[str] = "occurred_at"

    kind: CashFlowKind = field(converter=cash_flow_kind, on_setattr=IMMUTABLE)
    amount: Decimal = field(converter=nonzero, on_setattr=IMMUTABLE)
    currency: str = field(default="USD", converter=identifier, on_setattr=IMMUTABLE)
    symbol: str | None = field(default=None, converter=optional_identifier, on_setattr=IMMUTABLE)
    occurred_at: datetime = field(factory=utc_now, converter=utc, on_setattr=IMMUTABLE)
    entitled_at: datetime | None = field(default=None, converter=optional_utc, on_setattr=IMMUTABLE)
    reference: str = field(converter=identifier, on_setattr=IMMUTABLE)
    busts_id: int | None = field(default=None, converter=optional_id, on_setattr=IMMUTABLE)
    bust_reason: str | None = field(
        default=None, converter=optional_long_text, on_setattr=IMMUTABLE
    )

    def __attrs_post_init__(self) -> None:
        """Refuse a deposit or withdrawal of the wrong sign, unless it takes one back."""
        if self.busts_id is not None:
            return
        if self.kind is CashFlowKind.DEPOSIT and self.amount < ZERO:
            raise InvalidInput("amount", self.amount, "a DEPOSIT above 0")
        if self.kind is CashFlowKind.WITHDRAWAL and self.amount > ZERO:
            raise InvalidInput("amount", self.amount, "a WITHDRAWAL below 0 (its effect on cash)")

    def recorded(self) -> CashFlowRecorded:
        """Return the event that recording this cash flow emits."""
        return CashFlowRecorded(
            kind=self.kind, amount=self.amount, currency=self.currency, reference=self.reference
        )

    @property
    def reversal_reference(self) -> str:
        """The reference of the entry that takes this one back: only one can."""
        return f"bust of {self.id}"

    def reversal(self, reason: str, at: datetime) -> CashFlow:
        """Return the entry that takes this one back: the same, with the opposite amount.

        It has the same `occurred_at`, so that no view by trade times shows either.

        Raises:
            InvalidTransition: this entry takes another one back.
        """
        if self.busts_id is not None:
            raise InvalidTransition(
                f"cash flow {self.reference!r} takes back cash flow {self.busts_id} and cannot be busted; "
                "record what counts with record_cash_flow, under another reference"
            )
        return CashFlow(
            account=self.account,
            kind=self.kind,
            amount=self.amount.copy_negate(),  # unlike a minus sign it keeps all digits
            currency=self.currency,
            symbol=self.symbol,
            occurred_at=self.occurred_at,
            entitled_at=self.entitled_at,
            reference=self.reversal_reference,
            busts_id=self.id,
            bust_reason=reason,
            created_at=at,
        )

    def busted(self, reversal: CashFlow) -> CashFlowBusted:
        """Return the event that recording the reversal of this cash flow emits."""
        return CashFlowBusted(
            reference=self.reference,
            reason=reversal.bust_reason or "",
            reversal_id=reversal.id,
        )


@frozen
class CashTotal:
    """The sum of an account's cash flows in one currency.

    Attributes:
        currency: of both sums.
        external: deposits, withdrawals and transfers.
        income: all other kinds.
    """

    currency: str
    external: Decimal = ZERO
    income: Decimal = ZERO


def cash_totals(amounts: Iterable[tuple[str, CashFlowKind, Decimal]]) -> tuple[CashTotal, ...]:
    """Add up cash flows exactly, by currency.

    Args:
        amounts: (currency, kind, amount) of flows, or of sums of flows of one kind.
    """
    sums: dict[str, dict[bool, Decimal]] = {}
    for currency, kind, amount in amounts:
        of_currency = sums.setdefault(currency, {True: ZERO, False: ZERO})
        external = kind in EXTERNAL
        of_currency[external] = EXACT.add(of_currency[external], amount)
    return tuple(
        CashTotal(currency, external=canonical(s[True]), income=canonical(s[False]))
        for currency, s in sorted(sums.items())
    )
