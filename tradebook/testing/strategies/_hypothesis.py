"""hypothesis, or the error that names the extra which installs it."""

from __future__ import annotations

from tradebook.domain.errors import ExtraNotInstalled

try:
    from hypothesis import strategies as st
except ImportError:
    raise ExtraNotInstalled("testing", "hypothesis") from None

__all__ = ["st"]
