"""The columns of a file of trades: which of theirs is which of ours."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

from tradebook.domain.errors import shown

REQUIRED: Final = ("symbol", "action", "quantity", "price")
COLUMNS: Final = (
    *REQUIRED,
    "fee",
    "fee_currency",
    "currency",
    "multiplier",
    "settlement",
    "executed_at",
    "order_id",
    "execution_id",
    "venue",
    "strategy",
)
_USUAL_NAMES: Final = {
    "side": "action",
    "qty": "quantity",
    "size": "quantity",
    "amount": "quantity",
    "ticker": "symbol",
    "instrument": "symbol",
    "pair": "symbol",
    "time": "executed_at",
    "timestamp": "executed_at",
    "date": "executed_at",
    "datetime": "executed_at",
    "commission": "fee",
    "order": "order_id",
    "orderid": "order_id",
    "trade_id": "execution_id",
    "exec_id": "execution_id",
    "fill_id": "execution_id",
    "exchange": "venue",
}


class Column(NamedTuple):
    """A column that is read.

    Attributes:
        place: in a row, from 0.
        term: what `record_trade` calls it.
        header: what the file calls it.
    """

    place: int
    term: str
    header: str


class HeaderError(Exception):
    """A header is not understood; the message says what to write."""


def header_columns(
    header: Sequence[str], mapping: Mapping[str, str], ignored: Collection[str]
) -> list[Column]:
    """The columns to read.

    Args:
        header: the file's names.
        mapping: our name for each of theirs that has another one.
        ignored: theirs to leave out.

    Raises:
        HeaderError: a column is unknown, missing, or there twice.
    """
    columns: list[Column] = []
    unknown: list[str] = []
    for index, theirs in enumerate(header):
        if theirs in ignored:
            continue
        ours = mapping.get(theirs, _normal(theirs))
        if ours in COLUMNS:
            columns.append(Column(index, ours, theirs))
        else:
            unknown.append(theirs)
    _check_mapping(header, mapping)
    _check_twice(columns)
    _check_missing(header, [column.term for column in columns], unknown)
    return columns


def _check_mapping(header: Sequence[str], mapping: Mapping[str, str]) -> None:
    for theirs in mapping:
        if theirs not in header:
            raise HeaderError(f"--map names a column {theirs!r}; the file has {_listed(header)}")


def _check_twice(columns: Sequence[Column]) -> None:
    terms = [column.term for column in columns]
    for term in terms:
        if terms.count(term) > 1:
            both = " and ".join(repr(c.header) for c in columns if c.term == term)
            raise HeaderError(f"two columns are {term}: {both}; leave one out with --ignore")


def _check_missing(header: Sequence[str], terms: Sequence[str], unknown: Sequence[str]) -> None:
    missing = [term for term in REQUIRED if term not in terms]
    if not terms and not any(_normal(name) in _USUAL_NAMES for name in unknown):
        raise HeaderError(
            f"its first line names no known column ({_listed(header)}); it must be a header such "
            f"as {','.join(REQUIRED)}, or --map must say which column is which"
        )
    problems = []
    if missing:
        problems.append(f"no column for {' and '.join(missing)}; the file has {_listed(header)}")
    if unknown:
        problems.append(f"unknown column{'s' if len(unknown) > 1 else ''} {_listed(unknown)}")
    if problems:
        raise HeaderError(". ".join([*problems, _advice(missing, unknown, terms)]))


def _advice(missing: Sequence[str], unknown: Sequence[str], terms: Sequence[str]) -> str:
    """What to write for the columns that are not understood."""
    meant: dict[str, str] = {}
    for theirs in unknown:
        ours = _USUAL_NAMES.get(_normal(theirs))
        if ours is not None and ours not in terms:
            meant.setdefault(ours, theirs)
    for ours in missing:
        meant.setdefault(ours, "THEIRS")
    options = [f"--map {shlex.quote(f'{theirs}={ours}')}" for ours, theirs in meant.items()]
    advice = f"Say which is which: {' '.join(options) or '--map THEIRS=OURS'}"
    if unknown:
        advice += f"; or leave a column out: --ignore {shlex.quote(unknown[-1])}"
    return f"{advice}. Known columns are {', '.join(COLUMNS)}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(shown(name) for name in names)


def _normal(name: str) -> str:
    return name.lower().replace(" ", "_").replace("-", "_")
