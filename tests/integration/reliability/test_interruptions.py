"""Exceptions thrown into threads, briefly; `make soak` does the same for as long as asked."""

from __future__ import annotations

import pytest

from reliability.interruptions import interrupt
from reliability.scenario import new_seed


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # in a thread that starts
@pytest.mark.parametrize("database", ["postgresql_book", "sqlite_book"])
def test_threads_that_are_interrupted_lose_double_and_block_nothing(
    database: str, request: pytest.FixtureRequest
) -> None:
    figures = interrupt(request.getfixturevalue(database), new_seed(), times=20)
    assert figures.kept, figures
    assert figures.operations > 0
