"""The statements of pages: each is built once, which takes SQLAlchemy as long as a short page takes to read."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, UnaryExpression, bindparam, select, tuple_
from sqlalchemy.sql import operators

from tradebook.adapters.repositories.entity_rows import table_of
from tradebook.service_layer.ports.paging import Filter, Place, sort_keys

_KEPT: Final = 500


def page_statement(
    kind: Any,
    columns: tuple[str, ...] | None,
    wanted: Filter,
    *,
    is_first: bool,
) -> Select[Any]:
    """What selects a page, newest first, of an account.

    Args:
        kind: of record.
        columns: that are read; None for entities of the ORM.
        wanted: which records.
        is_first: whether the page is the first one.
    """
    equal = tuple((name, str(value)) for name, value in wanted.equal.items() if _is_said(value))
    given = tuple(name for name, value in wanted.equal.items() if not _is_said(value))
    since = None if wanted.since is None else wanted.dated_by
    until = None if wanted.until is None else wanted.dated_by
    return _statement(kind, columns, equal, given, since, until, is_first)


def page_values(account: str, wanted: Filter, place: Place | None, limit: int) -> dict[str, Any]:
    """What the statement of a page is executed with."""
    values = {f"given_{n}": v for n, v in wanted.equal.items() if not _is_said(v)}
    values |= {f"after_{number}": value for number, value in enumerate(place or ())}
    values |= {"of_account": account, "at_most": limit}
    times = {"since": wanted.since, "until": wanted.until}
    return values | {name: time for name, time in times.items() if time is not None}


def is_false(column: ColumnElement[Any]) -> ColumnElement[bool]:
    """`NOT column`, word for word as indexes say it: SQLite sees no sense in anything else."""
    return UnaryExpression(column, operator=operators.inv)


def _is_said(value: object) -> bool:
    """Whether it is in the statement itself."""
    return value is None or value is True or value is False


@lru_cache(_KEPT)
def _statement(
    kind: Any,
    columns: tuple[str, ...] | None,
    said: tuple[tuple[str, str], ...],
    given: tuple[str, ...],
    since: str | None,
    until: str | None,
    is_first: bool,
) -> Select[Any]:
    table = table_of(kind)
    what = (kind,) if columns is None else [table.c[name] for name in columns]
    keys = [table.c[name] for name in sort_keys(kind)]
    statement = select(*what).where(table.c.account == bindparam("of_account"))
    statement = statement.where(*(_SAID[how](table.c[name]) for name, how in said))
    statement = statement.where(*(table.c[name] == bindparam(f"given_{name}") for name in given))
    if since is not None:
        statement = statement.where(table.c[since] >= bindparam("since"))
    if until is not None:
        statement = statement.where(table.c[until] < bindparam("until"))
    if not is_first:  # row values: one range of an index is all that is read, at any depth
        ends = [bindparam(f"after_{number}", type_=key.type) for number, key in enumerate(keys)]
        statement = statement.where(tuple_(*keys) < tuple_(*ends))
    return statement.order_by(*(key.desc() for key in keys)).limit(bindparam("at_most"))


_SAID: Final[dict[str, Any]] = {
    "None": lambda column: column.is_(None),
    "True": lambda column: column == True,  # noqa: E712
    "False": is_false,
}
