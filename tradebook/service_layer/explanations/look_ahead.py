"""Look-ahead: the check that decisions were made from what they could know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Final

from attrs import frozen

from tradebook.domain.agents import AgentDecision
from tradebook.domain.decision_inputs import DecisionInput, Knowledge, knowledge
from tradebook.domain.plain_values import optional_function
from tradebook.domain.signals import Signal
from tradebook.domain.validation import argument, optional_id, optional_identifier, optional_utc
from tradebook.service_layer.handlers._common import given
from tradebook.service_layer.instrumentation import Progress, ProgressCallback
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

MOST: Final = 1_000
"""Pieces that a report lists of each kind of evidence; it counts all."""
_DECISIONS: Final = 1_000
"""Decisions read at a time."""


@frozen
class KnownPiece:
    """A piece of data that a decision names, and the evidence that it could know it.

    Attributes:
        decision_id: the decision.
        agent: that made it.
        decided_at: the time of the decision, UTC.
        kind: `input` or `signal`.
        name: the name of the input; the id of the signal.
        available_at: the time from which it could be had, as its recorder states it, UTC: `available_at` of an input,
            `generated_at` of a signal.
        recorded_at: the time of the event that recorded it in the book, UTC.
        evidence: PROVEN, CLAIMED or VIOLATED.
    """

    decision_id: int
    agent: str
    decided_at: datetime
    kind: str
    name: str
    available_at: datetime
    recorded_at: datetime
    evidence: Knowledge


@frozen
class LookAhead:
    """The result of `look_ahead`.

    Attributes:
        account: the account.
        decisions: the number of decisions checked.
        without_inputs: those of them that name no dated input and no signal, of which nothing can be said.
        proven: the number of pieces that the book recorded no later than the decision was made.
        claimed: the number of pieces that were recorded later, and say that they were available before.
        violated: the number of pieces that became available after the decision.
        violations: the violated pieces, the newest decision first; at most 1,000.
        claims: the claimed pieces, likewise.
    """

    account: str
    decisions: int
    without_inputs: int
    proven: int
    claimed: int
    violated: int
    violations: tuple[KnownPiece, ...]
    claims: tuple[KnownPiece, ...]

    @property
    def is_clean(self) -> bool:
        """True where no piece became available after the decision that names it."""
        return not self.violated


def look_ahead(
    uow: AbstractUnitOfWork,
    *,
    decision_id: int | None = None,
    agent: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    progress: ProgressCallback | None = None,
) -> LookAhead:
    """Sort each input and signal of each decision into proven, claimed and violated; see `knowledge`.

    The times of recording are those of the events, by the clock of the programs that wrote them; `check_seals` proves
    that they were not changed since.

    Args:
        uow: a read-only unit of work.
        decision_id: only this decision.
        agent: only the decisions of this agent.
        since: only decisions from this time on, by `decided_at`, UTC.
        until: only decisions before this time.
        progress: called with (decisions checked, decisions in all) as it goes.

    Raises:
        NotFound: this account has no decision `decision_id`.
    """
    id_ = argument("decision_id", optional_id, decision_id)
    wanted = given(
        agent=argument("agent", optional_identifier, agent),
        since=argument("since", optional_utc, since),
        until=argument("until", optional_utc, until),
    )
    report = argument("progress", optional_function, progress)
    total = 1 if id_ is not None else uow.decisions.count(**wanted)
    listed = _Listed()
    counted = Progress(report, total)
    for page in _decisions(uow, id_, wanted):
        for pieces in _pieces(uow, page):
            listed.add(pieces)
        counted.add(len(page))
    return listed.result(uow.account)


class _Listed:
    """Counts of the pieces of all decisions, and the first of each kind of evidence."""

    def __init__(self) -> None:
        self.decisions = self.without_inputs = 0
        self.counts: Counter[Knowledge] = Counter()
        self.pieces: dict[Knowledge, list[KnownPiece]] = {each: [] for each in Knowledge}

    def add(self, pieces: Collection[KnownPiece]) -> None:
        """Count the pieces of one decision."""
        self.decisions += 1
        self.without_inputs += not pieces
        for piece in pieces:
            self.counts[piece.evidence] += 1
            if len(self.pieces[piece.evidence]) < MOST:
                self.pieces[piece.evidence].append(piece)

    def result(self, account: str) -> LookAhead:
        """Return the report."""
        return LookAhead(
            account,
            self.decisions,
            self.without_inputs,
            proven=self.counts[Knowledge.PROVEN],
            claimed=self.counts[Knowledge.CLAIMED],
            violated=self.counts[Knowledge.VIOLATED],
            violations=tuple(self.pieces[Knowledge.VIOLATED]),
            claims=tuple(self.pieces[Knowledge.CLAIMED]),
        )


def _decisions(
    uow: AbstractUnitOfWork, id_: int | None, wanted: dict[str, object]
) -> Iterator[list[AgentDecision]]:
    """Iterate over the wanted decisions with their signals, newest first, a page at a time."""
    records = uow.decisions.with_signals
    if id_ is not None:
        decision = records.get(id_)
        yield [decision]
        return
    after: str | None = None
    while found := records.page(limit=_DECISIONS, after=after, **wanted):  # type: ignore[arg-type]
        yield found
        after = found.after
        if after is None:
            return


def _pieces(uow: AbstractUnitOfWork, decisions: list[AgentDecision]) -> Iterator[list[KnownPiece]]:
    """Iterate over the pieces of data of each decision."""
    inputs: dict[int, list[DecisionInput]] = {}
    for each in uow.decision_inputs.of_decisions([decision.id for decision in decisions]):
        inputs.setdefault(each.decision_id, []).append(each)
    recorded = _recorded_at(uow, {s.id: s for d in decisions for s in d.signals})
    for decision in decisions:
        pieces = [
            _piece(decision, "input", each.name, each.available_at, each.recorded_at)
            for each in inputs.get(decision.id, ())
        ]
        pieces += [
            _piece(decision, "signal", str(s.id), s.generated_at, recorded[s.id])
            for s in decision.signals
        ]
        yield pieces


def _recorded_at(uow: AbstractUnitOfWork, signals: dict[int, Signal]) -> dict[int, datetime]:
    """Return when each signal was recorded: the time of its first event, for a direct edit chooses `created_at`."""
    times = {id_: signal.created_at for id_, signal in signals.items()}
    if not signals:
        return times
    for event in reversed(uow.events.about(Signal.__name__, sorted(signals))):
        times[event.entity_id] = event.occurred_at
    return times


def _piece(
    decision: AgentDecision, kind: str, name: str, available_at: datetime, recorded_at: datetime
) -> KnownPiece:
    evidence = knowledge(available_at, recorded_at, decision.decided_at)
    return KnownPiece(
        decision.id,
        decision.agent,
        decision.decided_at,
        kind,
        name,
        available_at,
        recorded_at,
        evidence,
    )
