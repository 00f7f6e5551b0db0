"""An account as ccxt shows it is replayed, and ends with the venue's balances to the last digit."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

import pytest

from tests.support.ccxt_venue import Venue, traded_account
from tradebook.service_layer.book import Book

KINDS: Final = {"deposit": "DEPOSIT", "funding": "FUNDING"}


def terms_of(trade: dict[str, Any]) -> dict[str, Any]:
    """Return the terms of a trade of ccxt."""
    market, _, settle = trade["symbol"].partition(":")
    return {
        "symbol": trade["symbol"],
        "action": trade["side"],
        "quantity": trade["amount"],
        "price": trade["price"],
        "fee": trade["fee"]["cost"],
        "fee_currency": trade["fee"]["currency"],
        "currency": settle or market.split("/")[1],
        "settlement": "MARGINED" if settle else "CASH",
        "executed_at": trade["datetime"],
        "order_id": trade["order"],
        "execution_id": trade["id"],
    }


def replay(book: Book, venue: Venue) -> None:
    """Record everything in the order in which it happened; each order is submitted before its first fill."""
    submitted = set()
    for entry in venue.in_order():
        if "side" in entry:
            terms = terms_of(entry)
            order = terms["order_id"]
            if order not in submitted:
                submitted.add(order)
                whole = {**terms, "quantity": sum_of(venue, order), "fee": 0, "execution_id": ""}
                book.record_trade(**whole, status="PENDING")
            book.record_trade(**terms)
        else:
            record_cash(book, entry)


def record_cash(book: Book, entry: dict[str, Any]) -> None:
    """Record an entry of ccxt's ledger."""
    sign = 1 if entry["direction"] == "in" else -1
    book.record_cash_flow(
        KINDS[entry["type"]],
        sign * Decimal(repr(entry["amount"])),
        currency=entry["currency"],
        symbol=entry["info"]["symbol"],
        reference=entry["id"],
        occurred_at=entry["datetime"],
    )


def sum_of(venue: Venue, order: str) -> Decimal:
    """Return the exact quantity of an order."""
    amounts = (Decimal(repr(t["amount"])) for t in venue.trades if t["order"] == order)
    return sum(amounts, Decimal(0))


@pytest.fixture(scope="module")
def venue() -> Venue:
    return traded_account()


def test_the_balances_are_the_venues_to_the_last_digit(book: Book, venue: Venue) -> None:
    replay(book, venue)

    found = {each.asset: Fraction(each.balance) for each in book.get_balances()}
    assert found == venue.exact_balances()
    assert book.reconcile(venue.fetch_balance()).agrees
    assert len(venue.trades) == 30
    assert book.get_open_orders() == []
    assert book.verify().proven


def test_an_import_and_a_second_delivery_change_nothing_more(book: Book, venue: Venue) -> None:
    fills = [terms_of(trade) for trade in venue.trades]
    book.import_trades(fills)
    replay(book, venue)

    assert book.import_trades(fills).booked == 0
    assert book.reconcile(venue.fetch_balance()).agrees
    assert book.verify().trades == 30


def test_a_lost_fill_is_a_difference_that_names_its_assets(book: Book, venue: Venue) -> None:
    book.import_trades([terms_of(trade) for trade in venue.trades if trade["id"] != "70003"])
    for entry in venue.ledger:
        record_cash(book, entry)

    result = book.reconcile(venue.fetch_balance())

    lost = {each.asset: each.difference for each in result.differences}
    assert lost == {
        "BNB": Decimal("-0.01827"),
        "BTC": Decimal("0.25"),
        "USDT": Decimal("-14997.5"),
    }
