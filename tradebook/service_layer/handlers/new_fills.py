"""New fills as plain values: read from the terms of a caller, and booked where the position is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any, Final, cast

from attrs import fields, frozen

from tradebook.domain.entity import CONVERTER
from tradebook.domain.fills import Booking, Fill, FillName, RunningPosition
from tradebook.domain.numbers import exact, number, positive
from tradebook.domain.trades import (
    TERMS,
    Trade,
    TradeStatus,
    settlement_kind,
    trade_action,
    trade_status,
)
from tradebook.domain.validation import fill_identifier, identifier, short_text, utc
from tradebook.service_layer.handlers.trade_terms import FILL_TERMS, TradeTerms, given_only

_MAX_CACHED: Final = 10_000
_CONVERTERS: Final[Mapping[str, Any]] = {
    attribute.name: attribute.metadata.get(CONVERTER) for attribute in fields(Trade)
}


def book_new_fill(position: RunningPosition, fill: Fill) -> Booking | None:
    """Fold a new fill into a known position; return None where that takes a transaction.

    None says nothing of the reason: `record_trade` finds out, and refuses what is to be refused. It may have
    to recognise the fill as recorded, where the answer to a write was lost.
    """
    # The first fill of a symbol opens the account and fixes the symbol's constants.
    if position.constants is None:
        return None
    with exact():
        return position.book(fill, position.constants[0])


class _Cached(dict[str, Any]):
    """The results of a converter by text; cleared when it has grown large."""

    def __init__(self, convert: Callable[[Any], Any]) -> None:
        super().__init__()
        self._convert = convert

    def __missing__(self, given: str) -> Any:
        converted = self._convert(given)
        if type(given) is str:  # a subclass may compare and hash as it likes; True equals 1
            if len(self) >= _MAX_CACHED:
                self.clear()
            self[given] = converted
        return converted


@frozen
class _Shape:
    """The conclusions from the names of the terms that a caller gave."""

    is_plain: bool  # whether they can be those of a plain fill
    agreeing: Callable[[Mapping[str, Any]], object]  # picks the terms that a repeat must agree on

    @classmethod
    def from_names(cls, given: Iterable[str]) -> _Shape:
        names = set(given)
        is_plain = FILL_TERMS <= names <= TradeTerms.__annotations__.keys()
        terms = [term for term in TERMS if term in names]
        return cls(is_plain, itemgetter(*terms) if is_plain else itemgetter("order_id"))


class FillReader:
    """Reads terms as `Draft.from_terms` does, but into plain values; gives up where only an entity will do.

    Converted texts are cached: a reader may be shared by threads, and is worth keeping.
    """

    def __init__(self) -> None:
        """Make the converters of the terms, their caches empty."""
        self._shapes: dict[tuple[str, ...], _Shape] = {}
        names, texts = _Cached(identifier).__getitem__, _Cached(short_text).__getitem__
        multipliers = _Cached(positive)
        # Terms that are not named here are converted as `Trade` converts them.
        self._converters: dict[str, Callable[[Any], Any]] = {
            **_CONVERTERS,
            "symbol": names,
            "venue": texts,
            "price": number,  # a pending order may have none, a fill may not
            "action": _Cached(trade_action).__getitem__,
            "currency": names,
            "fee_currency": names,
            "multiplier": lambda value: (
                multipliers[value] if type(value) is str else positive(value)
            ),
            "settlement": _Cached(settlement_kind).__getitem__,
            "asset": names,
            "executed_at": _plain_time,
            "execution_id": _Cached(fill_identifier).__getitem__,
            "strategy": texts,
            "status": _executed,
        }

    def read(self, terms: TradeTerms) -> Fill | None:
        """Return the fill of terms that have an order id.

        An order, and terms that are refused, give None.
        """
        try:
            if not self._shape(terms).is_plain:
                return None
            converters = self._converters
            values = {term: converters[term](value) for term, value in terms.items()}
            get = values.get
            name = FillName(
                values["symbol"], get("venue", ""), values["order_id"], get("execution_id", "")
            )
            return Fill(name, values)
        except Exception:  # of any object of the caller's: as an entity it is refused by name
            return self._read_without_none(terms)

    def reads_all(self, values: Mapping[str, Iterable[Any]]) -> bool:
        """Return whether `read` gives a fill of any terms with these values, each term on its own."""
        try:
            for term, of_term in values.items():
                convert = self._converters[term]
                for value in of_term:
                    convert(value)
        except Exception:  # as in `read`
            return False
        return self._shape(values).is_plain

    def _read_without_none(self, terms: TradeTerms) -> Fill | None:
        try:
            given = given_only(terms)
            return self.read(cast("TradeTerms", given)) if len(given) < len(terms) else None
        except Exception:  # as in `read`
            return None

    def agree(self, given: Mapping[str, Any], recorded: Mapping[str, Any]) -> bool:
        """Return whether the values of the terms that were given are those that are recorded."""
        pick = self._shape(given).agreeing
        return pick(given) == pick(recorded)

    def _shape(self, terms: Mapping[str, Any]) -> _Shape:
        given = tuple(terms)
        shape = self._shapes.get(given)
        if shape is None:
            if len(self._shapes) >= _MAX_CACHED:
                self._shapes.clear()
            shape = self._shapes[given] = _Shape.from_names(given)
        return shape


def _plain_time(value: datetime | str) -> datetime:
    if type(value) is not datetime and type(value) is not str:
        raise TypeError("a subclass may print otherwise")
    return value if type(value) is datetime and value.tzinfo is UTC else utc(value)


def _executed(value: TradeStatus | str) -> TradeStatus:
    if trade_status(value) is not TradeStatus.EXECUTED:
        raise ValueError("an order is no fill")
    return TradeStatus.EXECUTED
