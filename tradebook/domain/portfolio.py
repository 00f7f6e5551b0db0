"""Portfolio snapshots: the holdings and the value of an account at one instant, immutable."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from operator import itemgetter
from typing import Any, ClassVar, Final, TypeAlias

from attrs import define, field, frozen

from tradebook.domain.assets import fees_by_currency
from tradebook.domain.cash import CashTotal
from tradebook.domain.entity import IMMUTABLE, Entity, named_fields
from tradebook.domain.errors import InvalidInput, InvalidTransition, MissingRate, shown
from tradebook.domain.events import SnapshotTaken
from tradebook.domain.evidence import digest_of_row
from tradebook.domain.numbers import (
    EXACT,
    ONE,
    ZERO,
    Number,
    amount,
    canonical,
    exact,
    number,
    plain,
    positive,
)
from tradebook.domain.plain_values import mapping
from tradebook.domain.positions import Position
from tradebook.domain.trades import Settlement, Trade, settlement_kind
from tradebook.domain.validation import (
    Json,
    argument,
    identifier,
    json_object,
    record_id,
    utc,
    utc_now,
)

BOOK: Final = "book"
EXTERNAL_SOURCE: Final = "external"
AS_OF: Final = "as of"
"""The source of a valuation for a time in the past, which is not stored."""


_COPIED: Final = (
    *("symbol", "quantity", "cost_basis", "current_price", "realized_pnl", "fees", "cash_flow"),
    *("currency", "multiplier", "settlement", "other_fees", "sequence"),
)
"""The fields of a position that a snapshot copies."""


@define(slots=False, eq=False, kw_only=True, field_transformer=named_fields)
class PortfolioPosition(Entity):
    """One open position in a snapshot; all amounts in the position's own `currency`.

    Attributes:
        portfolio_id: the snapshot that it belongs to.
        symbol, quantity, cost_basis, current_price, market_value, unrealized_pnl, realized_pnl,
            fees, cash_flow, other_fees: as `Position` had them.
        currency, multiplier, settlement: the instrument's constants.
        sequence: the snapshot holds exactly the trades up to this one.
    """

    portfolio_id: int = field(default=0, converter=record_id)
    symbol: str = field(converter=identifier, on_setattr=IMMUTABLE)
    quantity: Decimal = field(converter=amount, on_setattr=IMMUTABLE)
    cost_basis: Decimal = field(converter=amount, on_setattr=IMMUTABLE)
    current_price: Decimal = field(converter=number, on_setattr=IMMUTABLE)
    market_value: Decimal = field(converter=amount, on_setattr=IMMUTABLE)
    unrealized_pnl: Decimal = field(converter=amount, on_setattr=IMMUTABLE)
    realized_pnl: Decimal = field(converter=amount, on_setattr=IMMUTABLE)
    fees: Decimal = field(converter=amount, on_setattr=IMMUTABLE)
    cash_flow: Decimal = field(converter=amount, on_setattr=IMMUTABLE)
    currency: str = field(converter=identifier, on_setattr=IMMUTABLE)
    multiplier: Decimal = field(converter=positive, on_setattr=IMMUTABLE)
    settlement: Settlement = field(converter=settlement_kind, on_setattr=IMMUTABLE)
    other_fees: dict[str, str] = field(
        factory=dict, converter=fees_by_currency, on_setattr=IMMUTABLE
    )
    sequence: int = field(converter=record_id, on_setattr=IMMUTABLE)


PositionRow: TypeAlias = dict[str, Any]
"""The fields of a `PortfolioPosition` by name; `id` and `portfolio_id` from when it is recorded.

The values are those of a position, checked already: an entity of 1,000 of them would convert them all again.
"""


def position_row(position: Position, at: datetime) -> PositionRow:
    """Copy a position with its value at its current price.

    Raises:
        InvalidTransition: the position has no current price.
    """
    held, value = vars(position), position.market_value  # past the ORM's attributes
    if value is None:
        raise InvalidTransition(f"{position.symbol} has no current price; mark it first")
    return {
        "account": held["account"],
        "created_at": at,
        "updated_at": at,
        "market_value": value,
        "unrealized_pnl": canonical(EXACT.subtract(value, held["cost_basis"])),
        **{name: held[name] for name in _COPIED},
    }


@frozen
class Holdings:
    """The positions and cash of an account, read at one instant.

    Attributes:
        positions: every position that was ever traded; flat ones count for their realized P&L.
        cash: the sums of its cash flows, one for each currency.
        base_currency: of the account; None where it is not open yet.
        snapshot_at: the time of its last snapshot, UTC.
        cash_flows: how many cash flows `cash` adds up, and the highest id of them.
    """

    positions: tuple[Position, ...] = ()
    cash: tuple[CashTotal, ...] = ()
    base_currency: str | None = None
    snapshot_at: datetime | None = None
    cash_flows: tuple[int, int] = (0, 0)


@define(slots=False, eq=False, kw_only=True, field_transformer=named_fields)
class Portfolio(Entity):
    """A snapshot of an account; all amounts are in `currency`, its base currency.

    These hold to the last digit: `total_value = cash_balance + positions_value
    = external_flows + income + realized_pnl + unrealized_pnl - fees`.

    Attributes:
        currency: the base currency.
        cash_balance: sum of all cash flows, those of positions included.
        positions_value: market value of CASH positions and unrealized P&L of MARGINED ones.
        total_value: NAV, equity.
        gross_exposure: sum of absolute market values.
        net_exposure: sum of market values.
        realized_pnl: of all positions ever held, before fees.
        unrealized_pnl: of the open ones.
        fees: of all trades, less rebates; those in other currencies are converted.
        external_flows: deposits, withdrawals and transfers.
        income: dividends, interest, funding and other cash flows.
        rates: for each other currency, the base currency's price of one unit, as text.
        closed_sequences: for each position that was flat, its `sequence`.
        source: "book" when taken from the book; "external" when a caller built it; "as of" when valued
            later, for a time in the past.
        timestamp: the instant of the snapshot, UTC.
    """

    ordered_by: ClassVar[str] = "timestamp"

    currency: str = field(default="USD", converter=identifier, on_setattr=IMMUTABLE)
    cash_balance: Decimal = field(converter=amount, on_setattr=IMMUTABLE)
    positions_value: Decimal = field(default=ZERO, converter=amount, on_setattr=IMMUTABLE)
    total_value: Decimal = field(converter=amount, on_setattr=IMMUTABLE)
    gross_exposure: Decimal = field(default=ZERO, converter=amount, on_setattr=IMMUTABLE)
    net_exposure: Decimal = field(default=ZERO, converter=amount, on_setattr=IMMUTABLE)
    realized_pnl: Decimal = field(default=ZERO, converter=amount, on_setattr=IMMUTABLE)
    unrealized_pnl: Decimal = field(default=ZERO, converter=amount, on_setattr=IMMUTABLE)
    fees: Decimal = field(default=ZERO, converter=amount, on_setattr=IMMUTABLE)
    external_flows: Decimal = field(default=ZERO, converter=amount, on_setattr=IMMUTABLE)
    income: Decimal = field(default=ZERO, converter=amount, on_setattr=IMMUTABLE)
    rates: dict[str, Json] = field(factory=dict, converter=json_object, on_setattr=IMMUTABLE)
    closed_sequences: dict[str, Json] = field(
        factory=dict, converter=json_object, on_setattr=IMMUTABLE
    )
    source: str = field(default=EXTERNAL_SOURCE, converter=identifier, on_setattr=IMMUTABLE)
    timestamp: datetime = field(factory=utc_now, converter=utc, on_setattr=IMMUTABLE)

    def taken(
        self,
        positions: Iterable[PositionRow] | None = None,
        cash_flows: tuple[int, int] | None = None,
    ) -> SnapshotTaken:
        """Return the event that taking this snapshot emits.

        Args:
            positions: the recorded rows of a snapshot that the book took.
            cash_flows: of the holdings that it was taken of.
        """
        return SnapshotTaken(
            total_value=self.total_value,
            cash_balance=self.cash_balance,
            currency=self.currency,
            timestamp=self.timestamp,
            positions=None
            if positions is None
            else {row["symbol"]: digest_of_row(PortfolioPosition, row) for row in positions},
            cash_flows=None if cash_flows is None else list(cash_flows),
        )


@frozen
class Amendment:
    """A bust or correction, after a snapshot was taken, of a trade that the snapshot holds.

    Attributes:
        busted: the trade, with the actor, time and reason of its bust.
        correction: the trade that counts in its place now; None when none does.
    """

    busted: Trade
    correction: Trade | None


@frozen
class Snapshot:
    """A snapshot with its positions and later amendments.

    Attributes:
        portfolio: the snapshot itself, as it was taken.
        positions: its open positions, by symbol.
        amendments: the trades that it holds and that were busted or corrected since, by symbol and
            in the order of their busts; none of a snapshot that was not taken from the book.
    """

    portfolio: Portfolio
    positions: list[PortfolioPosition]
    amendments: list[Amendment]


class Rates:
    """Exchange rates into a base currency; conversion is exact.

    Attributes:
        base_currency: the currency that amounts are converted into.
        used: the rates that conversions needed so far, by currency, as text.
    """

    def __init__(self, base_currency: str, rates: Mapping[str, Number]) -> None:
        """Check the rates: for each currency the base currency's price of one unit."""
        self.base_currency = base_currency
        self._rates = {
            argument("rates", identifier, currency): argument(
                f"rates[{shown(currency)}]", positive, rate
            )
            for currency, rate in argument("rates", mapping, rates).items()
        }
        if self._rates.setdefault(base_currency, ONE) != ONE:
            raise InvalidInput(
                f"rates[{base_currency!r}]", self._rates[base_currency], "1 for the base currency"
            )
        self.used: dict[str, str] = {}

    def convert(self, value: Decimal, currency: str) -> Decimal:
        """Convert an amount of `currency` into the base currency.

        Raises:
            MissingRate: no rate is known for `currency`; an amount of 0 needs none.
        """
        if not value:
            return ZERO
        if currency not in self._rates:
            raise MissingRate(currency, self.base_currency)
        if currency != self.base_currency:
            self.used[currency] = plain(self._rates[currency])
        return EXACT.multiply(value, self._rates[currency])


def value_holdings(
    holdings: Holdings, *, account: str, rates: Rates, at: datetime, source: str = BOOK
) -> tuple[Portfolio, list[PositionRow]]:
    """Value holdings at their current prices.

    Returns:
        The snapshot, and the rows of its open positions by symbol.

    Raises:
        MissingRate: a currency other than the base one has no rate.
        InvalidTransition: an open position has no current price.
    """
    positions = [p for p in holdings.positions if p.sequence]
    rows = [position_row(position, at) for position in positions if position.quantity]
    rows.sort(key=itemgetter("symbol"))

    def total(amounts: Iterable[tuple[Decimal, str]]) -> Decimal:
        return sum((rates.convert(value, currency) for value, currency in amounts), start=ZERO)

    with exact():
        external = total((c.external, c.currency) for c in holdings.cash)
        income = total((c.income, c.currency) for c in holdings.cash)
        cash = external + income + total(moved for p in positions for moved in p.cash_moved)
        value = total(
            (carried_value(r["settlement"], r["market_value"], r["unrealized_pnl"]), r["currency"])
            for r in rows
        )
        portfolio = Portfolio(
            account=account,
            created_at=at,
            currency=rates.base_currency,
            cash_balance=cash,
            positions_value=value,
            total_value=cash + value,
            gross_exposure=total((abs(r["market_value"]), r["currency"]) for r in rows),
            net_exposure=total((r["market_value"], r["currency"]) for r in rows),
            realized_pnl=total((p.realized_pnl, p.currency) for p in positions),
            unrealized_pnl=total((r["unrealized_pnl"], r["currency"]) for r in rows),
            fees=total(paid for p in positions for paid in p.fees_paid),
            external_flows=external,
            income=income,
            rates=rates.used,
            closed_sequences={p.symbol: p.sequence for p in positions if not p.quantity},
            source=source,
            timestamp=at,
        )
    return portfolio, rows


def carried_value(
    settlement: Settlement, market_value: Decimal, unrealized_pnl: Decimal
) -> Decimal:
    """Return what an open position adds to the account's value, in the position's currency.

    A MARGINED position adds only its unrealized P&L, because its notional was never paid.
    """
    return market_value if settlement is Settlement.CASH else unrealized_pnl
