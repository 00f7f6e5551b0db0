"""A unit of work that is left with uncommitted changes warns, on every backend; one without does not."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.backends import within
from tradebook import (
    Alert,
    Event,
    InvalidInput,
    Position,
    Seal,
    Trade,
    UncommittedWork,
    handlers,
)
from tradebook.service_layer import queries


def trade(uow: Any) -> None:
    within(uow, handlers.record_trade, symbol="X", action="BUY", quantity=1, price=1, order_id="o")


def alert(uow: Any) -> None:
    within(uow, handlers.raise_alert, "late", "INFO")


def import_two(uow: Any) -> None:
    terms = {"symbol": "X", "action": "BUY", "quantity": 1, "price": 1}
    within(uow, handlers.import_trades, [terms | {"order_id": "a"}, terms | {"order_id": "b"}])


def mark(uow: Any) -> None:
    within(uow, handlers.mark_prices, {"HELD": 2})


def resolve(uow: Any) -> None:
    within(
        uow, lambda inside: inside.alerts.in_order()[0].resolve("done", by="me", at=inside.now())
    )


def seal(uow: Any) -> None:
    within(uow, handlers.seal)


CHANGES = [trade, alert, import_two, mark, resolve, seal]


def fill(book: Any) -> None:
    book.record_trade(symbol="HELD", action="BUY", quantity=1, price=1, order_id="held")
    book.raise_alert("kept", "INFO")


@pytest.mark.parametrize("change", CHANGES)
def test_leaving_with_uncommitted_changes_warns_and_discards_them(
    book: Any, change: Callable[[Any], None]
) -> None:
    fill(book)
    before = kept(book)
    with pytest.warns(UncommittedWork, match=r"commit\(\)") as caught, book.unit_of_work() as uow:
        change(uow)
    assert [Path(warning.filename).name for warning in caught] == [caught_in(book)]
    assert kept(book) == before


def kept(book: Any) -> list[Any]:
    return [book.get_rows(kind) for kind in (Alert, Event, Position, Seal, Trade)]


def caught_in(book: Any) -> str:
    return "backends.py" if hasattr(book, "target") else Path(__file__).name


@pytest.mark.parametrize("change", CHANGES)
def test_a_unit_of_work_that_is_ended_on_purpose_does_not_warn(
    book: Any, change: Callable[[Any], None]
) -> None:
    fill(book)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with book.unit_of_work() as uow:
            change(uow)
            uow.rollback()
        with pytest.raises(ZeroDivisionError), book.unit_of_work() as uow:  # noqa: PT012
            change(uow)
            raise ZeroDivisionError
        with book.unit_of_work() as uow:
            change(uow)
            uow.commit()


def test_a_unit_of_work_that_changed_nothing_does_not_warn(book: Any) -> None:
    with book.unit_of_work() as uow:
        trade(uow)
        uow.commit()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with book.unit_of_work() as uow:
            within(uow, queries.get_positions)
            trade(uow)  # recorded already
        with book.unit_of_work(read_only=True) as uow:
            within(uow, queries.get_positions)


def test_a_refused_change_does_not_warn(book: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with book.unit_of_work() as uow, pytest.raises(InvalidInput):
            within(uow, handlers.record_trade, symbol="X", action="BUY", quantity=-1, price=1)


def test_record_of_ones_own_counts(book: Any) -> None:
    mine = Alert(account=book.account, alert_type="a", severity="INFO")
    with pytest.warns(UncommittedWork), book.unit_of_work() as uow:
        within(uow, lambda inside: inside.alerts.add(mine))
