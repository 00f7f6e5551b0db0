"""What the commands share that record an entry by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from tradebook.domain.cash import CashFlow
from tradebook.domain.trades import Trade
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

R = TypeVar("R", Trade, CashFlow)

NUMBERS: Final = {"ignore_unknown_options": True}
"""Settings of a command that takes numbers as arguments: -1.5 is a number, and no option."""


def recorded_now(
    uow: AbstractUnitOfWork, handler: Callable[..., R], /, *args: Any, **terms: Any
) -> tuple[R, bool]:
    """Call a handler that records one entry.

    Returns:
        The entry, and whether this call recorded or booked it; False where it was there before.
    """
    entry = handler(uow, *args, **terms)
    return entry, uow.now() in (entry.created_at, getattr(entry, "booked_at", None))
