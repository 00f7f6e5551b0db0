"""Queries of any kind of record: by id, as lists, as plain rows, counted."""

from __future__ import annotations

from datetime import datetime
from typing import Final, TypeVar

from tradebook.domain import validation
from tradebook.domain.entity import Entity
from tradebook.domain.errors import NotFound
from tradebook.domain.validation import argument
from tradebook.service_layer.ports.paging import DEFAULT_LIMIT, Page, Row
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork, single_statement

E = TypeVar("E", bound=Entity)

LONG: Final = 1000
"""The default limit of lists that are usually read whole."""


@single_statement
def get(uow: AbstractUnitOfWork, kind: type[E], record_id: int, /) -> E | None:
    """Return the record of a kind with this id, or None when the account has none."""
    records, id_ = uow.records(kind), argument("record_id", validation.record_id, record_id)
    try:
        return records.get(id_)
    except NotFound:
        return None


@single_statement
def get_all(
    uow: AbstractUnitOfWork,
    kind: type[E],
    /,
    limit: int = DEFAULT_LIMIT,
    after: str | None = None,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    **equal: object,
) -> Page[E]:
    """Return a page of the records of a kind, newest first.

    Args:
        uow: the unit of work.
        kind: such as `Trade`.
        limit: the most records, from 1 to 10,000.
        after: the cursor of the page before; None for the first page.
        since: from this time on; a naive time is taken as UTC.
        until: before this time.
        equal: the values that fields must have, by name: `symbol="AAPL", status="EXECUTED"`; None matches
            NULL.

    Returns:
        The records by their own time (`Trade.executed_at`, ...) and id. `page.after` leads to the next page.

    Raises:
        InvalidInput: an unknown kind of record, an unknown field, or a value that the field cannot have.
    """
    records = uow.records(kind)
    return records.page(limit=limit, after=after, since=since, until=until, **equal)


@single_statement
def get_rows(
    uow: AbstractUnitOfWork,
    kind: type[Entity],
    /,
    limit: int = DEFAULT_LIMIT,
    after: str | None = None,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    **equal: object,
) -> Page[Row]:
    """Return the page of `get_all` as plain rows: immutable named tuples, read in half the time.

    Returns:
        For each record a `Row` of its fields, with the values that the entity has. Derived values, and the
        signals of a decision, are left out.
    """
    records = uow.records(kind)
    return records.rows(limit=limit, after=after, since=since, until=until, **equal)


@single_statement
def count(
    uow: AbstractUnitOfWork,
    kind: type[Entity],
    /,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    **equal: object,
) -> int:
    """Count the records of a kind; `get_all` has the filters."""
    return uow.records(kind).count(since=since, until=until, **equal)


@single_statement
def exists(
    uow: AbstractUnitOfWork,
    kind: type[Entity],
    /,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    **equal: object,
) -> bool:
    """Return whether a record of a kind meets the conditions; `get_all` has the filters."""
    found = uow.records(kind).page(limit=1, after=None, since=since, until=until, **equal)
    return bool(found)
