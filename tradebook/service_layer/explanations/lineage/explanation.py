"""`Explanation`: a tree that says where a record came from and what it earned, as values and as text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final, TypeVar

from attrs import field, frozen

from tradebook.domain.errors import escaped
from tradebook.domain.numbers import plain
from tradebook.domain.validation import Json

T = TypeVar("T")

SHOWN: Final = 20
"""The most nodes of one kind below another: signals, inputs, actions, fills, decisions, orders."""
READ: Final = 100
"""The most records of one kind, trades aside, that are read for one explanation."""
TRADES_READ: Final = 1_000
"""The most trades of one order, or of one decision with those made upon it, that are read and added up."""
_MOST_TEXT: Final = 100
"""Characters of one fact in the text of a tree; the fact itself is whole."""


class NodeKind(StrEnum):
    """The kinds of nodes: records, what follows from them, and notes."""

    TRADE = "trade"
    ORDER = "order"
    FILL = "fill"
    POSITION = "position"
    DECISION = "decision"
    ALERT = "alert"
    SIGNAL = "signal"
    INPUT = "input"
    ACTION = "action"
    PARENT = "parent"
    """A decision upon which another was made."""
    CHILD = "child"
    """A decision that was made upon another."""
    COST = "cost"
    VERDICT = "verdict"
    EVENT = "event"
    OPENED = "opened"
    CLOSED = "closed"
    CORRECTION = "correction"
    BUST = "bust"
    AGENT = "agent"
    RESULT = "result"
    """The exact earnings in one currency, at the end of a tree."""
    TOTAL = "total"
    """The results of a decision together with those made upon it."""
    NOTE = "note"


@frozen
class Amount:
    """A number with its unit.

    Attributes:
        value: exact.
        unit: a currency, the asset that a quantity is units of, or `s` for seconds; `""` for none.
    """

    value: Decimal
    unit: str = ""

    def __str__(self) -> str:
        """Write the number in full, and its unit: `150.25 USD`."""
        return f"{plain(self.value)} {self.unit}".rstrip()


@frozen(kw_only=True)
class Explanation:
    """A record, or what follows from one, with what explains it below; `print` shows the tree.

    Attributes:
        kind: see `NodeKind`.
        title: one line for people.
        id: of the record; None for what is no record of its own, such as an order.
        at: the record's own time, UTC; None where it has none.
        amounts: exact numbers with their units, by name: `realized_pnl`, `fees`, `quantity`. P&L is before fees
            unless its name says net; a fee that is negative is a rebate.
        facts: everything else, by name: text, whole numbers, times in UTC, JSON values.
        children: what it came from, then what it led to, then what it earned.
    """

    kind: NodeKind
    title: str
    id: int | None = None
    at: datetime | None = None
    amounts: Mapping[str, Amount] = field(factory=dict)
    facts: Mapping[str, Json] = field(factory=dict)
    children: tuple[Explanation, ...] = ()

    def walk(self) -> Iterator[Explanation]:
        """Iterate over this node and all below it, each before its children."""
        yield self
        for child in self.children:
            yield from child.walk()

    def nodes(self, kind: NodeKind | str) -> list[Explanation]:
        """Return the nodes of a kind in the tree, in the order of `walk`: `tree.nodes("signal")`."""
        return [node for node in self.walk() if node.kind == kind]

    @property
    def label(self) -> list[str]:
        """The lines of this node alone: its title with its time, its amounts, its facts; long facts are shortened."""
        at = "" if self.at is None else f"  ({_time(self.at)})"
        amounts = ", ".join(f"{_words(name)} {amount}" for name, amount in self.amounts.items())
        facts = "; ".join(
            f"{_words(name)}: {shortened(value)}" for name, value in self.facts.items()
        )
        return [escaped(line) for line in (f"{self.title}{at}", amounts, facts) if line]

    def __str__(self) -> str:
        """Draw the tree as text."""
        return "\n".join(_drawn(self, "", ""))


def _drawn(node: Explanation, first: str, rest: str) -> Iterator[str]:
    lines, last = node.label, len(node.children) - 1
    yield f"{first}{lines[0]}"
    below = rest + ("│   " if node.children else "    ")
    yield from (f"{below}{line}" for line in lines[1:])
    for number, child in enumerate(node.children):
        branch, under = ("└── ", "    ") if number == last else ("├── ", "│   ")
        yield from _drawn(child, rest + branch, rest + under)


def shortened(value: Json) -> str:
    """Write a fact on one line of at most 100 characters, and how long it is where it is longer."""
    if isinstance(value, datetime):
        return _time(value)
    if isinstance(value, Decimal):
        return plain(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    if len(text) <= _MOST_TEXT:
        return text
    return f"{text[:_MOST_TEXT]}... ({len(text):,} characters)"


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat(sep=' ')} UTC"


def _words(name: str) -> str:
    return name.replace("_", " ").replace("pnl", "P&L")


def note(text: str) -> Explanation:
    """Return a node that says something in words."""
    return Explanation(kind=NodeKind.NOTE, title=text)


def known(**facts: Json) -> dict[str, Json]:
    """Return the facts that have a value."""
    return {name: value for name, value in facts.items() if value not in (None, "", {}, [])}


def amounts_in(unit: str, /, **values: Decimal | None) -> dict[str, Amount]:
    """Return amounts of one unit by name, without those that are None."""
    return {name: Amount(value, unit) for name, value in values.items() if value is not None}


def limited(
    records: Sequence[T], make: Callable[[T], Explanation], noun: str, *, is_whole: bool = True
) -> list[Explanation]:
    """Return the nodes of the first `SHOWN` records, and a note on how many more there are.

    Args:
        records: in the order in which they are shown.
        make: returns the node of one.
        noun: of the records, in the plural.
        is_whole: false where only the first of them were read.
    """
    nodes = [make(record) for record in records[:SHOWN]]
    more = len(records) - len(nodes)
    if not is_whole:
        nodes.append(note(f"and more than {more:,} more {noun}" if more else f"and more {noun}"))
    elif more:
        nodes.append(note(f"and {more:,} more {noun}"))
    return nodes
