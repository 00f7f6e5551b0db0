"""Cells as people and venues write them: numbers in other notations, times in other formats, units.

The standard library reads them, in notations that a caller names. `dateutil.parser.parse` guesses: it takes `1` for a day of
this month, `03/04/2024` for March, and drops `EST`. babel's `parse_decimal(strict=True)` takes `NaN`, and refuses the no-break
space that a French spreadsheet groups with; it takes 34 microseconds for 1.234,56, and this module 2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, time, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from attrs import evolve, field, frozen

from tradebook.domain.errors import InvalidInput
from tradebook.domain.numbers import number
from tradebook.domain.plain_values import plain_datetime
from tradebook.domain.validation import utc

DECIMAL_MARKS: Final = ".,"
EPOCHS: Final = {"epoch-s": 1, "epoch-ms": 10**3, "epoch-us": 10**6, "epoch-ns": 10**9}
"""Formats of times that are counted from 1970 on, and their units in a second."""
ISO: Final = "iso"
"""The name of ISO 8601 among several formats."""
_THOUSANDS: Final = "., '_\u2019\u00a0\u202f"
_ROUNDED: Final = Context(prec=500, rounding=ROUND_HALF_EVEN)
_LAST_PLACE: Final = Decimal(1).scaleb(-20)
_BEGIN: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER: Final = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?").fullmatch
_COUNTED: Final = re.compile(r"(\d{10}|\d{13}|\d{16}|\d{19})(\.\d*)?").fullmatch
"""Times since 1970 in s, ms, us or ns: the number of digits tells them apart from 2001 to 2286."""
_UNIT: Final = re.compile(r"([+-]?[\d.,'_\u2019\u00a0\u202f]*\d)\s*([^\W\d]\w*)").fullmatch
_UNIT_BEFORE: Final = re.compile(r"([+-]?)([$\u20ac\u00a3\u00a5])\s*(\d.*)").fullmatch
_SYMBOLS: Final = {"$": "USD", "\u20ac": "EUR", "\u00a3": "GBP", "\u00a5": "JPY"}


def _grouped(decimal: str) -> Callable[[str], re.Match[str] | None]:
    marks = "".join(re.escape(mark) for mark in _THOUSANDS if mark != decimal)
    return re.compile(
        rf"[+-]?\d{{1,3}}([{marks}])(?:\d{{2,3}}\1)*\d{{3}}(?:{re.escape(decimal)}\d*)?"
    ).fullmatch


_GROUPED: Final = {mark: _grouped(mark) for mark in DECIMAL_MARKS}


@frozen
class CellReader:
    """Reads the texts of numbers and times.

    Attributes:
        decimal: the decimal mark; every other mark between groups of digits is left out.
        thousands: whether digits may be grouped; always with a decimal comma.
        date_format: of times, as `datetime.strptime` reads them, or one of `EPOCHS`; ISO 8601 or counted from 1970
            on by default.
        zone: the time zone of times that name none.
        places: the decimals that numbers are rounded to, half to even; None keeps them all.
    """

    decimal: str = "."
    thousands: bool = False
    date_format: str | None = None
    zone: ZoneInfo | None = None
    places: int | None = None
    is_default: bool = field(init=False)

    @is_default.default
    def _no_option(self) -> bool:
        given = (self.thousands, self.date_format, self.zone, self.places is not None)
        return self.decimal == "." and not any(given)

    def number(self, text: str) -> Decimal:
        """Read a number.

        Raises:
            InvalidInput: it is none, or a mark is out of place.
        """
        plain = text
        if (self.thousands or self.decimal != ".") and not text.isdigit():
            plain = self._without_marks(text)
        value = number(plain)
        if self.places is None:
            return value
        return number(value.quantize(Decimal(1).scaleb(-self.places), context=_ROUNDED))

    def time(self, text: str) -> datetime:
        """Read a time.

        Raises:
            InvalidInput: it has another format.
        """
        if text[4:5] == "-" and self.date_format is None and self.zone is None:
            return plain_datetime(text)  # by far the most
        if self.date_format is not None and "|" in self.date_format:
            return self._first_that_fits(text, self.date_format.split("|"))
        if self.date_format in EPOCHS or (self.date_format is None and _COUNTED(text)):
            return _since_1970(text, self.date_format)
        try:
            if self.date_format not in (None, ISO):
                read = datetime.strptime(text, str(self.date_format))  # noqa: DTZ007 - zoned below
            elif self.zone is not None:
                read = datetime.fromisoformat(text)
            else:
                return utc(text)
        except ValueError:
            raise InvalidInput("executed_at", text, self.expected_time) from None
        if read.tzinfo is None:
            read = read.replace(tzinfo=self.zone or UTC)
        return utc(read)

    def end(self, text: str) -> datetime:
        """Read the end of a period: of a day the beginning of the next one.

        Raises:
            InvalidInput: it has another format.
        """
        local = self.time(text).astimezone(self.zone or UTC)
        return utc(local if local.time() != time.min else local + timedelta(days=1))

    def _first_that_fits(self, text: str, formats: Sequence[str]) -> datetime:
        for each in formats:
            with suppress(InvalidInput):
                return evolve(self, date_format=each).time(text)
        raise InvalidInput("", text, self.expected_time)

    @property
    def expected_time(self) -> str:
        """The format of a time, for messages."""
        if self.date_format is None:
            return "an ISO 8601 time such as 2024-05-17T14:30:00Z; --date-format names another"
        if self.date_format in EPOCHS:
            return f"a number, as --date-format {self.date_format} says"
        formats = " or ".join(self.date_format.split("|"))
        return f"a time in the format {formats}; --date-format names another"

    @property
    def expected_number(self) -> str:
        """The notation of a number, for messages."""
        if self.decimal == ",":
            return "a number such as 1.234,56 (the decimal mark is a comma)"
        if self.thousands:
            return "a number such as 1,234.56"
        return "a number such as 1234.56; --thousands and --decimal , read other notations"

    def _without_marks(self, text: str) -> str:
        if _GROUPED[self.decimal](text):
            kept = "".join(each for each in text if each not in _THOUSANDS or each == self.decimal)
            return kept.replace(self.decimal, ".")
        if self.decimal != "." and "." in text:
            raise InvalidInput("", text, self.expected_number)
        return text.replace(self.decimal, ".")


def twenty_places(value: Decimal) -> Decimal:
    """Round a computed number to 20 decimals, half to even."""
    return value.quantize(_LAST_PLACE, context=_ROUNDED)


def exact_number(value: Any) -> Decimal:
    """Return a number of a client as it writes it: a float by its shortest digits."""
    return value if isinstance(value, Decimal) else Decimal(str(value))


def split_unit(text: str) -> tuple[str, str]:
    """Split a number and the unit that is glued to it: `0.18SOL`, `17.5 USDT`, `$12.00`; `""` where there is none.

    Raises:
        InvalidInput: there is no number.
    """
    if _NUMBER(text):
        return text, ""
    if found := _UNIT(text):
        return found[1], found[2]
    if found := _UNIT_BEFORE(text):
        return found[1] + found[3], _SYMBOLS[found[2]]
    if text and not re.search(r"[^\d.,'_\u2019\u00a0\u202f +-]", text):
        return text, ""
    raise InvalidInput("", text, "a number, or a number and its unit such as 0.18SOL")


def _since_1970(text: str, unit: str | None) -> datetime:
    try:
        counted = number(text)
    except InvalidInput:
        raise InvalidInput("", text, f"a number, as --date-format {unit} says") from None
    if unit is None:
        digits = len(text.partition(".")[0])
        unit = next(
            name for name, most in zip(EPOCHS, (10, 13, 16, 19), strict=True) if digits == most
        )
    micros = int(counted * 10**6 / EPOCHS[unit]) if EPOCHS[unit] <= 10**6 else int(counted) // 1000
    try:
        return _BEGIN + timedelta(microseconds=micros)
    except OverflowError:
        raise InvalidInput("", text, "a time up to the year 9999") from None
