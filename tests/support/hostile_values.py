"""Values that no caller should give, each made anew; and what a book answers to them."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from tradebook import Trade

LONG: Final = 10_000


class Midway(Exception):
    """What the caller's own iterables raise."""


class Unspeakable:
    """An object that raises whatever is asked of it."""

    def __repr__(self) -> str:
        raise ZeroDivisionError("repr")

    __str__ = __repr__

    def __eq__(self, _other: object) -> bool:
        raise ZeroDivisionError("eq")

    def __hash__(self) -> int:
        raise ZeroDivisionError("hash")

    def __bool__(self) -> bool:
        raise ZeroDivisionError("bool")

    def __index__(self) -> int:
        raise ZeroDivisionError("index")


class Whole:
    """An integer as NumPy has them: no `int`, but with an index."""

    def __init__(self, value: int = 1) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


class Named(str):
    """A text that lies about itself."""

    def __str__(self) -> str:
        return "something else"

    def __repr__(self) -> str:
        raise ZeroDivisionError("repr")

    def __len__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        raise ZeroDivisionError("eq")

    def __hash__(self) -> int:
        raise ZeroDivisionError("hash")


class Pretended:
    """An object that says it is a text, a number, a time."""

    def __init__(self, kind: type) -> None:
        self._kind = kind

    @property
    def __class__(self) -> type:
        return self._kind


class Count(int):
    """A number that lies about itself."""

    def __repr__(self) -> str:
        raise ZeroDivisionError("repr")

    def __le__(self, _other: object) -> bool:
        return True

    __lt__ = __ge__ = __gt__ = __le__


class Zone(tzinfo):
    """A time zone with any offset, or one that raises."""

    def __init__(self, offset: Any) -> None:
        self._offset = offset

    def utcoffset(self, _when: datetime | None) -> Any:
        if isinstance(self._offset, Exception):
            raise self._offset
        return self._offset

    def tzname(self, _when: datetime | None) -> str:
        return "nowhere"

    def dst(self, _when: datetime | None) -> None:
        return None


class Terms(Mapping[Any, Any]):
    """A mapping that raises midway."""

    def __init__(self, *keys: Any) -> None:
        self._keys = keys

    def __getitem__(self, key: Any) -> Any:
        raise Midway(repr(key))

    def __iter__(self) -> Iterator[Any]:
        yield from self._keys
        raise Midway("no more keys")

    def __len__(self) -> int:
        return 3


def raising() -> Iterator[Any]:
    """A generator that raises midway."""
    yield from ()
    raise Midway("midway")


def _deep(kind: str, depth: int = 5_000) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value} if kind == "dict" else [value]
    return value


def _endless() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def _endless_object() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["a"] = [value]
    return value


EAST: Final = timezone(timedelta(hours=14))
WEST: Final = timezone(timedelta(hours=-12))

NASTY: Final[Mapping[str, Callable[[], Any]]] = {
    "none": lambda: None,
    "true": lambda: True,
    "bytes": lambda: b"AAPL",
    "object": object,
    "list": lambda: ["AAPL"],
    "list of none": lambda: [None],
    "tuple": lambda: (1, 2),
    "set": lambda: {1},
    "dict": lambda: {"a": 1},
    "a class": lambda: int,
    "an entity's class": lambda: Trade,
    "an entity": lambda: Trade(symbol="AAPL", action="BUY", quantity=1, price=1),
    "a function": lambda: len,
    "date": lambda: date(2026, 3, 2),
    "fraction": lambda: Fraction(1, 3),
    "complex": lambda: 1j,
    "unspeakable": Unspeakable,
    "whole": Whole,
    "huge whole": lambda: Whole(10**LONG),
    "lying text": lambda: Named("AAPL"),
    "lying long text": lambda: Named("A" * 100_000),
    "lying number": lambda: Count(-5),
    "pretended text": lambda: Pretended(str),
    "pretended number": lambda: Pretended(Decimal),
    "pretended int": lambda: Pretended(int),
    "pretended time": lambda: Pretended(datetime),
    "pretended mapping": lambda: Pretended(dict),
    "nan": lambda: math.nan,
    "infinity": lambda: -math.inf,
    "decimal nan": lambda: Decimal("NaN"),
    "signalling nan": lambda: Decimal("sNaN"),
    "nan with a payload": lambda: Decimal("NaN" + "7" * LONG),
    "decimal infinity": lambda: Decimal("-Infinity"),
    "text nan": lambda: "NaN",
    "text snan": lambda: "sNaN123",
    "10,000 digits": lambda: 10**LONG,
    "minus 10,000 digits": lambda: -(10**LONG),
    "text of 10,000 digits": lambda: "9" * LONG,
    "decimal of 10,000 digits": lambda: Decimal("9" * LONG),
    "huge exponent": lambda: Decimal("1E+999999999999999999"),
    "tiny exponent": lambda: Decimal("-1E-999999999999999999"),
    "zero of a huge exponent": lambda: Decimal("0E+999999999999999999"),
    "text of a huge exponent": lambda: "1e99999999999999999999",
    "float": lambda: 1e308,
    "largest float": lambda: -sys.float_info.max,
    "tiny float": lambda: 5e-324,
    "float of 56 decimals": lambda: 1.2345678901234566e-40,
    "float below the last decimal": lambda: 9.9e-41,
    "41 decimals": lambda: Decimal("-0." + "0" * 22 + "1" * 19),
    "309 nines": lambda: "9" * 309,
    "zero": lambda: 0,
    "minus one": lambda: -1,
    "2^31": lambda: 2**31,
    "2^63": lambda: 2**63,
    "2^63 - 1": lambda: 2**63 - 1,
    "2^64": lambda: 2**64,
    "empty": lambda: "",
    "blank": lambda: " ",
    "nul": lambda: "a\x00b",
    "lone surrogate": lambda: "a\ud800",
    "pair of surrogates": lambda: "\ud83d\ude00",
    "megabyte": lambda: "x" * 1_000_000,
    "combining": lambda: "e\u0301\u202e\U0001f4a3",
    "digits of another script": lambda: "\u0661\u0662",
    "deep list": lambda: _deep("list"),
    "deep dict": lambda: _deep("dict"),
    "endless list": _endless,
    "endless dict": _endless_object,
    "wide list": lambda: ["too wide!!"] * 100_000,
    "json nan": lambda: {"a": math.nan},
    "json surrogate": lambda: {"a\udfff": 1},
    "json nul": lambda: {"a": ["\x00"]},
    "json number key": lambda: {1: 1},
    "json unspeakable": lambda: {"a": Unspeakable()},
    "json lying key": lambda: {"x" * 300: 1},
    "json huge number": lambda: {"a": 10**LONG},
    "json huge decimal": lambda: {"a": Decimal("1E+99999999")},
    "json signalling nan": lambda: {"a": Decimal("sNaN")},
    "year 1 in the east": lambda: datetime(1, 1, 1, tzinfo=EAST),
    "year 9999 in the west": lambda: datetime(9999, 12, 31, 23, 59, tzinfo=WEST),
    "year 1": lambda: datetime(1, 1, 1, tzinfo=UTC),
    "year 9999": lambda: datetime.max.replace(tzinfo=UTC),
    "zone of nonsense": lambda: datetime(2026, 3, 2, tzinfo=Zone("+1")),
    "zone too far": lambda: datetime(2026, 3, 2, tzinfo=Zone(timedelta(days=3))),
    "zone that raises": lambda: datetime(2026, 3, 2, tzinfo=Zone(ZeroDivisionError("zone"))),
    "zone of none": lambda: datetime(2026, 3, 2, tzinfo=Zone(None)),
    "generator that raises": raising,
    "mapping that raises": Terms,
    "mapping that raises midway": lambda: Terms("a"),
    "hostile keys": lambda: {1: 1, "a": 1, None: 1},
    "a list of endless": lambda: [_endless()],
}  # fmt: skip
"""Each by its name."""
