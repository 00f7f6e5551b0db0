"""Strategies for entities before they are added to a unit of work, without an id."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar, cast

from attrs import fields as fields_of

from tradebook.domain import validation
from tradebook.domain.agents import (
    ActionStatus,
    AgentAction,
    AgentDecision,
    action_status,
    optional_quantity,
)
from tradebook.domain.alerts import Alert, Severity, severity
from tradebook.domain.cash import Account, CashFlow, CashFlowKind, CashTotal
from tradebook.domain.decision_inputs import DecisionInput, input_digest
from tradebook.domain.entity import CONVERTER, DEFAULT_ACCOUNT, Entity
from tradebook.domain.events import Event
from tradebook.domain.numbers import (
    fraction,
    non_negative,
    number,
    optional_fraction,
    optional_non_negative,
    optional_number,
)
from tradebook.domain.performance import PerformanceMetric
from tradebook.domain.portfolio import (
    Holdings,
    Portfolio,
    PortfolioPosition,
    Rates,
    position_row,
    value_holdings,
)
from tradebook.domain.positions import Position
from tradebook.domain.signals import Signal, SignalAction, signal_action
from tradebook.domain.trades import Trade
from tradebook.testing.strategies._hypothesis import st
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

E = TypeVar("E", bound=Entity)

_BY_CONVERTER: Final[Mapping[Callable[..., Any], Strategy[Any]]] = {
    validation.identifier: names(),
    validation.optional_identifier: st.none() | names(),
    validation.short_text: texts(max_size=20),
    validation.long_text: texts(),
    validation.optional_long_text: st.none() | texts(),
    validation.json_object: json_objects(),
    validation.json_value: json_values(),
    validation.optional_count: st.none() | st.integers(0, 2**63 - 1),
    validation.optional_json_object: st.none() | json_objects(),
    validation.optional_utc: st.none() | instants(),
    validation.utc: instants(),
    number: decimals(),
    non_negative: decimals(signed=False),
    fraction: fractions(),
    optional_fraction: st.none() | fractions(),
    optional_non_negative: st.none() | decimals(signed=False),
    optional_number: st.none() | prices(),
    optional_quantity: st.none() | quantities(),
    signal_action: st.sampled_from(SignalAction),
    action_status: st.sampled_from(ActionStatus),
    severity: st.sampled_from(Severity),
}
"""For the converter of a field, the values to draw; fields of other converters keep their default."""


def _records(kind: type[E], account: str, /, **given: Strategy[Any]) -> Strategy[E]:
    """Generate records of a kind: every field by its converter, but for the strategies given."""
    drawn = {
        f.name: _BY_CONVERTER[f.metadata[CONVERTER]]
        for f in fields_of(kind)
        if f.metadata.get(CONVERTER) in _BY_CONVERTER and f.name != "updated_at"
    }
    for name in ("symbol", "currency", "base_currency", "cost_currency"):
        if name in drawn:
            drawn[name] = symbols() if name == "symbol" else currencies()
    return st.builds(kind, **{**drawn, "account": st.just(account), **given})


def accounts(account: str = DEFAULT_ACCOUNT) -> Strategy[Account]:
    """Generate accounts."""
    return _records(Account, account)


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
    terms = {"kind": st.just(kind), "amount": st.just(amount), "symbol": st.none() | symbols()}
    return draw(_records(CashFlow, account, **terms))


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
    portfolio, rows = value_holdings(
        Holdings(positions=tuple(held), cash=tuple(cash)),
        account=account,
        rates=Rates(CURRENCIES[0], rates),
        at=draw(instants()),
    )
    return portfolio, [PortfolioPosition(**row) for row in rows]


def portfolios(account: str = DEFAULT_ACCOUNT) -> Strategy[Portfolio]:
    """Generate snapshots, without their positions."""
    return snapshots(account).map(lambda snapshot: snapshot[0])


def portfolio_positions(account: str = DEFAULT_ACCOUNT) -> Strategy[PortfolioPosition]:
    """Generate positions in a snapshot."""
    held = positions(account=account).filter(lambda position: bool(position.quantity))
    return st.builds(position_row, held, instants()).map(lambda row: PortfolioPosition(**row))


def signals(symbol: str | None = None, *, account: str = DEFAULT_ACCOUNT) -> Strategy[Signal]:
    """Generate signals."""
    given = {} if symbol is None else {"symbol": st.just(symbol)}
    return _records(Signal, account, horizon=st.none() | decimals(signed=False), **given)


def decisions(account: str = DEFAULT_ACCOUNT) -> Strategy[AgentDecision]:
    """Generate PROPOSED decisions that link no signals."""
    return _records(AgentDecision, account)


def actions(account: str = DEFAULT_ACCOUNT) -> Strategy[AgentAction]:
    """Generate agents' steps that serve no decision."""
    return _records(AgentAction, account)


@st.composite
def decision_inputs(draw: st.DrawFn, account: str = DEFAULT_ACCOUNT) -> DecisionInput:
    """Generate inputs of the decision with id 1, with the digests of their values."""
    made = draw(_records(DecisionInput, account, decision_id=st.just(1)))
    made.set_unchecked(digest=input_digest(made.value))
    return made


def alerts(account: str = DEFAULT_ACCOUNT) -> Strategy[Alert]:
    """Generate unresolved alerts."""
    unresolved = {"resolution": st.none(), "resolved_by": st.none()}
    return _records(Alert, account, symbol=st.none() | symbols(), **unresolved)


@st.composite
def metrics(draw: st.DrawFn, account: str = DEFAULT_ACCOUNT) -> PerformanceMetric:
    """Generate performance metrics."""
    start, end = sorted([draw(instants()), draw(instants())])
    period = {"period_start": st.just(start), "period_end": st.just(end)}
    return draw(_records(PerformanceMetric, account, **period))


def events(account: str = DEFAULT_ACCOUNT) -> Strategy[Event]:
    """Generate entries of the audit trail."""
    return _records(Event, account, entity_id=st.integers(0, 2**63 - 1))
