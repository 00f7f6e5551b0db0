"""Results as pictures: SVG files, drawn from the measured numbers."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.results import Result, Row

INK, PALE = "#1f4e79", "#8fb3d1"


def slug(title: str) -> str:
    """A title as part of a file's name."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def draw(result: Result, file: Path) -> None:
    """A curve where the rows have sizes, or else bars of the ratios."""
    import matplotlib as mpl

    mpl.use("svg")
    # Text stays text, and the same numbers give the same file.
    mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "tradebook", "font.size": 10}
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 3.2), layout="constrained", facecolor="white")
    if result.sizes:
        _curve(axes, result)
    else:
        _bars(axes, result)
    axes.set_title(result.title, loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, format="svg", metadata={"Date": None})
    pyplot.close(figure)


def _curve(axes, result: Result) -> None:  # type: ignore[no-untyped-def]  # matplotlib is imported late
    points = [row for row in result.rows if row.size is not None]
    sizes = [row.size for row in points]
    medians = [row.median for row in points]
    spread = [[r.median - r.fastest for r in points], [r.slowest - r.median for r in points]]
    axes.errorbar(sizes, medians, yerr=spread, color=INK, ecolor=PALE, marker="o", capsize=4)
    axes.set_xscale("symlog", linthresh=max(1, min((s for s in sizes if s), default=1)))
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel(f"{result.sizes} (bars: fastest to slowest round)")
    axes.set_ylabel(result.unit)


def _bars(axes, result: Result) -> None:  # type: ignore[no-untyped-def]
    def by_ratio(row: Row) -> float:
        return row.ratio or 0

    rows = sorted(result.rows, key=by_ratio)
    colours = [PALE if row.goal is None else INK for row in rows]
    drawn = axes.barh([row.name for row in rows], [by_ratio(row) for row in rows], color=colours)
    axes.bar_label(drawn, fmt="%.2f", padding=3)
    axes.set_xlabel(f"ratio of {result.ratio}")
