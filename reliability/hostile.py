"""Hostile input for as long as asked: every argument of every call, on a fake book and on a database."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any, Final

from reliability.proof import require_proven
from reliability.scenario import Figures, Scenario, rounds_for
from tests.support.attacks import ACCEPTED, attacks, dump
from tests.support.public_calls import prepared
from tradebook import DatabaseManager
from tradebook.testing import FakeBook

_AT_ONCE: Final = 100


def attack(seconds: float) -> Figures:
    """Make attacks at random on a fake and on a file: both answer alike, and a refusal changes no row."""
    figures = Figures()
    for _ in rounds_for(seconds):
        seed = random.randrange(2**32)  # which attacks, so that a failure can be seen again
        with (
            tempfile.TemporaryDirectory() as folder,
            DatabaseManager(f"sqlite:///{Path(folder) / 'book.db'}") as book,
        ):
            figures.operations += _attack(book, seed)
        figures.rounds += 1
    return figures


def _attack(book: Any, seed: int) -> int:
    fake = FakeBook()
    ids, fake_ids = prepared(book), prepared(fake)
    chosen = random.Random(seed)  # no secret
    tried = [each for of in attacks() for each in chosen.sample(of, _AT_ONCE)]
    before = book.read(dump)
    for each in tried:
        said = each.on(fake, fake_ids)
        assert each.on(book, ids) == said, f"seed {seed}: {each}"
        if said == ACCEPTED:
            before = book.read(dump)
        else:
            assert book.read(dump) == before, (
                f"seed {seed}: {each} was refused, and changed the book"
            )
    require_proven(book, f"seed {seed}")
    return len(tried)


SCENARIOS: list[Scenario] = [
    Scenario(
        name="hostile-input",
        promise="Whatever an argument is, it is taken or refused by name, and a refusal changes no row.",
        test="tests/contract/test_hostile_input.py",
        run=attack,
    )
]
