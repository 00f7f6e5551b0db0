"""Sealing of the audit trail in batches, after the events were committed; no writer waits for it."""

from __future__ import annotations

from typing import Final

from attrs import define, frozen

from tradebook.domain.errors import ConcurrentUpdate
from tradebook.domain.events import Event
from tradebook.domain.plain_values import optional_function
from tradebook.domain.seals import FIRST, Digests, Seal
from tradebook.domain.validation import argument
from tradebook.service_layer.instrumentation import Progress, ProgressCallback
from tradebook.service_layer.ports.paging import BATCH, page_limit
from tradebook.service_layer.ports.watermark import Watermark
from tradebook.service_layer.ports.witnesses import WitnessState
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

_EVER: Final = 2**63 - 1


@frozen
class Sealed:
    """The result of `seal`.

    Attributes:
        seals: the number of seals made.
        events: the number of events that they cover.
        last: the last seal made; None where no event was left to seal.
        witnesses: what each witness has of the account's seals; empty where none is set.
    """

    seals: int
    events: int
    last: Seal | None
    witnesses: tuple[WitnessState, ...] = ()


def seal(
    uow: AbstractUnitOfWork, *, batch: int = BATCH, progress: ProgressCallback | None = None
) -> Sealed:
    """Seal the audit trail: hash each batch of events together with the seal before.

    Every committed event that no seal covers is covered, also one committed late with an id below sealed
    events. No writer waits, and without unsealed events no seal is made. `Book.seal` makes each seal in a
    unit of work of its own.

    Args:
        uow: the unit of work.
        batch: the most events that one seal covers, from 1 to 10,000.
        progress: called with (events sealed, events to seal) as it goes.

    Raises:
        InvalidInput: `batch` is refused.
        ConcurrentUpdate: another call sealed at the same time.
    """
    sealing = Sealing.from_arguments(batch, progress)
    if sealing.progress.report is not None:
        sealing.progress.total = unsealed(uow)
    while sealing.goes_on(seal_next(uow, sealing.batch)):
        pass
    return sealing.done()


def unsealed(uow: AbstractUnitOfWork) -> int:
    """Count the events that no seal covers."""
    return uow.events.count() - uow.seals.count_covered()


def seal_next(uow: AbstractUnitOfWork, batch: int) -> Seal | None:
    """Seal the next batch; return None when no event is left to seal."""
    last = uow.seals.last()
    newest, snapshot = uow.events.newest_id(), uow.seals.transaction_snapshot
    horizon = Watermark(newest, snapshot(), snapshot())
    settled_before = settled_id(uow, last)
    events = _next_events(uow, settled_before, horizon.newest, batch)
    if not events:
        return None
    # A full batch ends before the newest event: the rest was not read, so it is not complete up to there.
    read_to = events[-1].id if len(events) == batch else horizon.newest
    settled = min(horizon.complete_up_to_id(last), read_to)
    digests = Digests.from_events(events)
    made = Seal(
        id=uow.seals.next_id(),
        account=uow.account,
        created_at=uow.now(),
        number=1 if last is None else last.number + 1,
        from_id=events[0].id,
        to_id=events[-1].id,
        count=len(events),
        covered=digests.covered,
        settled_id=max(settled, settled_before),
        horizon=horizon.number,
        events_hash=digests.hash,
        previous_hash=FIRST if last is None else last.seal_hash,
        actor=uow.context.actor,
        correlation_id=uow.context.correlation_id,
        sealed_at=uow.now(),
    )
    if uow.seals.add(made) is not made:
        raise ConcurrentUpdate(f"seal {made.number} was made by another call at the same time")
    return made


def settled_id(uow: AbstractUnitOfWork, last: Seal | None) -> int:
    """Return the id up to which the seals cover every event, given the last of them.

    Any role that inserts events can make up an id that the sequence has not given yet. A seal that took one
    for the newest settles ids of later events too, so only seals count that settle no more than was given.
    """
    given = uow.events.last_given_id()
    if last is None:
        return 0
    if given is None or last.settled_id <= given:
        return last.settled_id
    settled = after = 0
    while page := uow.seals.numbered(after=after):
        settled = max(settled, *(seal.settled_id for seal in page if seal.settled_id <= given), 0)
        after = page[-1].number
    return settled


def _next_events(uow: AbstractUnitOfWork, settled: int, newest: int, batch: int) -> list[Event]:
    """Read the first events up to `newest` that no seal covers, by id."""
    covered = {id_ for each in uow.seals.covering(settled + 1, _EVER) for id_ in each.ids}
    after, found = settled, list[Event]()
    while len(found) < batch and after < newest:
        page = uow.events.in_order(after=after, limit=batch)
        after = page[-1].id if page else newest
        found += [event for event in page if event.id not in covered and event.id <= newest]
    return found[:batch]


@define
class Sealing:
    """Progress of one call of `seal`: what it sealed so far, and whether to go on."""

    batch: int
    progress: Progress
    seals: int = 0
    last: Seal | None = None

    @classmethod
    def from_arguments(cls, batch: int, progress: ProgressCallback | None) -> Sealing:
        """Make one from the arguments of a call, checked."""
        checked = page_limit(batch, "batch")
        return cls(checked, Progress(argument("progress", optional_function, progress), total=0))

    def goes_on(self, made: Seal | None) -> bool:
        """Count a seal; return whether another follows.

        A batch that is not full is the last: otherwise a call under steady load would never end.
        """
        if made is None:
            return False
        self.seals, self.last = self.seals + 1, made
        self.progress.add(made.count)
        return made.count == self.batch

    def done(self) -> Sealed:
        """Return what the call sealed."""
        return Sealed(self.seals, self.progress.done, self.last)
