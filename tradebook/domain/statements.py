"""What a venue says of an account in a period, and how it differs from what the book has."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from attrs import frozen

from tradebook.domain.balances import BalanceDifference


class DiscrepancyKind(StrEnum):
    """MISSING: the book has not what the venue has. SURPLUS: the other way round. DIFFERENT: not on the same terms."""

    MISSING = "MISSING"
    SURPLUS = "SURPLUS"
    DIFFERENT = "DIFFERENT"


RECORDS: Final = ("record_trade", "record_cash_flow")
"""The operations of mends that record an entry; the others take one back, or correct it."""


@frozen
class VenueStatement:
    """What a venue says of an account in a period, as `reconcile_statement` compares it with the book.

    Attributes:
        start: the first instant of the period, UTC; by default the time of its first entry.
        end: the first instant after the period, UTC; by default just after its last entry. Positions and balances are
            those of this time.
        trades: every fill of the period, as the terms of `record_trade`; None where it does not list them.
        cash_flows: every cash flow, as the terms of `record_cash_flow`; None where it does not list them.
        flow_kinds: the kinds of cash flows that it lists; all of them where this is empty.
        venues: the venues whose trades it lists, as trades of the book name them; all of them where this is empty. A
            trade of the book that names no venue is looked for in any case.
        positions: the quantity of each symbol at the end, negative where it is short; None where it does not say them.
        balances: the amount of each asset at the end that it names, as for `reconcile`; None where it does not say
            them.
    """

    start: datetime | str | None = None
    end: datetime | str | None = None
    trades: Collection[Mapping[str, Any]] | None = None
    cash_flows: Collection[Mapping[str, Any]] | None = None
    flow_kinds: Collection[str] = ()
    venues: Collection[str] = ()
    positions: Mapping[str, Any] | None = None
    balances: Mapping[str, Any] | None = None


@frozen
class Mend:
    """A call that makes the book say what the venue says.

    Attributes:
        operation: the name of an operation of the book, such as `record_trade`.
        arguments: its keyword arguments, without the reason.
    """

    operation: str
    arguments: dict[str, Any]


@frozen
class Discrepancy:
    """A trade, a cash flow, or the fills of an order that the venue and the book do not both have alike.

    Attributes:
        kind: what is wrong.
        entity: Trade or CashFlow.
        at: its time, UTC: the venue's, or of what only the book has the book's.
        name: the entry in words.
        ids: of the book's records; empty where it has none.
        terms: the venue's, of each of its entries; empty where it has none.
        changes: the terms that differ, each with the book's value and the venue's.
        note: what else is known, such as why there is nothing to propose.
        mends: the calls that would mend it.
    """

    kind: DiscrepancyKind
    entity: str
    at: datetime
    name: str
    ids: tuple[int, ...] = ()
    terms: tuple[dict[str, Any], ...] = ()
    changes: Mapping[str, tuple[Any, Any]] = {}
    note: str = ""
    mends: tuple[Mend, ...] = ()


@frozen
class PositionDifference:
    """A symbol of which the book and the venue do not hold the same at the end of a statement.

    Attributes:
        symbol: its name.
        book: the quantity in the book; negative is short.
        venue: the quantity that the venue says.
        difference: `venue - book`.
    """

    symbol: str
    book: Decimal
    venue: Decimal
    difference: Decimal


@frozen
class ReconciledStatement:
    """The result of `reconcile_statement`.

    Attributes:
        account: the account that was compared.
        start: the first instant of the period, UTC; None where the statement is empty.
        end: the first instant after it.
        trades: the number of the venue's trades that the book has, on the same terms.
        cash_flows: the number of its cash flows that the book has.
        discrepancies: what is not alike, by time.
        positions: the symbols whose quantity at the end differs, sorted.
        balances: the assets whose balance at the end differs, sorted.
        compared: of `trades`, `cash flows`, `positions` and `balances` those that the statement says.
    """

    account: str
    start: datetime | None
    end: datetime | None
    trades: int
    cash_flows: int
    discrepancies: tuple[Discrepancy, ...]
    positions: tuple[PositionDifference, ...]
    balances: tuple[BalanceDifference, ...]
    compared: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """True where nothing differs."""
        return not (self.discrepancies or self.positions or self.balances)

    @property
    def mends(self) -> tuple[Mend, ...]:
        """The calls that would mend the discrepancies: what is wrong is taken back before what is right is recorded."""
        found = [mend for each in self.discrepancies for mend in each.mends]
        return tuple(sorted(found, key=lambda mend: mend.operation in RECORDS))
