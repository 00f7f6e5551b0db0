"""What applications call: handlers, queries and verification, inside a unit of work.

What seldom runs loads when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tradebook.service_layer import as_of, snapshots, tampering, verification

__all__ = ["as_of", "snapshots", "tampering", "verification"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.{name}")
