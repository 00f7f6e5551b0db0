"""How lists are asked for."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, TypeVar

from tradebook.domain import validation
from tradebook.domain.entity import Entity
from tradebook.domain.errors import InvalidInput, NotFound
from tradebook.domain.plain_values import plain_int
from tradebook.domain.validation import argument
from tradebook.service_layer.ports.paging import DEFAULT_LIMIT, Page, Row
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


E = TypeVar("E", bound=Entity)


def get(uow: AbstractUnitOfWork, kind: type[E], record_id: int, /) -> E | None:
    """The record of a kind with this id, or None when the account has none."""
    records, id_ = uow.records(kind), argument("record_id", validation.record_id, record_id)
    try:
        return records.get(id_)
    except NotFound:
        return None


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
    """A page of the records of a kind, newest first.

    Args:
        uow: the unit of work.
        kind: such as `Trade`.
        limit: the most records, from 1 to 10,000.
        after: the `after` of the page before; None for the first.
        since: from this time on; a naive time is taken as UTC.
        until: before this time.
        equal: the values that fields must have, by name: `symbol="AAPL", status="EXECUTED"`; None is none.

    Returns:
        The records by their own time (`Trade.executed_at`, ...) and id. `page.after` leads to the next page.

    Raises:
        InvalidInput: no kind of record, a field that it does not have, or a value that it cannot have.
    """
    records = uow.records(kind)
    return records.page(limit=limit, after=after, since=since, until=until, **equal)


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
    """The page of `get_all` as plain rows, in half the time: named tuples, which nobody can change.

    Returns:
        For each record a `Row` of its fields, with the values that the entity has. What an entity derives
        from them on read, and the signals of a decision, a row does not have.
    """
    records = uow.records(kind)
    return records.rows(limit=limit, after=after, since=since, until=until, **equal)


def count(
    uow: AbstractUnitOfWork,
    kind: type[Entity],
    /,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    **equal: object,
) -> int:
    """How many records of a kind there are; see `get_all` for what can be asked."""
    return uow.records(kind).count(since=since, until=until, **equal)


def exists(
    uow: AbstractUnitOfWork,
    kind: type[Entity],
    /,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    **equal: object,
) -> bool:
    """Whether there is such a record of a kind; see `get_all` for what can be asked."""
    found = uow.records(kind).page(limit=1, after=None, since=since, until=until, **equal)
    return bool(found)
