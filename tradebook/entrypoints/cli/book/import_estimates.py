"""Terms that a program counts anew later, such as freqtrade's fees: those of a recorded trade stay as they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from tradebook.domain.numbers import number
from tradebook.entrypoints.cli.book.trade_files import Row, TradeFile
from tradebook.entrypoints.cli.book.venue_files import VenueFile
from tradebook.entrypoints.cli.messages import counted
from tradebook.service_layer.book import Book
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork
from tradebook.venues.records import NUMBERS


@frozen
class EstimatedRows:
    """The rows of a file, those of recorded trades without the terms that are estimates.

    Attributes:
        rows: of the file, which every attempt of an import reads from the first on.
        recorded: for the line of each recorded trade its estimates that the file has otherwise now.
    """

    rows: Iterable[Row]
    recorded: Mapping[int, Sequence[str]]

    def __iter__(self) -> Iterator[Row]:
        """Read the rows; a trade agrees with its record in what is not given."""
        for row in self.rows:
            if row.line in self.recorded:
                changed = self.recorded[row.line]
                terms: Any = {name: v for name, v in row.terms.items() if name not in changed}
                yield row._replace(terms=terms)
            else:
                yield row

    def warnings(self) -> list[str]:
        """Return what the file has otherwise than the book, in words."""
        names = [name for changed in self.recorded.values() for name in changed[:1]]
        return [
            f"{counted(names.count(name), 'trade')} recorded with another {name} than the file has now: kept as recorded"
            for name in dict.fromkeys(names)
        ]


def estimated(
    book: Book, file: TradeFile, ordered: Iterable[Row], rows: Iterable[Row]
) -> EstimatedRows:
    """Compare the estimates of a file with the trades that are recorded.

    Args:
        book: where they are recorded.
        file: of the preset that says which terms are estimates.
        ordered: the rows of the file, to look at.
        rows: the same rows, to be booked.
    """
    names = file.preset.estimates if isinstance(file, VenueFile) else ()
    return EstimatedRows(rows, book.read(_changed, ordered, names) if names else {})


def _changed(
    uow: AbstractUnitOfWork, rows: Iterable[Row], names: Sequence[str]
) -> dict[int, Sequence[str]]:
    traded = {position.symbol for position in uow.positions.all()}
    found: dict[int, Sequence[str]] = {}
    for row in rows:
        terms: Any = row.terms
        if terms["symbol"] in traded:
            own = [str(terms.get(name, "")) for name in ("symbol", "venue", "execution_id")]
            for trade in uow.trades.of_order(str(terms["order_id"])):
                if [trade.symbol, trade.venue, trade.execution_id] == own:
                    given = [name for name in names if name in terms]
                    changed = [
                        name for name in given if _value(terms, name) != getattr(trade, name)
                    ]
                    found |= {row.line: changed} if changed else {}
    return found


def _value(terms: Mapping[str, Any], name: str) -> Any:
    return number(terms[name]) if name in NUMBERS else terms[name]
