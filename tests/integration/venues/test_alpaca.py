"""Account activities of Alpaca, as its documentation shows them, are recorded once, page by page."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tradebook import CashFlow, InvalidInput, Trade
from tradebook.testing import FakeBook
from tradebook.venues import alpaca


def filled(number: int, side: str = "buy") -> dict[str, Any]:
    """A trade activity, after the example of the documentation."""
    return {
        "activity_type": "FILL",
        "id": f"20260302{number:09}::8efc7b9a-8b2b-4000-9955-d36e7db0df74",
        "cum_qty": "1",
        "leaves_qty": "0",
        "price": f"{150 + number / 100}",
        "qty": "2",
        "side": side,
        "symbol": "LPCN",
        "transaction_time": f"2026-03-02T15:{number // 60:02}:{number % 60:02}.977Z",
        "order_id": f"904837e3-3b76-47ec-b432-{number // 2:012}",
        "type": "fill",
    }


def moved(id_: str, activity_type: str, amount: str, **more: Any) -> dict[str, Any]:
    """A non-trade activity, after the example of the documentation."""
    named = {"activity_type": activity_type, "id": id_, "net_amount": amount}
    return {**named, "date": "2026-03-03", "status": "executed", **more}


class Client:
    """Answers as the API does: oldest first, 100 at a time, from a page token or a day on."""

    def __init__(self, activities: list[dict[str, Any]], fails_at: int = 0) -> None:
        self.activities, self.fails_at, self.asked = activities, fails_at, 0

    def get(self, path: str, data: dict[str, Any]) -> list[dict[str, Any]]:
        assert path == "/account/activities"
        self.asked += 1
        if self.asked == self.fails_at:
            raise ConnectionError("reset")
        ids = [each["id"] for each in self.activities]
        begin = ids.index(data["page_token"]) + 1 if "page_token" in data else 0
        after = data.get("after", "")[:10]
        dated = [
            each
            for each in self.activities[begin:]
            if str(each.get("transaction_time") or each["date"])[:10] >= after
        ]
        return dated[: data["page_size"]]


ACTIVITIES = [
    *(filled(n, ("buy", "buy", "sell", "sell_short")[n % 4]) for n in range(230)),
    moved("d1", "DIV", "1.02", symbol="T", qty="2", per_share_amount="0.51"),
    moved("d2", "DIVNRA", "-0.15", symbol="T"),
    moved("f1", "FEE", "-0.03"),
    moved("c1", "CSD", "1000"),
    moved("s1", "SPLIT", "0", symbol="T"),
]


def test_everything_is_recorded_once_and_what_has_no_form_is_told() -> None:
    book = FakeBook()
    first = alpaca.sync(book, Client(ACTIVITIES))
    again = alpaca.sync(book, Client(ACTIVITIES))
    assert (first.booked, first.cash_flows, book.count(Trade)) == (230, 4, 230)
    assert again.booked == 0
    assert book.count(CashFlow) == 4
    assert "SPLIT" in first.passed_over[0]
    flows = {f.kind: f.amount for f in book.get_all(CashFlow)}
    assert (flows["DIVIDEND"], flows["TAX"]) == (Decimal("1.02"), Decimal("-0.15"))
    assert book.verify().proven


def test_a_call_that_was_cut_off_goes_on() -> None:
    book = FakeBook()
    with pytest.raises(ConnectionError):
        alpaca.sync(book, Client(ACTIVITIES, fails_at=2))
    assert book.count(Trade) == 100
    alpaca.sync(book, Client(ACTIVITIES))
    assert (book.count(Trade), book.count(CashFlow)) == (230, 4)


def test_a_later_call_asks_from_the_last_day_on() -> None:
    book = FakeBook()
    alpaca.sync(book, Client(ACTIVITIES))
    client = Client([*ACTIVITIES, moved("d9", "INT", "0.5", date="2026-03-09")])
    done = alpaca.sync(book, client)
    assert (done.booked, done.duplicates, client.asked) == (0, 0, 1)
    assert book.count(CashFlow) == 5


@pytest.mark.parametrize(
    ("activity", "words"),
    [
        ({**filled(1), "side": "hold"}, "sell_short"),
        ({**filled(1), "price": None}, "has none"),
        ({**filled(1), "order_id": None}, "order_id"),
    ],
)
def test_a_fill_that_is_none_is_refused_by_name(activity: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        alpaca.terms(activity)
