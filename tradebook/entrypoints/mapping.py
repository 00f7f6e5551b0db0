"""For queries of one's own: importing this maps the entities; `col` tells mypy what a mapped attribute is."""

from __future__ import annotations

from typing import TypeVar, cast

from sqlalchemy.orm import InstrumentedAttribute

from tradebook.adapters import orm
from tradebook.adapters.columns import metadata
from tradebook.domain.errors import InvalidInput

__all__ = ["col", "metadata"]

T = TypeVar("T")

orm.start_mappers()


def col(attribute: T) -> InstrumentedAttribute[T]:
    """The column behind an entity's field, typed for queries: `col(Trade.symbol) == "AAPL"`.

    Args:
        attribute: a mapped field of an entity's class. At run time it is the column already; type
            checkers take it for the value that it has in an entity.

    Returns:
        The same object.

    Raises:
        InvalidInput: it is no mapped field: a value, or one that is computed, such as `entry_price`.
    """
    if not isinstance(attribute, InstrumentedAttribute):
        raise InvalidInput("attribute", attribute, "a mapped field such as Trade.symbol")
    return cast("InstrumentedAttribute[T]", attribute)
