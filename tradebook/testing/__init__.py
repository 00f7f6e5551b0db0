"""Tools for the tests of trading bots: a book in memory, and hypothesis strategies.

`tradebook.testing.strategies` needs hypothesis, `tradebook.testing.plugin` pytest; neither is imported
here.
"""

from __future__ import annotations

from tradebook.testing.async_fakes import AsyncFakeBook, AsyncFakeUnitOfWork
from tradebook.testing.fake_store import FakeStore
from tradebook.testing.fakes import FakeBook, FakeUnitOfWork

__all__ = ["AsyncFakeBook", "AsyncFakeUnitOfWork", "FakeBook", "FakeStore", "FakeUnitOfWork"]


def __dir__() -> list[str]:
    return sorted(__all__)  # without submodules: for help and completion
