"""`export`: write records to a Parquet, Arrow or CSV file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from enum import StrEnum
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Final

import typer

import tradebook
from tradebook.domain.entity import Entity
from tradebook.entrypoints.cli.book.csv_export import (
    IMPORTED,
    CsvFile,
    fills_to_import,
    flows_to_import,
)
from tradebook.entrypoints.cli.book.trade_columns import COLUMNS_OF, FileKind
from tradebook.entrypoints.cli.filters import Choice
from tradebook.entrypoints.cli.messages import counted
from tradebook.entrypoints.cli.options import CommandContext, takes_option_sets
from tradebook.entrypoints.cli.output import replacement
from tradebook.entrypoints.manager import DatabaseManager
from tradebook.service_layer.ports.columns import has_pyarrow
from tradebook.service_layer.ports.paging import Filter, pages, row_names
from tradebook.service_layer.queries.arrow import BATCH, Decimals, get_columns

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
    DecisionInput = "decision-inputs"
    AgentAction = "actions"
    Alert = "alerts"
    PerformanceMetric = "metrics"
    Event = "events"


_FOR_IMPORT: Final[dict[Kind, tuple[Sequence[str], Any]]] = {
    Kind.Trade: (IMPORTED, fills_to_import),
    Kind.CashFlow: (COLUMNS_OF[FileKind.CASH_FLOWS], flows_to_import),
}
"""The columns that `import` reads, and what reads the records that count."""
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
    choice: Choice,
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
        Decimals,
        typer.Option(
            help="exact: 36 digits before the point, 40 after it; text: any length; decimal128: at most 38, as "
            "each column needs; float: the nearest, for plots."
        ),
    ] = "exact",
    for_import: Annotated[
        bool,
        typer.Option(
            "--for-import",
            help="Only the trades or cash flows that count, with what `tradebook import` takes; trades in the order of P&L.",
        ),
    ] = False,
    escape_formulas: Annotated[
        bool,
        typer.Option(
            "--escape-formulas",
            help="In CSV: put ' before text that a spreadsheet would run as a formula.",
        ),
    ] = False,
) -> None:
    """Write records to a file, newest first, with every digit.

    Numbers are decimals in Parquet and Arrow files, and digits in CSV, unless
    you ask for other --decimals; times are UTC. Only you can read the file.
    Parquet and Arrow need pyarrow, which the extra `arrow` installs.

    With --for-import, importing the file into an empty account makes the same
    positions and P&L: `tradebook import FILE --order file`, since trades that
    were booked late count in the order of their booking. Cash flows make the
    same cash: `tradebook import FILE --kind cash-flows`.

      tradebook export trades.parquet --since 2024-01-01 --decimals decimal128
      tradebook export for-a-spreadsheet.csv --escape-formulas
      tradebook export aapl.csv --symbol AAPL --status executed --where venue=XNAS
      tradebook export moved.csv --for-import
      tradebook export cash.csv --for-import --kind cash-flows
    """
    entity: Any = getattr(tradebook, kind.name)
    wanted: dict[str, Any] = {
        **_conditions(conditions or []),
        **choice.conditions(entity, kind),
    }
    is_csv, is_changed = path.suffix == ".csv", escape_formulas or decimals == "float"
    if escape_formulas and not is_csv:
        raise typer.BadParameter(
            f"'{path}': --escape-formulas is for CSV; other formats have types"
        )
    if for_import and (kind not in _FOR_IMPORT or not is_csv or is_changed):
        raise typer.BadParameter(
            "goes with trades or cash flows in CSV, and with neither --escape-formulas nor --decimals float",
            param_hint="--for-import",
        )
    if is_csv and decimals == "decimal128":
        raise typer.BadParameter("CSV has no types; it has every digit", param_hint="--decimals")
    with context.read_book() as manager, context.progress_bar("exporting") as report:
        total = manager.count(entity, **wanted)
        done = 0
        with _new(path) as file:
            if is_csv:
                csv = CsvFile(file, decimals == "float", escape_formulas)
                # pyarrow takes as long to load as a batch of rows to write.
                if total > BATCH and not (for_import or is_changed) and has_pyarrow():
                    written = csv.write_columns(entity, _columns(manager, entity, wanted))
                else:
                    names = _FOR_IMPORT[kind][0] if for_import else row_names(entity)
                    read = partial(_rows_to_import, kind=kind) if for_import else _rows
                    written = csv.write(names, read(manager, entity, wanted))
            else:
                batches = manager.arrow_batches(entity, decimals=decimals, **wanted)
                written = _write(path.suffix, file, batches)
            for count in written:
                done += count
                report(done, max(total, done))
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


@contextmanager
def _new(path: Path) -> Iterator[BinaryIO]:
    """Write beside the file, then replace it."""
    try:
        with replacement(path) as file:
            yield file
    except OSError as error:
        raise typer.BadParameter(f"'{path}' cannot be written: {error.strerror or error}") from None


def _rows(
    manager: DatabaseManager, entity: type[Entity], wanted: dict[str, Any]
) -> Iterator[Sequence[Sequence[object]]]:
    """Read the rows of a CSV file, in batches."""
    return pages(lambda at: manager.get_rows(entity, BATCH, at, **wanted))


def _rows_to_import(
    manager: DatabaseManager, entity: type[Entity], wanted: dict[str, Any], *, kind: Kind
) -> Iterator[Sequence[Sequence[object]]]:
    """Read the rows of a CSV file that `import` reads, in batches."""
    names, records_to_import = _FOR_IMPORT[kind]
    equal = {name: value for name, value in wanted.items() if name not in ("since", "until")}
    only = Filter.from_arguments(entity, wanted.get("since"), wanted.get("until"), equal)
    with manager.unit_of_work(read_only=True) as uow:
        for records in records_to_import(uow, only):
            yield [attrgetter(*names)(record) for record in records]


def _columns(
    manager: DatabaseManager, entity: type[Entity], wanted: dict[str, Any]
) -> Iterator[pyarrow.Table]:
    """Read the columns of a CSV file, in batches."""
    for page in pages(lambda at: manager.read(get_columns, entity, at, **wanted)):
        yield page.table


def _write(suffix: str, file: BinaryIO, batches: pyarrow.RecordBatchReader) -> Iterator[int]:
    """Write batches of Arrow, and return the number of rows of each."""
    import pyarrow
    import pyarrow.parquet

    writer: Any = pyarrow.parquet.ParquetWriter if suffix == ".parquet" else pyarrow.ipc.new_file
    with closing(writer(file, batches.schema)) as rows:
        for batch in batches:
            rows.write_batch(batch)
            yield batch.num_rows
