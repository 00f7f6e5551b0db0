"""Files of trades, read without a database."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from tradebook.entrypoints.cli.book.import_run import check
from tradebook.entrypoints.cli.book.row_order import OrderedRows, RowOrder
from tradebook.entrypoints.cli.book.trade_cells import RowReader
from tradebook.entrypoints.cli.book.trade_files import BadRow, PlainRows, Row, TradeFile
from tradebook.entrypoints.cli.book.trade_text import ImportRefused

HEADER = "symbol,action,quantity,price"


def a_file(content: str | bytes, name: str = "trades.csv", **options: Any) -> TradeFile:
    data = content.encode() if isinstance(content, str) else content
    return TradeFile(name, io.BytesIO(data), **options)


def rows_of(content: str | bytes, **options: Any) -> list[Row]:
    rows = list(a_file(content, **options).rows())
    assert all(isinstance(row, Row) for row in rows), rows
    return [row for row in rows if isinstance(row, Row)]


def terms_of(content: str | bytes, **options: Any) -> dict[str, Any]:
    (row,) = rows_of(content, **options)
    return dict(row.terms)


def bad_row_of(content: str, **options: Any) -> BadRow:
    bad = [row for row in a_file(content, **options).rows() if isinstance(row, BadRow)]
    assert len(bad) == 1
    return bad[0]


def refusal_of(content: str | bytes, name: str = "trades.csv", **options: Any) -> str:
    with pytest.raises(ImportRefused) as refused:
        list(a_file(content, name, **options).rows())
    return str(refused.value)


def test_a_row_becomes_terms_whatever_the_order_of_the_columns() -> None:
    terms = terms_of("price,order_id,action,symbol,quantity\n150.25,o-1,buy,AAPL,100\n")

    assert terms == {
        "symbol": "AAPL",
        "action": "BUY",
        "quantity": "100",
        "price": "150.25",
        "order_id": "o-1",
    }


def test_a_cell_left_empty_is_a_term_not_given() -> None:
    terms = terms_of(f"{HEADER},fee,venue,order_id\nAAPL,BUY,1,2,,,o-1\n")

    assert "fee" not in terms
    assert "venue" not in terms


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("2024-03-01T14:30:00Z", datetime(2024, 3, 1, 14, 30, tzinfo=UTC)),
        ("2024-03-01 14:30:00.5", datetime(2024, 3, 1, 14, 30, 0, 500_000, tzinfo=UTC)),
        ("2024-03-01T09:30:00-05:00", datetime(2024, 3, 1, 14, 30, tzinfo=UTC)),
        ("2024-03-01", datetime(2024, 3, 1, tzinfo=UTC)),
    ],
)
def test_times_are_iso_8601_and_naive_ones_are_utc(cell: str, expected: datetime) -> None:
    assert terms_of(f"{HEADER},executed_at\nAAPL,BUY,1,2,{cell}\n")["executed_at"] == expected


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_another_delimiter_is_recognised_by_the_header(delimiter: str) -> None:
    content = f"{HEADER}\nAAPL,BUY,1,2.5\n".replace(",", delimiter)

    assert terms_of(content)["price"] == "2.5"


def test_a_byte_order_mark_crlf_blank_lines_and_quoted_fields_do_no_harm() -> None:
    content = (
        "\ufeff\r\n"
        '"symbol", "action",quantity,price,strategy\r\n'
        "\r\n"
        ' AAPL ,BUY,1,"2.5", "mean reversion, daily"\r\n'
        ",,,,\r\n"
        "MSFT,SELL,3,4,\r\n"
        "\r\n"
    )

    first, second = rows_of(content)

    assert (first.line, second.line) == (4, 6)
    assert first.terms["symbol"] == "AAPL"
    assert first.terms["strategy"] == "mean reversion, daily"


def test_a_row_is_named_by_the_line_on_which_it_begins_also_after_a_field_of_two_lines() -> None:
    content = f'{HEADER},strategy\nAAPL,BUY,1,2,"of two\nlines"\nAAPL,BUY,none,2,\n'

    assert bad_row_of(content).line == 4


def test_gzip_is_recognised_by_its_content_not_by_its_name() -> None:
    packed = gzip.compress(f"{HEADER}\nAAPL,BUY,1,2\n".encode())

    assert terms_of(packed)["symbol"] == "AAPL"


def test_the_file_can_be_read_again() -> None:
    file = a_file(gzip.compress(f"{HEADER}\nAAPL,BUY,1,2\n".encode()))

    assert list(file.rows()) == list(file.rows())


# Names of columns


@pytest.mark.parametrize("name", ["Order_ID", "order id", "ORDER-ID"])
def test_names_of_columns_may_be_written_in_another_case(name: str) -> None:
    assert terms_of(f"{HEADER},{name}\nAAPL,BUY,1,2,o-1\n")["order_id"] == "o-1"


def test_other_names_are_mapped_to_ours() -> None:
    terms = terms_of(
        "Ticker,side,qty,Px\nAAPL,BUY,1,2\n",
        mapping={"Ticker": "symbol", "side": "action", "qty": "quantity", "Px": "price"},
    )

    assert (terms["symbol"], terms["price"]) == ("AAPL", "2")


def test_an_unknown_column_is_named_with_what_to_write() -> None:
    message = refusal_of(f"{HEADER},side note\nAAPL,BUY,1,2,x\n")

    assert "unknown column 'side note'" in message
    assert "--map" in message
    assert "--ignore 'side note'" in message


def test_an_unknown_column_can_be_left_out() -> None:
    assert "note" not in terms_of(f"{HEADER},note\nAAPL,BUY,1,2,x\n", ignored=["note"])


def test_a_missing_column_is_named_with_what_the_file_has_and_what_to_write() -> None:
    message = refusal_of("symbol,side,qty,price\nAAPL,BUY,1,2\n")

    assert "no column for action and quantity" in message
    assert "'symbol', 'side', 'qty', 'price'" in message
    assert "--map side=action --map qty=quantity" in message


def test_a_file_without_a_header_is_told_from_one_with_other_names() -> None:
    message = refusal_of("AAPL,BUY,1,2\nAAPL,SELL,1,2\n")

    assert "names no known column ('AAPL', 'BUY', '1', '2')" in message
    assert "symbol,action,quantity,price" in message


def test_a_mapping_of_a_column_that_is_not_there_is_refused() -> None:
    assert "--map names a column 'side'" in refusal_of(
        f"{HEADER}\nAAPL,BUY,1,2\n", mapping={"side": "action"}
    )


def test_two_columns_for_one_term_are_refused() -> None:
    message = refusal_of("symbol,action,quantity,price,Price\nAAPL,BUY,1,2,2\n")

    assert "two columns are price: 'price' and 'Price'" in message


# Bad rows


@pytest.mark.parametrize(
    ("row", "column", "value", "reason"),
    [
        ("AAPL,BUY,ten,2", "quantity", "ten", "number"),
        ("AAPL,BUY,0,2", "quantity", "0", "above 0"),
        ("AAPL,BUY,-1,2", "quantity", "-1", "above 0"),
        ('AAPL,BUY,"1,000",2', "quantity", "1,000", "number"),
        ("AAPL,BUY,1,NaN", "price", "NaN", "finite"),
        ("AAPL,BUY,1,1e-41", "price", "1e-41", "1e-40"),
        ("AAPL,HOLD,1,2", "action", "HOLD", "BUY, SELL"),
        ("AAPL,BUY,,2", "quantity", "", "required"),
        (",BUY,1,2", "symbol", "", "required"),
        ("AAPL,BUY,1", "", "", "3 cells where the header has 4"),
        ("AAPL,BUY,1,2,3", "", "", "5 cells where the header has 4"),
    ],
)
def test_a_bad_row_is_named_by_line_column_value_and_reason(
    row: str, column: str, value: str, reason: str
) -> None:
    bad = bad_row_of(f"{HEADER}\nAAPL,BUY,1,2\n{row}\n")

    assert (bad.line, bad.column, bad.value) == (3, column, value)
    assert reason in bad.reason
    assert "line 3" in str(bad)


@pytest.mark.parametrize("cell", ["yesterday", "2024-13-01", "1709", "17093034000"])
def test_a_time_that_is_none_is_a_bad_row(cell: str) -> None:
    bad = bad_row_of(f"{HEADER},executed_at\nAAPL,BUY,1,2,{cell}\n")

    assert (bad.column, bad.value) == ("executed_at", cell)
    assert "ISO 8601" in bad.reason


def test_a_bad_cell_is_named_by_the_files_own_name_of_its_column() -> None:
    bad = bad_row_of("symbol,action,qty,price\nAAPL,BUY,ten,2\n", mapping={"qty": "quantity"})

    assert bad.column == "qty"


# What is no file of trades


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff", " \n,,\n"])
def test_an_empty_file_is_refused(content: str) -> None:
    assert "is empty" in refusal_of(content)


def test_a_file_named_gz_that_is_no_gzip_is_refused() -> None:
    assert "no gzip file" in refusal_of(f"{HEADER}\nAAPL,BUY,1,2\n", "trades.csv.gz")


@pytest.mark.parametrize("damage", [lambda b: b[:-10], lambda b: b[:20] + b"\xff\x00" + b[22:]])
def test_a_damaged_gzip_file_is_refused(damage: Callable[[bytes], bytes]) -> None:
    rows = "".join(f"AAPL,BUY,{n},2\n" for n in range(1, 500))
    packed = gzip.compress(f"{HEADER}\n{rows}".encode())

    assert "damaged gzip" in refusal_of(damage(packed))


def test_bytes_that_are_no_utf_8_are_named_by_line() -> None:
    message = refusal_of(f"{HEADER}\nAAPL,BUY,1,2\nMÜNCHEN,BUY,1,2\n".encode("latin-1"))

    assert "line 3: byte 0xdc is no UTF-8" in message


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (f"{HEADER}\n".encode("utf-16"), "UTF-16"),
        (b"PK\x03\x04 and so on", "spreadsheet"),
        (b"SQLite format 3\x00", "SQLite"),
    ],
)
def test_other_kinds_of_file_are_called_by_their_name(content: bytes, what: str) -> None:
    assert what in refusal_of(content)


def test_an_open_quotation_mark_is_named_by_line() -> None:
    message = refusal_of(f'{HEADER}\nAAPL,BUY,1,2\n"AAPL,BUY,1,2\nAAPL,BUY,1,2\n')

    assert "line 3" in message
    assert "quotation mark" in message


def test_nul_characters_are_refused_in_words() -> None:
    assert refusal_of(f"{HEADER}\nAAPL,BUY,1,2\x00\x00" + '\n"A') != ""


def test_a_first_line_without_end_is_not_read_into_memory() -> None:
    assert "line 1: the row is longer than 100,000 characters" in refusal_of("x" * 200_000)


# Rows without an order id


def order_ids(content: str, **options: Any) -> list[str]:
    return [row.terms["order_id"] for row in rows_of(content, **options)]


def test_a_row_without_an_order_id_gets_the_same_one_each_time() -> None:
    content = f"{HEADER}\nAAPL,BUY,1,2\nAAPL,BUY,1,3\n"

    assert order_ids(content) == order_ids(content)
    assert len(set(order_ids(content))) == 2


def test_the_same_content_twice_is_two_orders() -> None:
    assert len(set(order_ids(f"{HEADER}\nAAPL,BUY,1,2\nAAPL,BUY,1,2\n"))) == 2


def test_an_order_id_does_not_depend_on_how_the_same_content_is_written() -> None:
    plain = order_ids(f"{HEADER}\nAAPL,BUY,1,2\n")

    assert plain == order_ids("price;Quantity;symbol;action\n2.00;1.0;AAPL;buy\n")
    assert plain == order_ids(f"{HEADER},fee\n\nAAPL,BUY,1,2,\n")


def test_an_order_id_does_not_depend_on_the_currency_given_for_the_whole_file() -> None:
    content = f"{HEADER}\nAAPL,BUY,1,2\n"

    assert order_ids(content) == order_ids(content, currency="ETH")


def test_other_content_is_another_order() -> None:
    assert order_ids(f"{HEADER}\nAAPL,BUY,1,2\n") != order_ids(f"{HEADER}\nAAPL,SELL,1,2\n")


def test_a_row_whose_order_and_execution_stood_in_the_file_before_repeats() -> None:
    file = a_file(
        f"{HEADER},order_id,execution_id\n"
        "AAPL,BUY,1,2,o-1,e-1\n"
        "AAPL,BUY,1,2,o-1,e-2\n"
        "AAPL,BUY,1,2,o-1,e-1\n"
        "MSFT,BUY,1,2,o-1,e-1\n"
    )

    with OrderedRows(file.text) as rows:
        check(file, rows, lambda _done, _all: None, skip_bad=False)

        assert rows.repeated == 1
        assert [row.repeats for row in rows] == [False, False, True, False]


def test_the_currency_given_for_the_file_is_that_of_rows_without_one() -> None:
    rows = rows_of(f"{HEADER},currency\nXRP/ETH,BUY,1,2,\nXRP/BTC,BUY,1,2,BTC\n", currency="ETH")

    assert [row.terms["currency"] for row in rows] == ["ETH", "BTC"]


MANY = f"{HEADER},fee,fee_currency,executed_at,order_id,execution_id,venue\n" + "".join(
    f"S{n % 3},{('buy', 'Sell')[n % 2]}, {n + 1}.50 ,{n}.25,{('', '0.1', '-0')[n % 3]},{'ETH' * (n % 2)},{time},o-{n // 2},"
    f"{n % 2},{'X' * (n % 5 == 0)}\n"
    for n, time in enumerate(
        ["2024-05-01T12:00:00Z", "2024-05-01 12:00", "2024-05-01T12:00:00.5+02:00", "1714564800"]
        * 60
    )
)


@pytest.mark.parametrize("options", [{}, {"currency": "ETH"}], ids=["plain", "with a currency"])
@pytest.mark.parametrize("bad", ["", "S1,hold,1,2,,,,o,,\n"], ids=["all good", "a bad row"])
def test_rows_that_are_read_by_columns_are_those_that_are_read_one_by_one(
    bad: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = MANY + bad
    parts = list(a_file(content, **options).parts())
    rows = list(a_file(content, **options).rows())
    with OrderedRows(a_file(content).text, RowOrder.FILE) as kept:
        check(a_file(content, **options), kept, lambda _done, _all: None, skip_bad=True)
        terms = [row.terms for row in kept]

    monkeypatch.setattr(RowReader, "columns", lambda *_: None)
    one_by_one = list(a_file(content, **options).rows())

    assert isinstance(parts[0], PlainRows)
    assert rows == one_by_one
    assert terms == [row.terms for row in one_by_one if isinstance(row, Row)]
    assert len(terms) == 240
