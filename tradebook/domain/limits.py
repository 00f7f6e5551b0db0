"""The limits of a book, public as `tradebook.limits`; every database refuses what exceeds one, by name."""

from __future__ import annotations

from typing import Final

MAX_NAME: Final = 200
"""Characters in a symbol, an order id, a reference, an agent's name, or a key of a JSON object."""
MAX_NAME_BYTES: Final = 500
"""Bytes of the same in UTF-8: a trade's key has five of them, and an index entry of PostgreSQL holds 2,700."""
MAX_TEXT: Final = 100_000
"""Characters in a message, a reason, a resolution, a decision's reasoning."""
MAX_JSON: Final = 1_000_000
"""Characters of all strings and keys in a JSON value, plus the number of its nodes."""
MAX_JSON_DEPTH: Final = 32
"""Levels of nested lists and objects in a JSON value."""
MAX_JSON_DIGITS: Final = 600
"""Digits of an integer in a JSON value."""
MAX_DIGITS: Final = 38
"""Significant digits of a price, a quantity, an amount."""
MAX_DECIMALS: Final = 40
"""Decimals of the same; a number of at most 17 significant digits, a float, may have more."""
MAX_WHOLE_DIGITS: Final = 309
"""Digits before the point of the same: as many as the largest float has."""
MAX_AMOUNT_PLACES: Final = 1_500
"""Digits before the point, and digits after it, of a total in a `Portfolio` or `Position` that a caller builds."""
MAX_LIMIT: Final = 10_000
"""Records of one page."""
MAX_ID: Final = 2**63 - 1
"""The highest id of a record."""
MAX_SECONDS_AHEAD: Final = 86_400
"""Seconds by which the time of a trade, mark, cash flow, snapshot, signal, decision, action or alert may be ahead of the clock, by default."""
