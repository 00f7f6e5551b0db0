"""What is asked of the book: plain functions `query(uow, ...)` that change nothing."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, Final, TypeVar, Unpack

from attrs import frozen

from tradebook.domain import fields
from tradebook.domain.agents import AgentAction, AgentDecision, DecisionStatus
from tradebook.domain.alerts import Alert, Severity
from tradebook.domain.cash import CashFlow, CashFlowKind
from tradebook.domain.errors import InvalidInput, NotFound
from tradebook.domain.events import Event
from tradebook.domain.fields import Entity, argument, truth
from tradebook.domain.given import plain_int
from tradebook.domain.numbers import EXACT, ZERO, canonical
from tradebook.domain.paging import DEFAULT_LIMIT, Page, Window
from tradebook.domain.performance import PerformanceMetric
from tradebook.domain.portfolio import Portfolio, PortfolioPosition
from tradebook.domain.positions import Position
from tradebook.domain.rows import Row
from tradebook.domain.signals import Signal, SignalAction
from tradebook.domain.trades import Trade, TradeAction, TradeStatus
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

__all__ = [
    "CashBalance",
    "count",
    "exists",
    "get",
    "get_actions",
    "get_alerts",
    "get_all",
    "get_cash_balances",
    "get_cash_flows",
    "get_decision",
    "get_decisions",
    "get_events",
    "get_latest_portfolio",
    "get_metrics",
    "get_open_positions",
    "get_portfolio_history",
    "get_portfolio_positions",
    "get_position_by_symbol",
    "get_positions",
    "get_recent_trades",
    "get_rows",
    "get_signals",
    "get_trades",
    "get_trades_by_symbol",
    "get_unresolved_alerts",
]

E = TypeVar("E", bound=Entity)

_LONG: Final = 1000
"""The limit of lists that people want whole."""


@frozen
class CashBalance:
    """An account's cash in one currency: `balance = external + income + trading`.

    Attributes:
        currency: of all amounts.
        external: deposits, withdrawals and transfers.
        income: dividends, interest, funding and other cash flows.
        trading: what positions did to cash.
        balance: their sum. Not buying power.
    """

    currency: str
    external: Decimal
    income: Decimal
    trading: Decimal
    balance: Decimal


# Records of any kind


def get(uow: AbstractUnitOfWork, kind: type[E], record_id: int, /) -> E | None:
    """The record of a kind with this id, or None when the account has none."""
    records, id_ = uow.records(kind), argument("record_id", fields.record_id, record_id)
    try:
        return records.get(id_)
    except NotFound:
        return None


def get_all(
    uow: AbstractUnitOfWork,
    kind: type[E],
    /,
    limit: int = DEFAULT_LIMIT,
    after: str | None = None,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    **equal: object,
) -> Page[E]:
    """A page of the records of a kind, newest first.

    Args:
        uow: the unit of work.
        kind: such as `Trade`.
        limit: the most records, from 1 to 10,000.
        after: the `after` of the page before; None for the first.
        since: from this time on; a naive time is taken as UTC.
        until: before this time.
        equal: the values that fields must have, by name: `symbol="AAPL", status="EXECUTED"`; None is none.

    Returns:
        The records by their own time (`Trade.executed_at`, ...) and id. `page.after` leads to the next page.

    Raises:
        InvalidInput: no kind of record, a field that it does not have, or a value that it cannot have.
    """
    records = uow.records(kind)
    return records.page(limit=limit, after=after, since=since, until=until, **equal)


def get_rows(
    uow: AbstractUnitOfWork,
    kind: type[Entity],
    /,
    limit: int = DEFAULT_LIMIT,
    after: str | None = None,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    **equal: object,
) -> Page[Row]:
    """The page of `get_all` as plain rows, in half the time: named tuples, which nobody can change.

    Returns:
        For each record a `Row` of its fields, with the values that the entity has. What an entity derives
        from them on read, and the signals of a decision, a row does not have.
    """
    records = uow.records(kind)
    return records.rows(limit=limit, after=after, since=since, until=until, **equal)


def count(
    uow: AbstractUnitOfWork,
    kind: type[Entity],
    /,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    **equal: object,
) -> int:
    """How many records of a kind there are; see `get_all` for what can be asked."""
    return uow.records(kind).count(since=since, until=until, **equal)


def exists(
    uow: AbstractUnitOfWork,
    kind: type[Entity],
    /,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    **equal: object,
) -> bool:
    """Whether there is such a record of a kind; see `get_all` for what can be asked."""
    found = uow.records(kind).page(limit=1, after=None, since=since, until=until, **equal)
    return bool(found)


# Trades and positions


def get_trades(
    uow: AbstractUnitOfWork,
    *,
    symbol: str | None = None,
    action: TradeAction | str | None = None,
    status: TradeStatus | str | None = None,
    strategy: str | None = None,
    **window: Unpack[Window],
) -> Page[Trade]:
    """Trades by trade time, newest first; of one symbol, action, status and strategy, or of any."""
    wanted = _given(symbol=symbol, action=action, status=status, strategy=strategy)
    return uow.trades.page(**window, **wanted)


def get_recent_trades(
    uow: AbstractUnitOfWork, limit: int = DEFAULT_LIMIT, days: int = 7, *, after: str | None = None
) -> Page[Trade]:
    """Trades whose trade time is within the last `days` days, newest first."""
    return uow.trades.page(limit=limit, after=after, since=_days_ago(uow, days))


def get_trades_by_symbol(
    uow: AbstractUnitOfWork, symbol: str, **window: Unpack[Window]
) -> Page[Trade]:
    """Trades of a symbol by trade time, newest first."""
    return uow.trades.page(**window, symbol=symbol)


def get_open_positions(uow: AbstractUnitOfWork) -> list[Position]:
    """Positions with a quantity, by symbol."""
    return uow.positions.all(open_only=True)


def get_positions(uow: AbstractUnitOfWork) -> list[Position]:
    """Every position that was ever traded, open or closed, by symbol."""
    return uow.positions.all()


def get_position_by_symbol(uow: AbstractUnitOfWork, symbol: str) -> Position | None:
    """The position in a symbol, open or closed; None when it was never traded."""
    return uow.positions.by_symbol(argument("symbol", fields.name, symbol))


# Cash and snapshots


def get_cash_flows(
    uow: AbstractUnitOfWork,
    *,
    kind: CashFlowKind | str | None = None,
    symbol: str | None = None,
    **window: Unpack[Window],
) -> Page[CashFlow]:
    """Cash flows, newest first; of one kind and symbol, or of any."""
    return uow.cash_flows.page(**window, **_given(kind=kind, symbol=symbol))


def get_cash_balances(uow: AbstractUnitOfWork) -> list[CashBalance]:
    """The account's cash, by currency."""
    holdings = uow.ledger.holdings()
    cash = {total.currency: (total.external, total.income) for total in holdings.cash}
    trading: dict[str, Decimal] = {}
    for position in holdings.positions:
        so_far = trading.get(position.currency, ZERO)
        trading[position.currency] = EXACT.add(so_far, position.cash_flow)
    return [
        _balance(currency, *cash.get(currency, (ZERO, ZERO)), trading.get(currency, ZERO))
        for currency in sorted(cash.keys() | trading.keys())
    ]


def _balance(currency: str, external: Decimal, income: Decimal, trading: Decimal) -> CashBalance:
    balance = EXACT.add(EXACT.add(external, income), trading)
    return CashBalance(currency, external, income, canonical(trading), canonical(balance))


def get_latest_portfolio(uow: AbstractUnitOfWork) -> Portfolio | None:
    """The last snapshot, or None before the first."""
    return next(iter(uow.portfolios.page(limit=1)), None)


def get_portfolio_history(
    uow: AbstractUnitOfWork, days: int = 30, *, limit: int = _LONG, after: str | None = None
) -> Page[Portfolio]:
    """Snapshots of the last `days` days, newest first."""
    return uow.portfolios.page(limit=limit, after=after, since=_days_ago(uow, days))


def get_portfolio_positions(uow: AbstractUnitOfWork, portfolio_id: int) -> list[PortfolioPosition]:
    """The open positions in a snapshot, by symbol."""
    id_ = argument("portfolio_id", fields.record_id, portfolio_id)
    return uow.portfolios.positions_of([id_])


# Alerts


def get_alerts(
    uow: AbstractUnitOfWork,
    *,
    severity: Severity | str | None = None,
    symbol: str | None = None,
    resolved: bool | None = None,
    **window: Unpack[Window],
) -> Page[Alert]:
    """Alerts, newest first; of one severity and symbol, resolved or not, or any."""
    wanted = _given(severity=severity, symbol=symbol, resolved=resolved)
    return uow.alerts.page(**window, **wanted)


def get_unresolved_alerts(
    uow: AbstractUnitOfWork,
    severity: Severity | str | None = None,
    *,
    limit: int = _LONG,
    after: str | None = None,
) -> Page[Alert]:
    """Alerts that nobody dealt with, newest first; of one severity, or of all."""
    wanted = _given(severity=severity)
    return uow.alerts.page(limit=limit, after=after, resolved=False, **wanted)


# Signals and agents


def get_signals(
    uow: AbstractUnitOfWork,
    *,
    symbol: str | None = None,
    action: SignalAction | str | None = None,
    source: str | None = None,
    strategy: str | None = None,
    **window: Unpack[Window],
) -> Page[Signal]:
    """Signals, newest first; of one symbol, action, source and strategy, or of any."""
    wanted = _given(symbol=symbol, action=action, source=source, strategy=strategy)
    return uow.signals.page(**window, **wanted)


def get_decisions(
    uow: AbstractUnitOfWork,
    *,
    agent: str | None = None,
    symbol: str | None = None,
    action: SignalAction | str | None = None,
    status: DecisionStatus | str | None = None,
    with_signals: bool = False,
    **window: Unpack[Window],
) -> Page[AgentDecision]:
    """Decisions, newest first; of one agent, symbol, action and status, or of any.

    Args:
        uow: the unit of work.
        agent: who decided.
        symbol: about which instrument.
        action: BUY, SELL or HOLD.
        status: such as EXECUTED.
        with_signals: whether `decision.signals` is loaded too, in the same query.
        window: since, until, limit, after.
    """
    loads = argument("with_signals", truth, with_signals)
    records = uow.decisions.with_signals if loads else uow.decisions
    wanted = _given(agent=agent, symbol=symbol, action=action, status=status)
    return records.page(**window, **wanted)


def get_decision(uow: AbstractUnitOfWork, decision_id: int) -> AgentDecision | None:
    """The decision with this id and the signals it was based on, or None when there is none."""
    id_ = argument("decision_id", fields.record_id, decision_id)
    try:
        return uow.decisions.with_signals.get(id_)
    except NotFound:
        return None


def get_actions(
    uow: AbstractUnitOfWork,
    *,
    agent: str | None = None,
    action_type: str | None = None,
    decision_id: int | None = None,
    **window: Unpack[Window],
) -> Page[AgentAction]:
    """Steps of agents, newest first; of one agent, type and decision, or of any."""
    wanted = _given(agent=agent, action_type=action_type, decision_id=decision_id)
    return uow.actions.page(**window, **wanted)


# Metrics and events


def get_metrics(
    uow: AbstractUnitOfWork, *, name: str | None = None, **window: Unpack[Window]
) -> Page[PerformanceMetric]:
    """Metrics by the end of their period, newest first; of one name, or of all."""
    return uow.metrics.page(**window, **_given(name=name))


def get_events(
    uow: AbstractUnitOfWork,
    *,
    entity: str | None = None,
    entity_id: int | None = None,
    event_type: str | None = None,
    **window: Unpack[Window],
) -> Page[Event]:
    """What happened, newest first; to one kind of record and one record, of one type, or all.

    Args:
        uow: the unit of work.
        entity: the kind of record, such as "Trade".
        entity_id: the record's id.
        event_type: such as "TradeRecorded".
        window: since, until, limit, after.
    """
    wanted = _given(entity=entity, entity_id=entity_id, event_type=event_type)
    return uow.events.page(**window, **wanted)


def _given(**equal: object) -> dict[str, Any]:
    """What was asked for; None stands for any."""
    return {name: value for name, value in equal.items() if value is not None}


def _days_ago(uow: AbstractUnitOfWork, days: int) -> datetime:
    given = argument("days", partial(plain_int, expected=_DAYS), days)
    try:
        return uow.now() - timedelta(days=given)
    except OverflowError:
        raise InvalidInput("days", days, _DAYS) from None


_DAYS: Final = "a whole number of days within the calendar"
