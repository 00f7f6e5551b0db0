"""Terms of trades, as callers give them, and the drafts that are made of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, TypedDict

from attrs import define

from tradebook.domain.errors import InvalidInput, TradebookError
from tradebook.domain.numbers import Number
from tradebook.domain.plain_values import mapping, plain_text
from tradebook.domain.trades import Settlement, Trade, TradeAction, TradeStatus, trade_status
from tradebook.domain.validation import Json, argument, optional_order_identifier
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork


class _RequiredTerms(TypedDict):
    # Not `Required[...]`: under postponed annotations `__required_keys__` would not see it.
    symbol: str
    action: TradeAction | str
    quantity: Number


class _OptionalTerms(TypedDict, total=False):
    price: Number | None
    fee: Number | None
    fee_currency: str | None
    currency: str | None
    multiplier: Number | None
    settlement: Settlement | str | None
    asset: str | None
    executed_at: datetime | str | None
    order_id: str | int | None
    execution_id: str | int | None
    venue: str | None
    strategy: str | None
    decision_id: int | None
    details: dict[str, Json] | None
    status: TradeStatus | str | None


class TradeTerms(_RequiredTerms, _OptionalTerms):
    """The terms of a trade, as `record_trade` takes them; see `Trade` for units and signs.

    A term that is None counts as left out. Enumerations may be in lower case, a time an ISO 8601 text, an order
    id an integer.
    Constants of the instrument (currency, multiplier, settlement, asset) that are left out are those of the
    symbol's first trade; for a new symbol the account's base currency, 1, CASH and what the symbol says: `ETH`
    of `ETH/USDT`, or the symbol itself.
    A fill needs a price; only a pending market order has none.
    """


class GivenTradeTerms(_OptionalTerms, total=False):
    """The terms of a trade of a decision, which has defaults for those that `TradeTerms` requires."""

    symbol: str
    action: TradeAction | str
    quantity: Number


FILL_TERMS: Final = TradeTerms.__required_keys__ | {"price"}
"""The terms that a fill must have."""
_DEFAULTED: Final = TradeTerms.__optional_keys__ - {"decision_id"}  # None says that there is none


@define
class ListEntry:
    """An entry of a list that a caller gave: a context in which errors are those of this entry.

    Attributes:
        name: of the list; `""` for a record that was given by itself.
        index: in the list, from 0.
        order_id: of a trade; None where it has none that is valid.
    """

    name: str
    index: int
    order_id: str | None = None

    def __enter__(self) -> None:
        """Begin to work on the entry."""

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        """Name the entry in an error of the book."""
        if self.name and isinstance(error, TradebookError):
            error.locate(self.name, self.index, self.order_id)


ALONE: Final = ListEntry("", 0)
"""The entry of a record that was given by itself: its errors name no index."""


def valid_order_id(given: object) -> str | None:
    """Return the order id of a trade in the form of the book; None where there is none, or none that is valid."""
    try:
        return optional_order_identifier(given)  # type: ignore[arg-type]
    except InvalidInput:
        return None


def entries_of(trades: Iterable[object], start: int = 0) -> list[ListEntry]:
    """Return the places of trades in the caller's list, of which `start` came before."""
    return [
        ListEntry(
            "trades", index, valid_order_id(terms.get("order_id")) if type(terms) is dict else None
        )
        for index, terms in enumerate(trades, start)
    ]


@define
class Draft:
    """A trade on its way into the book, with the terms that its caller gave."""

    terms: Mapping[str, Any]
    target: TradeStatus  # PENDING or EXECUTED
    trade: Trade  # or the recorded one that it repeats or takes over
    place: ListEntry
    is_new: bool = False

    @classmethod
    def from_terms(cls, uow: AbstractUnitOfWork, terms: TradeTerms, place: ListEntry) -> Draft:
        """Check the terms of a caller, and make the trade of them."""
        given = _checked(terms)
        if given.get("order_id") is None:
            given["order_id"] = uow.new_id()
        target = _target(given.pop("status", TradeStatus.EXECUTED))
        if target is TradeStatus.EXECUTED and "price" not in given:
            raise InvalidInput("price", None, "a value: only a PENDING order may have none")
        return cls(given, target, new_trade(uow, given), place)

    def price_in(self, currency: str) -> None:
        """Take the price to be in `currency`, unless the caller named another."""
        if "currency" in self.terms:
            return
        self.trade.currency = currency
        if "fee_currency" not in self.terms:
            self.trade.fee_currency = currency


def _checked(terms: TradeTerms) -> dict[str, Any]:
    if type(terms) is dict and set(map(type, terms)) == {str}:
        named = given_only(terms)
    else:
        given = argument("trades", mapping, terms).items()
        named = given_only({argument("trades", plain_text, term): value for term, value in given})
    unknown = named.keys() - TradeTerms.__annotations__.keys()
    if unknown:
        names = ", ".join(TradeTerms.__annotations__)
        raise InvalidInput(min(unknown), "this name", f"one of {names}")
    missing = TradeTerms.__required_keys__ - named.keys()
    if missing:
        raise InvalidInput(min(missing), None, "a value: it is required")
    return named


def given_only(terms: Mapping[str, Any]) -> dict[str, Any]:
    """Copy terms without those that are None and have a default."""
    return {
        term: value for term, value in terms.items() if value is not None or term not in _DEFAULTED
    }


def _target(status: TradeStatus | str) -> TradeStatus:
    try:
        target = trade_status(status)
    except InvalidInput:
        target = TradeStatus.BUSTED
    if target not in (TradeStatus.PENDING, TradeStatus.EXECUTED):
        raise InvalidInput("status", status, "EXECUTED, or PENDING for an order not yet filled")
    return target


def new_trade(uow: AbstractUnitOfWork, terms: Mapping[str, Any]) -> Trade:
    """Make the trade of checked terms, with the account's currency and the time of the call as defaults."""
    defaults = {"currency": uow.base_currency, "executed_at": uow.now()}
    trade = Trade(**{**defaults, **terms}, account=uow.account, created_at=uow.now())
    uow.require_past("executed_at", trade.executed_at)
    return trade
