"""The groups that trades, decisions and actions of agents belong to, for each way to group them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from attrs import define, field

from tradebook.domain.accounting import BookedTrade
from tradebook.domain.attribution import NONE, Group, GroupBy, Holders
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

_UNHELD: Final[Holders] = (NONE,)
_TAGS: Final = ("tag", "enter_tag")
"""The keys of a trade's details that hold a tag; the first text counts."""

NAMED_BY: Final[Mapping[GroupBy, tuple[str, ...]]] = {
    GroupBy.AGENT: ("agent",),
    GroupBy.MODEL: ("model", "strategy"),
    GroupBy.STRATEGY: ("strategy",),
    GroupBy.SYMBOL: ("symbol",),
}
"""The fields of a decision that name its group; the first that is not empty counts."""


@define
class Groups:
    """The groups of one account's records.

    Attributes:
        by: how they are grouped.
        of_decisions: the groups of each decision, by its id; empty where trades are grouped by their own ids.
        of_tagged: the groups of each trade that has a tag, by its id.
    """

    by: GroupBy
    of_decisions: dict[int, Holders] = field(factory=dict)
    of_tagged: dict[int, Holders] = field(factory=dict)
    _made: dict[tuple[Group, ...], Holders] = field(factory=dict)
    _sources: dict[int, Holders] = field(factory=dict)

    @classmethod
    def read(cls, uow: AbstractUnitOfWork, by: GroupBy) -> Groups:
        """Read the signals or tags, where they name the groups; decisions are added by the caller."""
        groups = cls(by)
        if by is GroupBy.SIGNAL_SOURCE:
            groups._read_sources(uow.decisions.signal_sources())
        elif by is GroupBy.TAG:
            groups._read_tags(uow.trades.values("details"))
        return groups

    def _read_sources(self, sources: Iterable[tuple[int, str]]) -> None:
        found: dict[int, list[Group]] = {}
        for decision_id, source in sources:
            group = Group(source, GroupBy.SIGNAL_SOURCE.value) if source else NONE
            found.setdefault(decision_id, []).append(group)
        self._sources = {id_: self._shared(sorted(groups)) for id_, groups in found.items()}

    def _read_tags(self, details: Iterable[tuple[Any, ...]]) -> None:
        for trade_id, named in details:
            tags = (named.get(key) for key in _TAGS) if named else ()
            if tag := next((tag for tag in tags if tag and isinstance(tag, str)), None):
                self.of_tagged[trade_id] = self._one(tag, GroupBy.TAG)

    def add_decision(self, decision_id: int, names: Iterable[str]) -> Holders:
        """Note the groups of a decision, and return them.

        Args:
            decision_id: its id.
            names: the values of its fields in `NAMED_BY`.
        """
        by = self.by
        if by is GroupBy.DECISION:  # not kept: the id is all that names it
            return self.of_decision(decision_id)
        if by is GroupBy.SIGNAL_SOURCE:
            holders = self._sources.get(decision_id, _UNHELD)
        else:
            named = zip(NAMED_BY.get(by, ()), names, strict=True)
            found = ((name, field_name) for field_name, name in named if name)
            holders = next((self._one(*each) for each in found), _UNHELD)
        self.of_decisions[decision_id] = holders
        return holders

    def of_action(self, agent: str, model: str | None, decision_id: int | None) -> Holders:
        """Return the groups of an agent's action: those of its decision, but by model its own model's."""
        if self.by is GroupBy.MODEL and model:
            return self._one(model, "model")
        if decision_id is not None:
            return self.of_decision(decision_id)
        return self._one(agent, "agent") if self.by is GroupBy.AGENT else _UNHELD

    def of_trade(self, trade: BookedTrade) -> Holders:
        """Return the groups of a trade."""
        by = self.by
        if by is GroupBy.SYMBOL:
            return self._one(trade.symbol, "symbol")
        if by is GroupBy.TAG:
            return self.of_tagged.get(trade.id, _UNHELD)
        if by is GroupBy.STRATEGY and trade.strategy:
            return self._one(trade.strategy, "strategy")
        holders = _UNHELD if trade.decision_id is None else self.of_decision(trade.decision_id)
        has_strategy = by in (GroupBy.AGENT, GroupBy.MODEL) and trade.strategy
        if holders is _UNHELD and has_strategy:
            return self._one(trade.strategy, "strategy")
        return holders

    def of_decision(self, decision_id: int) -> Holders:
        """Return the groups of a decision that was added."""
        if self.by is GroupBy.DECISION:
            return self._one(str(decision_id), GroupBy.DECISION)
        return self.of_decisions.get(decision_id, _UNHELD)

    def _one(self, name: str, kind: str) -> Holders:
        return self._shared([Group(name, str(kind))])

    def _shared(self, groups: Iterable[Group]) -> Holders:
        """Return one tuple for equal groups, however many records they have."""
        holders = tuple(groups)
        return self._made.setdefault(holders, holders)
