"""The book in memory, on SQLite and on PostgreSQL are one book to whoever calls them."""

from __future__ import annotations

from datetime import timedelta
from inspect import isfunction

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import URL

from reliability.agreement import BooksAgree, machine_on
from reliability.calls import ARGUMENTS
from reliability.sides import Call
from reliability.tour import TOUR
from tests.support.backends import in_full_runs
from tradebook import handlers

BRIEFLY = settings(
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def machine(postgresql_book: URL) -> type[BooksAgree]:
    return machine_on({"SQLite": "sqlite://", "PostgreSQL": postgresql_book})


def test_no_handler_is_missing_from_the_machine() -> None:
    every = {name for name in handlers.__all__ if isfunction(getattr(handlers, name))}
    every.remove("seal")  # a seal says what its own database knows of its transactions

    assert ARGUMENTS.keys() == every
    assert {call.handler.__name__ for call in TOUR} == every


def test_every_handler_does_the_same_on_every_store(machine: type[BooksAgree]) -> None:
    books = machine()

    for call in TOUR:
        books.step(call, timedelta(minutes=1))
    books.teardown()

    assert machine.accepted.keys() == ARGUMENTS.keys()
    assert machine.refused == {}


def test_an_import_of_fills_and_orders_of_one_symbol_shows_the_same(
    machine: type[BooksAgree],
) -> None:
    books, order = machine(), {"symbol": "AAPL", "action": "BUY", "quantity": 2}
    fill = {**order, "order_id": "p-1", "price": 99}
    pending = {**order, "order_id": "p-2", "status": "PENDING"}

    books.step(Call(handlers.record_trade, fill), timedelta(0))
    rows = [{**fill, "execution_id": "x-1"}, pending, pending]
    books.step(Call(handlers.import_trades, {"trades": rows}), timedelta(0))
    books.teardown()

    assert machine.refused == {}


@pytest.mark.parametrize("examples", [4, in_full_runs(12)])
def test_any_calls_do_refuse_and_show_the_same_on_every_store(
    machine: type[BooksAgree], examples: int
) -> None:
    run_state_machine_as_test(machine, settings=settings(BRIEFLY, max_examples=examples))

    assert machine.accepted.total() > 20
    assert machine.refused.total() > 10
