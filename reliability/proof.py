"""The proof that ends a scenario: the book follows from its trades, and every record is what its events say."""

from __future__ import annotations

from typing import Any

from tradebook.service_layer.verification.verify import Verification


def require_proven(book: Any, note: str = "") -> Verification:
    """Assert that `verify` and the check of seals find nothing, and return what `verify` counted."""
    verified: Verification = book.verify()
    assert verified.proven, (note, verified.differences[:5])
    checked = book.check_seals()
    assert checked.sound, (note, checked.findings[:5])
    return verified
