"""Pages, their cursors, and what a list can be asked for."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradebook import (
    Alert,
    CashFlow,
    DecisionInput,
    Event,
    InvalidInput,
    Portfolio,
    PortfolioPosition,
    Position,
    Signal,
    Trade,
)
from tradebook.domain.entity import Entity
from tradebook.service_layer.ports.paging import (
    Filter,
    Page,
    conditions,
    page_limit,
    place_after,
    sort_keys,
)
from tradebook.testing import FakeBook
from tradebook.testing.fake_store import UNIQUE

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
KINDS = sorted(UNIQUE, key=lambda kind: kind.__name__)
RESERVED = {"limit", "after", "since", "until", "batch"}


def signal(id_: int, at: datetime = NOON) -> Signal:
    return Signal(id=id_, symbol="X", action="BUY", generated_at=at)


def event(id_: int) -> Event:
    return Event(id=id_, event_type="Noted", entity="Note", entity_id=1, occurred_at=NOON)


def encoded(document: str) -> str:
    return urlsafe_b64encode(document.encode()).decode().rstrip("=")


def test_a_page_has_a_cursor_only_when_there_is_more() -> None:
    found = [signal(3), signal(2), signal(1)]
    assert Page.from_records(Signal, found, 3).after is None
    page = Page.from_records(Signal, found, 2)
    assert page == found[:2]
    assert page.after is not None


def test_a_cursor_leads_to_the_last_record_of_its_page() -> None:
    at = NOON + timedelta(microseconds=1)
    after = Page.from_records(Signal, [signal(2, at), signal(1, at)], 1).after
    assert place_after(Signal, after) == (at, 2)
    assert place_after(Event, Page.from_records(Event, [event(2), event(1)], 1).after) == (2,)
    assert place_after(Signal, None) is None


@pytest.mark.parametrize("last", [2, 20, 200])
def test_a_cursor_fits_into_a_url_as_it_is(last: int) -> None:
    after = Page.from_records(Signal, [signal(last), signal(1)], 1).after

    assert after is not None
    assert quote(after, safe="") == after
    assert place_after(Signal, after) == (NOON, last)


@pytest.mark.parametrize("kind", [Trade, Event, Position])
def test_the_cursor_of_another_list_is_refused(kind: type[Entity]) -> None:
    after = Page.from_records(Signal, [signal(2), signal(1)], 1).after
    with pytest.raises(InvalidInput, match=r"after: .* the `after` of a page of the same list"):
        place_after(kind, after)


@pytest.mark.parametrize(
    "after",
    [
        "",
        "nonsense",
        "ö",
        5,
        b"abc",
        "a" * 10_000,
        encoded("{}"),
        encoded("[" * 100_000),
        encoded('["Signal"]'),
        encoded('["Signal",1]'),
        encoded('["Signal",5,1]'),
        encoded('["Signal","noon",1]'),
        encoded('["Signal","2026-03-02T12:00:00+00:00","1"]'),
        encoded('["Signal","2026-03-02T12:00:00+00:00",-1]'),
        encoded('["Signal","2026-03-02T12:00:00+00:00",true]'),
        encoded('["Signal","2026-03-02T12:00:00",1]'),
        encoded('["Signal", "2026-03-02T12:00:00+00:00", 1]'),
        encoded('["Signal","2026-03-02T12:00:00+00:00","2026-03-02T12:00:00+00:00",1]'),
    ],
)
def test_what_is_no_cursor_is_refused(after: Any) -> None:
    with pytest.raises(InvalidInput, match=r"^after: "):
        place_after(Signal, after)


@given(st.text())
def test_no_text_breaks_the_reading_of_a_cursor(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^after: "):
        place_after(Signal, text)


@pytest.mark.parametrize("limit", [0, -1, 10_001, True, 1.0, "10", None])
def test_a_limit_is_a_whole_number_from_1_to_10000(limit: Any) -> None:
    with pytest.raises(InvalidInput, match=r"^batch: .*a whole number from 1 to 10,000"):
        page_limit(limit, "batch")
    with pytest.raises(InvalidInput, match=r"^limit: "):
        FakeBook().get_trades(limit=limit)


@pytest.mark.parametrize("limit", [1, 10_000])
def test_the_least_and_the_most_records_of_a_page(limit: int) -> None:
    assert page_limit(limit) == limit


def test_conditions_take_what_the_fields_take() -> None:
    wanted = conditions(
        Trade,
        {
            "action": "BUY",
            "price": 150.25,
            "executed_at": NOON.replace(tzinfo=None),
            "sequence": None,
            "decision_id": None,
            "realized_pnl": 5,
            "id": 7,
        },
    )
    assert wanted == {
        "action": "BUY",
        "price": Decimal("150.25"),
        "executed_at": NOON,
        "sequence": None,
        "decision_id": None,
        "realized_pnl": 5,
        "id": 7,
    }
    assert conditions(Alert, {"resolved": True}) == {"resolved": True}


@pytest.mark.parametrize(
    ("kind", "name", "value", "expected"),
    [
        (Trade, "action", "HOLD", "one of BUY, SELL"),
        (Trade, "action", None, "one of BUY, SELL"),
        (Trade, "symbol", ["AAPL"], "text"),
        (Trade, "price", "cheap", "a number"),
        (Trade, "executed_at", "yesterday", "a datetime"),
        (Trade, "id", "7", "a record's id"),
        (Trade, "id", None, "a record's id"),
        (Trade, "sequence", True, "a record's id"),
        (Alert, "resolved", 1, "True or False"),
        (Alert, "resolved", None, "True or False"),
        (Alert, "severity", "LOUD", "one of INFO, WARNING, CRITICAL, EMERGENCY"),
        (PortfolioPosition, "sequence", 2**63, "a record's id"),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_field(
    kind: type[Entity], name: str, value: Any, expected: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        conditions(kind, {name: value})
    assert (refused.value.field, refused.value.value) == (name, value)
    assert refused.value.expected.startswith(expected)


def test_an_unknown_field_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        InvalidInput,
        match=r"^colour: 'this name' is .* a field of Signal .*: id, account, .*horizon",
    ):
        conditions(Signal, {"colour": "red"})


@pytest.mark.parametrize("name", ["entry_price", "market_value", "unrealized_pnl", "net_pnl"])
def test_what_is_derived_on_read_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match=rf"^{name}: .*Position.{name} is derived on read"):
        conditions(Position, {name: 1})


JSON = {"details", "inputs", "rates", "payload", "input", "output", "parameters"}
NOT_COMPARED = JSON | {"closed_sequences", "covered", "other_fees", "signals"}
JSON_VALUES = {(DecisionInput, "value")}
PLAIN = {"int": 1, "bool": True, "str": "x", "datetime": NOON, "Decimal": Decimal(1)}


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_can_be_compared_but_json_and_records(kind: type[Entity]) -> None:
    for field in attrs.fields(kind):
        assert field.name not in RESERVED
        plain = str(field.type).removesuffix(" | None")
        if field.name in NOT_COMPARED or (kind, field.name) in JSON_VALUES:
            with pytest.raises(InvalidInput, match=f"^{field.name}: .*can be compared"):
                conditions(kind, {field.name: {}})
        elif plain in PLAIN:
            assert conditions(kind, {field.name: PLAIN[plain]}) == {field.name: PLAIN[plain]}
        else:
            with pytest.raises(InvalidInput, match=f"^{field.name}: .*one of "):
                conditions(kind, {field.name: "no such member"})


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_goes_by_a_time_that_it_has(kind: type[Entity]) -> None:
    fields = attrs.fields_dict(kind)
    assert set(sort_keys(kind)) <= fields.keys()
    assert fields[Filter.from_arguments(kind, None, None, {}).dated_by].type == "datetime"


def test_the_time_range_names_its_ends() -> None:
    for name in ("since", "until"):
        with pytest.raises(InvalidInput, match=rf"^{name}: .*a datetime"):
            FakeBook().get_all(Trade, **{name: "noon"})


@pytest.mark.parametrize(
    "kind", [int, "Trade", Trade(symbol="X", action="BUY", quantity=1, price=1), []]
)
def test_only_kinds_of_record_can_be_asked_for(kind: Any) -> None:
    book = FakeBook()
    questions = [
        lambda: book.get(kind, 1),
        lambda: book.get_all(kind),
        lambda: book.count(kind),
        lambda: book.exists(kind),
        lambda: next(book.iterate(kind)),
    ]
    for ask in questions:
        with pytest.raises(InvalidInput, match=r"^kind: .*one of Account, .*Trade"):
            ask()


moments = st.integers(0, 5).map(lambda minutes: NOON + timedelta(minutes=minutes))
flows = st.lists(st.tuples(moments, st.sampled_from(["USD", "EUR"])), max_size=12)


@given(flows, st.integers(1, 5), st.one_of(st.none(), moments), st.one_of(st.none(), moments))
def test_walking_the_pages_is_sorting_everything(
    recorded: list[tuple[datetime, str]],
    limit: int,
    since: datetime | None,
    until: datetime | None,
) -> None:
    book = FakeBook()
    made = [
        book.record_cash_flow(
            kind="DEPOSIT", amount=1, currency=c, occurred_at=at, reference=str(i)
        )
        for i, (at, c) in enumerate(recorded)
    ]
    expected = [
        flow.id
        for flow in sorted(made, key=lambda flow: (flow.occurred_at, flow.id), reverse=True)
        if flow.currency == "USD"
        and (since is None or flow.occurred_at >= since)
        and (until is None or flow.occurred_at < until)
    ]
    window: Any = {"since": since, "until": until, "currency": "USD"}
    walked, after = [], None
    while True:
        page = book.get_all(CashFlow, limit, after, **window)
        walked += [flow.id for flow in page]
        assert len(page) <= limit
        after = page.after
        if after is None:
            break
        assert len(page) == limit
    assert walked == expected
    assert [flow.id for flow in book.iterate(CashFlow, batch=limit, **window)] == expected
    assert book.count(CashFlow, **window) == len(expected)
    assert book.exists(CashFlow, **window) is bool(expected)


def test_portfolios_positions_can_be_read_too() -> None:
    book = FakeBook()
    book.record_trade(symbol="X", action="BUY", quantity=1, price=2)
    book.take_snapshot()
    [row] = book.get_all(PortfolioPosition, symbol="X")
    [snapshot] = book.get_all(Portfolio)
    assert row.portfolio_id == snapshot.id
