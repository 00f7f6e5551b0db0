"""`balances`: the amount of each asset in the account; and files in which a venue says it."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Mapping
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any, Final

from tradebook.domain.balances import AssetBalance
from tradebook.domain.errors import InvalidInput, shown
from tradebook.domain.numbers import plain
from tradebook.entrypoints.cli.book.file_formats import delimiter_of
from tradebook.entrypoints.cli.columns import select
from tradebook.entrypoints.cli.options import CommandContext

_MAX_SIZE: Final = 10_000_000
"""Bytes of a file of balances, which has a line for each asset."""
_ASSETS: Final = ("asset", "currency", "coin", "symbol")
_AMOUNTS: Final = ("balance", "total", "amount", "quantity", "qty")
"""Names of the columns of a CSV file, in any case."""


def balances(context: CommandContext) -> None:
    """Show how much of each asset the account has, over all positions and cash.

    The BTC of BTC/USDT, of BTC/EUR and of cash in BTC are one balance. A
    futures position holds no asset: it moves cash only.

      tradebook balances
      tradebook balances --json
    """
    with context.read_book() as manager:
        found = manager.get_balances()
    context.answer_table(
        {"account": context.account, "balances": found},
        f"balances of account {context.account}",
        select(AssetBalance, "asset positions cash balance", spare="cash positions"),
        found,
        empty=f"nothing was ever held in account {context.account!r}",
    )


def read_balances(file: str) -> Mapping[str, Any]:
    """Read a venue's balances by asset from a CSV or JSON file.

    Raises:
        InvalidInput: the file cannot be read, or is neither.
    """
    text = _text(file)
    if text.lstrip().startswith(("{", "[")):
        try:
            found = json.loads(text, parse_float=Decimal, parse_int=Decimal)
        except (ValueError, RecursionError) as error:
            raise InvalidInput(file, shown(text[:40]), f"JSON: {error}") from None
        if not isinstance(found, Mapping):
            raise InvalidInput(file, shown(text[:40]), "a JSON object: the balance of each asset")
        return found
    return _from_csv(file, text)


def _text(file: str) -> str:
    try:
        if file == "-":
            data = sys.stdin.buffer.read(_MAX_SIZE + 1)
        else:
            with Path(file).open("rb") as opened:
                data = opened.read(_MAX_SIZE + 1)
        if len(data) > _MAX_SIZE:
            raise InvalidInput("file", file, f"at most {_MAX_SIZE:,} bytes")
        return data.decode("utf-8-sig")
    except OSError as error:
        raise InvalidInput("file", file, f"a file that can be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidInput("file", file, "a file of UTF-8 text") from None


def _from_csv(file: str, text: str) -> dict[str, str]:
    delimiter = delimiter_of(text.partition("\n")[0])
    try:
        rows = list(csv.reader(StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise InvalidInput("file", file, f"CSV: {error}") from None
    header = [name.strip().lower() for name in rows[0]] if rows else []
    asset, amount = _place(file, header, _ASSETS), _place(file, header, _AMOUNTS)
    found: dict[str, str] = {}
    for line, row in enumerate(rows[1:], 2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(header):
            raise InvalidInput(file, f"line {line}", f"{len(header)} cells, as the first line has")
        name, balance = row[asset].strip(), row[amount].strip()
        if name in found:
            raise InvalidInput(
                file, f"line {line}", f"one line for each asset: {shown(name)} has two"
            )
        try:
            found[name] = plain(Decimal(balance))
        except ArithmeticError:
            raise InvalidInput(
                file, f"line {line}", f"a number, as the balance of {shown(name)}: {shown(balance)}"
            ) from None
    return found


def _place(file: str, header: list[str], names: Iterable[str]) -> int:
    found = [name for name in names if name in header]
    if not found:
        expected = f"a first line that names a column {' or '.join(names)}"
        raise InvalidInput(file, ",".join(header)[:100], expected)
    return header.index(found[0])
