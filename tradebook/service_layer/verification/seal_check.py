"""The check of seals: sealed events and booked trades are compared with their hashes and events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from attrs import frozen

from tradebook.domain.events import BOOKINGS, BUSTS
from tradebook.domain.plain_values import optional_function
from tradebook.domain.seals import FIRST, Digests, Seal, compute_hash
from tradebook.domain.trades import BOOKED, Trade
from tradebook.domain.validation import Json, argument
from tradebook.service_layer.handlers.seals import settled_id
from tradebook.service_layer.instrumentation import Progress, ProgressCallback
from tradebook.service_layer.ports.witnesses import WitnessState
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork
from tradebook.service_layer.verification.seal_files import KeptSeal, document, kept_seals
from tradebook.service_layer.verification.trade_evidence import (
    CHANGED,
    INSERTED,
    REMOVED,
    Finding,
    trade_findings,
)

_LOWEST: Final = -(2**63)
"""Below every id, also those that a tamperer made up."""
_SEALS: Final = 20
"""Seals read at a time; each holds the ids of up to 10,000 events."""


@frozen
class SealCheck:
    """The result of `check_seals`.

    Attributes:
        account: the account checked.
        seals: the number of seals checked.
        events: the number of sealed events checked.
        unsealed: the number of events that no seal covers yet.
        trades: the number of booked trades compared with their events.
        findings: every finding, sealed events first; empty where nothing was tampered with.
        witnesses: what each witness of the seals has; empty where none was read.
    """

    account: str
    seals: int
    events: int
    unsealed: int
    trades: int
    findings: tuple[Finding, ...]
    witnesses: tuple[WitnessState, ...] = ()

    @property
    def sound(self) -> bool:
        """True where nothing was changed, removed or inserted, and every witness could be read."""
        return not self.findings and not any(each.error for each in self.witnesses)


def check_seals(
    uow: AbstractUnitOfWork,
    kept: Mapping[str, Json] | None = None,
    *,
    progress: ProgressCallback | None = None,
) -> SealCheck:
    """Check that no sealed event and no booked trade was changed, removed or inserted since.

    Each seal's hash is computed again from its events, and each booked trade compared with the one event
    that booked, corrected or busted it. Seals cover events by id, so one committed late, with an id below
    sealed events, is no finding but unsealed until the next seal. An event counts as inserted up to
    `Seal.settled_id`, below which every transaction had ended, and above the last id that PostgreSQL gave.

    Not detected: changes of unsealed events together with their trades; and, without `kept`, a replaced
    chain or end of one. So seal often, and keep exports where writers of the database cannot write.

    Args:
        uow: a read-only unit of work, which sees one instant.
        kept: an earlier result of `export_seals`; the chain must contain all of its seals.
        progress: called with (events and trades checked, how many there are) as it goes.

    Returns:
        The numbers of checked records, and every finding.

    Raises:
        InvalidInput: `kept` is of another account, or was altered.
        NotPermitted: row security hides the account from the role that is connected.
    """
    uow.require_visible()
    known = {} if kept is None else kept_seals(kept, uow.account)
    return _Check(uow, known, argument("progress", optional_function, progress)).run()


def export_seals(uow: AbstractUnitOfWork) -> dict[str, Json]:
    """Export all seals of the account, without their events, to be kept outside the database.

    Returns:
        JSON for `check_seals`; about 600 bytes for each seal.

    Raises:
        NotPermitted: row security hides the account from the role that is connected.
    """
    uow.require_visible()
    return document(uow.account, _seals(uow))


def seals_after(uow: AbstractUnitOfWork, number: int) -> list[Json]:
    """Return the seals above a number, as they stand in the document of `export_seals`."""
    uow.require_visible()
    entries: list[Json] = document(uow.account, _seals(uow, number))["seals"]
    return entries


def _seals(uow: AbstractUnitOfWork, after: int = 0) -> Iterator[Seal]:
    while page := uow.seals.numbered(after=after, limit=_SEALS):
        yield from page
        after = page[-1].number


class _Check:
    def __init__(
        self, uow: AbstractUnitOfWork, kept: Mapping[int, KeptSeal], report: ProgressCallback | None
    ) -> None:
        self.uow = uow
        self.kept = kept
        self.progress = Progress(report, uow.seals.count_covered() + uow.trades.count())
        self.findings: list[Finding] = []
        self.hashes: dict[int, str] = {}
        self.settled = settled_id(uow, uow.seals.last())
        self.seals = self.events = self.settled_events = self.trades = self.bookings = 0

    def run(self) -> SealCheck:
        self._check_chain()
        self._check_kept()
        self._check_insertions()
        self._check_trades()
        self._check_orphans()
        return SealCheck(
            account=self.uow.account,
            seals=self.seals,
            events=self.events,
            unsealed=self.uow.events.count() - self.events,
            trades=self.trades,
            findings=tuple(self.findings),
        )

    def _found(self, entity: str, key: object, what: str, detail: str) -> None:
        self.findings.append(Finding(entity, str(key), what, detail))

    def _check_chain(self) -> None:
        number, expected = 0, FIRST
        for seal in _seals(self.uow):
            if seal.number != number + 1:
                self._found("Seal", number + 1, REMOVED, f"seal {seal.number} is there")
            self._check_events(seal)
            if seal.previous_hash != expected:
                self._found("Seal", seal.number, CHANGED, "it does not follow the seal before it")
            if compute_hash(seal.facts()) != seal.seal_hash:
                self._found("Seal", seal.number, CHANGED, "its hash is not that of what it says")
            number, expected = seal.number, seal.seal_hash
            if number in self.kept:
                self.hashes[number] = seal.seal_hash
            self.seals += 1
            self.progress.add(seal.count)

    def _check_events(self, seal: Seal) -> None:
        covered = _covered(seal)
        events = self.uow.events.found(covered.keys())
        digests = Digests.from_events(events)
        self.events += len(events)
        self.settled_events += sum(event.id <= self.settled for event in events)
        before = len(self.findings)
        present = dict(digests.covered)
        for id_, digest in covered.items():
            if id_ not in present:
                self._found("Event", id_, REMOVED, f"seal {seal.number} covers it")
            elif present[id_] != digest:
                self._found("Event", id_, CHANGED, f"it is not what seal {seal.number} covers")
        if digests.hash != seal.events_hash and len(self.findings) == before:
            span = f"events from {seal.from_id} to {seal.to_id}"
            self._found("Seal", seal.number, CHANGED, f"it covers other {span} than there are")

    def _check_kept(self) -> None:
        """Report the first seal that is not the kept one; those after it differ as a consequence."""
        for number, kept in self.kept.items():
            hash_ = self.hashes.get(number)
            if hash_ != kept.hash:
                what = REMOVED if hash_ is None else CHANGED
                self._found("Seal", number, what, f"another one was exported, of {kept.covers}")
                return

    def _check_insertions(self) -> None:
        settled, given = self.settled, self.uow.events.last_given_id()
        if given is not None:
            detail = f"the database has given no id above {given} yet"
            for page in self.uow.events.batches(after=given):
                for event in page:
                    self._found("Event", event.id, INSERTED, detail)
        if any(finding.entity == "Seal" for finding in self.findings):
            return  # a seal that is gone or damaged leaves its events unknown
        if self.uow.events.count_up_to(settled) == self.settled_events:
            return
        for page in self.uow.events.batches(after=_LOWEST):
            covered: set[Any] = set()
            for seal in self.uow.seals.covering(page[0].id, page[-1].id):
                covered |= _covered(seal).keys()
            for event in page:
                if event.id <= settled and event.id not in covered:
                    detail = f"no seal covers it, and all up to {settled} were sealed"
                    self._found("Event", event.id, INSERTED, detail)

    def _check_trades(self) -> None:
        for page in self.uow.trades.batches(after=_LOWEST):
            said: dict[int, list[Any]] = {trade.id: [] for trade in page}
            for event in self.uow.events.bookings_of(said.keys()):
                said[event.entity_id].append(event)
                self.bookings += 1
            for trade in page:
                self.trades += trade.status in BOOKED
                self.findings += trade_findings(trade, said[trade.id])
            self.progress.add(len(page))

    def _check_orphans(self) -> None:
        """Report events whose trade is missing; the counts show first whether there are any."""
        if self.uow.events.count_bookings() == self.bookings:
            return
        for page in self.uow.events.batches(after=_LOWEST):
            said = {
                event.entity_id: event
                for event in page
                if event.entity == Trade.__name__ and event.event_type in BOOKINGS + BUSTS
            }
            there = {trade.id for trade in self.uow.trades.found(said.keys())}
            for id_, event in said.items():
                if id_ not in there:
                    order = event.payload.get("order_id")
                    detail = f"event {event.id} says that it was recorded"
                    self._found("Trade", f"{id_} (order {order!r})", REMOVED, detail)


def _covered(seal: Seal) -> dict[int, str]:
    """Map the covered ids to the beginnings of their events' hashes; empty for a damaged list."""
    try:
        return {int(id_): str(digest) for id_, digest in seal.covered}
    except (TypeError, ValueError):
        return {}
