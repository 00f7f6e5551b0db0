"""The rows of a file in the order in which they are booked, kept on disk, so that memory does not grow with the file."""

from __future__ import annotations

import pickle
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from operator import gt, lt
from types import TracebackType
from typing import Final, Self

from tradebook.domain.validation import utc
from tradebook.entrypoints.cli.book.trade_files import PlainRows, Row, terms_of
from tradebook.entrypoints.cli.book.trade_text import TradeText

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_BEFORE_ALL: Final = -(2**63)
_AFTER_ALL: Final = 2**63
_AT_ONCE: Final = 1000
_TABLE: Final = (
    "CREATE TABLE rows (at INTEGER, part INTEGER, line INTEGER, fill TEXT, terms, repeats INTEGER)"
)


class RowOrder(StrEnum):
    """TIME: by `executed_at`. FILE: as the rows stand in the file."""

    TIME = "time"
    FILE = "file"


class OrderedRows:
    """Rows in a temporary SQLite database, whose sorter merges runs on disk.

    By time, a row without a time follows the row before it. Rows of one time keep the order of the file; where the
    file has the newest first, they are read from its end, as the rows around them are: the same file turned over gives
    the same order.

    Args:
        text: the text of the file, for messages.
        order: the order in which the rows are read.

    Attributes:
        backwards: the number of rows whose time is before that of the row above them.
    """

    def __init__(self, text: TradeText, order: RowOrder = RowOrder.TIME) -> None:
        """Make an empty database."""
        self.backwards = self._forwards = 0
        self._first, self._last = _AFTER_ALL, _BEFORE_ALL
        self._text = text
        self._order = order
        self._at, self._group = _BEFORE_ALL, 0
        self._names: tuple[str, ...] = ()
        self._waiting: list[tuple[int, int, int, str, bytes | str]] = []
        # SQLite keeps an unnamed database in a temporary file, which needs no journal: it ends with the process.
        self._connection = sqlite3.connect("")
        self._connection.execute("PRAGMA journal_mode = OFF")
        self._connection.execute(_TABLE)

    @property
    def is_newest_first(self) -> bool:
        """Whether times go down from row to row more often than up."""
        return self.backwards > self._forwards

    @property
    def first(self) -> datetime | None:
        """The earliest time, UTC; None where no row has any."""
        return _time(self._first) if self._group else None

    @property
    def last(self) -> datetime | None:
        """The latest time, UTC; None where no row has any."""
        return _time(self._last) if self._group else None

    def add(self, row: Row) -> None:
        """Keep the next row of the file."""
        terms = row.terms
        given = terms.get("executed_at")
        if given is not None:
            self._date([utc(given)])
            terms = {**terms, "executed_at": None}  # the column `at` says it
        kept = (self._at, self._group, row.line, row.fill, pickle.dumps(terms))
        self._waiting.append(kept)
        if len(self._waiting) >= _AT_ONCE:
            self._write()

    def add_all(self, rows: PlainRows) -> None:
        """Keep the next rows of the file, as texts: pickles would take three times as long."""
        columns, count = dict(rows.columns), len(rows.lines)
        ats: Sequence[int] = [self._at] * count
        groups: Sequence[int] = [self._group] * count
        if "executed_at" in columns:
            ats, groups = self._date(columns["executed_at"])
            columns["executed_at"] = ["at"] * count
        self._names = tuple(columns)
        terms = map("\0".join, zip(*columns.values(), strict=True))  # checked: none has a NUL
        self._waiting += zip(ats, groups, rows.lines, rows.fills(), terms, strict=True)
        if len(self._waiting) >= _AT_ONCE:
            self._write()

    @cached_property
    def repeated(self) -> int:
        """The number of rows that name the same fill of the same order as an earlier row; marks them.

        Raises:
            ImportRefused: as for reading the rows.
        """
        self._write()
        try:
            execute = self._connection.execute
            (fills,) = execute("SELECT count(*) FROM (SELECT 1 FROM rows GROUP BY fill)").fetchone()
            repeated = self._count() - int(fills)
            if repeated:
                firsts = "SELECT min(rowid) FROM rows GROUP BY fill"
                execute(f"UPDATE rows SET repeats = TRUE WHERE rowid NOT IN ({firsts})")  # noqa: S608, of ours
        except sqlite3.Error as error:
            raise self._full(error) from error
        return repeated

    def __iter__(self) -> Iterator[Row]:
        """Read the rows in order; any number of times, once all are added.

        Raises:
            ImportRefused: the temporary database cannot be written or read.
        """
        self._write()
        by = "rowid"
        if self._order is RowOrder.TIME and self.backwards:
            by = f"at, part {'DESC' if self.is_newest_first else 'ASC'}, rowid"
        yield from self._select(f"ORDER BY {by}")

    def spread(self, most: int) -> list[Row]:
        """Return up to so many of the rows, evenly spread over the file; those that repeat an earlier one say so."""
        _ = self.repeated
        step = max(1, -(-self._count() // most))
        return list(self._select("WHERE rowid % ? = 0 LIMIT ?", step, most))

    def at_line(self, line: int) -> Row:
        """Return the row that begins at a line of the file."""
        return next(self._select("WHERE line = ?", line))

    def _select(self, which: str, *values: int) -> Iterator[Row]:
        try:
            question = f"SELECT at, line, terms, repeats FROM rows {which}"  # noqa: S608, of ours
            for at, line, kept, repeats in self._connection.execute(question, values):
                if type(kept) is str:
                    terms = terms_of(self._names, kept.split("\0"))
                else:
                    terms = pickle.loads(kept)  # noqa: S301, written above
                if "executed_at" in terms:
                    terms["executed_at"] = _time(at)
                yield Row(line, terms, "", repeats)
        except sqlite3.Error as error:
            raise self._full(error) from error

    def _count(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM rows").fetchone()[0])

    def __enter__(self) -> Self:
        """Return the rows."""
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Remove the database."""
        self._connection.close()

    def _date(self, times: Sequence[datetime]) -> tuple[Sequence[int], Sequence[int]]:
        """Take the times of the next rows; return the places of each, by time and in the file."""
        ats = [(time - _EPOCH) // _MICROSECOND for time in times]
        before = [self._at if self._group else ats[0], *ats]
        self.backwards += sum(map(lt, ats, before))
        self._forwards += sum(map(gt, ats, before))
        self._first, self._last = min(self._first, *ats), max(self._last, *ats)
        begun, self._group = self._group + 1, self._group + len(ats)
        self._at = ats[-1]
        return ats, range(begun, self._group + 1)

    def _write(self) -> None:
        try:
            insert = "INSERT INTO rows VALUES (?, ?, ?, ?, ?, FALSE)"
            self._connection.executemany(insert, self._waiting)
        except sqlite3.Error as error:
            raise self._full(error) from error
        self._waiting.clear()

    def _full(self, error: sqlite3.Error) -> Exception:
        return self._text.refused(
            f"its rows cannot be kept in a temporary file ({error}); free space there, or set TMPDIR"
        )


def _time(at: int) -> datetime:
    return _EPOCH + timedelta(0, 0, at)
