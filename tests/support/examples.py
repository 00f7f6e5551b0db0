"""How many examples a law is tried with."""

from __future__ import annotations

from typing import Final

from hypothesis import settings

_USUAL: Final = 100
"""Hypothesis's own number."""


def law(most: int) -> settings:
    """So many examples; as few as the profile says under `make mutants`."""
    asked = settings.default.max_examples
    return settings(deadline=None, max_examples=most if asked >= _USUAL else min(most, asked))
