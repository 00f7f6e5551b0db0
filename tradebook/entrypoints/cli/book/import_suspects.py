"""Fills that are booked already, under other order ids: the same file, read with another column as its order id."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from attrs import frozen

from tradebook.domain.numbers import number
from tradebook.domain.trades import TradeStatus
from tradebook.domain.validation import utc
from tradebook.entrypoints.cli.book.row_order import OrderedRows
from tradebook.service_layer.book import Book
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

_LOOKED_AT: Final = 1000
"""The most rows of a file that are compared with the book, evenly spread: each takes a look-up."""
_INSTANT: Final = timedelta(microseconds=1)


@frozen
class Suspicion:
    """Rows of a file that look like trades which are booked under other order ids.

    Attributes:
        found: the number of them.
        looked_at: the number of rows in traded symbols that were compared with the book.
        line: the line of the first of them.
        booked: the trade that it looks like, in words.
    """

    found: int
    looked_at: int
    line: int
    booked: str

    def __str__(self) -> str:
        """Say what was found, and what it may mean."""
        return (
            f"{self.found:,} of {self.looked_at:,} rows that were looked at have the symbol, time, quantity and price "
            f"of trades that are booked under other order ids (line {self.line}: order {self.booked}); is it a file "
            "that was imported before, with another column as order_id or execution_id?"
        )


def suspicion(book: Book, rows: OrderedRows) -> Suspicion | None:
    """Return what looks booked already, where that is most of what was looked at."""
    return book.read(_suspicion, rows)


def _suspicion(uow: AbstractUnitOfWork, rows: OrderedRows) -> Suspicion | None:
    traded = {position.symbol for position in uow.positions.all()}
    if not traded:
        return None
    looked_at = found = line = 0
    booked = ""
    for row in rows.spread(_LOOKED_AT):
        terms = row.terms
        time, price = terms.get("executed_at"), terms.get("price")
        if row.repeats or terms["symbol"] not in traded or time is None or price is None:
            continue
        at = utc(time)
        alike = uow.trades.page(
            symbol=terms["symbol"],
            since=at,
            until=at + _INSTANT,
            status=TradeStatus.EXECUTED,
            quantity=number(terms["quantity"]),
            price=number(price),
        )
        own = str(terms.get("order_id")), str(terms.get("execution_id", ""))
        if any((trade.order_id, trade.execution_id) == own for trade in alike):
            continue
        looked_at += 1
        if alike:
            found += 1
            line, booked = line or row.line, booked or alike[0].identity
    return Suspicion(found, looked_at, line, booked) if 2 * found > looked_at else None
