"""All ways of writing a booked trade follow from one tuple of columns."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from attrs import fields
from sqlalchemy import make_url

from tradebook.adapters import orm
from tradebook.adapters.ledger.bulk_rows import BulkCall, CopyRows, SqliteRows
from tradebook.adapters.ledger.single_trade import WRITERS
from tradebook.domain.events import Effect
from tradebook.domain.fills import (
    Booking,
    RunningPosition,
    SharedValues,
    payload_template,
    payload_values,
    texts_of,
)
from tradebook.domain.numbers import exact
from tradebook.domain.positions import Position
from tradebook.domain.trades import TRADE_COLUMNS, Trade
from tradebook.service_layer.handlers.new_fills import FillReader

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
CALL = BulkCall("main", NOON, "ann", "r-1")
NEW = "bust_reason"
MORE = (*TRADE_COLUMNS, NEW)
"""A copy of the tuple with one more field: any column of the table that a new fill is not written with."""
DIALECTS = ["sqlite://", "sqlite+aiosqlite://", "postgresql+psycopg2://", "postgresql+asyncpg://"]


def booking(**terms: Any) -> Booking:
    given = {"symbol": "X", "action": "BUY", "quantity": 2, "price": 10, "order_id": "o", **terms}
    fill = FillReader().read(given)  # type: ignore[arg-type]
    assert fill is not None
    with exact():
        made = RunningPosition(vars(Position(symbol="X", created_at=NOON)), NOON).book(fill, "USD")
    assert made is not None
    return made


def test_a_new_fill_is_written_with_every_field_that_it_can_have() -> None:
    later = {"id", "corrects_id", "busted_at", "busted_by", "bust_reason", "bust_sequence"}
    assert set(TRADE_COLUMNS) == {column.name for column in orm.trades.c} - later
    assert {"id", *booking().trade} == {attribute.name for attribute in fields(Trade)}


@pytest.mark.parametrize("url", DIALECTS)
def test_the_single_statement_follows_the_tuple(url: str) -> None:
    dialect = make_url(url).get_dialect()()
    plain, more = (WRITERS[dialect.driver](dialect, columns) for columns in (TRADE_COLUMNS, MORE))
    made, position = booking(), vars(Position(symbol="X", created_at=NOON))
    event = {
        **dict.fromkeys(("account", "event_type", "entity", "actor", "correlation_id"), ""),
        **dict.fromkeys(("created_at", "updated_at", "occurred_at"), NOON),
        "payload": {},
    }
    made.trade[NEW] = "why"

    assert NEW not in plain.insert_trade_sql("x WHERE")
    assert NEW in more.insert_trade_sql("x WHERE")
    values = [writer.values(position, position, made.trade, event) for writer in (plain, more)]
    assert [len(each) for each in values] == [len(values[0]), len(values[0]) + 1]
    assert "why" in values[1]


def test_the_rows_of_an_import_follow_the_tuple() -> None:
    made = booking()
    made.trade[NEW] = "why"
    sqlite = make_url("sqlite://").get_dialect()()
    for plain, more in (
        (CopyRows(CALL), CopyRows(CALL, MORE)),
        (SqliteRows(CALL, sqlite), SqliteRows(CALL, sqlite, MORE)),
    ):
        assert set(more.trade_columns) - set(plain.trade_columns) == {NEW}
        [(line, _)], [(longer, _)] = plain.rows([7], [made]), more.rows([7], [made])
        fields, more_fields = (
            r.rstrip("\n").split("\t") if isinstance(r, str) else r for r in (line, longer)
        )
        by_name = dict(zip(more.trade_columns, more_fields, strict=True))
        assert by_name.pop(NEW) == "why"
        assert by_name == dict(zip(plain.trade_columns, fields, strict=True))


def test_bookings_that_differ_in_a_new_field_share_no_template() -> None:
    rows = CopyRows(CALL, MORE)
    first, second = booking(), booking(order_id="p")
    first.trade[NEW], second.trade[NEW] = "why", "because"
    lines = [trade for trade, _ in rows.rows([1, 2], [first, second])]
    assert ["why" in lines[0], "because" in lines[1]] == [True, True]


@pytest.mark.parametrize(
    "terms",
    [
        {},
        {"venue": "100%", "strategy": 'a"b\\', "execution_id": "%s", "order_id": 'é"\\%(x)s'},
        {"fee": "-0.5", "multiplier": 50, "settlement": "MARGINED", "currency": "EUR"},
        {"fee_currency": "BNB", "details": {"a": [1, None, "%d"]}, "decision_id": 7},
        {"quantity": "0.000000000000000001", "price": 0},
    ],
)
def test_a_template_gives_the_payload_of_the_event(terms: dict[str, Any]) -> None:
    made, other = booking(**terms), booking(**{**terms, "order_id": "other", "quantity": 5})
    shared = SharedValues()
    assert shared.key(made, NOON) == shared.key(other, NOON)
    text = payload_template(other, NOON) % payload_values(made, NOON, texts_of(made.trade))
    assert json.loads(text) == made.event(NOON).payload()


def test_bookings_of_two_decisions_share_a_template() -> None:
    made, other = booking(decision_id=1), booking(decision_id=2)
    assert SharedValues().key(made, NOON) == SharedValues().key(other, NOON)
    assert SharedValues().key(made, NOON) != SharedValues().key(booking(), NOON)


def test_a_booking_time_after_the_call_is_in_the_payload() -> None:
    made = booking()
    later = NOON.replace(hour=13)
    made.trade["booked_at"] = later
    late = Booking(made.trade, Effect.OPENED, Decimal(0), Decimal(2))
    text = payload_template(late, NOON) % payload_values(late, NOON, texts_of(late.trade))
    assert json.loads(text)["booked_at"] == later.isoformat()
    assert json.loads(text) == late.event(NOON).payload()
