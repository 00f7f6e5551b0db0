"""Blocks that record decisions: what surrounds them, tasks that are cancelled, and errors that cannot be shown."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from tradebook.domain.limits import MAX_TEXT
from tradebook.service_layer.decision_draft import (
    current_decision,
    error_text,
    open_decision,
    seconds,
)
from tradebook.testing import AsyncFakeBook, FakeBook


def current() -> str | None:
    draft = current_decision.get()
    return None if draft is None else draft.reference


def test_a_block_names_its_decision_to_what_runs_inside() -> None:
    book = FakeBook()
    with book.decision("a", "AAPL", reference="outer") as outer:
        assert current() == "outer"
        with book.decision("b", "AAPL", reference="inner"):
            assert current() == "inner"
            assert open_decision("main", "outer") is not None
        assert current() == outer.reference == "outer"
        assert open_decision("main", "inner") is None
        assert open_decision("other", "outer") is None
    assert current() is None
    assert open_decision("main", "outer") is None


def test_a_task_inherits_its_decision_and_others_do_not_see_it() -> None:
    book, seen = AsyncFakeBook(), []

    async def look() -> None:
        seen.append(current())

    async def decides(name: str) -> None:
        async with book.decision("a", "AAPL", reference=name) as d:
            await asyncio.create_task(look())
            await d.decide("HOLD")
            seen.append(current())

    async def both() -> None:
        await asyncio.gather(decides("one"), decides("two"))
        await look()

    asyncio.run(both())
    assert sorted(map(str, seen)) == ["None", "one", "one", "two", "two"]


def test_a_cancelled_task_leaves_a_failed_action() -> None:
    book = AsyncFakeBook()

    async def waits() -> None:
        async with book.decision("a", "AAPL") as d:
            with d.model_call("gpt-x", input="buy?"):
                await asyncio.sleep(60)

    async def cancelled() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(waits(), 0.01)

    async def found() -> list[Any]:
        return list(await book.get_actions())

    asyncio.run(cancelled())
    actions = asyncio.run(found())
    assert sorted((a.action_type, a.status, a.error) for a in actions) == [
        ("decision", "FAILED", "CancelledError: "),
        ("model_call", "FAILED", "CancelledError: "),
    ]


def test_a_closed_coroutine_is_left_alone() -> None:
    book = AsyncFakeBook()

    async def waits() -> None:
        async with book.decision("a", "AAPL"):
            await asyncio.sleep(0)

    coroutine = waits()
    coroutine.send(None)
    coroutine.close()  # RuntimeError, if it awaited anything
    assert current() is None


def test_steps_may_overlap() -> None:
    book = FakeBook()
    with book.decision("a", "AAPL") as d:
        with d.action("outer") as outer, d.action("inner") as inner:
            inner.output, outer.output = 1, 2
        d.decide("HOLD")
    found = {action.action_type: action for action in book.get_actions()}
    assert (found["outer"].output, found["inner"].output) == (2, 1)
    assert found["outer"].duration > found["inner"].duration


def test_what_comes_while_the_decision_is_being_recorded_is_kept_for_the_end() -> None:
    book = FakeBook()
    run = book.run
    with book.decision("a", "AAPL") as d:
        d.input("early", 1)

        def slow(handler: Any, **arguments: Any) -> Any:
            d.input("meanwhile", 2)
            return run(handler, **arguments)

        book.run = slow  # type: ignore[method-assign,assignment]
        d.decide("HOLD")
        book.run = run  # type: ignore[method-assign]
        assert [each.name for each in book.get_inputs()] == ["early"]
    assert [each.name for each in book.get_inputs()] == ["meanwhile", "early"]


def test_every_error_has_a_text_that_is_stored() -> None:
    class Hostile(Exception):
        def __str__(self) -> str:
            raise ValueError

    assert error_text(Hostile()) == "Hostile"
    assert error_text(ValueError("a\0\ud800b")) == "ValueError: a\ufffd?b"
    assert len(error_text(ValueError("x" * 2 * MAX_TEXT))) == MAX_TEXT


def test_durations_are_exact() -> None:
    assert seconds(1) == Decimal("1e-9")
    assert seconds(123_456_789_012_345_678_901) == Decimal("123456789012.345678901")
