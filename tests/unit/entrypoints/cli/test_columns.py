"""One set of columns for each entity, in tables, in JSON and in exported files."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from attrs import define, fields, frozen

import tradebook
from tradebook import Position, Trade
from tradebook.domain.balances import BalanceDifference
from tradebook.domain.entity import Entity
from tradebook.entrypoints.cli.book.exporting import Kind as ExportKind
from tradebook.entrypoints.cli.columns import columns_of, select
from tradebook.entrypoints.cli.output import DERIVED, field_names, print_json
from tradebook.entrypoints.cli.tables import Kind
from tradebook.service_layer.queries.arrow import ArrowKind
from tradebook.service_layer.queries.portfolio import CashBalance


@define(slots=False, eq=False, kw_only=True)
class Wider(Trade):
    """A trade with a new field."""

    slippage: Decimal = Decimal("0.5")


@frozen
class WiderBalance(CashBalance):
    """A cash balance with a new field; unlike an entity, a subclass of it can be built."""

    reserved: Decimal = Decimal("0.50")


def test_a_new_field_is_in_tables_json_and_exported_files(
    capsys: pytest.CaptureFixture[str],
) -> None:
    [column] = select(Wider, "slippage")
    assert (column.header, column.field, column.kind) == ("slippage", "slippage", Kind.NUMBER)
    assert "slippage" in field_names(Wider)
    assert "slippage" in ArrowKind.from_kind(Wider).schema.names
    print_json({"cash": WiderBalance("USD", *[Decimal(1)] * 4)})
    assert json.loads(capsys.readouterr().out)["cash"]["reserved"] == "0.5"


@pytest.mark.parametrize("kind", ExportKind)
def test_the_columns_of_an_entity_are_its_fields_and_what_is_derived(kind: ExportKind) -> None:
    entity: Any = getattr(tradebook, kind.name)
    assert issubclass(entity, Entity)
    names = [field.name for field in fields(entity)]
    assert list(columns_of(entity)) == [*names, *DERIVED.get(entity, ())]
    assert set(ArrowKind.from_kind(entity).schema.names) <= set(names)


def test_headers_and_kinds_follow_the_field_where_nothing_else_is_said() -> None:
    trade, position = columns_of(Trade), columns_of(Position)
    assert (trade["booked_at"].header, trade["booked_at"].kind) == ("booked (UTC)", Kind.TIME)
    assert (trade["fee_currency"].header, trade["fee_currency"].kind) == ("fee currency", Kind.NAME)
    assert position["quantity"].kind is Kind.NUMBER
    assert position["market_value"].kind is Kind.AMOUNT
    assert columns_of(BalanceDifference)["difference"].kind is Kind.EXACT
    assert position["net_pnl"].kind is Kind.GAIN


def test_the_last_of_the_spare_columns_is_left_out_first() -> None:
    columns = {c.field: c.spare for c in select(Trade, "symbol fee venue", spare="fee venue")}
    assert columns == {"symbol": 0, "fee": 1, "venue": 2}
