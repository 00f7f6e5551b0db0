"""What a benchmark found, as data: for the console, the document and the pictures alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from attrs import evolve, frozen


@frozen
class Settings:
    """How much is measured: `quick` only shows that everything runs, `full` takes the large tables."""

    quick: bool = False
    full: bool = False
    given_rounds: int | None = None
    given_calls: int | None = None

    def size(self, quick: int, usual: int, full: int) -> int:
        """Of the three, the one that is asked for."""
        return quick if self.quick else full if self.full else usual

    @property
    def rounds(self) -> int:
        """Turns of each way."""
        return self.given_rounds or self.size(2, 9, 9)

    @property
    def calls(self) -> int:
        """Calls in each turn, of something that takes a millisecond."""
        return self.given_calls or self.size(16, 160, 160)


@frozen
class Goal:
    """What is to be reached: by the ratio, or where there is none by the median.

    Attributes:
        bound: the worst that will do.
        at_most: whether less is better.
    """

    bound: float
    at_most: bool = False

    def reached_by(self, figure: float) -> bool:
        """Whether a figure will do."""
        return figure <= self.bound if self.at_most else figure >= self.bound

    def __str__(self) -> str:
        return f"{'at most' if self.at_most else 'at least'} {self.bound:g}"


@frozen
class Row:
    """One way of doing it, or one size of table.

    Attributes:
        name: which one.
        median: of the rounds, in the unit of the result.
        fastest: round.
        slowest: round.
        in_python: the processor's time in this process alone; None where it was not measured.
        ratio: to the result's base; None for figures of their own.
        goal: to be reached; None for what we are compared with.
        size: where it stands in the picture of a curve.
    """

    name: str
    median: float
    fastest: float
    slowest: float
    in_python: float | None = None
    ratio: float | None = None
    goal: Goal | None = None
    size: int | None = None

    @property
    def figure(self) -> float:
        """What the goal is about."""
        return self.median if self.ratio is None else self.ratio

    @property
    def reached(self) -> bool | None:
        """Whether the goal is; None without one."""
        return None if self.goal is None else self.goal.reached_by(self.figure)


@frozen
class Result:
    """One table.

    Attributes:
        title: what was done.
        unit: of the figures, such as "ms a call".
        ratio: what the ratios are, such as "throughput"; empty without any.
        rows: in the order in which they are shown.
        sizes: what the sizes of the rows count, which makes it a curve; empty where it is none.
    """

    title: str
    unit: str
    ratio: str
    rows: tuple[Row, ...]
    sizes: str = ""

    def with_sizes(self, what: str, sizes: dict[str, int]) -> Result:
        """The same as a curve over the sizes of its rows."""
        rows = tuple(evolve(row, size=sizes.get(row.name)) for row in self.rows)
        return evolve(self, rows=rows, sizes=what)


Part = Callable[[Settings], Iterator[Result]]
"""Measures, and gives one result after the other."""
