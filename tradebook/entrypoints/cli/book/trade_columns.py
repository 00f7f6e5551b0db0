"""The columns of a file of trades: which terms they are, and what is wrong with a header."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from tradebook.domain.errors import shown

REQUIRED: Final = ("symbol", "action", "quantity", "price")
_OPTIONAL: Final = "fee fee_currency currency multiplier settlement asset executed_at order_id execution_id venue strategy"
COLUMNS: Final = (*REQUIRED, *_OPTIONAL.split())
DETAILS: Final = "details"
"""The term that columns named by --details make up together."""


class FileKind(StrEnum):
    """The kind of the records of a file."""

    TRADES = "trades"
    ORDERS = "orders"
    CASH_FLOWS = "cash-flows"
    PRICES = "prices"


_FLOW: Final = ("kind", "amount", "currency", "symbol", "occurred_at", "reference")
COLUMNS_OF: Final = {
    FileKind.TRADES: COLUMNS,
    FileKind.ORDERS: (*COLUMNS, "status"),
    FileKind.CASH_FLOWS: _FLOW,
    FileKind.PRICES: ("symbol", "price", "executed_at"),
}
"""The terms that columns may be."""
REQUIRED_OF: Final = {
    FileKind.TRADES: REQUIRED,
    FileKind.ORDERS: ("symbol", "action", "quantity"),
    FileKind.CASH_FLOWS: ("kind", "amount"),
    FileKind.PRICES: ("symbol", "price"),
}
"""The terms that every row must have."""

_OTHER_NAMES: Final = {
    "action": "side",
    "execution_id": "trade_id exec_id fill_id",
    "executed_at": "time timestamp date datetime",
    "fee": "commission",
    "order_id": "order orderid",
    "quantity": "qty size amount",
    "symbol": "ticker instrument pair",
    "venue": "exchange",
}
_MEANT: Final = {name: ours for ours, names in _OTHER_NAMES.items() for name in names.split()}


class Column(NamedTuple):
    """A column of the file: its index in a row, the argument of `record_trade`, its name in the file."""

    place: int
    term: str
    header: str


def header_problem(
    header: Sequence[str],
    mapping: Mapping[str, str],
    columns: Sequence[Column],
    unknown: Sequence[str],
    required: Collection[str],
    known: Sequence[str],
) -> str:
    """Describe what is wrong with a header and which options would mend it; `""` if nothing is."""
    terms = [column.term for column in columns]
    absent = [theirs for theirs in mapping if theirs not in header]
    if absent:
        return f"--map names a column {absent[0]!r}; the file has {_listed(header)}"
    if twice := [term for term in terms if term != DETAILS and terms.count(term) > 1]:
        both = " and ".join(repr(c.header) for c in columns if c.term == twice[0])
        return f"two columns are {twice[0]}: {both}; leave one out with --ignore"
    if not terms and not any(_MEANT.get(normal(name)) in known for name in unknown):
        return (
            f"its first line names no known column ({_listed(header)}); it must be a header such "
            f"as {','.join(required)}, or --map must say which column is which"
        )
    problems = []
    if missing := [term for term in required if term not in terms]:
        problems.append(f"no column for {' and '.join(missing)}; the file has {_listed(header)}")
    if unknown:
        problems.append(f"unknown column{'s' if len(unknown) > 1 else ''} {_listed(unknown)}")
    return ". ".join([*problems, _advice(missing, unknown, terms, known)]) if problems else ""


def _advice(
    missing: Sequence[str], unknown: Sequence[str], terms: Sequence[str], known: Sequence[str]
) -> str:
    meant: dict[str, str] = {}
    for theirs in unknown:
        ours = _MEANT.get(normal(theirs))
        if ours is not None and ours in known and ours not in terms:
            meant.setdefault(ours, theirs)
    for ours in missing:
        meant.setdefault(ours, "THEIRS")
    options = [f"--map {shlex.quote(f'{theirs}={ours}')}" for ours, theirs in meant.items()]
    advice = f"Say which is which: {' '.join(options) or '--map THEIRS=OURS'}"
    if unknown:
        last = shlex.quote(unknown[-1])
        advice += f"; or leave a column out: --ignore {last}, or all of them: --ignore-others; or keep it: --details {last}"
    return f"{advice}. Known columns are {', '.join(known)}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(shown(name) for name in names)


def normal(name: str) -> str:
    """Return a column's name as that of a term: `Order ID` is `order_id`."""
    return name.lower().replace(" ", "_").replace("-", "_")
