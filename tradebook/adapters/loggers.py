"""Where the book logs: children of the logger `tradebook`, silent until an application listens.

Messages hold no values of statements; what a record is about is in its `tradebook` attribute, a dictionary, which
`tradebook.operations.logs` writes out.
"""

from __future__ import annotations

import logging
from typing import Final

ROOT: Final = "tradebook"
ADAPTERS: Final = "tradebook.adapters"
"""Where SQLAlchemy logs of our pools, by the name of their module: each one that is closed, at INFO."""
RETRIES: Final = logging.getLogger("tradebook.retries")
MIGRATIONS: Final = logging.getLogger("tradebook.migrations")
SLOW_QUERIES: Final = logging.getLogger("tradebook.slow_queries")
SLOW: Final = logging.WARNING
"""The level of slow queries."""
FIELDS: Final = "tradebook"
"""The attribute of a log record that holds what it is about."""

# Or Python would write warnings to stderr where the application has set up nothing.
logging.getLogger(ROOT).addHandler(logging.NullHandler())


SUMMARY: Final = "summary"
"""Among them: the message without what stands in other fields."""


def about(**fields: object) -> dict[str, object]:
    """What `extra` takes: what a record is about, without what is empty."""
    return {FIELDS: {name: value for name, value in fields.items() if value not in ("", None)}}
