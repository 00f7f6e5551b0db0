"""Entities, as they are before they are added to a unit of work, without an id."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from hypothesis import strategies as st

from tradebook.domain.agents import ActionStatus, AgentAction, AgentDecision
from tradebook.domain.alerts import Alert, Severity
from tradebook.domain.cash import Account, CashFlow, CashFlowKind, CashTotal
from tradebook.domain.entity import DEFAULT_ACCOUNT
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

T = TypeVar("T")


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
    return CashFlow(
        account=account,
        created_at=draw(instants()),
        kind=kind,
        amount=amount,
        currency=draw(currencies()),
        symbol=draw(st.none() | symbols()),
        occurred_at=draw(instants()),
        reference=draw(names()),
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
    return st.builds(
        Signal,
        account=st.just(account),
        created_at=instants(),
        symbol=_given_or(symbol, symbols()),
        action=st.sampled_from(SignalAction),
        strength=decimals(),
        confidence=fractions(),
        source=texts(max_size=20),
        strategy=texts(max_size=20),
        price=st.none() | prices(),
        generated_at=instants(),
        horizon=st.none() | decimals(signed=False),
        reference=st.none() | names(),
        details=json_objects(),
    )


def decisions(account: str = DEFAULT_ACCOUNT) -> Strategy[AgentDecision]:
    """Generate PROPOSED decisions that link no signals."""
    return st.builds(
        AgentDecision,
        account=st.just(account),
        created_at=instants(),
        agent=names(),
        strategy=texts(max_size=20),
        symbol=symbols(),
        action=st.sampled_from(SignalAction),
        quantity=st.none() | quantities(),
        price=st.none() | prices(),
        confidence=fractions(),
        reasoning=texts(),
        model=texts(max_size=20),
        inputs=json_objects(),
        decided_at=instants(),
        cost=decimals(signed=False),
        cost_currency=currencies(),
        reference=st.none() | names(),
        signals=st.builds(list),
    )


def actions(account: str = DEFAULT_ACCOUNT) -> Strategy[AgentAction]:
    """Generate agents' steps that serve no decision."""
    return st.builds(
        AgentAction,
        account=st.just(account),
        created_at=instants(),
        agent=names(),
        action_type=names(),
        input=json_values(),
        output=json_values(),
        status=st.sampled_from(ActionStatus),
        error=st.none() | texts(),
        started_at=instants(),
        duration=decimals(signed=False),
        cost=decimals(signed=False),
        cost_currency=currencies(),
        reference=st.none() | names(),
    )


def alerts(account: str = DEFAULT_ACCOUNT) -> Strategy[Alert]:
    """Generate unresolved alerts."""
    return st.builds(
        Alert,
        account=st.just(account),
        created_at=instants(),
        alert_type=names(),
        severity=st.sampled_from(Severity),
        message=texts(),
        source=texts(max_size=20),
        symbol=st.none() | symbols(),
        dedup_key=st.none() | names(),
        timestamp=instants(),
    )


@st.composite
def metrics(draw: st.DrawFn, account: str = DEFAULT_ACCOUNT) -> PerformanceMetric:
    """Generate performance metrics."""
    start, end = sorted([draw(instants()), draw(instants())])
    return PerformanceMetric(
        account=account,
        created_at=draw(instants()),
        name=draw(names()),
        value=draw(decimals()),
        period_start=start,
        period_end=end,
        computed_at=draw(instants()),
        parameters=draw(json_objects()),
    )


def events(account: str = DEFAULT_ACCOUNT) -> Strategy[Event]:
    """Generate entries of the audit trail."""
    return st.builds(
        Event,
        account=st.just(account),
        created_at=instants(),
        event_type=names(),
        entity=names(),
        entity_id=st.integers(0, 2**63 - 1),
        payload=json_objects(),
        actor=texts(max_size=20),
        correlation_id=texts(max_size=20),
        occurred_at=instants(),
    )


def _given_or(value: T | None, strategy: Strategy[T]) -> Strategy[T]:
    return strategy if value is None else st.just(value)
