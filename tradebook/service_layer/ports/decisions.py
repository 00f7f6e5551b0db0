"""The methods that the inner layers call on the repositories of signals, of agents' decisions, and of their inputs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterator
from datetime import datetime

from tradebook.domain.agents import AgentDecision, DecisionFacts
from tradebook.domain.decision_inputs import DecisionInput
from tradebook.domain.signals import Signal
from tradebook.service_layer.ports.paging import BATCH, Filter, Place
from tradebook.service_layer.ports.records import Records, Repository


class SignalRepository(Repository[Signal]):
    """The signals; their identity is `reference` where given."""

    @abstractmethod
    def of_ids(self, ids: Collection[int]) -> list[Signal]:
        """Read the signals with these ids, in the order of `ids`.

        Raises:
            NotFound: naming the first id without a signal.
        """

    @abstractmethod
    def behind(self, decision_ids: Collection[int], *, limit: int) -> list[tuple[int, Signal]]:
        """Read the signals behind decisions, each with the id of its decision.

        Returns:
            The first `limit` of them, by descending id of the decision and descending id of the signal.
        """


class DecisionRepository(Repository[AgentDecision]):
    """The decisions; their identity is `reference` where given.

    Attributes:
        with_signals: the same decisions, each loaded with the signals it was based on.
    """

    with_signals: Records[AgentDecision]

    @abstractmethod
    def signal_sources(self) -> Iterator[tuple[int, str]]:
        """Iterate over (decision id, source) of each signal of each decision, by decision id."""

    @abstractmethod
    def ancestry(self, ids: Collection[int], *, limit: int) -> list[AgentDecision]:
        """Read decisions, and those upon which they were made, in at most `limit` levels; by descending id."""

    def facts(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        batch: int = BATCH,
        **equal: object,
    ) -> Iterator[list[DecisionFacts]]:
        """Iterate over the facts of a list of decisions, newest first, in reads of `batch`."""
        wanted = Filter.from_arguments(AgentDecision, since, until, equal)
        found = self._facts(wanted, None, batch)
        while found:
            yield found
            place = found[-1].decided_at, found[-1].id
            found = [] if len(found) < batch else self._facts(wanted, place, batch)

    @abstractmethod
    def _facts(self, wanted: Filter, place: Place | None, limit: int) -> list[DecisionFacts]: ...


class DecisionInputRepository(Repository[DecisionInput]):
    """The inputs of decisions; their identity is the decision and the name."""

    @abstractmethod
    def of_decisions(self, ids: Collection[int]) -> list[DecisionInput]:
        """Read the inputs of several decisions, sorted by decision and id."""
