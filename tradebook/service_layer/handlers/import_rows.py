"""Reading terms into plain fills: the converters of `Trade`, remembered where values come again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from operator import itemgetter
from typing import Any, Final, cast

from attrs import frozen

from tradebook.domain.errors import InvalidInput
from tradebook.domain.fills import Fill, FillName, Terms
from tradebook.domain.numbers import ZERO, Number, number, positive
from tradebook.domain.trades import TERMS, TradeStatus, settlement_kind, trade_action
from tradebook.domain.validation import identifier, json_object, short_text, utc
from tradebook.service_layer.handlers.booking import TradeTerms

_MOST: Final = 10_000
_LEFT_OUT: Final[Any] = object()


class _Remembered(dict[str, Any]):
    """What a converter makes of texts; it begins anew when it has grown large."""

    def __init__(self, convert: Callable[[Any], Any]) -> None:
        super().__init__()
        self._convert = convert

    def __missing__(self, given: str) -> Any:
        if len(self) >= _MOST:
            self.clear()
        self[given] = converted = self._convert(given)
        return converted


@frozen
class _Shape:
    """Which terms a caller gave.

    Attributes:
        is_plain: whether they can be those of a plain fill.
        agreeing: picks from all terms those that a replay must agree on.
    """

    is_plain: bool
    agreeing: Callable[[Terms], object]

    @classmethod
    def of(cls, given: Iterable[str]) -> _Shape:
        names = set(given)
        is_plain = TradeTerms.__required_keys__ <= names <= TradeTerms.__annotations__.keys()
        terms = [place for place, term in enumerate(TERMS) if term in names]
        return cls(is_plain, itemgetter(*terms) if is_plain else itemgetter(0))


class FillReader:
    """Reads terms as `Draft.of` would; gives up on what is not a plain fill, and on what is refused.

    Args:
        now: the trade time of fills that have none.
    """

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._shapes: dict[tuple[str, ...], _Shape] = {}
        self._names = _Remembered(identifier)
        self._keys = _Remembered(short_text)
        self._actions = _Remembered(trade_action)
        self._settlements = _Remembered(settlement_kind)
        self._multipliers = _Remembered(positive)

    def read(self, terms: TradeTerms) -> Fill | None:
        """The fill, where it has an order id; None when only an entity can tell what becomes of it."""
        try:
            if not self._shape(terms).is_plain:
                return None
            return self._read(terms)
        except (InvalidInput, KeyError, TypeError):
            return None

    def agree(self, terms: TradeTerms, given: Terms, recorded: Terms) -> bool:
        """Whether the terms that were given are those that are recorded."""
        pick = self._shape(terms).agreeing
        return pick(given) == pick(recorded)

    def _shape(self, terms: TradeTerms) -> _Shape:
        given = tuple(terms)
        shape = self._shapes.get(given)
        if shape is None:
            if len(self._shapes) >= _MOST:
                self._shapes.clear()
            shape = self._shapes[given] = _Shape.of(given)
        return shape

    def _read(self, terms: TradeTerms) -> Fill | None:
        given = cast("dict[str, Any]", terms)
        get = given.get
        if get("decision_id") is not None or get("status", "EXECUTED") != TradeStatus.EXECUTED:
            return None
        quantity, names = number(given["quantity"]), self._names
        executed_at = get("executed_at", _LEFT_OUT)
        if executed_at is _LEFT_OUT:
            executed_at = self._now
        if quantity <= ZERO or type(executed_at) is not datetime:  # a subclass may print otherwise
            return None
        fee, details = get("fee", _LEFT_OUT), get("details", _LEFT_OUT)
        fee_currency, currency = get("fee_currency", _LEFT_OUT), get("currency", _LEFT_OUT)
        multiplier, settlement = get("multiplier", _LEFT_OUT), get("settlement", _LEFT_OUT)
        values = (
            self._actions[given["action"]],
            quantity,
            number(given["price"]),
            ZERO if fee is _LEFT_OUT else number(fee),
            None if fee_currency is _LEFT_OUT else names[fee_currency],
            None if currency is _LEFT_OUT else names[currency],
            None if multiplier is _LEFT_OUT else self._multiplier(multiplier),
            None if settlement is _LEFT_OUT else self._settlements[settlement],
            executed_at if executed_at.tzinfo is UTC else utc(executed_at),
        )
        which = FillName(
            names[given["symbol"]],
            self._keys[get("venue", "")],
            identifier(given["order_id"]),
            self._keys[get("execution_id", "")],
        )
        strategy = self._keys[get("strategy", "")]
        return Fill(which, values, strategy, {} if details is _LEFT_OUT else json_object(details))

    # Only texts are remembered: True equals 1, but is no number.

    def _multiplier(self, value: Number) -> Decimal:
        return self._multipliers[value] if type(value) is str else positive(value)
