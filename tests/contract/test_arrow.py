"""Records as Arrow: every digit, on every store."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import attrs
import pyarrow
import pytest

from tradebook import ExtraNotInstalled, InvalidInput, Position, Trade
from tradebook.domain.entity import Entity
from tradebook.domain.numbers import number as number_of

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
KINDS = [kind for kind in Entity.__subclasses__() if kind.__module__.startswith("tradebook.")]


def batches(book: Any, kind: type[Entity], **options: Any) -> list[pyarrow.RecordBatch]:
    return list(book.arrow_batches(kind, **options))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_table_has_every_field_of_every_record(filled_book: Any, kind: type[Entity]) -> None:
    book = filled_book
    records, table = book.get_all(kind), book.to_arrow(kind)
    assert table.num_rows == len(records) > 0
    names = [field.name for field in attrs.fields(kind) if field.name != "signals"]
    assert table.column_names == names
    for name in names:
        stored, values = [getattr(each, name) for each in records], table[name].to_pylist()
        if any(isinstance(each, dict | list) for each in stored):
            values = [json.loads(each) for each in values]
        assert values == stored
    [*_, last] = batches(book, kind)
    assert last.schema == table.schema


def test_numbers_keep_every_digit(book: Any) -> None:
    price = "12345678901234567890.123456789012345678"
    book.record_trade(symbol="X", action="BUY", quantity=3, price=price, executed_at=NOON)
    book.record_trade(symbol="X", action="SELL", quantity=1, price="0.1")

    position = book.get_position_by_symbol("X")
    exact, text = book.to_arrow(Position), book.to_arrow(Position, decimals="text")
    assert exact["cost_basis"].to_pylist() == [position.cost_basis]
    assert exact.schema.field("cost_basis").type == pyarrow.decimal256(76, 40)
    assert [Decimal(each) for each in text["cost_basis"].to_pylist()] == [position.cost_basis]


def test_decimal128_has_the_digits_that_each_column_needs(book: Any) -> None:
    book.record_trade(symbol="X", action="BUY", quantity=3, price="150.25", fee="-0.001")
    book.record_trade(symbol="X", action="BUY", quantity=12, price="0.5")
    table = book.to_arrow(Trade, decimals="decimal128")
    types = {name: table.schema.field(name).type for name in ("quantity", "price", "fee")}
    assert types == {
        "quantity": pyarrow.decimal128(2, 0),
        "price": pyarrow.decimal128(5, 2),
        "fee": pyarrow.decimal128(4, 3),
    }
    assert table["price"].to_pylist() == [Decimal("0.5"), Decimal("150.25")]
    assert book.to_arrow(Trade, decimals="decimal128", symbol="Y").num_rows == 0


def test_a_column_that_needs_more_than_38_digits_is_refused_by_name(book: Any) -> None:
    book.record_trade(symbol="X", action="BUY", quantity=1, price="9" * 20)
    book.record_trade(symbol="X", action="BUY", quantity=1, price="0.1234567890123456789")
    with pytest.raises(
        InvalidInput, match=r"^price: .*0\.1234567890123456789.* 38 digits"
    ) as refused:
        book.to_arrow(Trade, decimals="decimal128")
    assert "20 before the point and 19 after it; decimals='text'" in str(refused.value)


def test_floats_are_the_nearest_and_none_is_infinite(book: Any) -> None:
    book.record_trade(symbol="X", action="BUY", quantity=1, price="0.12345678901234567891")
    table = book.to_arrow(Trade, decimals="float")
    assert table.schema.field("price").type == pyarrow.float64()
    assert table["price"].to_pylist() == [0.12345678901234567891]
    book.record_trade(symbol="Y", action="BUY", quantity=1e200, price=1e200)
    with pytest.raises(InvalidInput, match=r"^cost_basis: .* the largest float"):
        book.to_arrow(Position, decimals="float")


def test_a_number_that_does_not_fit_is_refused_and_comes_as_text(book: Any) -> None:
    for number, (price, fits) in enumerate(
        [("9" * 36, True), ("1e-40", True), ("9" * 38, False), (1e36, False), (1.5e-40, False)]
    ):
        book.record_trade(symbol=f"X{number}", action="BUY", quantity=1, price=price)
        trade = {"symbol": f"X{number}"}
        if fits:
            assert book.to_arrow(Trade, **trade)["price"].to_pylist() == [Decimal(price)]
        else:
            with pytest.raises(
                InvalidInput, match=r"^price: .*at most 36 digits .*decimals='text'"
            ) as refused:
                book.to_arrow(Trade, **trade)
            assert refused.value.value == number_of(price)
        [text] = book.to_arrow(Trade, decimals="text", **trade)["price"].to_pylist()
        assert Decimal(text) == number_of(price)


def test_times_are_utc_and_enumerations_dictionaries(book: Any) -> None:
    book.record_trade(symbol="X", action="SELL", quantity=1, price=1, executed_at=NOON)
    table = book.to_arrow(Trade)
    assert table.schema.field("executed_at").type == pyarrow.timestamp("us", tz="UTC")
    assert table["executed_at"].to_pylist() == [NOON]
    assert pyarrow.types.is_dictionary(table.schema.field("action").type)
    assert table["action"].to_pylist() == ["SELL"]


def test_filters_are_those_of_every_list(filled_book: Any) -> None:
    book = filled_book
    assert set(book.to_arrow(Trade, symbol="AAPL")["symbol"].to_pylist()) == {"AAPL"}
    assert book.to_arrow(Trade, until=datetime(2000, 1, 1, tzinfo=UTC)).num_rows == 0
    for refused in ({"nothing": 1}, {"decimals": "double"}):
        with pytest.raises(InvalidInput, match="|".join(refused)):
            book.to_arrow(Trade, **refused)
    with pytest.raises(InvalidInput, match="kind"):
        book.to_arrow("trades")


def test_without_pyarrow_the_extra_is_named(book: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ExtraNotInstalled, match=r"pip install 'tradebook\[arrow\]'") as refused:
        book.to_arrow(Trade)
    assert refused.value.extra == "arrow"
