"""FIXME."""

from __future__ import annotations

from typing import Final

from attrs import define, frozen

from tradebook.domain.seals import Seal


@frozen
class TransactionSnapshot:
    """What a database knows of its transactions, which it numbers when they first write.

    Attributes:
        ended: transactions below this number have ended, whatever they did.
        begun: no transaction had this number yet, or a higher one.
        at: the database's time, in microseconds.
        running: when the oldest statement began that is running in a transaction without a number.
    """

    ended: int
    begun: int
    at: int
    running: int


ALONE: Final = TransactionSnapshot(ended=1, begun=1, at=1, running=2)
"""Nobody else can be writing."""
UNKNOWN: Final = TransactionSnapshot(ended=0, begun=1, at=1, running=0)
"""Anybody may be writing."""


@define
class Watermark:
    """Up to which event nothing can come any more that is not there yet.

    Ids are given from a sequence before a transaction commits, so an event may appear below events that
    were sealed long ago, as long as its transaction runs. A transaction is numbered when it first writes,
    which may be a moment after its id was given: hence two looks, `first` and `second`, after `newest`
    was read. A statement that had its id before the first look has ended by the second, or is numbered
    below `second.begun`; once all of those have ended, nothing up to `newest` is missing. Must be made
    before the events are read.

    Attributes:
        newest: the highest id that there was.
    """

    newest: int
    first: TransactionSnapshot
    second: TransactionSnapshot

    @property
    def number(self) -> int:
        """Transactions that may hold ids up to `newest` are numbered below this; 0 when not known."""
        return self.second.begun if self.second.running > self.first.at else 0

    def settled(self, last: Seal | None) -> int:
        """The id up to which all events are there to be read now.

        Args:
            last: the account's last seal; its transactions may have ended meanwhile.
        """
        if self._has_passed(self.number):
            return self.newest
        if last is None:
            return 0
        return max(last.settled_id, last.to_id if self._has_passed(last.horizon) else 0)

    def _has_passed(self, horizon: int) -> bool:
        return 0 < horizon <= self.second.ended
