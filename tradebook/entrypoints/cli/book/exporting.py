"""`export`: write records to a Parquet, Arrow or CSV file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

import tradebook
from tradebook.entrypoints.cli.messages import counted
from tradebook.entrypoints.cli.options import CommandContext, Period, takes_option_sets
from tradebook.entrypoints.cli.output import as_fields, replacement

if TYPE_CHECKING:
    import pyarrow


class Kind(StrEnum):
    """The kinds of records: the name of the class, and what the command line calls it."""

    Trade = "trades"
    Position = "positions"
    CashFlow = "cash-flows"
    Import = "imports"
    Portfolio = "portfolios"
    PortfolioPosition = "portfolio-positions"
    Signal = "signals"
    AgentDecision = "decisions"
    AgentAction = "actions"
    Alert = "alerts"
    PerformanceMetric = "metrics"
    Event = "events"


_FORMATS: Final = (".parquet", ".arrow", ".csv")
_FORMULA: Final = r"^\s*[=+\-@\t\r\n\x{FF1D}\x{FF0B}\x{FF0D}\x{FF20}]"
"""The beginning of a cell that a spreadsheet takes for a formula; the last four are full-width."""
_NUMBER: Final = r"^-?[0-9]+(\.[0-9]+)?\z"


def _writable(path: Path) -> Path:
    if path.suffix not in _FORMATS:
        raise typer.BadParameter(f"'{path}': the name must end with one of {', '.join(_FORMATS)}")
    return path


@takes_option_sets
def export(
    context: CommandContext,
    path: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            dir_okay=False,
            callback=_writable,
            help="FILE.parquet, FILE.arrow or FILE.csv; it is replaced.",
        ),
    ],
    period: Period,
    kind: Annotated[Kind, typer.Option(help="The kind of records.")] = Kind.Trade,
    conditions: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            metavar="FIELD=VALUE",
            help="Only records with this value; repeat it for each field.",
        ),
    ] = None,
    decimals: Annotated[
        Literal["exact", "text"],
        typer.Option(help="exact: 36 digits before the point, 40 after it; text: any length."),
    ] = "exact",
    escape_formulas: Annotated[
        bool,
        typer.Option(
            "--escape-formulas",
            help="In CSV: put ' before text that a spreadsheet would run as a formula.",
        ),
    ] = False,
) -> None:
    """Write records to a file, newest first, with every digit.

    Numbers are decimals in Parquet and Arrow files unless you ask for
    --decimals text, and always text in CSV; times are UTC. Only you can read
    the file. Needs pyarrow, which the extra `arrow` installs.

      tradebook export trades.parquet --since 2024-01-01
      tradebook export for-a-spreadsheet.csv --escape-formulas
      tradebook export aapl.csv --where symbol=AAPL --where status=EXECUTED
    """
    entity: Any = getattr(tradebook, kind.name)
    wanted: dict[str, Any] = {**as_fields(period), **_conditions(conditions or [])}
    is_csv = path.suffix == ".csv"
    if escape_formulas and not is_csv:
        raise typer.BadParameter(
            f"'{path}': --escape-formulas is for CSV; other formats have types"
        )
    with context.read_book() as manager, context.progress_bar("exporting") as report:
        total = manager.count(entity, **wanted)
        batches = manager.arrow_batches(entity, decimals="text" if is_csv else decimals, **wanted)
        if is_csv:
            batches = _without_dictionaries(batches)
        if escape_formulas:
            batches = _without_formulas(batches)
        done = _write(path, batches, lambda written: report(written, max(total, written)))
    context.answer(
        {"file": str(path), "kind": str(kind), "records": done},
        f"{counted(done, 'record')} exported to {path}",
    )


def _conditions(given: list[str]) -> dict[str, str]:
    pairs = [condition.partition("=") for condition in given]
    for name, equals, _ in pairs:  # a value may be empty: most texts of a record can be
        if not name.isidentifier() or not equals or name in ("since", "until"):
            raise typer.BadParameter(f"{name + equals!r}: write --where FIELD=VALUE")
    return {name: value for name, _, value in pairs}


def _write(path: Path, batches: pyarrow.RecordBatchReader, report: Callable[[int], None]) -> int:
    """Write batches beside the file, then replace it; return the number of rows."""
    import pyarrow.csv
    import pyarrow.parquet

    writers = (pyarrow.parquet.ParquetWriter, pyarrow.ipc.new_file, pyarrow.csv.CSVWriter)
    writer: Any = dict(zip(_FORMATS, writers, strict=True))[path.suffix]
    done = 0
    try:
        with replacement(path) as file, closing(writer(file, batches.schema)) as rows:
            for batch in batches:
                rows.write_batch(batch)
                done += batch.num_rows
                report(done)
    except OSError as error:
        raise typer.BadParameter(f"'{path}' cannot be written: {error.strerror or error}") from None
    return done


def _without_dictionaries(batches: pyarrow.RecordBatchReader) -> pyarrow.RecordBatchReader:
    """Convert enumerations to text, because pyarrow's CSV writer refuses the dictionaries that hold them."""
    import pyarrow

    fields = [
        field.with_type(pyarrow.string()) if pyarrow.types.is_dictionary(field.type) else field
        for field in batches.schema
    ]
    return batches.cast(pyarrow.schema(fields))


def _without_formulas(batches: pyarrow.RecordBatchReader) -> pyarrow.RecordBatchReader:
    """Put an apostrophe before each text that a spreadsheet would run; numbers stay as they are."""
    import pyarrow
    import pyarrow.compute as pc

    def escaped(column: Any) -> Any:
        if not pyarrow.types.is_string(column.type):
            return column
        is_number = pc.match_substring_regex(column, _NUMBER)
        is_run = pc.and_not(pc.match_substring_regex(column, _FORMULA), is_number)
        return pc.if_else(is_run, pc.binary_join_element_wise("'", column, ""), column)

    def escaped_batches() -> Iterator[pyarrow.RecordBatch]:
        for batch in batches:
            columns = [escaped(column) for column in batch.columns]
            yield pyarrow.RecordBatch.from_arrays(columns, schema=batches.schema)

    return pyarrow.RecordBatchReader.from_batches(batches.schema, escaped_batches())
