"""The accounts of one store: a book for each on one pool, and the queries across them."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final
from uuid import uuid4

import attrs
import pytest

from tests.support.attacks import dump
from tests.support.backends import Driven, within
from tradebook import InvalidInput, MissingRate, TradebookError, handlers
from tradebook.domain.consolidation import CONSOLIDATED

BUY: Final[dict[str, Any]] = {"symbol": "ETH", "action": "BUY", "quantity": 2, "price": 10}


def close(book: Any) -> None:
    """Close a book that `for_account` made; `DrivenBook.close` would end the loop of both."""
    book.aclose() if isinstance(book, Driven) else book.close()


@pytest.fixture
def names() -> tuple[str, str]:
    """Two accounts that no other test has, in order."""
    token = uuid4().hex
    return f"a-{token}", f"b-{token}"


@pytest.fixture
def desk(book: Any, names: tuple[str, str]) -> Iterator[tuple[Any, Any]]:
    """Two accounts on the pool of a third: dollars with a position, euros with cash and a short one."""
    dollars, euros = book.for_account(names[0]), book.for_account(names[1], base_currency="EUR")
    dollars.record_trade(**BUY, fee=1)
    dollars.record_cash_flow("DEPOSIT", 100)
    euros.record_trade(**{**BUY, "action": "SELL"}, currency="EUR")
    euros.record_trade(**{**BUY, "symbol": "OLD"}, currency="EUR")
    euros.record_trade(
        **{**BUY, "symbol": "OLD", "action": "SELL", "price": "11.5"}, currency="EUR"
    )
    euros.record_cash_flow("DEPOSIT", 50)
    yield dollars, euros
    close(dollars)
    close(euros)


def test_books_on_one_pool_are_apart(book: Any, desk: tuple[Any, Any]) -> None:
    dollars, euros = desk
    book.record_trade(**BUY)

    assert [p.quantity for p in dollars.get_open_positions()] == [2]
    assert [p.quantity for p in euros.get_open_positions()] == [-2]
    assert len(book.get_trades()) == len(dollars.get_trades()) == 1
    assert dollars.verify().proven
    assert euros.verify().proven


def test_closing_one_leaves_the_others_open(book: Any, desk: tuple[Any, Any]) -> None:
    dollars, euros = desk
    close(dollars)

    assert len(euros.get_open_positions()) == 1
    assert dollars.record_trade(**BUY).realized_pnl == 0
    assert book.get_positions() == []


def test_a_book_of_another_leads_to_further_ones(desk: tuple[Any, Any], names: Any) -> None:
    dollars, _ = desk
    again = dollars.for_account(names[1])
    assert again.get_open_positions()[0].quantity == -2
    assert again.record_cash_flow("FEE", -1).currency == "EUR"


@pytest.mark.parametrize("name", ["", " x", "all", "*", 5, None])
def test_a_name_that_stands_for_no_account_is_refused(book: Any, name: Any) -> None:
    with pytest.raises(InvalidInput, match="name"):
        book.for_account(name)


def test_an_account_that_does_not_exist_is_an_empty_book_and_is_not_listed(
    book: Any, desk: Any, names: tuple[str, str]
) -> None:
    nobody = f"nobody-{uuid4().hex}"
    assert book.for_account(nobody).get_positions() == []
    listed = [account.account for account in book.get_accounts()]
    assert listed == sorted(listed)
    assert {*names} <= {*listed}
    assert not {nobody, book.target.account if isinstance(book, Driven) else book.account} & {
        *listed
    }
    assert {a.account: a.base_currency for a in book.get_accounts()}[names[1]] == "EUR"


# The base currency


def test_a_base_currency_that_is_not_the_accounts_is_refused_by_every_call(
    book: Any, desk: Any, names: tuple[str, str]
) -> None:
    before = desk[1].read(dump)
    wrong = book.for_account(names[1], base_currency="USD")
    for call in (
        lambda: wrong.record_trade(**BUY),
        lambda: wrong.raise_alert("a", "INFO"),
        wrong.get_positions,
        lambda: wrong.run(handlers.mark_prices, {"ETH": 1}),
    ):
        with pytest.raises(InvalidInput, match=f"'USD' is not accepted; expected EUR.*{names[1]}"):
            call()
    with pytest.raises(InvalidInput), wrong.unit_of_work() as uow:
        within(uow, handlers.raise_alert, "a", "INFO")
    assert desk[1].read(dump) == before


def test_a_base_currency_is_refused_where_another_was_first_to_open_the_account(
    book: Any,
) -> None:
    name = f"raced-{uuid4().hex}"
    late = book.for_account(name, base_currency="EUR")
    assert late.get_positions() == []
    book.for_account(name, base_currency="CHF").record_cash_flow("DEPOSIT", 1)

    with pytest.raises(InvalidInput, match=r"EUR.*CHF"):
        late.record_cash_flow("DEPOSIT", 1)
    with pytest.raises(InvalidInput, match=r"EUR.*CHF"):
        late.record_trade(**BUY)
    assert book.for_account(name).get_cash_balances()[0].balance == 1


def test_an_account_takes_the_currency_of_the_book_that_led_to_it(book: Any) -> None:
    first = book.for_account(f"first-{uuid4().hex}", base_currency="CHF")
    second = first.for_account(f"second-{uuid4().hex}")
    assert second.record_trade(**BUY).currency == "CHF"
    assert book.for_account(f"third-{uuid4().hex}").record_trade(**BUY).currency == "USD"


# Across accounts


def test_positions_of_all_accounts_stand_in_one_list(
    book: Any, desk: Any, names: tuple[str, str]
) -> None:
    found = book.get_consolidated_positions(accounts=names)
    assert [(p.account, p.symbol, p.quantity) for p in found] == [
        (names[0], "ETH", 2),
        (names[1], "ETH", -2),
    ]
    everything = book.get_consolidated_positions(accounts=[*names], include_closed=True)
    assert [p.symbol for p in everything] == ["ETH", "ETH", "OLD"]
    unnamed = [p for p in book.get_consolidated_positions() if p.account in names]
    assert [p.id for p in unnamed] == [p.id for p in found]


def test_portfolios_add_up_in_one_currency(book: Any, desk: Any, names: tuple[str, str]) -> None:
    before = [each.read(dump) for each in desk]
    found = book.get_consolidated_portfolio(
        accounts=names, base_currency="CHF", rates={"USD": "0.9", "EUR": "0.95"}
    )

    total, parts = found.total, found.portfolios
    assert [part.account for part in parts] == [*names]
    assert {part.currency for part in (total, *parts)} == {"CHF"}
    assert {part.source for part in (total, *parts)} == {CONSOLIDATED}
    assert total.external_flows == Decimal("137.5") == 100 * Decimal("0.9") + 50 * Decimal("0.95")
    assert total.realized_pnl == 3 * Decimal("0.95")
    assert total.rates == {"USD": "0.9", "EUR": "0.95"}
    amounts = [
        f.name for f in attrs.fields(type(total)) if isinstance(getattr(total, f.name), Decimal)
    ]
    for name in amounts:
        assert getattr(total, name) == sum(getattr(part, name) for part in parts), name
    assert total.total_value == total.cash_balance + total.positions_value
    assert total.total_value == (
        total.external_flows + total.income + total.realized_pnl + total.unrealized_pnl - total.fees
    )
    assert [(p.account, p.market_value) for p in found.positions] == [
        (names[0], 20),
        (names[1], -20),
    ]
    assert [each.read(dump) for each in desk] == before


def test_one_account_is_valued_as_by_its_own_snapshot(
    book: Any, desk: Any, names: tuple[str, str]
) -> None:
    taken = desk[0].take_snapshot()
    [part] = book.get_consolidated_portfolio(accounts=names[:1]).portfolios
    fixed = ("id", "created_at", "updated_at", "timestamp", "source")
    for field in attrs.fields(type(taken)):
        if field.name not in fixed:
            assert getattr(part, field.name) == getattr(taken, field.name), field.name


def test_what_cannot_be_consolidated_is_named(book: Any, desk: Any, names: tuple[str, str]) -> None:
    refused: list[tuple[dict[str, Any], type[TradebookError], str]] = [
        ({}, InvalidInput, "the accounts have EUR, USD"),
        ({"base_currency": "USD"}, MissingRate, "no rate from EUR to USD"),
        ({"base_currency": "USD", "rates": {"EUR": 0}}, InvalidInput, "EUR"),
        ({"base_currency": ""}, InvalidInput, "base_currency"),
        ({"accounts": ["typo"]}, InvalidInput, "accounts: 'typo'.*that are open: "),
        ({"accounts": "typo"}, InvalidInput, "a list of names"),
        ({"accounts": iter(names)}, InvalidInput, "a list of names"),
    ]
    for given, error, message in refused:
        with pytest.raises(error, match=message):
            book.get_consolidated_portfolio(**{"accounts": names, **given})


def test_nothing_at_all_is_worth_nothing(book: Any) -> None:
    found = book.get_consolidated_portfolio(accounts=[])
    assert (found.total.total_value, found.portfolios, found.positions) == (0, [], [])
