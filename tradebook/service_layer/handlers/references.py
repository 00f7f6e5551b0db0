"""Recognising a record that came before under the same reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from tradebook.domain.errors import DuplicateRecord
from tradebook.domain.fields import Entity, differences

E = TypeVar("E", bound=Entity)


def confirm(recorded: E, given: E, terms: Mapping[str, Any], identity: str) -> E:
    """What is recorded under a reference, when it agrees with every term given now.

    Raises:
        DuplicateRecord: naming the fields that differ.
    """
    differing = differences(recorded, given, terms.keys())
    if differing:
        raise DuplicateRecord(type(recorded).__name__, repr(identity), differing)
    return recorded


def given_terms(terms: Mapping[str, Any]) -> dict[str, Any]:
    """The terms that were given: those that are not None."""
    return {name: value for name, value in terms.items() if value is not None}
