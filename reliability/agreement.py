"""A machine that drives a book in memory, one on SQLite and one on PostgreSQL through every handler.

Each step is made on all of them, as the same call at the same time, and then everything that a caller can
see is compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar
from uuid import uuid4

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from sqlalchemy import URL

from reliability.calls import BEGIN, any_call, order_calls, questions
from reliability.sides import Call, Side
from reliability.tour import BEGINNING
from tradebook import AsOf, Book, CallContext, DatabaseManager, exact
from tradebook.testing import FakeBook

steps = st.sampled_from(
    [timedelta(seconds=1), timedelta(minutes=7), timedelta(0), timedelta(minutes=-3)]
)
"""How far the clock goes from one call to the next; sometimes it goes back."""


class BooksAgree(RuleBasedStateMachine):
    """The same book on several stores; see `machine_on`.

    Attributes:
        stores: the URL of each database, besides the book in memory that is always there.
        accepted: how often each handler did what it was asked.
        refused: how often it did not.
    """

    stores: ClassVar[Mapping[str, str | URL]] = {}
    accepted: ClassVar[Counter[str]] = Counter()
    refused: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        account = f"agree-{uuid4().hex}"
        books: dict[str, Book] = {"fake": FakeBook(account=account)}
        for name, url in self.stores.items():
            books[name] = DatabaseManager(url, account=account)
        self.sides = [Side(name, book) for name, book in books.items()]
        self.now = BEGIN
        self.was: list[tuple[Sequence[Call], CallContext]] = []
        self.before = BEGIN

    def teardown(self) -> None:
        for side in self.sides:
            side.book.close()

    @initialize(calls=st.sampled_from([BEGINNING, []]))
    def begin(self, calls: list[Call]) -> None:
        """With some records, or with nothing."""
        self._step(calls, self._context(timedelta(0)))

    # One rule for all handlers: hypothesis would favour a few of many rules in each example.
    @rule(call=any_call, after=steps)
    def step(self, call: Call, after: timedelta) -> None:
        """One call."""
        self._step([call], self._context(after))

    @rule(call=any_call, after=steps)
    def another(self, call: Call, after: timedelta) -> None:
        """One more, as most steps are."""
        self._step([call], self._context(after))

    @rule(call=order_calls, after=steps)
    def fill(self, call: Call, after: timedelta) -> None:
        """One call of a few orders."""
        self._step([call], self._context(after))

    @rule(
        calls=st.lists(any_call | order_calls, min_size=2, max_size=3),
        after=steps,
        commit=st.booleans(),
    )
    def together(self, calls: list[Call], after: timedelta, commit: bool) -> None:
        """Several calls in one unit of work, which is committed or left."""
        self._step(calls, self._context(after), commit=commit)

    @rule(back=st.integers(0, 5), after=steps, same_token=st.booleans())
    def again(self, back: int, after: timedelta, same_token: bool) -> None:
        """A call that was made before, as one whose answer was lost, or as a new one."""
        if self.was:
            calls, context = self.was[-1 - back % len(self.was)]
            self._step(calls, context if same_token else self._context(after))

    @rule(question=questions())
    def ask(self, question: Call) -> None:
        """A list in small pages."""
        asked = [side.ask(question.handler, question.arguments, self.now) for side in self.sides]
        self._require_same(f"pages of {question}", asked)

    def _context(self, after: timedelta) -> CallContext:
        self.now += after
        return CallContext(
            at=self.now,
            token=f"call-{len(self.was)}",
            actor="machine",
            correlation_id=f"step-{len(self.was)}",
        )

    def _step(self, calls: Sequence[Call], context: CallContext, *, commit: bool = True) -> None:
        given = [side.make(calls, context, commit=commit) for side in self.sides]
        by = [*AsOf][len(self.was) % len(AsOf)]
        looks = [side.look(self.before, by, self.now) for side in self.sides]
        seen = [side.plain(result) for side, result in zip(self.sides, given, strict=True)]
        self._require_same(f"what {calls} gave", seen)
        for name in looks[0]:
            self._require_same(name, [look[name] for look in looks])
        assert looks[0]["proof"]["differences"] == []
        for order in looks[0]["open orders"]:
            _require_whole(order, looks[0]["Trade"])
        outcomes = self.refused if isinstance(given[0], Exception) else self.accepted
        outcomes.update(call.handler.__name__ for call in calls)
        self.was.append((calls, context))
        self.before = self.now

    def _require_same(self, what: str, seen: Sequence[Any]) -> None:
        first = self.sides[0].name
        for side, value in zip(self.sides[1:], seen[1:], strict=True):
            assert value == seen[0], f"{what}: {first} and {side.name}{apart(seen[0], value)}"


def _require_whole(order: Mapping[str, Any], trades: Sequence[tuple[str, Any]]) -> None:
    """Check that the open part of an order and its fills, as first reported, add up to what was ordered."""
    key = ("symbol", "venue", "order_id")
    rows = [row for _, row in trades if all(row[name] == order[name] for name in key)]
    with exact():
        first = sum(row["quantity"] for row in rows if row["sequence"] and not row["revision"])
        assert order["ordered"] == first + order["remaining"], order
        if all(row["status"] != "BUSTED" for row in rows):
            assert order["ordered"] == order["filled"] + order["remaining"], order


def apart(one: Any, other: Any) -> str:
    """Where two values are not the same, and what each has there."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        place = next(name for name in one if one[name] != other[name])
        return f"[{place!r}]{apart(one[place], other[place])}"
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        index = next(i for i, item in enumerate(one) if item != other[i])
        return f"[{index}]{apart(one[index], other[index])}"
    return f": {one!r} is not {other!r}"


def machine_on(stores: Mapping[str, str | URL]) -> type[BooksAgree]:
    """The machine on databases, given by their URLs; it counts from 0."""
    counts = {"accepted": Counter(), "refused": Counter()}
    return type("BooksAgree", (BooksAgree,), {"stores": stores, **counts})
