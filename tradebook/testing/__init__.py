"""What trading bots import in their own tests: a book in memory, and hypothesis strategies.

`tradebook.testing.strategies` needs hypothesis, and is not imported here.
"""

from tradebook.testing.fake_store import FakeStore
from tradebook.testing.fakes import FakeBook, FakeUnitOfWork

__all__ = ["FakeBook", "FakeStore", "FakeUnitOfWork"]
