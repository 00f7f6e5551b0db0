"""The rule of marks, told once more in plain Python, and histories that a book and this model take alike."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from attrs import define, field
from hypothesis import strategies as st

from tradebook.service_layer.book import Book

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
_TIMES = 5


class Step(NamedTuple):
    """Something that may change the mark: `place` chooses the trade that is busted or corrected."""

    what: str
    minute: int
    price: int
    place: int


WHAT = ("trade", "trade", "import", "quote", "bust", "price", "time")
STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from(WHAT),
        st.integers(0, _TIMES),
        st.integers(1, 9),
        st.integers(0, 99),
    ),
    max_size=20,
)


def some_steps(count: int, seed: int) -> list[Step]:
    """Steps drawn from a seed."""
    draw = random.Random(seed)
    return [
        Step(draw.choice(WHAT), draw.randint(0, _TIMES), draw.randint(1, 9), draw.randrange(99))
        for _ in range(count)
    ]


@define
class MarkModel:
    """Trades in fold order as (minute, price), None where one was busted, and the mark that follows."""

    trades: list[tuple[int, int] | None] = field(factory=list)
    mark: tuple[int, int, str] | None = None  # minute, price, source

    def follow(self, step: Step) -> None:
        """Do a step."""
        at = self.mark[0] if self.mark else -1
        by_trade = self.mark is None or self.mark[2] == "TRADE"
        if step.what == "quote":
            if self.trades and step.minute >= at:
                self.mark = (step.minute, step.price, "QUOTE")
            return
        if step.what in ("trade", "import"):
            self.trades.append((step.minute, step.price))
            if step.minute > at or (step.minute == at and by_trade):
                self.mark = (step.minute, step.price, "TRADE")
            return
        place = self.chosen(step)
        if place is None:
            return
        old = self.trades[place]
        assert old is not None
        changed = {"bust": None, "price": (old[0], step.price), "time": (step.minute, old[1])}
        self.trades[place] = changed[step.what]
        newest: tuple[int, int] | None = None
        for trade in self.trades:
            if trade is not None and (newest is None or trade[0] >= newest[0]):
                newest = trade
        if by_trade:
            self.mark = None if newest is None else (*newest, "TRADE")
        elif newest is not None and newest[0] > at:
            self.mark = (*newest, "TRADE")

    def chosen(self, step: Step) -> int | None:
        """Return the place of the trade that a step busts or corrects."""
        alive = [place for place, trade in enumerate(self.trades) if trade is not None]
        return alive[step.place % len(alive)] if alive else None

    def expected(self) -> tuple[Any, ...]:
        """Return the mark as a position has it."""
        if self.mark is None:
            return (None, None, None)
        minute, price, source = self.mark
        return (Decimal(price), _at(minute), source)


def followed(book: Book, steps: list[Step]) -> Iterator[tuple[Step, Any, tuple[Any, ...]]]:
    """Do steps on a book and on the model, and yield each with the book's mark and the model's."""
    model = MarkModel()
    for step in steps:
        place = model.chosen(step)
        _act(book, step, place, len(model.trades))
        model.follow(step)
        position = book.get_position_by_symbol("X")
        if position is not None:
            yield step, position.last_mark, model.expected()


def _act(book: Book, step: Step, place: int | None, count: int) -> None:
    at, name = _at(step.minute), {"order_id": f"o{place}", "reason": "r"}
    terms: Any = {"symbol": "X", "action": "BUY", "quantity": 1, "price": step.price}
    terms |= {"order_id": f"o{count}", "executed_at": at}
    if step.what == "trade":
        book.record_trade(**terms)
    elif step.what == "import":
        book.import_trades([terms])
    elif step.what == "quote":
        book.mark_prices({"X": step.price}, at=at)
    elif place is None:
        return
    elif step.what == "bust":
        book.bust_trade(**name)
    elif step.what == "price":
        book.correct_trade(**name, price=step.price)
    else:
        book.correct_trade(**name, executed_at=at)


def _at(minute: int) -> datetime:
    return NOON + timedelta(minutes=minute)
