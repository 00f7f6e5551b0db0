"""What every repository of a unit of work does: read lists, pages and single records, add and write them.

Each belongs to one unit of work and reads one account. `add` records an entity unless its identity is taken, and
returns the recorded one, so that a caller compares with `is`. `get` raises `NotFound`. `lock=True` locks the row
against other writers until the unit of work ends.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from functools import partial
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from tradebook.domain.entity import Entity
from tradebook.service_layer.ports.columns import ColumnPage, columns_from_rows
from tradebook.service_layer.ports.paging import (
    BATCH,
    DEFAULT_LIMIT,
    Filter,
    Page,
    Place,
    Row,
    page_limit,
    pages,
    place_after,
    row_names,
    row_type,
)

if TYPE_CHECKING:
    import pyarrow

E = TypeVar("E", bound=Entity)

BATCH_OF_VALUES: Final = 10_000
"""Records that `Records.values` reads at a time."""


class Records(ABC, Generic[E]):
    """The records of one kind, to read.

    Lists take `since` (inclusive) and `until` (exclusive), and the values that fields must have, by
    name: `page(symbol="AAPL", status="EXECUTED")`; None matches NULL.
    """

    kind: type[E]

    @abstractmethod
    def get(self, record_id: int, *, lock: bool = False) -> E:
        """Return the record with this id, locked where `lock` is true.

        Raises:
            NotFound: this account has none.
        """

    def page(
        self,
        *,
        limit: int = DEFAULT_LIMIT,
        after: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        **equal: object,
    ) -> Page[E]:
        """Read the newest `limit` records, or those that follow the page whose `after` is given.

        Raises:
            InvalidInput: a name or value that the kind does not have, or the cursor of another list.
        """
        wanted = Filter.from_arguments(self.kind, since, until, equal)
        place = place_after(self.kind, after)
        found = self._newest(
            wanted, place, page_limit(limit) + 1
        )  # one more: is there a next page?
        return Page.from_records(self.kind, found, limit)

    def rows(
        self,
        *,
        limit: int = DEFAULT_LIMIT,
        after: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        **equal: object,
    ) -> Page[Row]:
        """Read a `page` as plain rows."""
        wanted = Filter.from_arguments(self.kind, since, until, equal)
        place = place_after(self.kind, after)
        found = self._newest_rows(wanted, place, page_limit(limit) + 1)
        return Page.from_records(self.kind, found, limit)

    def columns(
        self,
        *,
        limit: int = DEFAULT_LIMIT,
        after: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        **equal: object,
    ) -> ColumnPage:
        """Read a `page` as columns of Apache Arrow."""
        wanted = Filter.from_arguments(self.kind, since, until, equal)
        place = place_after(self.kind, after)
        found = self._newest_columns(wanted, place, page_limit(limit) + 1)
        return ColumnPage.from_table(self.kind, found, limit)

    def iterate(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        batch: int = BATCH,
        **equal: object,
    ) -> Iterator[E]:
        """Iterate over a list, newest first, in reads of `batch` records."""
        limit = page_limit(batch, "batch")
        return chain.from_iterable(
            pages(
                lambda after: self.page(limit=limit, after=after, since=since, until=until, **equal)
            )
        )

    def count(
        self, *, since: datetime | None = None, until: datetime | None = None, **equal: object
    ) -> int:
        """Count the records of a list."""
        return self._count(Filter.from_arguments(self.kind, since, until, equal))

    @abstractmethod
    def in_order(self, *, after: int = 0, limit: int = BATCH) -> list[E]:
        """Read records in the order of their ids, from the first above `after`."""

    def batches(self, *, after: int = 0, batch: int = BATCH) -> Iterator[list[E]]:
        """Iterate over all records by id, from the first above `after`, in reads of `batch`."""
        while found := self.in_order(after=after, limit=batch):
            yield found
            if len(found) < batch:
                return
            after = found[-1].id

    def values(self, *names: str, batch: int = BATCH_OF_VALUES) -> Iterator[tuple[Any, ...]]:
        """Iterate over fields of all records by id, as tuples of the id and the fields, in reads of `batch`.

        A decision as a tuple of four fields takes 2.3 us, as an entity 11 us.
        """
        after = 0
        while found := self._values(("id", *names), after, batch):
            yield from found
            if len(found) < batch:
                return
            after = found[-1][0]

    def _values(self, names: tuple[str, ...], after: int, limit: int) -> list[tuple[Any, ...]]:
        several = attrgetter(*names, names[0])  # of one name alone it would return no tuple
        return [several(record)[:-1] for record in self.in_order(after=after, limit=limit)]

    @abstractmethod
    def found(self, ids: Collection[int], *, lock: bool = False) -> list[E]:
        """Read the existing records with these ids, in the order of their ids; lock them where `lock` is true."""

    def referring(
        self, field: str, ids: Collection[int], *, limit: int, **equal: object
    ) -> list[E]:
        """Read the records whose `field` is one of these ids, by descending value of it and descending id.

        Args:
            field: holds the id of another record, such as `decision_id`; an index begins with it.
            ids: of those.
            limit: the most records.
            equal: the values that other fields must have, by name.
        """
        wanted = Filter.from_arguments(self.kind, None, None, equal)
        return self._referring(field, ids, wanted, limit) if ids else []

    @abstractmethod
    def _newest(self, wanted: Filter, place: Place | None, limit: int) -> list[E]:
        """Read the newest records of a list that follow a place in it, by `ordered_by` and id."""

    def _newest_rows(self, wanted: Filter, place: Place | None, limit: int) -> list[Row]:
        values = map(attrgetter(*row_names(self.kind)), self._newest(wanted, place, limit))
        return [*map(partial(tuple.__new__, row_type(self.kind)), values)]

    def _newest_columns(self, wanted: Filter, place: Place | None, limit: int) -> pyarrow.Table:
        return columns_from_rows(self.kind, self._newest_rows(wanted, place, limit))

    @abstractmethod
    def _count(self, wanted: Filter) -> int: ...

    @abstractmethod
    def _referring(
        self, field: str, ids: Collection[int], wanted: Filter, limit: int
    ) -> list[E]: ...


class Repository(Records[E]):
    """The records of one kind, to read and write."""

    @abstractmethod
    def add(self, entity: E) -> E:
        """Record `entity`, unless its identity is taken.

        Returns:
            `entity` itself, now with its id, or the existing record with the same identity.
        """

    def add_all(self, entities: Sequence[E]) -> list[E]:
        """Record many entities as `add` does each; faster where all of them are new."""
        return [self.add(entity) for entity in entities]

    @abstractmethod
    def write(self, entity: E, fields: Collection[str]) -> None:
        """Write changed fields of a record that is locked.

        Raises:
            ConcurrentUpdate: the record is gone.
        """

    @abstractmethod
    def remove(self, entity: E) -> None:
        """Delete a record that the caller has locked and checked.

        Raises:
            ConstraintViolated: another record refers to it (raised when the unit of work ends).
            ConcurrentUpdate: another writer was first.
        """
