"""Entities, as they are before they are added to a unit of work, without an id."""

from __future__ import annotations

from typing import Any, Final, TypeVar, cast

import attrs
from hypothesis import strategies as st

from tradebook.domain.agents import ActionStatus, AgentAction, AgentDecision
from tradebook.domain.alerts import Alert, Severity
from tradebook.domain.cash import Account, CashFlow, CashFlowKind, CashTotal
from tradebook.domain.entity import DEFAULT_ACCOUNT, Entity
from tradebook.domain.events import Event
from tradebook.domain.performance import PerformanceMetric
from tradebook.domain.portfolio import Holdings, Portfolio, PortfolioPosition, Rates, value_holdings
from tradebook.domain.positions import Position
from tradebook.domain.signals import Signal, SignalAction
from tradebook.domain.trades import Trade
from tradebook.testing.strategies.fills import fills, trade_terms
from tradebook.testing.strategies.values import (
    CURRENCIES,
    Strategy,
    currencies,
    decimals,
    fractions,
    instants,
    json_objects,
    json_values,
    names,
    prices,
    quantities,
    symbols,
    texts,
)

T = TypeVar("T", bound=Entity)


def accounts(account: str = DEFAULT_ACCOUNT) -> Strategy[Account]:
    """Generate accounts."""
    return st.builds(Account, account=st.just(account), base_currency=currencies())


@st.composite
def trades(draw: st.DrawFn, symbol: str | None = None, *, account: str = DEFAULT_ACCOUNT) -> Trade:
    """Generate PENDING trades."""
    return Trade(
        account=account, created_at=draw(instants()), **cast("Any", draw(trade_terms(symbol)))
    )


@st.composite
def positions(
    draw: st.DrawFn,
    symbol: str | None = None,
    *,
    account: str = DEFAULT_ACCOUNT,
    currency: str | None = None,
) -> Position:
    """Generate positions after some fills, open or closed, with a mark."""
    recorded = draw(fills(symbol, currency=currency, max_size=6))
    at = draw(instants())
    position = Position(account=account, symbol=recorded[0]["symbol"], created_at=at)
    for fill in recorded:
        position.apply(Trade(account=account, created_at=at, **cast("Any", fill)), at)
    position.mark(draw(prices()), draw(instants()))
    return position


@st.composite
def cash_flows(draw: st.DrawFn, account: str = DEFAULT_ACCOUNT) -> CashFlow:
    """Generate cash flows of every kind."""
    kind = draw(st.sampled_from(CashFlowKind))
    amount = draw(decimals().filter(bool))
    if kind in (CashFlowKind.DEPOSIT, CashFlowKind.WITHDRAWAL):
        amount = amount.copy_abs()
        amount = amount if kind is CashFlowKind.DEPOSIT else amount.copy_negate()
    return draw(
        _records(
            CashFlow,
            account,
            kind=st.just(kind),
            amount=st.just(amount),
            currency=currencies(),
            reference=names(),
        )
    )


@st.composite
def snapshots(
    draw: st.DrawFn, account: str = DEFAULT_ACCOUNT
) -> tuple[Portfolio, list[PortfolioPosition]]:
    """Generate snapshots of positions and cash in several currencies, with their positions."""
    held = draw(st.lists(positions(account=account), max_size=3, unique_by=lambda p: p.symbol))
    cash = draw(
        st.lists(
            st.builds(CashTotal, currencies(), decimals(), decimals()),
            max_size=3,
            unique_by=lambda total: total.currency,
        )
    )
    rate = decimals(digits=8, places=6, signed=False).filter(bool)
    rates = {currency: draw(rate) for currency in CURRENCIES[1:]}
    return value_holdings(
        Holdings(positions=tuple(held), cash=tuple(cash)),
        account=account,
        rates=Rates(CURRENCIES[0], rates),
        at=draw(instants()),
    )


def portfolios(account: str = DEFAULT_ACCOUNT) -> Strategy[Portfolio]:
    """Generate snapshots, without their positions."""
    return snapshots(account).map(lambda snapshot: snapshot[0])


def portfolio_positions(account: str = DEFAULT_ACCOUNT) -> Strategy[PortfolioPosition]:
    """Generate positions in a snapshot."""
    held = positions(account=account).filter(lambda position: bool(position.quantity))
    return st.builds(PortfolioPosition.from_position, held, instants())


def signals(symbol: str | None = None, *, account: str = DEFAULT_ACCOUNT) -> Strategy[Signal]:
    """Generate signals."""
    return _records(
        Signal,
        account,
        symbol=symbols() if symbol is None else st.just(symbol),
        strength=decimals(),
        horizon=st.none() | decimals(signed=False),
    )


def decisions(account: str = DEFAULT_ACCOUNT) -> Strategy[AgentDecision]:
    """Generate PROPOSED decisions that link no signals."""
    quantity = st.none() | quantities()
    return _records(AgentDecision, account, symbol=symbols(), quantity=quantity)


def actions(account: str = DEFAULT_ACCOUNT) -> Strategy[AgentAction]:
    """Generate agents' steps that serve no decision."""
    return _records(
        AgentAction,
        account,
        input=json_values(),
        output=json_values(),
        status=st.sampled_from(ActionStatus),
        error=st.none() | texts(),
        duration=decimals(signed=False),
    )


def alerts(account: str = DEFAULT_ACCOUNT) -> Strategy[Alert]:
    """Generate unresolved alerts."""
    severity, dedup_key = st.sampled_from(Severity), st.none() | names()
    return _records(Alert, account, severity=severity, dedup_key=dedup_key)


@st.composite
def metrics(draw: st.DrawFn, account: str = DEFAULT_ACCOUNT) -> PerformanceMetric:
    """Generate performance metrics."""
    start, end = sorted([draw(instants()), draw(instants())])
    period = {"period_start": st.just(start), "period_end": st.just(end)}
    return draw(_records(PerformanceMetric, account, value=decimals(), **period))


def events(account: str = DEFAULT_ACCOUNT) -> Strategy[Event]:
    """Generate entries of the audit trail."""
    return _records(Event, account, entity_id=st.integers(0, 2**63 - 1))


_BY_NAME: Final[dict[str, Strategy[Any]]] = {
    "action": st.sampled_from(SignalAction),
    "confidence": fractions(),
    "cost": decimals(signed=False),
    "cost_currency": currencies(),
    "price": st.none() | prices(),
    "reference": st.none() | names(),
    "symbol": st.none() | symbols(),
    **dict.fromkeys(
        ("action_type", "agent", "alert_type", "entity", "event_type", "name"), names()
    ),
    **dict.fromkeys(("message", "reasoning"), texts()),
    **dict.fromkeys(("actor", "correlation_id", "model", "source", "strategy"), texts(max_size=20)),
    **dict.fromkeys(("details", "inputs", "parameters", "payload"), json_objects()),
    **dict.fromkeys(("computed_at", "created_at", "decided_at", "generated_at"), instants()),
    **dict.fromkeys(("occurred_at", "started_at", "timestamp"), instants()),
}
"""The strategies of fields that mean the same in several kinds of records."""


def _records(kind: type[T], account: str, /, **others: Strategy[Any]) -> Strategy[T]:
    """Generate records with the fields of `_BY_NAME` and `others`; the rest keep their defaults."""
    shared = {name: _BY_NAME[name] for name in attrs.fields_dict(kind) if name in _BY_NAME}
    return st.builds(kind, account=st.just(account), **{**shared, **others})
