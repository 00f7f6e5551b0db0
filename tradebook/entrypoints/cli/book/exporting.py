"""`export`: write records to a file for other programs: Parquet, Arrow or CSV."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

import tradebook
from tradebook.entrypoints.cli.options import AccountName, AsJson, Database, opened, time_given
from tradebook.entrypoints.cli.output import counted, print_json, progress_bar, say

if TYPE_CHECKING:
    import pyarrow


class Decimals(StrEnum):
    """The ways in which numbers are written."""

    EXACT = "exact"
    TEXT = "text"


class Kind(StrEnum):
    """The kinds of records, as the command line calls them."""

    TRADES = "trades"
    POSITIONS = "positions"
    CASH_FLOWS = "cash-flows"
    PORTFOLIOS = "portfolios"
    PORTFOLIO_POSITIONS = "portfolio-positions"
    SIGNALS = "signals"
    DECISIONS = "decisions"
    ACTIONS = "actions"
    ALERTS = "alerts"
    METRICS = "metrics"
    EVENTS = "events"


_ENTITIES: Final = {
    Kind.TRADES: "Trade",
    Kind.POSITIONS: "Position",
    Kind.CASH_FLOWS: "CashFlow",
    Kind.PORTFOLIOS: "Portfolio",
    Kind.PORTFOLIO_POSITIONS: "PortfolioPosition",
    Kind.SIGNALS: "Signal",
    Kind.DECISIONS: "AgentDecision",
    Kind.ACTIONS: "AgentAction",
    Kind.ALERTS: "Alert",
    Kind.METRICS: "PerformanceMetric",
    Kind.EVENTS: "Event",
}

_FORMATS: Final = (".parquet", ".arrow", ".csv")


def _writable(path: Path) -> Path:
    if path.suffix not in _FORMATS:
        raise typer.BadParameter(f"'{path}': the name must end with one of {', '.join(_FORMATS)}")
    return path


def export(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            dir_okay=False,
            callback=_writable,
            help="FILE.parquet, FILE.arrow or FILE.csv; one that is there is replaced.",
        ),
    ],
    kind: Annotated[Kind, typer.Option("--kind", help="What to export.")] = Kind.TRADES,
    conditions: Annotated[
        list[str] | None,
        typer.Option(
            "--where", metavar="FIELD=VALUE", help="Only these, symbol=AAPL say; repeat it."
        ),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option("--since", metavar="TIME", parser=time_given, help="From this time on."),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option("--until", metavar="TIME", parser=time_given, help="Before this time."),
    ] = None,
    decimals: Annotated[
        Decimals | None,
        typer.Option(
            "--decimals",
            help="exact: 36 digits before the point, 40 after it; text: numbers of any length.",
        ),
    ] = None,
    database: Database = None,
    account: AccountName = "main",
    as_json: AsJson = False,
) -> None:
    """Write records to a file, newest first, with every digit.

    Numbers are decimals in Parquet and Arrow files unless you ask for
    --decimals text, and always text in CSV; times are UTC. Needs the extra
    `arrow`: pip install 'tradebook[arrow]'.

      tradebook export trades.parquet --since 2024-01-01
      tradebook export aapl.csv --where symbol=AAPL --where status=EXECUTED
    """

    entity: Any = getattr(tradebook, _ENTITIES[kind])
    wanted: dict[str, Any] = {"since": since, "until": until, **_conditions(conditions or [])}
    as_text = path.suffix == ".csv" or decimals is Decimals.TEXT
    with opened(database, account) as manager, progress_bar("exporting", quiet=as_json) as report:
        total = manager.count(entity, **wanted)
        batches = manager.arrow_batches(entity, decimals="text" if as_text else "exact", **wanted)
        done = _write(path, batches, lambda written: report(written, max(total, written)))
    if as_json:
        print_json({"file": str(path), "kind": str(kind), "records": done})
    else:
        say(f"{counted(done, 'record')} exported to {path}")


def _conditions(given: list[str]) -> dict[str, str]:
    pairs = [condition.partition("=") for condition in given]
    for name, equals, _ in pairs:
        if not name.isidentifier() or not equals or name in ("since", "until"):
            raise typer.BadParameter(f"{name + equals!r}: write --where FIELD=VALUE")
    return {name: value for name, _, value in pairs}


def _write(path: Path, batches: pyarrow.RecordBatchReader, report: Callable[[int], None]) -> int:
    """Write batches beside the file, which is replaced when all are written; returns how many rows."""
    unfinished, done = path.with_name(f"{path.name}.{os.getpid()}.part"), 0
    try:
        with closing(_opened(path.suffix, unfinished, batches.schema)) as file:
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


def _opened(suffix: str, path: Path, schema: pyarrow.Schema) -> Any:
    import pyarrow

    if suffix == ".parquet":
        import pyarrow.parquet

        return pyarrow.parquet.ParquetWriter(path, schema)
    if suffix == ".arrow":
        return pyarrow.ipc.new_file(path, schema)
    return _Csv(path, schema)


class _Csv:
    """Text for enumerations, which pyarrow's own CSV writer does not know as dictionaries."""

    def __init__(self, path: Path, schema: pyarrow.Schema) -> None:
        import pyarrow.csv
        from pyarrow import types

        as_text = [
            pyarrow.field(f.name, pyarrow.string()) if types.is_dictionary(f.type) else f
            for f in schema
        ]
        self._schema = pyarrow.schema(as_text)
        self._file = pyarrow.csv.CSVWriter(path, self._schema)

    def write_batch(self, batch: pyarrow.RecordBatch) -> None:
        self._file.write_batch(batch.cast(self._schema))

    def close(self) -> None:
        self._file.close()
