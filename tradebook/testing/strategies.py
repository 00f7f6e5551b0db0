"""Hypothesis strategies for everything in the book, for property tests of trading bots.

`fills()` is the one to start with: the executions of one instrument, through opening, adding,
reducing, closing and flipping, as `record_trade` takes them. Entities are as they are before they
are added to a unit of work, without an id.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any, Final, TypeAlias, TypeVar, cast

from hypothesis import strategies as st

from tradebook.domain.agents import ActionStatus, AgentAction, AgentDecision
from tradebook.domain.alerts import Alert, Severity
from tradebook.domain.cash import Account, CashFlow, CashFlowKind, CashTotal
from tradebook.domain.events import Event
from tradebook.domain.fields import DEFAULT_ACCOUNT, Json
from tradebook.domain.numbers import EXACT, MAX_DECIMALS, MAX_DIGITS, ONE, ZERO, canonical, number
from tradebook.domain.performance import PerformanceMetric
from tradebook.domain.portfolio import (
    Holdings,
    Portfolio,
    PortfolioPosition,
    Rates,
    value_holdings,
)
from tradebook.domain.positions import Position
from tradebook.domain.signals import Signal, SignalAction
from tradebook.domain.trades import Settlement, Trade, TradeAction
from tradebook.service_layer.handlers import TradeTerms

Strategy: TypeAlias = st.SearchStrategy
T = TypeVar("T")

CURRENCIES: Final = ("USD", "EUR", "JPY", "BTC")
_SYMBOLS: Final = ("AAPL", "MSFT", "BTC-USD", "ES", "CL", "7203.T")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNTIL: Final = datetime(2100, 1, 1, tzinfo=UTC) - _EPOCH
_TICK: Final = timedelta(microseconds=1)
_CHARACTERS: Final = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")


def decimals(
    *,
    digits: int = MAX_DIGITS,
    places: int = MAX_DECIMALS,
    signed: bool = True,
) -> Strategy[Decimal]:
    """Canonical decimals, up to the most digits and decimals that the book accepts.

    Args:
        digits: the most digits in all.
        places: the most of them after the point.
        signed: whether numbers below 0 are wanted too.
    """
    most = 10**digits - 1
    return st.builds(
        lambda whole, exponent: canonical(EXACT.scaleb(Decimal(whole), -exponent)),
        st.integers(-most if signed else 0, most),
        st.integers(0, places),
    )


def _ordinary_or_extreme(ordinary: Strategy[Decimal], extreme: Strategy[Decimal]) -> Strategy[Any]:
    return st.one_of(ordinary, ordinary, extreme)


@cache
def prices() -> Strategy[Decimal]:
    """Prices for one unit: mostly ordinary ones; 0, negative and 38 digits long ones too."""
    ordinary = decimals(digits=7, places=4, signed=False)
    return _ordinary_or_extreme(ordinary, decimals())


@cache
def quantities() -> Strategy[Decimal]:
    """Quantities above 0, from 10^-18 to 38 digits."""
    ordinary = decimals(digits=5, places=2, signed=False)
    return _ordinary_or_extreme(ordinary, decimals(signed=False)).filter(bool)


@cache
def fees() -> Strategy[Decimal]:
    """Fees: none, some, and rebates, which are below 0."""
    return st.one_of(st.just(ZERO), decimals(digits=4, places=2), decimals())


@cache
def multipliers() -> Strategy[Decimal]:
    """What a price move of 1 earns for one unit: mostly 1."""
    usual = st.sampled_from([ONE, Decimal(100), Decimal(50), number("0.001")])
    return st.one_of(st.just(ONE), usual, decimals(signed=False).filter(bool))


@cache
def fractions() -> Strategy[Decimal]:
    """Numbers from 0 to 1, such as a confidence."""
    return st.builds(
        lambda whole, places: canonical(EXACT.scaleb(Decimal(whole % (10**places + 1)), -places)),
        st.integers(0, 10**MAX_DECIMALS),
        st.integers(0, MAX_DECIMALS),
    )


def texts(*, max_size: int = 100) -> Strategy[str]:
    """Text of any kind that databases can hold, empty too."""
    return st.text(_CHARACTERS, max_size=max_size)


def names(*, max_size: int = 30) -> Strategy[str]:
    """Text that names something: not empty, no blanks around it."""
    return texts(max_size=max_size).map(str.strip).filter(bool)


@cache
def symbols() -> Strategy[str]:
    """Instruments: mostly ordinary ones."""
    return st.one_of(st.sampled_from(_SYMBOLS), st.sampled_from(_SYMBOLS), names())


@cache
def currencies() -> Strategy[str]:
    """A few currencies."""
    return st.sampled_from(CURRENCIES)


@cache
def instants() -> Strategy[datetime]:
    """Times in UTC, from 1970 to 2100, to the microsecond."""
    return st.integers(0, _UNTIL // _TICK).map(lambda ticks: _EPOCH + ticks * _TICK)


@cache
def json_values() -> Strategy[Json]:
    """JSON values that every database gives back unchanged."""
    leaves = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**20), 10**20),
        st.floats(-1e6, 1e6, allow_subnormal=False).map(lambda value: value + 0.0),  # no -0.0
        texts(max_size=20),
    )
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(texts(max_size=10), inner, max_size=3)
        ),
        max_leaves=6,
    )


@cache
def json_objects() -> Strategy[dict[str, Json]]:
    """JSON objects, such as a trade's details."""
    return st.dictionaries(texts(max_size=10), json_values(), max_size=3)


@st.composite
def trade_terms(draw: st.DrawFn, symbol: str | None = None) -> TradeTerms:
    """Arguments of `record_trade`; those that may be left out sometimes are.

    Args:
        draw: given by hypothesis.
        symbol: of the trade; any by default.
    """
    currency = draw(currencies())
    optional: dict[str, Strategy[Any]] = {
        "fee": fees(),
        "multiplier": multipliers(),
        "settlement": st.sampled_from(Settlement),
        "executed_at": instants(),
        "execution_id": names(),
        "venue": names(),
        "strategy": names(),
        "details": json_objects(),
    }
    terms = {
        "symbol": symbol or draw(symbols()),
        "action": draw(st.sampled_from(TradeAction)),
        "quantity": draw(quantities()),
        "price": draw(prices()),
        "currency": currency,
        "order_id": draw(names()),
        **draw(st.fixed_dictionaries({}, optional=optional)),
    }
    return cast("TradeTerms", terms)


@st.composite
def fills(
    draw: st.DrawFn,
    symbol: str | None = None,
    *,
    currency: str | None = None,
    settlement: Settlement | None = None,
    min_size: int = 1,
    max_size: int = 12,
) -> list[TradeTerms]:
    """Executions of one instrument, each as arguments of `record_trade`, in order of booking.

    They open, add, reduce, close to flat and flip; prices may be 0 or negative, fees rebates. Order
    ids differ; trade times do not always go forward.

    Args:
        draw: given by hypothesis.
        symbol, currency, settlement: of all fills; any by default.
        min_size, max_size: how many.
    """
    instrument = {
        "symbol": symbol or draw(symbols()),
        "currency": currency or draw(currencies()),
        "multiplier": draw(multipliers()),
        "settlement": settlement or draw(st.sampled_from(Settlement)),
    }
    held = ZERO
    recorded: list[TradeTerms] = []
    for place in range(draw(st.integers(min_size, max_size))):
        size = draw(_sizes(held))
        held = canonical(EXACT.add(held, size))
        fill = {
            **instrument,
            "action": TradeAction.BUY if size > 0 else TradeAction.SELL,
            "quantity": size.copy_abs(),
            "price": draw(prices()),
            "fee": draw(fees()),
            "executed_at": draw(instants()),
            "order_id": f"o-{place + 1}",
        }
        recorded.append(cast("TradeTerms", fill))
    return recorded


def _sizes(held: Decimal) -> Strategy[Decimal]:
    """Signed sizes of a next fill: anything, what closes the position, what flips it."""
    anything = st.one_of(quantities(), quantities().map(Decimal.copy_negate))
    against = [held.copy_negate(), EXACT.multiply(held, Decimal(-2))]
    return st.one_of(anything, *(st.just(size) for size in against if _is_quantity(size)))


def _is_quantity(size: Decimal) -> bool:
    try:
        return bool(number(size))
    except ValueError:
        return False


def accounts(account: str = DEFAULT_ACCOUNT) -> Strategy[Account]:
    """Accounts."""
    return st.builds(Account, account=st.just(account), base_currency=currencies())


@st.composite
def trades(draw: st.DrawFn, symbol: str | None = None, *, account: str = DEFAULT_ACCOUNT) -> Trade:
    """Trades that are PENDING."""
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
    """Positions that some fills led to, open or closed, with a mark."""
    recorded = draw(fills(symbol, currency=currency, max_size=6))
    at = draw(instants())
    position = Position(account=account, symbol=recorded[0]["symbol"], created_at=at)
    for fill in recorded:
        position.apply(Trade(account=account, created_at=at, **cast("Any", fill)), at)
    position.mark(draw(prices()), draw(instants()))
    return position


@st.composite
def cash_flows(draw: st.DrawFn, account: str = DEFAULT_ACCOUNT) -> CashFlow:
    """Cash flows of every kind."""
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
    """Snapshots of several positions and cash in several currencies, with their positions."""
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
    """Snapshots, without their positions."""
    return snapshots(account).map(lambda snapshot: snapshot[0])


def portfolio_positions(account: str = DEFAULT_ACCOUNT) -> Strategy[PortfolioPosition]:
    """Positions in a snapshot."""
    held = positions(account=account).filter(lambda position: bool(position.quantity))
    return st.builds(PortfolioPosition.of, held, instants())


def signals(symbol: str | None = None, *, account: str = DEFAULT_ACCOUNT) -> Strategy[Signal]:
    """Signals."""
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
    """Decisions that are PROPOSED, on no signals."""
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
    """Agents' steps, of no decision."""
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
    """Alerts that nobody dealt with yet."""
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
    """Performance metrics."""
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
    """Entries of the audit trail."""
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
