"""New fills as plain values: read from the terms of a caller, and booked where the position is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from operator import itemgetter
from typing import Any, Final, Protocol, Unpack, cast

from attrs import fields, frozen

from tradebook.domain.entity import CONVERTER, DEFAULT_ACCOUNT
from tradebook.domain.fills import Booking, Fill, FillName, RunningPosition
from tradebook.domain.numbers import ZERO, Number, exact, number, positive
from tradebook.domain.trades import (
    TERMS,
    TRADE_DEFAULTS,
    Trade,
    TradeStatus,
    settlement_kind,
    trade_action,
)
from tradebook.domain.validation import identifier, json_object, short_text, utc
from tradebook.service_layer.handlers.booking import TradeTerms

_MAX_CACHED: Final = 10_000
_LEFT_OUT: Final[Any] = object()
_CONVERTERS: Final = {
    attribute.name: attribute.metadata.get(CONVERTER) for attribute in fields(Trade)
}
_READ_HERE: Final = frozenset(
    (
        *TERMS,
        *("symbol", "venue", "order_id", "execution_id", "strategy", "details"),
        *("status", "decision_id"),
    )
)
"""The terms that `FillReader` reads itself; others are converted as `Trade` converts them."""


class BookingScope(Protocol):
    """The means to book one new fill: far less than a unit of work.

    Attributes:
        reader: reads the terms of a fill.
        base_currency: of the account.
    """

    reader: FillReader
    base_currency: str

    def now(self) -> datetime:
        """Return the time of the call, UTC."""

    def new_id(self) -> str:
        """Return a new unique id, the same one in the unit of work that repeats the call."""

    def last_position(self, symbol: str) -> RunningPosition | None:
        """Return the symbol's position as it is expected to be stored, or None where it is not known."""

    def book(self, position: RunningPosition, booking: Booking) -> Trade | None:
        """Write the booking and its position; None, with nothing written, where the position is another."""


def record_new_fill(scope: BookingScope, /, **terms: Unpack[TradeTerms]) -> Trade | None:
    """Book a fill that is new on a known position; return None where that takes a transaction.

    None says nothing of the reason: `record_trade` finds out, and refuses what is to be refused. It may have
    to recognise the fill as recorded, where the answer to a write was lost.
    """
    if terms.get("order_id") is None:
        terms["order_id"] = scope.new_id()
    fill = scope.reader.read(terms, scope.now())
    position = None if fill is None else scope.last_position(fill.name.symbol)
    # The first fill of a symbol opens the account and fixes the symbol's constants.
    if fill is None or position is None or position.constants is None:
        return None
    with exact():
        booking = position.book(fill, scope.base_currency)
    return None if booking is None else scope.book(position, booking)


class _Cached(dict[str, Any]):
    """The results of a converter by text; cleared when it has grown large."""

    def __init__(self, convert: Callable[[Any], Any]) -> None:
        super().__init__()
        self._convert = convert

    def __missing__(self, given: str) -> Any:
        converted = self._convert(given)
        if type(given) is str:  # a subclass may compare and hash as it likes
            if len(self) >= _MAX_CACHED:
                self.clear()
            self[given] = converted
        return converted


@frozen
class _Shape:
    """The names of the terms that a caller gave.

    Attributes:
        is_plain: whether they can be those of a plain fill.
        agreeing: picks the terms that a repeated fill must agree on.
        others: the terms that `FillReader` has no code of its own for.
    """

    is_plain: bool
    agreeing: Callable[[Mapping[str, Any]], object]
    others: tuple[str, ...]

    @classmethod
    def from_names(cls, given: Iterable[str]) -> _Shape:
        names = set(given)
        is_plain = TradeTerms.__required_keys__ <= names <= TradeTerms.__annotations__.keys()
        terms = [term for term in TERMS if term in names]
        others = tuple(sorted(names - _READ_HERE))
        return cls(is_plain, itemgetter(*terms) if is_plain else itemgetter("order_id"), others)


class FillReader:
    """Reads terms as `Draft.from_terms` does, but into plain values; gives up where only an entity will do.

    Converted texts are cached: a reader may be shared by threads, and is worth keeping.

    Args:
        account: of the trades.
    """

    def __init__(self, account: str = DEFAULT_ACCOUNT) -> None:
        self._account = account
        self._shapes: dict[tuple[str, ...], _Shape] = {}
        self._names = _Cached(identifier)
        self._keys = _Cached(short_text)
        self._actions = _Cached(trade_action)
        self._settlements = _Cached(settlement_kind)
        self._multipliers = _Cached(positive)

    def read(self, terms: TradeTerms, at: datetime) -> Fill | None:
        """Return the fill of terms that have an order id.

        Args:
            terms: those of `record_trade`.
            at: the time of the call, which is the trade time of a fill without one.

        Returns:
            The fill; None for an order, for a fill of a decision, and for terms that are refused.
        """
        try:
            shape = self._shape(terms)
            return self._read(terms, at, shape.others) if shape.is_plain else None
        except (
            Exception
        ):  # whatever an object of the caller's raises: as an entity it is refused by name
            return None

    def agree(
        self, terms: TradeTerms, given: Mapping[str, Any], recorded: Mapping[str, Any]
    ) -> bool:
        """Return whether the values of the terms that were given are those that are recorded."""
        pick = self._shape(terms).agreeing
        return pick(given) == pick(recorded)

    def _shape(self, terms: TradeTerms) -> _Shape:
        given = tuple(terms)
        shape = self._shapes.get(given)
        if shape is None:
            if len(self._shapes) >= _MAX_CACHED:
                self._shapes.clear()
            shape = self._shapes[given] = _Shape.from_names(given)
        return shape

    def _read(self, terms: TradeTerms, at: datetime, others: Iterable[str]) -> Fill | None:
        given = cast("dict[str, Any]", terms)
        get = given.get
        if get("decision_id") is not None or get("status", "EXECUTED") != TradeStatus.EXECUTED:
            return None
        quantity, names = number(given["quantity"]), self._names
        executed_at = get("executed_at", _LEFT_OUT)
        if executed_at is _LEFT_OUT:
            executed_at = at
        if quantity <= ZERO or type(executed_at) is not datetime:  # a subclass may print otherwise
            return None
        fee, details = get("fee", _LEFT_OUT), get("details", _LEFT_OUT)
        fee_currency, currency = get("fee_currency", _LEFT_OUT), get("currency", _LEFT_OUT)
        multiplier, settlement = get("multiplier", _LEFT_OUT), get("settlement", _LEFT_OUT)
        name = FillName(
            names[given["symbol"]],
            self._keys[get("venue", "")],
            identifier(given["order_id"]),
            self._keys[get("execution_id", "")],
        )
        values = {
            **TRADE_DEFAULTS,
            "account": self._account,
            "created_at": at,
            "symbol": name.symbol,
            "venue": name.venue,
            "order_id": name.order_id,
            "execution_id": name.execution_id,
            "action": self._actions[given["action"]],
            "quantity": quantity,
            "price": number(given["price"]),
            "fee": ZERO if fee is _LEFT_OUT else number(fee),
            "fee_currency": None if fee_currency is _LEFT_OUT else names[fee_currency],
            "currency": None if currency is _LEFT_OUT else names[currency],
            "multiplier": None if multiplier is _LEFT_OUT else self._multiplier(multiplier),
            "settlement": None if settlement is _LEFT_OUT else self._settlements[settlement],
            "executed_at": executed_at if executed_at.tzinfo is UTC else utc(executed_at),
            "strategy": self._keys[get("strategy", "")],
            "details": {} if details is _LEFT_OUT else json_object(details),
            "status": TradeStatus.EXECUTED,
        }
        for term in others:
            convert = _CONVERTERS[term]
            values[term] = convert(given[term]) if convert else given[term]
        return Fill(name, values)

    # Only texts are cached: True equals 1, but is no number.

    def _multiplier(self, value: Number) -> Decimal:
        return cast("Decimal", self._multipliers[value] if type(value) is str else positive(value))
