"""The options of `import` that say how a file is written."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import Annotated, Final, TypeAlias
from zoneinfo import ZoneInfo

import typer

from tradebook.domain.trades import Settlement
from tradebook.entrypoints.cli.book.trade_cells import NUMBERS, RowReader
from tradebook.entrypoints.cli.book.trade_columns import FileKind
from tradebook.venues.cells import DECIMAL_MARKS, EPOCHS, CellReader

_PANEL: Final = "How the file is written"

From: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="NAME",
        help="The venue or program that wrote the file, see `tradebook venues`; or a file of your own that says how to "
        "read it, such as ./my.toml.",
    ),
]
Kind: TypeAlias = Annotated[
    FileKind,
    typer.Option("--kind", help="What the rows are."),
]
Mappings: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--map", metavar="THEIRS=OURS", help="Read the column THEIRS as OURS; repeat it for each."
    ),
]
IgnoreOthers: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--ignore-others", help="Leave out every column that is no term.", rich_help_panel=_PANEL
    ),
]
Details: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--details",
        metavar="COLUMN",
        help="Keep a column in the details of each trade; repeat it for each.",
        rich_help_panel=_PANEL,
    ),
]
Decimal: TypeAlias = Annotated[
    str,
    typer.Option(
        "--decimal",
        metavar="MARK",
        help="The decimal mark: . or , (1.234,56).",
        rich_help_panel=_PANEL,
    ),
]
Thousands: TypeAlias = Annotated[
    bool,
    typer.Option("--thousands", help="Digits are grouped: 1,234.56.", rich_help_panel=_PANEL),
]
DateFormat: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--date-format",
        metavar="FORMAT",
        help="The format of times, such as '%d.%m.%Y %H:%M', or epoch-s, epoch-ms, epoch-us, epoch-ns. Default: ISO "
        "8601, or counted from 1970 on.",
        rich_help_panel=_PANEL,
    ),
]
Zone: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--tz",
        metavar="ZONE",
        help="The time zone of times that name none, such as Europe/Berlin. Default: UTC.",
        rich_help_panel=_PANEL,
    ),
]
Encoding: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--encoding",
        metavar="NAME",
        help="The encoding of the text, such as cp1252 or utf-16. Default: UTF-8.",
        rich_help_panel=_PANEL,
    ),
]
Negate: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--negate",
        metavar="TERM",
        help="Change the sign of a number: --negate fee, where fees are below zero. Repeat it for each.",
        rich_help_panel=_PANEL,
    ),
]
Signed: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--sign-from-quantity",
        help="A quantity below zero is a sale; no column says the action.",
        rich_help_panel=_PANEL,
    ),
]
Units: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--units",
        help="Numbers have units: 0.18SOL, 12.5 USDT. That of the quantity is the asset, of the price the currency, of "
        "the fee its currency.",
        rich_help_panel=_PANEL,
    ),
]
Places: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--round",
        metavar="N",
        min=0,
        max=40,
        help="Round numbers to N decimals, half to even. Default: every digit counts.",
        rich_help_panel=_PANEL,
    ),
]
SettlementOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--settlement",
        metavar="KIND",
        help="The settlement of rows that name none: cash or margined.",
        rich_help_panel=_PANEL,
    ),
]
Multiplier: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--multiplier",
        metavar="NUMBER",
        help="The contract multiplier of rows that name none.",
        rich_help_panel=_PANEL,
    ),
]


def cell_reader(
    decimal: str, thousands: bool, date_format: str | None, zone: str | None, places: int | None
) -> CellReader:
    """Make the reader of numbers and times; refuse an option that is used wrongly."""
    if decimal not in DECIMAL_MARKS or len(decimal) != 1:
        raise typer.BadParameter("write . or ,", param_hint="--decimal")
    if date_format is not None and "%" not in date_format and date_format not in EPOCHS:
        form = f"write a format such as '%d.%m.%Y %H:%M', or one of {', '.join(EPOCHS)}"
        raise typer.BadParameter(form, param_hint="--date-format")
    return CellReader(decimal, thousands, date_format, _zone(zone), places)


def row_reader(
    cells: CellReader,
    *,
    ignores_others: bool = False,
    details: Sequence[str] | None = None,
    negated: Sequence[str] | None = None,
    signed: bool = False,
    units: bool = False,
    settlement: str | None = None,
    multiplier: str | None = None,
    kind: FileKind = FileKind.TRADES,
) -> RowReader:
    """Make the reader of rows; refuse an option that is used wrongly."""
    for term in negated or ():
        if term not in NUMBERS:
            raise typer.BadParameter(f"write one of {', '.join(NUMBERS)}", param_hint="--negate")
    constants = {"settlement": settlement and settlement.upper(), "multiplier": multiplier}
    if kind is FileKind.ORDERS:
        constants["status"] = "PENDING"
    if settlement and settlement.upper() not in Settlement.__members__:
        raise typer.BadParameter("write cash or margined", param_hint="--settlement")
    return RowReader(
        cells,
        ignores_others,
        details or (),
        negated or (),
        signed,
        units,
        {term: value for term, value in constants.items() if value},
        kind,
    )


def known_encoding(name: str | None) -> str | None:
    """Check the name of an encoding."""
    try:
        codecs.lookup(name or "utf-8")
    except LookupError:
        raise typer.BadParameter("there is no such encoding", param_hint="--encoding") from None
    return name


def _zone(name: str | None) -> ZoneInfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (KeyError, ValueError, OSError):
        raise typer.BadParameter(
            "write the name of a time zone, such as Europe/Berlin", param_hint="--tz"
        ) from None
