"""Canonical JSON: one form in bytes for a record's values, so that equal values have equal hashes.

JSON without blanks, the keys of every object sorted, in UTF-8. Decimals are plain text, times
ISO 8601 in UTC to the microsecond, bytes hexadecimal digits; numbers are as Python's `json` writes them, and
minus zero is zero, because PostgreSQL's JSONB stores it as zero.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any

from tradebook.domain.numbers import plain

_encode = json.JSONEncoder(
    ensure_ascii=False, sort_keys=True, separators=(",", ":"), check_circular=False
).encode


def canonical_bytes(values: Mapping[str, Any]) -> bytes:
    """Encode values by name as canonical JSON in UTF-8; different values have different bytes."""
    text = _encode({name: _plain(value) for name, value in values.items()})
    return text.encode(errors="surrogatepass")  # JSON may hold an escaped lone surrogate


def json_digest(values: Mapping[str, Any]) -> bytes:
    """Return the digest of values that are text, whole numbers, truth values or None: JSON already."""
    return sha256(_encode(values).encode(errors="surrogatepass")).digest()


def digest(values: Mapping[str, Any]) -> bytes:
    """Return the SHA-256 of the values' canonical JSON: 32 bytes."""
    return sha256(canonical_bytes(values)).digest()


def _plain(value: Any) -> Any:
    if isinstance(value, str | int) or value is None:
        return value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, float):
        return value or 0.0
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value)
