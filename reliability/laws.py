"""The laws with ever new examples, and the stores side by side, for as long as asked.

A failing example is in the notes of the AssertionError, as the arguments or the steps that led to it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, Final

from hypothesis import HealthCheck, is_hypothesis_test, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import URL

from reliability.agreement import machine_on
from reliability.scenario import Figures, Scenario, rounds_for
from tests.property import (
    test_accounting_laws,
    test_book_laws,
    test_correction_laws,
    test_number_laws,
)
from tests.support.servers import create_database, postgresql_server
from tradebook import DatabaseManager

ANEW: Final = settings(
    deadline=None,
    database=None,
    print_blob=False,
    suppress_health_check=list(HealthCheck),
)
"""Every run draws other examples, and none is remembered."""
A_ROUND: Final = settings(ANEW, max_examples=100)
BOOKS: Final = settings(ANEW, max_examples=5, stateful_step_count=60)  # the first is always trivial

Law = Callable[[], None]


def laws() -> list[Law]:
    """Every law that `make test` tries."""
    modules: list[ModuleType] = [
        test_accounting_laws,
        test_book_laws,
        test_correction_laws,
        test_number_laws,
    ]
    return [
        test for module in modules for test in vars(module).values() if is_hypothesis_test(test)
    ]


def try_laws(seconds: float) -> Figures:
    """Each law in turn, in any order, with new examples; an operation is an example."""
    done = Figures()
    tried = random.sample(laws(), len(laws()))
    for number in rounds_for(seconds):
        done.operations += examples(tried[number % len(tried)])
        done.rounds += 1
    return done


def examples(law: Any) -> int:
    """Try a law with new examples; returns how many."""
    inner, usual = law.hypothesis.inner_test, law._hypothesis_internal_use_settings
    count = 0

    @wraps(inner)
    def counted(*args: Any, **kwargs: Any) -> None:
        nonlocal count
        count += 1
        inner(*args, **kwargs)

    # A test takes its settings once; this is what hypothesis reads when it runs.
    law.hypothesis.inner_test, law._hypothesis_internal_use_settings = counted, A_ROUND
    try:
        with failures_told():
            law()
    finally:
        law.hypothesis.inner_test, law._hypothesis_internal_use_settings = inner, usual
    return count


@contextmanager
def failures_told() -> Iterator[None]:
    """Whatever a law or a step raises is an AssertionError that says how to see it again."""
    try:
        yield
    except Exception as error:
        example = "\n".join(getattr(error, "__notes__", []))
        raise AssertionError(f"{error!r}\n{example}") from error


def try_books(seconds: float) -> Figures:
    """Books, one after another, each on every store; an operation is a call that was accepted."""
    done = Figures()
    with TemporaryDirectory() as folder, databases(Path(folder)) as stores:
        machine = machine_on(stores)
        for number in rounds_for(seconds):
            with failures_told():
                run_state_machine_as_test(machine, settings=BOOKS)
            done.rounds = number + 1
    done.operations = machine.accepted.total()
    return done


@contextmanager
def databases(folder: Path) -> Iterator[dict[str, str | URL]]:
    """A database of each kind, with the book's schema."""
    with postgresql_server() as server:
        url = create_database(server, "laws")
        with DatabaseManager(url) as manager:
            manager.upgrade()
        yield {
            "SQLite in memory": "sqlite://",
            "SQLite": f"sqlite:///{folder / 'book.db'}",
            "PostgreSQL": url,
        }


SCENARIOS: Final[list[Scenario]] = [
    Scenario(
        "laws",
        "the laws of accounting hold to the last digit for any fills, busts and corrections",
        "tests/property",
        try_laws,
    ),
    Scenario(
        "books-agree",
        "the book in memory, on SQLite and on PostgreSQL do, refuse and show the same",
        "tests/integration/reliability/test_agreement.py",
        try_books,
    ),
]
