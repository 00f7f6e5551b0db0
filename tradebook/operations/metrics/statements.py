"""What a statement is called in metrics: its verb and its table, of which there are few."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from tradebook.adapters.columns import metadata
from tradebook.adapters.ledger.single_trade import PREPARED

OTHER: Final = "other"
RECORD: Final = "insert trades"
"""What books a trade at once is one statement that writes three tables."""

_VERB: Final = re.compile(r"\b(insert|update|delete|select|copy)\b", re.IGNORECASE)
_WRITE: Final = re.compile(
    r"\b(insert(?=\s+into)|delete(?=\s+from)|(?<!for )update)\b", re.IGNORECASE
)
_TABLE: Final = re.compile(r"\b(?:from|into|update|join|copy)\s+\"?(\w+)", re.IGNORECASE)


@lru_cache(maxsize=2_000)
def statement_name(statement: str) -> str:
    """`insert trades`, `select positions`; `other` for what is about none of the book's tables."""
    begins_with = statement.lstrip("( \n")[:7].lower()
    if begins_with == "execute":
        return RECORD if PREPARED in statement else OTHER
    found = _WRITE.search(statement) if begins_with.startswith(("with", "prepare")) else None
    found = found or _VERB.search(statement)
    if found is None:
        return OTHER
    tables = (table.lower() for table in _TABLE.findall(statement, found.start()))
    table = next((table for table in tables if table in metadata.tables), None)
    return OTHER if table is None else f"{found[1].lower()} {table}"
