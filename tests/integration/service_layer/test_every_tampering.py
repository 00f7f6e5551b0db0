"""Every kind of tampering that the schema allows is found, or is listed with the reason why it cannot be."""

from __future__ import annotations

from itertools import dropwhile

import pytest

from tests.support.tampering_table import PAGE, Outcome, line, outcomes
from tradebook import DatabaseManager

Found = dict[tuple[str, str, str], Outcome | None]
AUDIT = PAGE.with_name("audit.md")


@pytest.fixture(
    scope="module",
    params=[
        ("sqlite", 20),
        pytest.param(("sqlite", 1), marks=[pytest.mark.full, pytest.mark.slow]),
        pytest.param(("postgresql", 1), marks=[pytest.mark.full, pytest.mark.slow]),
    ],
    ids=["a twentieth on SQLite", "all on SQLite", "all on PostgreSQL"],
)
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Found:
    """What finds each kind."""
    kind, step = request.param
    if kind == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('tampering') / 'book.db'}"
    else:
        url = request.getfixturevalue("postgresql_book")
    with DatabaseManager(url, "tampered") as book, DatabaseManager(url, "other") as other:
        return outcomes(book, other, step)


def rows_of_the_page() -> list[str]:
    every = PAGE.read_text(encoding="utf-8").splitlines()
    return list(dropwhile(lambda line: not line.startswith("|---"), every))[1:]


def listed() -> set[tuple[str, str]]:
    """The kinds of tampering that the page on audits says nothing finds."""
    table = AUDIT.read_text(encoding="utf-8").partition("## What nothing finds")[2].splitlines()
    cells = [
        [cell.strip(" `") for cell in row.split("|")] for row in table if row.startswith("| `")
    ]
    return {(of, what) for _, of, what, *_ in cells}


def test_each_is_found_or_listed_with_the_reason(found: Found) -> None:
    tried = {name: each for name, each in found.items() if each is not None}
    missed = {(of, what) for (of, _, what), each in tried.items() if not each.is_found}
    assert missed <= listed()
    assert len(tried) < len(found) or missed == listed()
    assert len(listed()) <= 5


def test_the_page_has_each_and_what_finds_it(found: Found) -> None:
    on_page = rows_of_the_page()
    names = [tuple(cell.strip() for cell in row.split("|")[1:4]) for row in on_page]
    assert names == list(found)  # a new column has no line until the page is written anew
    assert len(names) >= 120
    here = {row for row in on_page if "refuses it" not in row}
    for name, each in found.items():
        if (
            each is not None and not each.refused
        ):  # one database has constraints where the other has none
            assert line(name, each) in here or "refuses it" in on_page[names.index(name)]
