"""How lists are asked for."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from tradebook.domain.errors import InvalidInput
from tradebook.domain.fields import argument
from tradebook.domain.given import plain_int
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

LONG: Final = 1000
"""The limit of lists that people want whole."""


def asked(**equal: object) -> dict[str, Any]:
    """What was asked for; None stands for any."""
    return {name: value for name, value in equal.items() if value is not None}


def days_ago(uow: AbstractUnitOfWork, days: int) -> datetime:
    """So many days before now."""
    whole = argument("days", partial(plain_int, expected=_DAYS), days)
    try:
        return uow.now() - timedelta(days=whole)
    except OverflowError:
        raise InvalidInput("days", days, _DAYS) from None


_DAYS: Final = "a whole number of days within the calendar"
