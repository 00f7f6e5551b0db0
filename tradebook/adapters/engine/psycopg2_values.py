"""How psycopg2 makes values: the server's text becomes what the book keeps in one step.

Otherwise the driver makes a value of its own, and the column's type makes another of that.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeAlias

from sqlalchemy import Engine, event

from tradebook.adapters.types import MADE_BY_DRIVER, NUMBERS

_NUMERIC, _TIMESTAMPTZ, _JSONB = 1700, 1184, 3802
"""What PostgreSQL calls its types between machines."""

Made: TypeAlias = Callable[[str | None, Any], Any]
"""Makes a value from the server's text, for a cursor; None is SQL's NULL."""


def let_driver_make_values(engine: Engine) -> None:
    """Let an engine's connections on psycopg2 give decimals, times and JSON as the book has them."""
    driver: Any = engine.dialect.loaded_dbapi.extensions
    types = [
        driver.new_type((_NUMERIC,), "tradebook_decimal", _decimal),
        driver.new_type((_TIMESTAMPTZ,), "tradebook_time", _time_or(driver.PYDATETIMETZ)),
        driver.new_type((_JSONB,), "tradebook_json", _json),
    ]

    def register(connection: Any, _record: object) -> None:
        for each in types:
            driver.register_type(each, connection)

    MADE_BY_DRIVER.add(engine.dialect)
    event.listen(engine, "connect", register)


def _decimal(text: str | None, _cursor: object) -> Decimal | None:
    return None if text is None else NUMBERS[text]


def _time_or(ask_driver: Made) -> Made:
    def time(text: str | None, cursor: object) -> Any:
        if text is None:
            return None
        try:
            at = datetime.fromisoformat(text)
        except ValueError:  # before the year 1, or infinity
            return ask_driver(text, cursor)
        return at if at.tzinfo is UTC else at.astimezone(UTC)

    return time


def _json(text: str | None, _cursor: object) -> Any:
    if text == "{}":  # what most records have
        return {}
    return None if text is None else json.loads(text)
