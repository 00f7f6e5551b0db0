"""The watermark of the events: the id up to which no event can appear any more.

Ids are drawn from a sequence before a transaction commits, so an event may appear below events that were sealed
long ago, as long as its transaction runs.
"""

from __future__ import annotations

from typing import Final

from attrs import define, frozen

from tradebook.domain.seals import Seal


@frozen
class TransactionSnapshot:
    """The state of a database's transactions, which it numbers when they first write.

    Attributes:
        ended: transactions below this number have ended, by commit or rollback.
        begun: no transaction had this number or a higher one yet.
        at: the database's time, in microseconds since 1970.
        running: the start, in microseconds since 1970, of the oldest statement that runs in a transaction
            without a number.
    """

    ended: int
    begun: int
    at: int
    running: int


ALONE: Final = TransactionSnapshot(ended=1, begun=1, at=1, running=2)
"""The snapshot of a database in which no other transaction writes."""
UNKNOWN: Final = TransactionSnapshot(ended=0, begun=1, at=1, running=0)
"""The snapshot of a database whose other transactions are hidden."""


@define
class Watermark:
    """The id up to which all events are committed, computed from two transaction snapshots.

    A transaction is numbered when it first writes, which may be a moment after its id was drawn. Hence two
    snapshots are taken after `newest` was read: a statement that drew its id before the first snapshot has
    ended by the second one, or its transaction is numbered below `second.begun`. Once all of those have
    ended, no event up to `newest` is missing. Take both before reading the events.
    """

    newest: int  # the highest id that was visible
    first: TransactionSnapshot
    second: TransactionSnapshot

    @property
    def number(self) -> int:
        """The number below which transactions may hold ids up to `newest`; 0 when unknown."""
        return self.second.begun if self.second.running > self.first.at else 0

    def complete_up_to_id(self, last: Seal | None) -> int:
        """Return the id up to which all events are visible, given the account's last seal."""
        if self._has_passed(self.number):
            return self.newest
        if last is None:
            return 0
        return max(last.settled_id, last.to_id if self._has_passed(last.horizon) else 0)

    def _has_passed(self, horizon: int) -> bool:
        return 0 < horizon <= self.second.ended
