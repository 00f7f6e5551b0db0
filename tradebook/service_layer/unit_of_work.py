"""The unit of work: the transaction boundary, and the values that all calls inside it share."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from datetime import datetime, timedelta
from typing import Concatenate, Final, ParamSpec, TypeVar, cast

from tradebook.domain.agents import AgentAction, AgentDecision
from tradebook.domain.alerts import Alert
from tradebook.domain.cash import Account, CashFlow
from tradebook.domain.decision_inputs import DecisionInput
from tradebook.domain.domain_event import DomainEvent
from tradebook.domain.entity import DEFAULT_ACCOUNT, DEFAULT_BASE_CURRENCY, Entity
from tradebook.domain.errors import InvalidInput, UncommittedWork
from tradebook.domain.events import Event
from tradebook.domain.imports import Import
from tradebook.domain.performance import PerformanceMetric
from tradebook.domain.plain_values import is_instance
from tradebook.domain.portfolio import Portfolio, PortfolioPosition
from tradebook.domain.positions import Position
from tradebook.domain.seals import Seal
from tradebook.domain.signals import Signal
from tradebook.domain.trades import Trade
from tradebook.domain.validation import MAX_AHEAD, is_ahead, require_past
from tradebook.service_layer.call_context import CallContext
from tradebook.service_layer.ports.decisions import (
    DecisionInputRepository,
    DecisionRepository,
    SignalRepository,
)
from tradebook.service_layer.ports.ledger import Ledger
from tradebook.service_layer.ports.records import Repository
from tradebook.service_layer.ports.repositories import (
    AccountRepository,
    EventRepository,
    PortfolioRepository,
    PositionRepository,
    SealRepository,
    TradeRepository,
)

P = ParamSpec("P")
R = TypeVar("R")
E = TypeVar("E", bound=Entity)
F = TypeVar("F", bound=Callable[..., object])

_SINGLE_STATEMENT: Final = "tradebook_single_statement"

REPOSITORIES: Final[Mapping[type[Entity], str]] = {
    Account: "accounts",
    AgentAction: "actions",
    AgentDecision: "decisions",
    Alert: "alerts",
    CashFlow: "cash_flows",
    DecisionInput: "decision_inputs",
    Event: "events",
    Import: "imports",
    PerformanceMetric: "metrics",
    Portfolio: "portfolios",
    PortfolioPosition: "portfolio_positions",
    Position: "positions",
    Seal: "seals",
    Signal: "signals",
    Trade: "trades",
}
"""The attribute of a unit of work that holds the repository of each kind of record."""


def single_statement(query: F) -> F:
    """Mark a query that reads with one statement, so that `read` needs no transaction around it.

    One statement sees one instant by itself. A query that sends several needs one consistent view over all of
    them, and gets it by default: functions of applications need state nothing.
    """
    setattr(query, _SINGLE_STATEMENT, True)
    return query


def is_single_statement(query: object) -> bool:
    """Return whether a query is marked by `single_statement`."""
    return getattr(query, _SINGLE_STATEMENT, False) is True  # a mock answers every name with a mock


def warn_uncommitted(frames: int) -> None:
    """Warn that changes were discarded because nothing committed them.

    Args:
        frames: between the caller of this function and the `with` statement that the warning names.
    """
    warnings.warn(
        "a unit of work ended without commit(), and its changes were discarded; call uow.commit() at its end, "
        "or uow.rollback() to discard them without this warning",
        UncommittedWork,
        stacklevel=2 + frames,
    )


class AbstractUnitOfWork(AbstractContextManager["AbstractUnitOfWork"]):
    """One transaction on one account's book; leaving it without `commit` discards what was done, with a warning.

    Attributes:
        account: the account that everything inside reads and writes.
        base_currency: for an account that is opened inside.
        is_currency_named: whether an account with another base currency is refused.
        context: the time, ids and names that all calls inside share.
        max_ahead: how far ahead of the time of the call any time of a record may be.
    """

    max_ahead: timedelta = MAX_AHEAD
    accounts: AccountRepository
    actions: Repository[AgentAction]
    alerts: Repository[Alert]
    cash_flows: Repository[CashFlow]
    decision_inputs: DecisionInputRepository
    decisions: DecisionRepository
    events: EventRepository
    imports: Repository[Import]
    ledger: Ledger
    metrics: Repository[PerformanceMetric]
    portfolio_positions: Repository[PortfolioPosition]
    portfolios: PortfolioRepository
    positions: PositionRepository
    seals: SealRepository
    signals: SignalRepository
    trades: TradeRepository

    def __init__(
        self,
        account: str = DEFAULT_ACCOUNT,
        base_currency: str = DEFAULT_BASE_CURRENCY,
        context: CallContext | None = None,
        *,
        is_currency_named: bool = False,
    ) -> None:
        """Prepare a unit of work; the transaction starts inside `with`."""
        self.account = account
        self.base_currency = base_currency
        self.is_currency_named = is_currency_named
        self.context = context or CallContext()
        self._ids_made = 0

    def now(self) -> datetime:
        """Return the time of the call, UTC; the same on a retry."""
        return self.context.at

    def is_ahead(self, time: datetime) -> bool:
        """Return whether a time is further ahead of the time of the call than `max_ahead`."""
        return is_ahead(time, self.now(), self.max_ahead)

    def require_past(self, field: str, time: datetime | None) -> None:
        """Raise InvalidInput for a time of `field` that `is_ahead`."""
        require_past(field, time, self.now(), self.max_ahead)

    def new_id(self) -> str:
        """Make a new unique id; the same one on a retry."""
        self._ids_made += 1
        return f"{self.context.token}-{self._ids_made}"

    def records(self, kind: type[E]) -> Repository[E]:
        """Return the repository of a kind of record.

        Raises:
            InvalidInput: `kind` is not a kind of record.
        """
        if not is_instance(kind, type) or kind not in REPOSITORIES:
            kinds = ", ".join(known.__name__ for known in REPOSITORIES)
            raise InvalidInput("kind", kind, f"one of {kinds}")
        return cast("Repository[E]", getattr(self, REPOSITORIES[kind]))

    def event(self, happened: DomainEvent, entity: Entity) -> Event:
        """Make the audit record of a domain event of `entity`; it is not recorded yet."""
        return Event(
            account=self.account,
            created_at=self.now(),
            event_type=type(happened).__name__,
            entity=type(entity).__name__,
            entity_id=entity.id,
            payload=happened.payload_about(entity),
            actor=self.context.actor,
            correlation_id=self.context.correlation_id,
            occurred_at=self.now(),
        )

    def record(self, happened: DomainEvent | None, entity: Entity) -> None:
        """Record a domain event of `entity`, where there is one."""
        if happened is not None:
            self.events.add(self.event(happened, entity))

    def record_all(self, happened: Iterable[tuple[DomainEvent, Entity]]) -> None:
        """Record the domain events of many entities."""
        self.events.add_all([self.event(what, entity) for what, entity in happened])

    @abstractmethod
    def require_visible(self, *, any_account: bool = False) -> None:
        """Check that the store shows this account's rows: hidden ones would read as an empty account.

        Args:
            any_account: whether it is enough that the role sees some account.

        Raises:
            NotPermitted: row-level security hides the account from the role that is connected.
        """

    @abstractmethod
    def require_intact(self) -> None:
        """Check the store's files for damage, where the store offers that.

        Raises:
            DatabaseCorrupt: naming the damage.
        """

    @abstractmethod
    def commit(self) -> None:
        """Make everything done so far durable.

        Raises:
            ConcurrentUpdate: another writer was first; run the whole unit of work again.
            CommitUnknown: the connection was lost at COMMIT; repeat the unit of work with the same order
                ids and references.
        """

    @abstractmethod
    def rollback(self) -> None:
        """Discard everything done since the last commit; entities keep the values they have."""


class AbstractAsyncUnitOfWork(AbstractAsyncContextManager["AbstractAsyncUnitOfWork"]):
    """One transaction of asyncio on one account's book; leaving it without `commit` discards what was done.

    Await its calls one after another: two tasks must not use one transaction at the same time.
    """

    @abstractmethod
    async def run(
        self,
        function: Callable[Concatenate[AbstractUnitOfWork, P], R],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Call a handler or query in this transaction, without committing, and return its result.

        Args:
            function: `handlers.record_trade`, `queries.get_all`, or a function of yours
                `function(uow, ...)`: an ordinary one, in which `uow` needs no `await`.
            args: its arguments after `uow`.
            kwargs: its named arguments.
        """

    async def commit(self) -> None:
        """Make everything done so far durable; see `AbstractUnitOfWork.commit`."""
        await self.run(lambda uow: uow.commit())

    async def rollback(self) -> None:
        """Discard everything done since the last commit; entities keep the values they have."""
        await self.run(lambda uow: uow.rollback())
