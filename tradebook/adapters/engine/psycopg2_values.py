"""Typecasters for psycopg2 that make the book's values of the server's text in one step.

Otherwise the driver makes a value of its own, and the column's type converts it again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeAlias

from sqlalchemy import Engine, event

from tradebook.adapters.types import DIALECTS_WITH_FINAL_VALUES, NUMBERS

_NUMERIC, _TIMESTAMPTZ, _JSONB = 1700, 1184, 3802
"""PostgreSQL's type OIDs."""

Typecaster: TypeAlias = Callable[[str | None, Any], Any]
"""Makes a value of the server's text for a cursor; None is SQL's NULL."""


def let_driver_make_values(engine: Engine) -> None:
    """Register the typecasters on each connection of an engine on psycopg2."""
    driver: Any = engine.dialect.loaded_dbapi.extensions
    types = [
        driver.new_type((_NUMERIC,), "tradebook_decimal", _decimal),
        driver.new_type((_TIMESTAMPTZ,), "tradebook_time", _time_or(driver.PYDATETIMETZ)),
        driver.new_type((_JSONB,), "tradebook_json", _json),
    ]

    def register(connection: Any, _record: object) -> None:
        for each in types:
            driver.register_type(each, connection)  # on this connection, not for the process

    DIALECTS_WITH_FINAL_VALUES.add(engine.dialect)
    event.listen(engine, "connect", register)


def _decimal(text: str | None, _cursor: object) -> Decimal | None:
    return NUMBERS[text] if text is not None else None


def _time_or(fallback: Typecaster) -> Typecaster:
    def time(text: str | None, cursor: object) -> Any:
        if text is None:
            return None
        try:
            at = datetime.fromisoformat(text)
        except ValueError:  # before the year 1, or infinity
            return fallback(text, cursor)
        return at if at.tzinfo is UTC else at.astimezone(UTC)

    return time


def _json(text: str | None, _cursor: object) -> Any:
    if text == "{}":  # most records have no details
        return {}
    return None if text is None else json.loads(text)
