"""`export`: write records to a Parquet, Arrow or CSV file."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

import tradebook
from tradebook.entrypoints.cli.messages import counted
from tradebook.entrypoints.cli.options import CommandContext, Period, takes_option_sets
from tradebook.entrypoints.cli.output import as_fields

if TYPE_CHECKING:
    import pyarrow


class Kind(StrEnum):
    """The kinds of records: the name of the class, and what the command line calls it."""

    Trade = "trades"
    Position = "positions"
    CashFlow = "cash-flows"
    Portfolio = "portfolios"
    PortfolioPosition = "portfolio-positions"
    Signal = "signals"
    AgentDecision = "decisions"
    AgentAction = "actions"
    Alert = "alerts"
    PerformanceMetric = "metrics"
    Event = "events"


_FORMATS: Final = (".parquet", ".arrow", ".csv")


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
) -> None:
    """Write records to a file, newest first, with every digit.

    Numbers are decimals in Parquet and Arrow files unless you ask for
    --decimals text, and always text in CSV; times are UTC. Needs the extra
    `arrow`: pip install 'tradebook[arrow]'.

      tradebook export trades.parquet --since 2024-01-01
      tradebook export aapl.csv --where symbol=AAPL --where status=EXECUTED
    """
    entity: Any = getattr(tradebook, kind.name)
    wanted: dict[str, Any] = {**as_fields(period), **_conditions(conditions or [])}
    is_csv = path.suffix == ".csv"
    with context.read_book() as manager, context.progress_bar("exporting") as report:
        total = manager.count(entity, **wanted)
        batches = manager.arrow_batches(entity, decimals="text" if is_csv else decimals, **wanted)
        if is_csv:
            batches = _without_dictionaries(batches)
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
    # The process id keeps two exports to the same file from writing into each other's.
    unfinished, done = path.with_name(f"{path.name}.{os.getpid()}.part"), 0
    try:
        with closing(writer(unfinished, batches.schema)) as file:
            for batch in batches:
                file.write_batch(batch)
                done += batch.num_rows
                report(done)
        unfinished.replace(path)
    except OSError as error:
        raise typer.BadParameter(f"'{path}' cannot be written: {error.strerror}") from None
    finally:
        unfinished.unlink(missing_ok=True)
    return done


def _without_dictionaries(batches: pyarrow.RecordBatchReader) -> pyarrow.RecordBatchReader:
    """Convert enumerations to text, because pyarrow's CSV writer refuses the dictionaries that hold them."""
    import pyarrow

    fields = [
        field.with_type(pyarrow.string()) if pyarrow.types.is_dictionary(field.type) else field
        for field in batches.schema
    ]
    return batches.cast(pyarrow.schema(fields))
