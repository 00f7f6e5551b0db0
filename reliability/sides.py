"""One book on several stores: the same call made on each, and all that a caller can see of each.

The stores number their records as they like (PostgreSQL leaves out the ids of what it refused), so a
record is named by its kind and by its place among those of its kind, in the order in which they came.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import chain, groupby
from operator import attrgetter
from typing import Any, Final

import attrs
from attrs import define, field, frozen

from tradebook import (
    Account,
    AgentAction,
    AgentDecision,
    Alert,
    CallContext,
    CashFlow,
    ConstraintViolated,
    DecisionInput,
    Event,
    Import,
    Mend,
    Order,
    PerformanceMetric,
    Portfolio,
    PortfolioPosition,
    Position,
    Signal,
    Trade,
    TradebookError,
)
from tradebook.domain.entity import Entity
from tradebook.service_layer import queries
from tradebook.service_layer.book import Book
from tradebook.service_layer.ports.paging import pages
from tradebook.service_layer.queries import as_of
from tradebook.service_layer.queries.snapshots import get_snapshot
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork
from tradebook.service_layer.verification.verify import verify

Seen = Any
"""What a caller was given, in plain values that are the same on every store."""

KINDS: Final[Sequence[type[Entity]]] = (
    Account,
    AgentAction,
    AgentDecision,
    Alert,
    CashFlow,
    DecisionInput,
    Event,
    Import,
    PerformanceMetric,
    Portfolio,
    PortfolioPosition,
    Position,
    Signal,
    Trade,
)
NOBODY: Final = 2**50
"""The id of no record."""

_HOLDS_ID_OF: Final = {
    "decision_id": "AgentDecision",
    "parent_id": "AgentDecision",
    "portfolio_id": "Portfolio",
    "corrects_id": "Trade",
    "reversal_id": "CashFlow",
    "busts_id": "CashFlow",
    "import_id": "Import",
    "undone_import": "Import",
    "corrects": "Trade",
    "trade_id": "Trade",
    "signals": "Signal",
}
"""Which kind's ids a field, or a name in an event's payload, holds."""

_REVERSAL: Final = "bust of "
"""The beginning of the reference of a cash flow that takes another one back; the other's id follows."""
_CALLED: Final = {kind.__name__.lower(): kind.__name__ for kind in KINDS} | {
    "decision": "AgentDecision",
    "cash flow": "CashFlow",
    _REVERSAL.strip(): "CashFlow",
}
_IN_WORDS: Final = re.compile(rf"\b({'|'.join(_CALLED)})\b (\d+)", re.IGNORECASE)
_DECISIONS: Final = re.compile(r"(?<=decision_id)[^;]*")


@frozen
class Ref:
    """A record, `back` places from the newest of its kind; -1 is one that there is not."""

    kind: type[Entity]
    back: int


@frozen
class New:
    """An entity of these values, made anew for each side."""

    kind: type[Entity]
    values: Mapping[str, Any]


@frozen
class Changed:
    """A record as it is read, or as it was read `earlier` for such a change, with these changes."""

    ref: Ref
    changes: Mapping[str, Any]
    earlier: bool = False


@frozen
class Call:
    """A handler and what it is called with."""

    handler: Callable[..., Any]
    arguments: Mapping[str, Any]

    def __repr__(self) -> str:
        terms = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        return f"{self.handler.__name__}({terms})"


@define
class Side:
    """A book on one store.

    Attributes:
        name: of the store.
        book: on it.
        known: of each kind the ids that were seen, in their order.
        read: the entities that were read to be changed.
    """

    name: str
    book: Book
    known: dict[str, list[int]] = field(factory=lambda: {kind.__name__: [] for kind in KINDS})
    read: list[Entity] = field(factory=list)

    def make(self, calls: Sequence[Call], context: CallContext, *, commit: bool) -> Seen:
        """Make the calls in one unit of work; returns what they gave, or how they were refused."""
        try:
            made = [(call.handler, self._resolved(call.arguments)) for call in calls]
            with self.book.unit_of_work(context=context) as uow:
                given = [handler(uow, **arguments) for handler, arguments in made]
                if commit:
                    uow.commit()
                else:
                    uow.rollback()
        except TradebookError as error:
            return error
        return given

    def look(self, before: datetime, by: as_of.AsOf, at: datetime) -> dict[str, Seen]:
        """Everything that there is to see, on one view.

        Args:
            before: as of which to look back, too.
            by: how it is meant.
            at: the time of looking.
        """
        context = CallContext(at=at)
        with self.book.unit_of_work(read_only=True, context=context) as uow:
            records = {kind.__name__: queries.get_all(uow, kind, 10_000) for kind in KINDS}
            self._know(records)
            looked = {**records, **_asked(uow)}
            looked["positions then"] = as_of.positions_as_of(uow, before, by=by)
            looked["worth then"] = _or_refused(partial(as_of.portfolio_as_of, uow, before, by=by))
            return {name: self.plain(value) for name, value in looked.items()}

    def ask(self, query: Callable[..., Any], arguments: Mapping[str, Any], at: datetime) -> Seen:
        """The pages of a list, one after the other."""
        with self.book.unit_of_work(read_only=True, context=CallContext(at=at)) as uow:
            given = self._resolved(arguments)
            return self.plain(
                _or_refused(
                    lambda: [
                        *chain.from_iterable(pages(lambda after: query(uow, **given, after=after)))
                    ]
                )
            )

    # Names for ids

    def _know(self, records: Mapping[str, Sequence[Entity]]) -> None:
        # By their events, in which all stores agree: an import gives ids to fills and orders of one symbol in
        # another order on a database than in memory.
        events = sorted(records["Event"], key=lambda event: event.id)
        for event in events:
            assert isinstance(event, Event)
            self._add(event.entity, [event.entity_id])
        for kind, listed in records.items():
            self._add(kind, sorted(record.id for record in listed))

    def _add(self, kind: str, ids: Sequence[int]) -> None:
        self.known[kind] += [id_ for id_ in ids if id_ not in self.known[kind]]

    def _id(self, ref: Ref) -> int:
        ids = self.known[ref.kind.__name__]
        if not ids or ref.back < 0:
            return NOBODY
        return ids[-1 - ref.back % len(ids)]

    def _called(self, kind: str, id_: int) -> str:
        known = self.known[kind]
        return f"#{known.index(id_)}" if id_ in known else "#unknown"

    # From what is asked for to arguments

    def _resolved(self, value: Any) -> Any:
        if isinstance(value, Ref):
            return self._id(value)
        if isinstance(value, New):
            return value.kind(**self._resolved(value.values))
        if isinstance(value, Mend):
            return attrs.evolve(value, arguments=self._resolved(value.arguments))
        if isinstance(value, Changed):
            return self._changed(value)
        if isinstance(value, Mapping):
            return {name: self._resolved(item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._resolved(item) for item in value]
        return value

    def _changed(self, wanted: Changed) -> Entity:
        if wanted.earlier and self.read:
            entity = self.read[-1 - wanted.ref.back % len(self.read)]
        else:
            with self.book.unit_of_work(read_only=True) as uow:
                entity = uow.records(wanted.ref.kind).get(self._id(wanted.ref))
            self.read.append(entity)
        for name, value in self._resolved(wanted.changes).items():
            if hasattr(entity, name):
                setattr(entity, name, value)
        return entity

    # From what was given to plain values

    def plain(self, value: Any, kind: str | None = None) -> Seen:
        """A value with places instead of ids; `kind` is whose id a number is."""
        if isinstance(value, ConstraintViolated):
            return type(value).__name__  # the database's own words
        if isinstance(value, TradebookError):
            return type(value).__name__, self._words(str(value))
        if isinstance(value, Entity):
            return self._entity(value)
        if attrs.has(type(value)):
            names = [each.name for each in attrs.fields(type(value))]
            return {n: self.plain(getattr(value, n), _HOLDS_ID_OF.get(n)) for n in names}
        if isinstance(value, Mapping):
            return {
                name: self.plain(_without_ids(name, item), _HOLDS_ID_OF.get(str(name), kind))
                for name, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.plain(item, kind) for item in self._in_order(value)]
        if kind is not None and isinstance(value, int):
            return self._called(kind, value)
        if isinstance(value, str) and value.startswith(_REVERSAL):
            return self._words(value)
        return value

    def _in_order(self, listed: Sequence[Any]) -> Sequence[Any]:
        """Return neighbours of the same time in the order of their names, where all are trades; see `_know`.

        Trades of a unit of work that was rolled back have no name; they stay in the order in which they were given.
        """
        if not all(isinstance(item, Trade) for item in listed):
            return listed
        known = self.known[Trade.__name__]

        def name(trade: Trade) -> int:
            return known.index(trade.id) if trade.id in known else len(known)

        same_time = groupby(listed, key=attrgetter("executed_at"))
        return [trade for _, some in same_time for trade in sorted(some, key=name)]

    def _entity(self, entity: Entity) -> Seen:
        kind = type(entity).__name__
        values = {a.name: vars(entity).get(a.name) for a in attrs.fields(type(entity))}
        values |= {"signals": None, "account": None}  # asked for apart; the side's own
        named = {**_HOLDS_ID_OF, "id": kind}
        if isinstance(entity, Event):
            named["entity_id"] = entity.entity
        return kind, {name: self.plain(item, named.get(name)) for name, item in values.items()}

    def _words(self, message: str) -> str:
        message = message.replace(self.book.account, "ACCOUNT")
        message = _IN_WORDS.sub(
            lambda m: f"{m[1]} {self._called(_CALLED[m[1].lower()], int(m[2]))}", message
        )
        return _DECISIONS.sub(
            lambda m: re.sub(r"\d+", lambda d: self._called("AgentDecision", int(d[0])), m[0]),
            message,
        )


def _without_ids(name: str, value: Any) -> Any:
    """A value of the event of a snapshot: the symbols without hashes over ids, the number of cash flows alone."""
    if name == "positions" and isinstance(value, Mapping):
        return sorted(value)
    if name == "cash_flows" and isinstance(value, list) and all(type(n) is int for n in value):
        return value[:1]
    return value


def _or_refused(question: Callable[[], Any]) -> Any:
    try:
        return question()
    except TradebookError as error:
        return error


def _orders(uow: AbstractUnitOfWork) -> list[Order | None]:
    keys = sorted({trade.order_key for trade in queries.get_all(uow, Trade, 10_000)})
    return [
        queries.get_order(uow, key.order_id, symbol=key.symbol, venue=key.venue) for key in keys
    ]


def _asked(uow: AbstractUnitOfWork) -> dict[str, Any]:
    """What is there to see besides the records themselves."""
    decisions = queries.get_decisions(uow, with_signals=True, limit=10_000)
    snapshots = [portfolio.id for portfolio in queries.get_all(uow, Portfolio, 3)]
    return {
        "positions": queries.get_positions(uow),
        "open positions": queries.get_open_positions(uow),
        "open orders": queries.get_open_orders(uow),
        "orders": _orders(uow),
        "cash": queries.get_cash_balances(uow),
        "balances": queries.get_balances(uow),
        "signals of decisions": [{"signals": [s.id for s in d.signals]} for d in decisions],
        "snapshots": [get_snapshot(uow, id_) for id_ in snapshots],
        "proof": attrs.evolve(verify(uow), account=""),
    }
