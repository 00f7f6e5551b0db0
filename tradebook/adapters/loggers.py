"""The package's loggers: children of `tradebook`, without output until an application configures logging.

Messages hold no values of statements. The fields of a record are in its attribute `tradebook`, a dictionary,
which `tradebook.operations.logs` writes out.
"""

from __future__ import annotations

import logging
from typing import Final

ROOT: Final = "tradebook"
ADAPTERS: Final = "tradebook.adapters"
"""The name under which SQLAlchemy logs our pools, by their module: at INFO, each one that is closed."""
RETRIES: Final = logging.getLogger("tradebook.retries")
MIGRATIONS: Final = logging.getLogger("tradebook.migrations")
REPLICAS: Final = logging.getLogger("tradebook.replicas")
SPANS: Final = logging.getLogger("tradebook.spans")
SLOW_QUERIES: Final = logging.getLogger("tradebook.slow_queries")
FIELDS: Final = "tradebook"
"""The attribute of a log record that holds its fields."""
SUMMARY: Final = "summary"
"""The field with the message, but for what other fields hold."""

# Without a handler, Python writes warnings to stderr where the application has configured nothing.
logging.getLogger(ROOT).addHandler(logging.NullHandler())


def about(**fields: object) -> dict[str, object]:
    """Return the fields of a log record as the argument `extra` takes them, without empty ones."""
    return {FIELDS: {name: value for name, value in fields.items() if value not in ("", None)}}
