"""Trades from every format of files, and cells in other notations."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zipfile import ZipFile
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from openpyxl import Workbook
from pyarrow import parquet

from tradebook.entrypoints.cli.book.trade_cells import RowReader
from tradebook.entrypoints.cli.book.trade_files import BadRow, Row, TradeFile
from tradebook.entrypoints.cli.book.trade_text import ImportRefused
from tradebook.venues.cells import CellReader

HEADER = "symbol,action,quantity,price"
AT = datetime(2024, 3, 1, 14, 30, tzinfo=UTC)


def read(name: str, content: bytes | str, **options: Any) -> list[Row | BadRow]:
    data = content.encode() if isinstance(content, str) else content
    return list(TradeFile(name, io.BytesIO(data), **options).rows())


def terms_of(name: str, content: bytes | str, **options: Any) -> list[dict[str, Any]]:
    rows = read(name, content, **options)
    assert all(isinstance(row, Row) for row in rows), rows
    return [dict(row.terms) for row in rows if isinstance(row, Row)]


def one(cells: str, header: str = HEADER, **options: Any) -> dict[str, Any]:
    (terms,) = terms_of("t.csv", f"{header}\n{cells}\n", **options)
    return terms


def bad(cells: str, header: str = HEADER, **options: Any) -> str:
    (row,) = read("t.csv", f"{header}\n{cells}\n", **options)
    assert isinstance(row, BadRow), row
    return str(row)


def refusal(name: str, content: bytes | str, **options: Any) -> str:
    with pytest.raises(ImportRefused) as refused:
        read(name, content, **options)
    return str(refused.value)


RECORD = {"symbol": "AAPL", "action": "buy", "quantity": 0.1, "price": 150, "fee": {"cost": 1e-8}}
FEE = {"mapping": {"fee.cost": "fee"}}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.json", json.dumps([RECORD])),
        ("t.json", json.dumps({"count": 1, "trades": [RECORD]}, indent=2)),
        ("t.jsonl", json.dumps(RECORD) + "\n\n"),
        ("standard input", json.dumps([RECORD])),
        ("standard input", json.dumps(RECORD)),
    ],
)
def test_json_and_json_lines_are_read_with_every_digit(name: str, content: str) -> None:
    (terms,) = terms_of(name, content, **FEE)

    assert (terms["quantity"], terms["price"], terms["fee"]) == ("0.1", "150", "1e-08")
    assert terms["action"] == "BUY"


def test_objects_of_json_lines_may_differ_in_what_they_have() -> None:
    lines = [RECORD, {**RECORD, "venue": "XNAS"}]

    first, second = terms_of("t.jsonl", "\n".join(map(json.dumps, lines)), **FEE)

    assert "venue" not in first
    assert second["venue"] == "XNAS"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.json", '[{"symbol": "AAPL",\n "acti', "line 2"),
        ("t.jsonl", json.dumps(RECORD) + '\n{"symbol": "A', "line 2, column 12"),
        ("t.json", "[1]", "record 1: '1': expected an object"),
        ("t.json", '{"a": [], "b": []}', "2 lists (it has 'a', 'b')"),
        ("t.json", "3", "no list of objects"),
        ("t.json", "[" * 100_000, "nested too deeply"),
        ("t.parquet", b"PAR1 and no more", "damaged Parquet file"),
    ],
)
def test_a_damaged_file_is_refused_with_the_place(
    name: str, content: bytes | str, said: str
) -> None:
    assert said in refusal(name, content)


def test_json_that_is_too_long_to_be_read_as_a_whole_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tradebook.entrypoints.cli.book.file_formats.MAX_JSON", 100)

    assert "a record per line" in refusal("t.json", json.dumps([RECORD] * 2))
    assert len(terms_of("t.jsonl", "\n".join([json.dumps(RECORD)] * 2), **FEE)) == 2


def test_a_bad_value_of_a_json_file_is_named_by_its_record() -> None:
    rows = read("t.json", json.dumps([RECORD, {**RECORD, "quantity": "ten"}]), **FEE)

    assert str(rows[1]) == "record 2, column quantity: 'ten': expected a number such as 150.25"


def test_parquet_is_read_with_every_digit_and_times_of_every_unit() -> None:
    table = pa.table(
        {
            "symbol": ["ETH/USDT", "AAPL"],
            "action": ["BUY", "SELL"],
            "quantity": pa.array([Decimal("0.100"), None], pa.decimal128(20, 3)),
            "price": [0.1, 3.0],
            "executed_at": pa.array([1709303400_000, None], pa.timestamp("ms", tz="UTC")),
        }
    )
    parquet.write_table(table, file := io.BytesIO())

    good, none = read("t.parquet", file.getvalue())

    assert isinstance(good, Row)
    assert good.terms["quantity"] == "0.1"
    assert good.terms["executed_at"] == AT
    assert str(none) == "record 2, column quantity: '': it is empty, and required"


def test_an_excel_workbook_is_read_by_its_first_sheet() -> None:
    book = Workbook()
    sheet = book.worksheets[0]
    sheet.append([*HEADER.split(","), "executed_at", "note"])
    sheet.append(["AAPL", "buy", 10, 0.1, AT.replace(tzinfo=None), None])
    sheet.append(["AAPL", "buy", "ten", 0.1])
    book.save(file := io.BytesIO())

    good, wrong = read("t.xlsx", file.getvalue(), reader=RowReader(ignores_others=True))

    assert isinstance(good, Row)
    assert (good.terms["quantity"], good.terms["price"]) == ("10", "0.1")
    assert good.terms["executed_at"] == AT
    assert str(wrong) == "line 3, column quantity: 'ten': expected a number such as 150.25"


def test_a_workbook_that_unpacks_to_far_more_or_is_damaged_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with ZipFile(file := io.BytesIO(), "w") as archive:
        archive.writestr("xl/workbook.xml", "no workbook")

    assert "damaged Excel workbook" in refusal("t.xlsx", file.getvalue())
    monkeypatch.setattr("tradebook.entrypoints.cli.book.file_formats.MAX_JSON", 10)
    monkeypatch.setattr("tradebook.entrypoints.cli.book.file_formats.MAX_INFLATION", 0)
    assert "would unpack to 11 bytes" in refusal("t.xlsx", file.getvalue())


# Numbers


@pytest.mark.parametrize(
    ("cell", "options", "expected"),
    [
        ('"1.234,56"', {"decimal": ","}, "1234.56"),
        ('"-0,5"', {"decimal": ","}, "-0.5"),
        ("7", {"decimal": ","}, "7"),
        ('"1,234,567.8"', {"thousands": True}, "1234567.8"),
        ("1'234.5", {"thousands": True}, "1234.5"),
        ("1 234.5", {"thousands": True}, "1234.5"),
        ('"12,34,567"', {"thousands": True}, "1234567"),
        ("1234.5678", {"thousands": True}, "1234.5678"),
        ("1.005", {"places": 2}, "1"),
        ("0.30000000000000004", {"places": 8}, "0.3"),
    ],
)
def test_numbers_are_read_in_other_notations(
    cell: str, options: dict[str, Any], expected: str
) -> None:
    header = HEADER + ",fee,order_id"
    reader = RowReader(CellReader(**options))

    assert one(f"A,BUY,1,2,{cell},o", header, reader=reader)["fee"] == Decimal(expected)


@pytest.mark.parametrize(
    ("cell", "options"),
    [
        ('"1,234.56"', {}),
        ('"1,5"', {"thousands": True}),
        ("1.5", {"decimal": ","}),
        ('"1.234,567.8"', {"decimal": ","}),
        ('"1,234.567,8"', {"thousands": True}),
        ("1..2", {"thousands": True}),
        ("ten", {"decimal": ","}),
    ],
)
def test_a_number_in_another_notation_is_refused_instead_of_guessed(
    cell: str, options: dict[str, Any]
) -> None:
    said = bad(f"A,BUY,{cell},2", reader=RowReader(CellReader(**options)))

    assert "column quantity" in said
    assert "expected a number" in said


def test_fees_below_zero_are_negated_on_request() -> None:
    reader = RowReader(negated=["fee"])

    assert one("A,BUY,1,2,-0.5", HEADER + ",fee", reader=reader)["fee"] == Decimal("0.5")


def test_the_sign_of_the_quantity_says_the_action() -> None:
    reader = RowReader(signed=True)
    content = "symbol,quantity,price\nA,-3,2\nA,3,2\nA,0,2\n"

    sold, bought, none = read("t.csv", content, reader=reader)

    assert isinstance(sold, Row)
    assert isinstance(bought, Row)
    assert (sold.terms["action"], sold.terms["quantity"]) == ("SELL", Decimal(3))
    assert (bought.terms["action"], bought.terms["quantity"]) == ("BUY", Decimal(3))
    assert "column quantity" in str(none)


def test_units_are_the_asset_the_currency_and_the_currency_of_the_fee() -> None:
    terms = one(
        'SOLUSDT,BUY,0.18SOL,"100.5 USDT",0.00018SOL',
        HEADER + ",fee",
        reader=RowReader(units=True),
    )

    assert (terms["quantity"], terms["price"]) == (Decimal("0.18"), Decimal("100.5"))
    assert (terms["asset"], terms["currency"], terms["fee_currency"]) == ("SOL", "USDT", "SOL")


def test_a_unit_that_another_column_contradicts_is_refused() -> None:
    said = bad(
        "SOLUSDT,BUY,1SOL,2,0.1BNB,USDT",
        HEADER + ",fee,fee_currency",
        reader=RowReader(units=True),
    )

    assert "'USDT'" in said or "'BNB'" in said


def test_a_multiplier_has_no_unit() -> None:
    said = bad("ES,BUY,1,2,50x", HEADER + ",multiplier", reader=RowReader(units=True))

    assert "column multiplier: '50x'" in said


def test_a_unit_without_its_option_is_no_number() -> None:
    assert "expected a number" in bad("SOLUSDT,BUY,0.18SOL,2")


def test_constants_count_where_a_row_has_none_and_never_change_its_identity() -> None:
    reader = RowReader(constants={"settlement": "MARGINED", "multiplier": "50"})
    header = HEADER + ",multiplier"

    terms = one("ES,BUY,1,2,", header, reader=reader)

    assert (terms["settlement"], terms["multiplier"]) == ("MARGINED", "50")
    assert terms["order_id"] == one("ES,BUY,1,2,", header)["order_id"]
    assert one("ES,BUY,1,2,20", header, reader=reader)["multiplier"] == "20"


# Times


@pytest.mark.parametrize(
    ("cell", "options"),
    [
        ("1709303400", {}),
        ("1709303400000", {}),
        ("1709303400.0", {}),
        ("1709303400000000", {}),
        ("1709303400000000000", {}),
        ("1709303400", {"date_format": "epoch-s"}),
        ("1709303400000", {"date_format": "epoch-ms"}),
        ("1709303400000000000", {"date_format": "epoch-ns"}),
        ("01.03.2024 14:30", {"date_format": "%d.%m.%Y %H:%M"}),
        ("03/01/2024 02:30 PM", {"date_format": "%m/%d/%Y %I:%M %p"}),
        ("2024-03-01 15:30", {"zone": ZoneInfo("Europe/Berlin")}),
        ("2024-03-01T14:30:00Z", {"zone": ZoneInfo("Europe/Berlin")}),
        ("20240301;093000", {"date_format": "%Y%m%d;%H%M%S", "zone": ZoneInfo("America/New_York")}),
    ],
)
def test_times_are_read_in_other_formats_and_zones(cell: str, options: dict[str, Any]) -> None:
    reader = RowReader(CellReader(**options))

    assert one(f"A,BUY,1,2,{cell}", HEADER + ",executed_at", reader=reader)["executed_at"] == AT


@pytest.mark.parametrize(
    ("cell", "options"),
    [
        ("01/03/2024", {}),
        ("20240301143000", {}),
        ("2024-03-01", {"date_format": "%d.%m.%Y"}),
        ("soon", {"date_format": "epoch-ms"}),
        ("9" * 18, {"date_format": "epoch-s"}),
    ],
)
def test_a_time_in_another_format_is_refused(cell: str, options: dict[str, Any]) -> None:
    reader = RowReader(CellReader(**options))

    assert "executed_at" in bad(f"A,BUY,1,2,{cell}", HEADER + ",executed_at", reader=reader)


# Columns and texts


def test_other_columns_are_left_out_or_kept_in_the_details() -> None:
    reader = RowReader(ignores_others=True, details=["Order Type", "tag"])

    terms = one("A,BUY,1,2,limit,x,", HEADER + ",Order Type,note,tag", reader=reader)

    assert terms["details"] == {"Order Type": "limit"}
    assert terms["order_id"] == one("A,BUY,1,2")["order_id"]


def test_a_column_of_details_that_the_file_lacks_is_named() -> None:
    assert "--details names a column 'tag'" in refusal(
        "t.csv", f"{HEADER}\nA,BUY,1,2\n", reader=RowReader(details=["tag"])
    )


def test_a_file_in_another_encoding_is_read_when_it_is_named() -> None:
    content = f"{HEADER},strategy\nA,BUY,1,2,über\n"

    assert terms_of("t.csv", content.encode("cp1252"), encoding="cp1252")[0]["strategy"] == "über"
    assert terms_of("t.csv", content.encode("utf-16"), encoding="utf-16")[0]["strategy"] == "über"
    assert "say --encoding" in refusal("t.csv", content.encode("cp1252"))
    assert "no text in utf-16" in refusal("t.csv", content.encode() + b"!", encoding="utf-16")
