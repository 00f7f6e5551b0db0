"""What the reliability scenarios find: a check that cannot fail proves nothing."""

from __future__ import annotations

import pytest

from reliability.load import Load, check, new_load, send
from tradebook import Portfolio
from tradebook.testing import FakeBook

SEED = 1


def sent() -> tuple[FakeBook, Load]:
    """A book that got a whole load."""
    book, load = FakeBook(), new_load(SEED, symbols=3, orders=40)
    book.record_trades(load.opening)
    assert send(book, load.deliveries) == (sum(map(len, load.deliveries)), 0)
    return book, load


def test_a_book_that_got_everything_twice_has_everything_once() -> None:
    book, load = sent()
    figures = check(book, load)
    assert (figures.lost, figures.duplicated) == (0, 0)
    assert book.count(Portfolio) >= 4


def test_an_order_and_a_cash_flow_that_are_missing_are_lost() -> None:
    book, load = sent()
    load.fills["o-missing"] = {}
    load.cash.add("missing")
    assert check(book, load).lost == 2


def test_an_order_and_a_cash_flow_that_are_there_twice_are_duplicated() -> None:
    book, load = sent()
    again = load.fills["o-0"]
    book.record_trade(**{**again, "execution_id": "again"})
    assert check(book, load).duplicated == 1


def test_other_terms_are_found() -> None:
    book, load = sent()
    load.fills["o-0"]["fee"] += 1
    with pytest.raises(AssertionError):
        check(book, load)


def test_another_amount_of_cash_is_found() -> None:
    book, load = sent()
    book.record_cash_flow("DEPOSIT", 1, reference="cash-more")
    with pytest.raises(AssertionError):
        check(book, load)


def test_a_snapshot_that_holds_other_trades_than_it_says_is_found() -> None:
    book, load = sent()
    with pytest.raises(AssertionError):
        check(WithOtherRows(book), load)


class WithOtherRows:
    """A book whose snapshots name the trade before the last that they hold."""

    def __init__(self, book: FakeBook) -> None:
        self._book = book

    def __getattr__(self, name: str) -> object:
        return getattr(self._book, name)

    def get_portfolio_positions(self, portfolio_id: int) -> list[object]:
        rows = self._book.get_portfolio_positions(portfolio_id)
        for row in rows:
            vars(row)["sequence"] -= 1  # its fields are frozen
        return list(rows)
