"""The costs of agents: of their decisions and actions, by the groups that these belong to."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from attrs import define, field

from tradebook.domain.attribution import Holders
from tradebook.domain.group_books import Sums
from tradebook.domain.numbers import EXACT
from tradebook.service_layer.explanations.attribution.groups import NAMED_BY, Groups
from tradebook.service_layer.explanations.attribution.period import Period
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

_COST: Final = ("cost", "cost_currency")


@define
class Costs:
    """Costs of decisions and actions that were made in a period.

    Attributes:
        groups: receives the groups of each decision.
        period: in which decisions were made and actions started.
        sums: of `cost`, `calls` and `unpriced`, by who holds them and by the currency of the cost.
    """

    groups: Groups
    period: Period
    sums: dict[tuple[Holders, str], Sums] = field(factory=dict)
    _unpriced: dict[int, str] = field(
        factory=dict
    )  # decisions: their cost may be that of their actions

    def read(self, uow: AbstractUnitOfWork) -> None:
        """Read all decisions and actions of the account."""
        self._read_decisions(uow)
        self._read_actions(uow)
        for decision_id, currency in self._unpriced.items():
            self._of(self.groups.of_decision(decision_id), currency).unpriced += 1
        self._unpriced.clear()

    def _read_decisions(self, uow: AbstractUnitOfWork) -> None:
        fields = (*NAMED_BY.get(self.groups.by, ()), *_COST, "decided_at")
        for id_, *names, cost, currency, at in uow.decisions.values(*fields):
            holders = self.groups.add_decision(id_, names)
            if not self.period.has(at):
                continue
            if cost is None:
                self._unpriced[id_] = currency
            elif cost:
                self._add(holders, currency, cost)

    def _read_actions(self, uow: AbstractUnitOfWork) -> None:
        fields = ("agent", "model", "decision_id", *_COST, "started_at")
        for _, agent, model, decision_id, cost, currency, at in uow.actions.values(*fields):
            if decision_id is not None:
                self._unpriced.pop(decision_id, None)
            if not self.period.has(at):
                continue
            holders = self.groups.of_action(agent, model, decision_id)
            sums = self._of(holders, currency)
            sums.calls += 1
            if cost is None:
                sums.unpriced += 1
            else:
                self._add(holders, currency, cost)

    def _add(self, holders: Holders, currency: str, cost: Decimal) -> None:
        sums = self._of(holders, currency)
        sums.cost = EXACT.add(sums.cost, cost)

    def _of(self, holders: Holders, currency: str) -> Sums:
        key = holders, currency
        found = self.sums.get(key)
        if found is None:
            found = self.sums[key] = Sums()
        return found
