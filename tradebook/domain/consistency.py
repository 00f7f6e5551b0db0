"""What a read has to see where it may go to a standby, and the tokens that say it between processes."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from tradebook.domain.errors import InvalidInput
from tradebook.domain.plain_values import plain_text
from tradebook.domain.validation import enum_member


class Consistency(StrEnum):
    """What a read has to see.

    EVENTUAL: what a standby has, which may lag behind. OWN_WRITES: at least what this manager, or the holder of the
    token in `tradebook.context`, wrote before. STRONG: everything that was written; the read goes to the database
    itself.
    """

    EVENTUAL = "eventual"
    OWN_WRITES = "own-writes"
    STRONG = "strong"


_POSITION: Final = re.compile(r"([0-9A-F]{1,8})/([0-9A-F]{1,8})", re.IGNORECASE).fullmatch


def consistency_of(value: Consistency | str) -> Consistency:
    """Convert text to a `Consistency`."""
    return enum_member(Consistency, value)


def checked_token(value: str) -> str:
    """Check a token, as `consistency_token()` of a book returned it; `""` asks for nothing."""
    text = plain_text(value)
    if text:
        position_of(text)
    return text


def position_of(token: str) -> int:
    """Return the position in the server's write-ahead log that a token names, in bytes."""
    found = _POSITION(token)
    if found is None:
        raise InvalidInput(
            "", token, "a token that consistency_token() returned, such as 0/16B3748"
        )
    return int(found[1], 16) << 32 | int(found[2], 16)


def token_of(position: int) -> str:
    """Return the token of a position, as PostgreSQL writes it."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"
