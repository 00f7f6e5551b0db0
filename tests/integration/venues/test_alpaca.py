"""Account activities of Alpaca, as its documentation shows them, are recorded once, page by page, by its own client, too."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter

from tests.support.command_line import Command
from tests.support.venue_moves import SAMPLES
from tradebook import Book, CashFlow, DatabaseManager, InvalidInput, Trade
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
            raise PermissionError("the key was revoked")
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
    with pytest.raises(PermissionError):
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


def test_a_file_and_sync_record_the_same_activities_once(sqlite_book: str) -> None:
    path = SAMPLES / "alpaca" / "activities.json"
    dated = sorted(json.loads(path.read_text()), key=lambda each: each["id"])
    imported = Command(sqlite_book).json("import", "--from", "alpaca", str(path))

    with DatabaseManager(sqlite_book) as book:
        done = alpaca.sync(book, Client(dated), since="2020-01-01")
        assert (done.booked, book.count(CashFlow)) == (0, imported["cash_flows"])

        other = FakeBook()
        alpaca.sync(other, Client(dated))

        def fills(each: Book) -> dict[str, tuple[Any, ...]]:
            return {
                trade.execution_id: (trade.symbol, trade.signed_quantity, trade.multiplier)
                for trade in each.iterate(Trade)
                if trade.execution_id
            }

        assert fills(other) == fills(book)


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


# alpaca-py's own client, on a transport that answers in the venue's raw form, and fails


class Wire(HTTPAdapter):
    """Answers HTTP requests as the API does; each fault meets the request of its number, from 1 on."""

    def __init__(self, activities: list[dict[str, Any]], **faults: Any) -> None:
        super().__init__()
        self.client = Client(activities)
        self.faults = {int(name.removeprefix("at")): fault for name, fault in faults.items()}
        self.asked: list[str] = []

    def send(self, request: requests.PreparedRequest, **_options: Any) -> requests.Response:  # type: ignore[override]
        assert request.headers["APCA-API-KEY-ID"] == "key"
        self.asked.append(str(request.url))
        fault = self.faults.get(len(self.asked))
        if isinstance(fault, Exception):
            raise fault
        response = requests.Response()
        response.request, response.url = request, str(request.url)
        response.status_code = fault if isinstance(fault, int) else 200
        split = requests.utils.urlparse(str(request.url))
        query = dict(requests.utils.unquote(each).split("=") for each in split.query.split("&"))
        answer = self.client.get(split.path.removeprefix("/v2"), {**query, "page_size": 100})
        text = json.dumps(answer if response.ok else {"code": 40010000, "message": "no"})
        response._content = text[: len(text) // 2 if fault == "cut" else None].encode()
        return response


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> Callable[[Wire], Any]:
    """A function that returns alpaca-py's client on a transport, and waits for nothing."""
    trading = pytest.importorskip("alpaca.trading.client")
    monkeypatch.setattr(alpaca, "_PAUSE", 0)

    def connect(wire: Wire) -> Any:
        client = trading.TradingClient("key", "secret", paper=True)
        client._session.mount("https://", wire)
        client._retry_wait = 0
        return client

    return connect


@pytest.mark.full
@pytest.mark.parametrize(
    "faults",
    [
        {},
        {"at1": 429, "at3": 429},
        {"at2": 500, "at3": 502, "at4": 503, "at6": 504},
        {"at1": requests.ConnectionError("reset"), "at4": requests.ReadTimeout("slow")},
        {"at2": "cut", "at3": requests.exceptions.ChunkedEncodingError("ended early")},
    ],
)
def test_the_client_of_alpaca_fetches_every_page_whatever_fails_in_between(
    connected: Callable[[Wire], Any], faults: dict[str, Any]
) -> None:
    book, wire = FakeBook(), Wire(ACTIVITIES, **faults)

    done = alpaca.sync(book, connected(wire))

    assert (done.booked, done.cash_flows, len(done.passed_over)) == (230, 4, 1)
    assert (book.count(Trade), book.count(CashFlow)) == (230, 4)
    assert len(wire.asked) == 3 + len(faults)
    assert book.verify().proven


@pytest.mark.full
@pytest.mark.parametrize("fault", [401, 403, 422])
def test_what_the_venue_refuses_ends_the_call_and_the_next_one_goes_on(
    connected: Callable[[Wire], Any], fault: int
) -> None:
    book = FakeBook()
    with pytest.raises(Exception, match="40010000"):
        alpaca.sync(book, connected(Wire(ACTIVITIES, at2=fault)))
    assert book.count(Trade) == 100

    alpaca.sync(book, connected(Wire(ACTIVITIES)))

    assert (book.count(Trade), book.count(CashFlow)) == (230, 4)


@pytest.mark.full
def test_a_venue_that_stays_away_ends_the_call_after_six_requests(
    connected: Callable[[Wire], Any],
) -> None:
    wire = Wire(ACTIVITIES, **{f"at{n}": requests.ConnectionError("reset") for n in range(1, 99)})
    with pytest.raises(requests.ConnectionError):
        alpaca.sync(FakeBook(), connected(wire))
    assert len(wire.asked) == 6
