"""Handlers of marks; quantities of positions change by trades only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, cast

from tradebook.domain.errors import InvalidInput, NotFound, shown
from tradebook.domain.numbers import Number, number
from tradebook.domain.plain_values import mapping
from tradebook.domain.positions import Position
from tradebook.domain.validation import (
    argument,
    identifier,
    long_text,
    optional_utc,
    utc,
)
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

_UPDATABLE: Final = ("current_price", "marked_at")


class MarkedPositions(list[Position]):
    """The positions that took the prices given to `mark_prices`, by symbol; copies.

    Attributes:
        unknown: the symbols that were given a price and in which no trade was ever booked, sorted.
    """

    def __init__(self, positions: Iterable[Position], unknown: Iterable[str]) -> None:
        """Take the positions and the other symbols."""
        super().__init__(positions)
        self.unknown = sorted(unknown)


def mark_prices(
    uow: AbstractUnitOfWork, prices: Mapping[str, Number], *, at: datetime | None = None
) -> MarkedPositions:
    """Set the marks of positions to the prices of a feed; quotes leave no event and conflict with no trade.

    A booked trade is the mark until a quote of its time or later, and from then on a newer trade is.

    Args:
        uow: the unit of work.
        prices: for one unit of each symbol, in the position's currency. Symbols that were never traded
            are skipped, and named in the result: a feed has more symbols than the book.
        at: time of the prices, UTC; now by default. A position with a later mark keeps it.

    Returns:
        The positions that took the mark, by symbol; copies. `unknown` of it has the symbols that were skipped.

    Raises:
        InvalidInput: a price is no number, naming the symbol.
    """
    seen = uow.now() if at is None else argument("at", utc, at)
    uow.require_past("at", seen)
    checked = named_prices(prices)
    positions = uow.ledger.marked(checked.keys())
    marked = [p for p in positions if p.mark(checked[p.symbol], seen)]
    uow.ledger.mark(marked)
    return MarkedPositions(marked, checked.keys() - {p.symbol for p in positions})


def update_position(uow: AbstractUnitOfWork, symbol: str, changes: Mapping[str, Any]) -> Position:
    """Set the mark of a position, the one part of it that follows from no trade.

    Args:
        uow: the unit of work.
        symbol: one that was traded.
        changes: `current_price`, for one unit, and optionally `marked_at` (now by default).

    Returns:
        The position; a copy.

    Raises:
        InvalidInput: naming another field, which follows from the trades.
        NotFound: the symbol was never traded.
    """
    symbol = argument("symbol", identifier, symbol)
    given: Mapping[str, Any] = argument("changes", mapping, changes)
    for field in given:
        if argument("changes", long_text, field) not in _UPDATABLE:
            raise InvalidInput(
                field, given[field], "current_price or marked_at; all else follows from trades"
            )
    price = argument("current_price", number, cast("Any", given.get("current_price")))
    marked_at = argument("marked_at", optional_utc, given.get("marked_at"))
    uow.require_past("marked_at", marked_at)
    positions = uow.ledger.marked([symbol])
    if not positions:
        raise NotFound("position", symbol, uow.account)
    if positions[0].mark(price, marked_at or uow.now()):
        uow.ledger.mark(positions)
    return positions[0]


def named_prices(prices: Mapping[str, Number]) -> dict[str, Decimal]:
    """Return prices by symbol as exact numbers; refuse one by the name of its symbol."""
    return {
        argument("prices", identifier, symbol): argument(f"prices[{shown(symbol)}]", number, price)
        for symbol, price in argument("prices", mapping, prices).items()
    }
