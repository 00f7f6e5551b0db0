"""The check of seals: sealed events are compared with their hashes, and records with their events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from attrs import define, evolve, frozen

from tradebook.domain.events import Event
from tradebook.domain.plain_values import optional_function
from tradebook.domain.seals import FIRST, Digests, Seal, compute_hash
from tradebook.domain.trades import BOOKED, Trade
from tradebook.domain.validation import Json, argument
from tradebook.service_layer.handlers.seals import settled_id
from tradebook.service_layer.instrumentation import Progress, ProgressCallback
from tradebook.service_layer.ports.witnesses import WitnessState
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork
from tradebook.service_layer.verification.findings import CHANGED, INSERTED, REMOVED, Finding
from tradebook.service_layer.verification.record_check import KINDS, LOWEST, RecordCheck, by_record
from tradebook.service_layer.verification.seal_files import KeptSeal, document, kept_seals
from tradebook.service_layer.verification.trade_evidence import creation_findings, trade_findings

_EVER: Final = 2**63 - 1
_KEPT: Final = 1000
"""Findings of one kind of record that the result lists."""
_SEALS: Final = 20
"""Seals read at a time; each holds the ids of up to 10,000 events."""


@define
class KindChecked:
    """What was checked of one kind of record.

    Attributes:
        kind: its name, such as CashFlow.
        records: the number of records that were compared with their events.
        unsealed: those whose last event no seal covers: nothing protects it yet.
        partly: those of which only some fields could be compared, as their events were written before events
            stated all of them.
        findings: the number of findings.
    """

    kind: str
    records: int = 0
    unsealed: int = 0
    partly: int = 0
    findings: int = 0


@frozen
class SealCheck:
    """The result of `check_seals`.

    Attributes:
        account: the account checked.
        seals: the number of seals checked.
        events: the number of sealed events checked.
        unsealed: the number of events that no seal covers yet.
        trades: the number of booked trades compared with their events.
        findings: the first 1,000 of each kind, sealed events first; empty where nothing was tampered with.
        kinds: for each kind of record what was checked of it, with the number of all findings.
        witnesses: what each witness of the seals has; empty where none was read.
    """

    account: str
    seals: int
    events: int
    unsealed: int
    trades: int
    findings: tuple[Finding, ...]
    kinds: tuple[KindChecked, ...] = ()
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
    """Check that no sealed event, and no record that events speak of, was changed, removed or inserted since.

    Each seal's hash is computed again from its events, and each record compared with the last event that says
    something of it. Seals cover events by id, so one committed late, with an id below sealed events, is no
    finding but unsealed until the next seal. An event counts as inserted up to `Seal.settled_id`, below which
    every transaction had ended, and above the last id that PostgreSQL gave.

    Not detected: changes of unsealed events together with their records; and, without `kept`, a replaced
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
        total = uow.seals.count_covered()
        if report is not None:
            total += sum(uow.records(kind).count() for kind in (*KINDS, Trade))
        self.progress = Progress(report, total)
        self.findings: list[Finding] = []
        self.counts: dict[str, int] = {}
        self.hashes: dict[int, str] = {}
        self.settled = settled_id(uow, uow.seals.last())
        late = uow.seals.covering(self.settled + 1, _EVER)
        self.covered_late = {id_ for seal in late for id_ in _covered(seal) if id_ > self.settled}
        self.records = RecordCheck(uow, self._is_sealed)
        self.seals = self.events = self.settled_events = self.trades = 0

    def run(self) -> SealCheck:
        self._check_chain()
        self._check_kept()
        self._check_insertions()
        for kind in KINDS:
            for page in self.records.pages(kind):
                self._add(self.records.compare(kind, page))
                self.progress.add(len(page))
        self._check_trades()
        self._add(self.records.missing())
        return SealCheck(
            account=self.uow.account,
            seals=self.seals,
            events=self.events,
            unsealed=self.uow.events.count() - self.events,
            trades=self.trades,
            findings=tuple(map(self._with_seal, self.findings)),
            kinds=tuple(self._kinds()),
        )

    def _kinds(self) -> Iterator[KindChecked]:
        compared = self.records.compared
        yield KindChecked("Seal", self.seals, findings=self.counts.pop("Seal", 0))
        yield KindChecked("Event", self.events, findings=self.counts.pop("Event", 0))
        for kind, of_kind in compared.items():
            counts = of_kind.records, of_kind.unsealed, of_kind.partly
            yield KindChecked(kind, *counts, findings=self.counts.pop(kind, 0))
        for kind, count in self.counts.items():
            yield KindChecked(kind, findings=count)

    def _is_sealed(self, event: Event) -> bool:
        return event.id <= self.settled or event.id in self.covered_late

    def _with_seal(self, finding: Finding) -> Finding:
        """Return a finding with the number of the seal that covers the event that it names."""
        if finding.event is None:
            return finding
        seals = self.uow.seals.covering(finding.event, finding.event)
        number = next((s.number for s in seals if finding.event in _covered(s)), None)
        return evolve(finding, seal=number)

    def _add(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            count = self.counts[finding.entity] = self.counts.get(finding.entity, 0) + 1
            if count <= _KEPT:
                self.findings.append(finding)

    def _found(self, entity: str, key: object, what: str, detail: str) -> None:
        self._add([Finding(entity, str(key), what, detail)])

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
        for page in self.uow.events.batches(after=LOWEST):
            covered: set[Any] = set()
            for seal in self.uow.seals.covering(page[0].id, page[-1].id):
                covered |= _covered(seal).keys()
            for event in page:
                if event.id <= settled and event.id not in covered:
                    detail = f"no seal covers it, and all up to {settled} were sealed"
                    self._found("Event", event.id, INSERTED, detail)

    def _check_trades(self) -> None:
        for page in self.uow.trades.batches(after=LOWEST):
            ids = [trade.id for trade in page]
            said = by_record(ids, self.uow.events.bookings_of(ids))
            unfilled = [t for t in page if t.status not in BOOKED and not said[t.id]]
            self._add(self.records.compare(Trade, unfilled))
            ordered: list[Trade] = []
            for trade in page:
                events = said[trade.id]
                self._add(trade_findings(trade, events))
                self.trades += trade.status in BOOKED
                if events:
                    self.records.count(Trade, events[-1])
                    if trade.created_at != events[0].occurred_at:
                        ordered.append(trade)
            self._check_creations(ordered)
            self.progress.add(len(page))

    def _check_creations(self, trades: list[Trade]) -> None:
        """Check the times at which trades were made that were ordered before they were booked."""
        said = self.records.events_of(Trade, trades)
        for trade in trades:
            self._add(creation_findings(trade, said[trade.id]))


def _covered(seal: Seal) -> dict[int, str]:
    """Map the covered ids to the beginnings of their events' hashes; empty for a damaged list."""
    try:
        return {int(id_): str(digest) for id_, digest in seal.covered}
    except (TypeError, ValueError):
        return {}
