"""The options that choose the records of a list: one definition for every list of the command line."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Annotated, Any, Final, TypeVar

import typer
from attrs import fields_dict, frozen

from tradebook.domain.agents import AgentDecision
from tradebook.domain.entity import Entity
from tradebook.entrypoints.cli.options import CommandContext, Period, Symbol, option
from tradebook.entrypoints.cli.output import as_fields
from tradebook.entrypoints.manager import DatabaseManager

R = TypeVar("R")
E = TypeVar("E", bound=Entity)

_TIMES: Final = ("since", "until")
_BATCH: Final = 1000


@frozen
class Choice(Period):
    """The options that choose records by what they hold; records that lack it refuse the option."""

    symbol: Symbol = None
    strategy: Annotated[str | None, option("NAME", "Only this strategy.")] = None
    status: Annotated[str | None, option("STATUS", "Only this status, such as executed.")] = None
    agent: Annotated[str | None, option("NAME", "Only this agent.")] = None

    def conditions(self, kind: type[Any], noun: str, *, dated: bool = True) -> dict[str, Any]:
        """Return what was asked for, by field.

        Args:
            kind: the class of the records.
            noun: what the command line calls them.
            dated: whether they have a time to choose by.

        Raises:
            typer.BadParameter: they have no such field.
        """
        options = fields_dict(Choice)
        known = fields_dict(kind).keys() | (_TIMES if dated else ())
        given = {
            name: value
            for name, value in as_fields(self).items()
            if name in options and value is not None
        }
        for name in sorted(given.keys() - known):
            others = ", ".join(f"--{each}" for each in options if each in known)
            raise typer.BadParameter(
                f"{noun} cannot be chosen by it; they can by {others}", param_hint=f"--{name}"
            )
        return given

    def chosen(
        self, records: Iterable[R], kind: type[R], noun: str, dated_by: str | None = None
    ) -> list[R]:
        """Choose among records that are read whole; `dated_by` is the field of their time."""
        wanted = self.conditions(kind, noun, dated=dated_by is not None)
        since, until = (wanted.pop(name, None) for name in _TIMES)

        def holds(record: R) -> bool:
            time: Any = dated_by and getattr(record, dated_by)
            return (
                all(getattr(record, name) == value for name, value in wanted.items())
                and (since is None or time >= since)
                and (until is None or time < until)
            )

        return [record for record in records if holds(record)]


@frozen
class Filters(Choice):
    """The options of a list of stored records: which of them, and how many."""

    limit: Annotated[
        int | None,
        option(
            "N",
            "At most this many, the newest first; 50 by default, of alerts 1,000.",
            min=1,
            max=1_000_000,
        ),
    ] = None

    def newest(
        self,
        context: CommandContext,
        manager: DatabaseManager,
        kind: type[E],
        noun: str,
        default: int = 50,
        **conditions: Any,
    ) -> list[E]:
        """Read the records of a kind that were asked for, newest first; note that there are more."""
        limit = self.limit or default
        wanted = conditions | self.conditions(kind, noun)
        with manager.unit_of_work(read_only=True) as uow:
            is_decision = issubclass(kind, AgentDecision)
            records: Any = uow.decisions.with_signals if is_decision else uow.records(kind)
            newest = records.iterate(batch=min(limit + 1, _BATCH), **wanted)
            found: list[E] = list(islice(newest, limit + 1))
        if len(found) > limit:
            context.note(f"these are the newest {limit:,} {noun}; --limit shows more")
        return found[:limit]
