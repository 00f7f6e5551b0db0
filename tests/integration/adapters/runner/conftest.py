"""Fixtures of the tests of the runner."""

from __future__ import annotations

from uuid import uuid4

import pytest


@pytest.fixture
def account() -> str:
    """A new account's name."""
    return uuid4().hex
