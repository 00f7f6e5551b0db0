"""Trades: one execution each, with its status from PENDING to EXECUTED, CANCELLED, REJECTED or BUSTED."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from operator import attrgetter
from typing import Any, ClassVar, Final, NamedTuple, TypeVar, cast
from uuid import uuid4

from attrs import NOTHING, Factory, define, field, fields

from tradebook.domain.canonical_json import digest
from tradebook.domain.entity import (
    Entity,
    differences,
    frozen_when,
    named_fields,
)
from tradebook.domain.errors import DuplicateOrder, InvalidInput, InvalidTransition
from tradebook.domain.events import TradeCancelled, TradeRejected
from tradebook.domain.numbers import (
    ONE,
    ZERO,
    Number,
    amount,
    canonical,
    number,
    optional_number,
    positive,
)
from tradebook.domain.validation import (
    Json,
    default_asset,
    enum_member,
    fill_identifier,
    identifier,
    json_object,
    optional_id,
    optional_identifier,
    optional_long_text,
    optional_utc,
    order_identifier,
    record_id,
    short_text,
    symbol_asset,
    utc,
    utc_now,
)

_End = TypeVar("_End", TradeCancelled, TradeRejected)
_NO_PRICE: Final = cast("Decimal", None)


class TradeAction(StrEnum):
    """The direction of a trade, which FIX calls its side."""

    BUY = "BUY"
    SELL = "SELL"


class TradeStatus(StrEnum):
    """PENDING until EXECUTED, CANCELLED or REJECTED; an EXECUTED trade can only be BUSTED."""

    PENDING = "PENDING"
    EXECUTED = "EXECUTED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"
    BUSTED = "BUSTED"


class Settlement(StrEnum):
    """CASH: the notional is paid (stocks, spot). MARGINED: only P&L and fees move cash (futures)."""

    CASH = "CASH"
    MARGINED = "MARGINED"


def new_order_id() -> str:
    """Make an order id for an order that was given none."""
    return uuid4().hex


def trade_action(value: TradeAction | str) -> TradeAction:
    """Convert a name to BUY or SELL."""
    return enum_member(TradeAction, value)


def trade_status(value: TradeStatus | str) -> TradeStatus:
    """Convert a name to the status of a trade."""
    return enum_member(TradeStatus, value)


def settlement_kind(value: Settlement | str) -> Settlement:
    """Convert a name to CASH or MARGINED."""
    return enum_member(Settlement, value)


class OrderKey(NamedTuple):
    """The identity of an order in an account: order ids collide across venues and symbols."""

    venue: str
    symbol: str
    order_id: str


class FillKey(NamedTuple):
    """The identity of a fill; unique in an account."""

    order: OrderKey
    execution_id: str
    revision: int


BOOKED: Final = (TradeStatus.EXECUTED, TradeStatus.BUSTED)
_terms_freeze = frozen_when(
    lambda trade: trade.status in BOOKED, "the terms of a booked trade are frozen"
)

TERMS: Final = (
    *("action", "quantity", "price", "fee", "fee_currency"),
    *("currency", "multiplier", "settlement", "asset", "executed_at"),
)
"""The fields that a repeated fill must agree on, and that are frozen when a trade is booked."""

BUST: Final = ("status", "busted_at", "busted_by", "bust_reason", "bust_sequence")
"""The fields that a bust sets on the trade."""

_IDENTITY: Final = ("account", "symbol", "venue", "order_id", "execution_id")
_BEHIND: Final = ("strategy", "decision_id", "details")
_LATER: Final = ("corrects_id", *BUST[1:])


def _price(value: Number | None) -> Decimal:
    # Pyright infers the types that a field accepts from a converter whose result has the field's type.
    return cast("Decimal", optional_number(value))


@define(slots=False, eq=False, kw_only=True, field_transformer=named_fields)
class Trade(Entity):
    """One execution.

    Attributes:
        symbol: the instrument.
        venue: where it was traded, `""` when one venue is all there is.
        action: BUY or SELL.
        quantity: how much, in units of the instrument (contracts, shares, coins), above 0; of a PENDING trade
            what is still open of its order.
        price: for one unit, in `currency`; may be 0 or negative. None only while a market order is pending.
        fee: in `fee_currency`, as the venue said it; negative is a rebate.
        fee_currency: any; by default `currency`. A fee in the `asset` of a CASH instrument is taken from the
            quantity, one in a third asset moves the account's cash in that asset.
        currency: of the price.
        multiplier: what a price move of 1 earns for one unit.
        settlement: CASH or MARGINED.
        asset: what the quantity is units of; by default the part of the symbol before `/`, or the symbol. None
            in trades that were recorded before the book had assets: it is the default then.
        executed_at: the trade time, UTC; a naive time is taken as UTC.
        order_id: the venue's or client's order; made up when not given.
        execution_id: one fill of it; `""` when the order has one fill.
        strategy: the name of the strategy that traded, `""` for none.
        decision_id: the decision of an agent that led to it.
        details: further values of the caller, as JSON.
        status: see `TradeStatus`.
        sequence: the entry in its position's ledger that booked it, from 1; none until booked.
        booked_at: the booking time, UTC; none until booked.
        realized_pnl: price P&L that it realized, in `currency`, before fees.
        revision: 0, or the number of a correction.
        corrects_id: the trade that a correction replaces.
        busted_at: when it was busted, UTC.
        busted_by: the actor that busted it.
        bust_reason: the reason that the actor gave.
        bust_sequence: the entry in its position's ledger that busted it.
    """

    ordered_by: ClassVar[str] = "executed_at"

    symbol: str = field(converter=identifier, on_setattr=_terms_freeze)
    venue: str = field(default="", converter=short_text, on_setattr=_terms_freeze)
    action: TradeAction = field(converter=trade_action, on_setattr=_terms_freeze)
    quantity: Decimal = field(converter=positive, on_setattr=_terms_freeze)
    price: Decimal = field(default=_NO_PRICE, converter=_price, on_setattr=_terms_freeze)
    fee: Decimal = field(default=ZERO, converter=number, on_setattr=_terms_freeze)
    currency: str = field(default="USD", converter=identifier, on_setattr=_terms_freeze)
    fee_currency: str = field(
        default=Factory(attrgetter("currency"), takes_self=True),
        converter=identifier,
        on_setattr=_terms_freeze,
    )
    multiplier: Decimal = field(default=ONE, converter=positive, on_setattr=_terms_freeze)
    settlement: Settlement = field(
        default=Settlement.CASH, converter=settlement_kind, on_setattr=_terms_freeze
    )
    asset: str | None = field(
        default=Factory(symbol_asset, takes_self=True),
        converter=optional_identifier,
        on_setattr=_terms_freeze,
    )
    executed_at: datetime = field(factory=utc_now, converter=utc, on_setattr=_terms_freeze)
    order_id: str = field(
        factory=new_order_id, converter=order_identifier, on_setattr=_terms_freeze
    )
    execution_id: str = field(default="", converter=fill_identifier, on_setattr=_terms_freeze)
    strategy: str = field(default="", converter=short_text)
    decision_id: int | None = field(default=None, converter=optional_id)
    details: dict[str, Json] = field(factory=dict, converter=json_object)
    status: TradeStatus = field(default=TradeStatus.PENDING, converter=trade_status)
    sequence: int | None = field(default=None, converter=optional_id)
    booked_at: datetime | None = field(default=None, converter=optional_utc)
    realized_pnl: Decimal = field(default=ZERO, converter=amount)
    revision: int = field(default=0, converter=record_id)
    corrects_id: int | None = field(default=None, converter=optional_id)
    busted_at: datetime | None = field(default=None, converter=optional_utc)
    busted_by: str = field(default="", converter=short_text)
    bust_reason: str | None = field(default=None, converter=optional_long_text)
    bust_sequence: int | None = field(default=None, converter=optional_id)

    @property
    def order_key(self) -> OrderKey:
        """The identity of the order that this is a fill of."""
        return OrderKey(self.venue, self.symbol, self.order_id)

    @property
    def fill_key(self) -> FillKey:
        """The identity of this fill: two trades with the same one are the same fill."""
        return FillKey(self.order_key, self.execution_id, self.revision)

    @property
    def is_paid(self) -> bool:
        """True where the notional is paid: settlement CASH."""
        return self.settlement is Settlement.CASH

    @property
    def has_price(self) -> bool:
        """False for a market order that is not filled."""
        return cast("Decimal | None", self.price) is not None

    @property
    def signed_quantity(self) -> Decimal:
        """Positive when bought, negative when sold."""
        if self.action is TradeAction.BUY:
            return self.quantity
        return self.quantity.copy_negate()  # unlike a minus sign it keeps all digits

    def confirm(self, replay: Trade, given: Collection[str]) -> None:
        """Accept a replay of this fill: every term given must be what is recorded.

        Args:
            replay: the fill as it came again.
            given: the names of the fields that its caller gave; defaults need not agree.

        Raises:
            DuplicateOrder: naming the terms that differ.
        """
        if differing := self._differing(replay, given):
            raise DuplicateOrder("order", self.identity, differing)

    def agrees(self, replay: Trade, given: Collection[str]) -> bool:
        """Return whether `confirm` accepts the replay."""
        return not self._differing(replay, given)

    def _differing(self, replay: Trade, given: Collection[str]) -> dict[str, tuple[object, object]]:
        known = [term for term in TERMS if term in given and getattr(self, term) is not None]
        return differences(self, replay, known)

    def require_price(self) -> None:
        """Raise InvalidInput where there is no price: only a pending market order has none."""
        if not self.has_price:
            raise InvalidInput(
                "price", None, f"the price at which order {self.identity} was filled"
            )

    def book(self, *, sequence: int, booked_at: datetime, realized_pnl: Decimal) -> None:
        """Become EXECUTED, with the values that its position computed.

        Raises:
            InvalidTransition: it is not PENDING.
        """
        self.require_pending("booked")
        self.set_unchecked(
            sequence=sequence,
            realized_pnl=canonical(realized_pnl),
            booked_at=booked_at,
            updated_at=booked_at,
            status=TradeStatus.EXECUTED,
        )

    def bust(self, *, sequence: int, at: datetime, by: str, reason: str) -> dict[str, Json]:
        """Become BUSTED: the trade keeps its terms, and no longer counts in its position.

        Returns:
            For each field that changed (before, after).

        Raises:
            InvalidTransition: it is not EXECUTED.
        """
        if self.status is not TradeStatus.EXECUTED:
            raise InvalidTransition(f"order {self.identity} is {self.status} and cannot be busted")
        before = {name: getattr(self, name) for name in (*BUST, "realized_pnl")}
        now = {
            "status": TradeStatus.BUSTED,
            "realized_pnl": ZERO,
            "busted_at": at,
            "busted_by": by,
            "bust_reason": reason,
            "bust_sequence": sequence,
        }
        self.set_unchecked(**now, updated_at=at)
        return {name: [was, now[name]] for name, was in before.items() if was != now[name]}

    def corrected(self, changes: Mapping[str, object], at: datetime) -> Trade:
        """Return the next revision of this trade, not booked yet: its terms, with the `changes`."""
        kept = {name: getattr(self, name) for name in (*_IDENTITY, *TERMS, *_BEHIND)}
        return Trade(
            **{**kept, **changes}, revision=self.revision + 1, corrects_id=self.id, created_at=at
        )

    def cancel(
        self, reason: str, at: datetime, ordered: Decimal | None = None
    ) -> TradeCancelled | None:
        """Become CANCELLED, of an order of `ordered` in all; return None when it is already."""
        return self._end(TradeStatus.CANCELLED, TradeCancelled, reason, at, ordered)

    def reject(
        self, reason: str, at: datetime, ordered: Decimal | None = None
    ) -> TradeRejected | None:
        """Become REJECTED, of an order of `ordered` in all; return None when it is already."""
        return self._end(TradeStatus.REJECTED, TradeRejected, reason, at, ordered)

    def _end(
        self,
        status: TradeStatus,
        event: type[_End],
        reason: str,
        at: datetime,
        ordered: Decimal | None,
    ) -> _End | None:
        if self.status is status:
            return None
        self.require_pending(status.lower())
        self.status, self.updated_at = status, at
        changes = {"status": [TradeStatus.PENDING, status]}
        return event(order_id=self.order_id, reason=reason, changes=changes, ordered=ordered)

    def require_pending(self, verb: str) -> None:
        """Raise InvalidTransition, naming the order, unless it is PENDING."""
        if self.status is not TradeStatus.PENDING:
            raise InvalidTransition(
                f"order {self.identity} is {self.status} and cannot be {verb}; "
                "only a PENDING one can"
            )

    @property
    def identity(self) -> str:
        """The fill's identity in words, for messages."""
        fill = f" execution {self.execution_id!r}" if self.execution_id else ""
        venue = f" at {self.venue}" if self.venue else ""
        return f"{self.order_id!r}{fill} for {self.symbol}{venue}"


TRADE_COLUMNS: Final = tuple(
    attribute.name for attribute in fields(Trade) if attribute.name not in ("id", *_LATER)
)
"""The fields with which a new fill is written. Every writer takes its columns from here: a new field of `Trade` joins them."""

TRADE_DEFAULTS: Final[Mapping[str, Any]] = {
    attribute.name: attribute.default
    for attribute in fields(Trade)
    if attribute.default is not NOTHING and not isinstance(attribute.default, Factory)  # type: ignore[arg-type]
}
"""The values of the fields of a trade that are not given."""


def evidence(trade: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    """Return all that a trade was booked with, for the event that proves it later.

    Args:
        trade: the fields of a booked `Trade` by name.
        at: the time of that event.

    Returns:
        The values by name. Defaults are None and left out: no venue, strategy, decision or details, the fee
        in the currency of the price, multiplier 1, settlement CASH, the asset that the symbol names, booked at the
        time of the event. The details are represented by their SHA-256.
    """
    fee_currency, currency = trade["fee_currency"], trade["currency"]
    multiplier, settlement = trade["multiplier"], trade["settlement"]
    return {
        "symbol": trade["symbol"],
        "venue": trade["venue"] or None,
        "order_id": trade["order_id"],
        "execution_id": trade["execution_id"],
        "revision": trade["revision"] or None,
        "corrects": trade["corrects_id"],
        "action": trade["action"],
        "quantity": trade["quantity"],
        "price": trade["price"],
        "fee": trade["fee"],
        "fee_currency": None if fee_currency == currency else fee_currency,
        "currency": currency,
        "multiplier": None if multiplier == ONE else multiplier,
        "settlement": None if settlement is Settlement.CASH else settlement,
        "asset": None if trade["asset"] == default_asset(trade["symbol"]) else trade["asset"],
        "executed_at": trade["executed_at"],
        "strategy": trade["strategy"] or None,
        "decision_id": trade["decision_id"],
        "details": digest(trade["details"]).hex() if trade["details"] else None,
        "sequence": trade["sequence"],
        "booked_at": None if trade["booked_at"] == at else trade["booked_at"],
    }
