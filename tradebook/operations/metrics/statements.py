"""Names of statements in metrics: verb and table, so that a label has few values."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from tradebook.adapters.columns import metadata
from tradebook.adapters.ledger.single_trade import PREPARED

OTHER: Final = "other"
BOOKING: Final = "insert trades"
"""Name of the single statement that books a trade and writes three tables."""

_VERB: Final = re.compile(r"\b(insert|update|delete|select|copy)\b", re.IGNORECASE)
_WRITE: Final = re.compile(
    r"\b(insert(?=\s+into)|delete(?=\s+from)|(?<!for )update)\b", re.IGNORECASE
)
_TABLE: Final = re.compile(r"\b(?:from|into|update|join|copy)\s+\"?(\w+)", re.IGNORECASE)


@lru_cache(maxsize=2_000)  # SQLAlchemy sends the same text for the same query, whatever its values
def statement_name(statement: str) -> str:
    """Return a statement's verb and first table of the book, such as `insert trades`; else `other`."""
    beginning = statement.lstrip("( \n")[:7].lower()
    if beginning == "execute":
        return BOOKING if PREPARED in statement else OTHER
    # A CTE begins with SELECTs even where it writes: its first write names it.
    found = _WRITE.search(statement) if beginning.startswith(("with", "prepare")) else None
    found = found or _VERB.search(statement)
    if found is None:
        return OTHER
    tables = (table.lower() for table in _TABLE.findall(statement, found.start()))
    table = next((table for table in tables if table in metadata.tables), None)
    return OTHER if table is None else f"{found[1].lower()} {table}"
