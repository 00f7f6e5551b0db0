"""Calls of every handler and list, with few names and times, so that they meet; some are refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from hypothesis import strategies as st

from reliability.sides import KINDS, Call, Changed, New, Ref
from tradebook import (
    Account,
    AgentAction,
    AgentDecision,
    Alert,
    CashFlow,
    CashFlowKind,
    Event,
    Mend,
    PerformanceMetric,
    Portfolio,
    Position,
    Severity,
    Signal,
    SignalAction,
    Trade,
    TradeStatus,
    handlers,
)
from tradebook.domain.agents import ActionStatus, DecisionStatus
from tradebook.domain.entity import Entity
from tradebook.domain.imports import Import, ImportStatus
from tradebook.service_layer import queries
from tradebook.testing import strategies

Strategy = st.SearchStrategy[Any]
BEGIN: Final = datetime(2026, 3, 2, 9, tzinfo=UTC)

SYMBOLS: Final = ("AAPL", "MSFT", "ES")
symbols = st.sampled_from(SYMBOLS)
names = st.sampled_from(["a", "b", "c", "é", "d", "e", " blank ", ""])
some = st.sampled_from(["a", "b", "c"])
optional_some = st.none() | some
times = st.sampled_from([BEGIN + timedelta(minutes=n) for n in range(0, 90, 15)]) | st.just(
    datetime(2026, 3, 2, 10)  # noqa: DTZ001  # naive times are taken as UTC
)
amounts = st.sampled_from(["10", 2, "0.5", "-3", 0, "1e-18", 0.1]) | strategies.decimals()
above_0 = st.sampled_from([1, 2, 5, "10", "0.1", "7.25"])
quantities = above_0 | above_0 | above_0 | amounts
prices = st.sampled_from([100, "99.5", "101.25", 0, "-4"]) | amounts
fractions = st.sampled_from([0, "0.5", "0.25", 1, "1.5"])
details = st.sampled_from([{}, {"n": 1}, {"deep": [{"é": None}, 1.5]}])
texts = st.sampled_from(["", "done", "sold\nhalf", "é"])
reasons = st.sampled_from(["cancelled", "cancelled", "misread", "misread", "misread", " "])
actions = st.sampled_from(["BUY", "SELL"])
signal_actions = st.sampled_from(SignalAction)
currencies = st.sampled_from(["USD", "USD", "EUR"])
rates = (
    st.just({"EUR": "1.1"})
    | st.just({"EUR": "1.1", **dict.fromkeys(SYMBOLS, 2)})
    | st.sampled_from([None, {"EUR": 0}, {"EUR": 2, "JPY": "0.01"}])
)


backs = st.sampled_from([0, 0, 1, 2, 3, 4, 5, -1])


def ids(kind: type[Entity]) -> Strategy:
    """The id of one of the newest records of a kind, seldom of none."""
    return st.builds(Ref, st.just(kind), backs)


def having(required: Mapping[str, Strategy], **optional: Strategy) -> Strategy:
    """Arguments, of which some are left out."""
    return st.fixed_dictionaries({**required}, optional=optional)


inputs = st.lists(
    having(
        {"name": st.sampled_from(["a", "b", ""]), "value": details},
        available_at=times,
        source=optional_some,
    ),
    max_size=2,
)
order_ids = st.sampled_from(["o-1", "o-2", "o-3", "o-4", "o-5"])
executions = st.sampled_from(["", "", "x-1", "x-2"])
which_trade = st.fixed_dictionaries({"trade_id": ids(Trade)}) | st.fixed_dictionaries(
    {"order_id": order_ids}
)
TERMS: Final = having(
    {"symbol": symbols, "action": actions, "quantity": quantities, "price": prices},
    order_id=order_ids,
    execution_id=executions,
    venue=st.sampled_from(["", "", "X"]),
    fee=st.sampled_from([0, 1, "0.25", "-0.5"]),
    status=st.sampled_from([*["PENDING", "EXECUTED"] * 3, "BUSTED"]),
    executed_at=times,
    strategy=some,
    details=details,
    decision_id=ids(AgentDecision),
)
INSTRUMENT: Final = having(
    {},
    currency=currencies,
    fee_currency=currencies | symbols,
    asset=symbols,
    multiplier=st.sampled_from([1, 1, 50]),
    settlement=st.sampled_from(["CASH", "CASH", "MARGINED"]),
)
market = TERMS.map(
    lambda terms: {**{n: v for n, v in terms.items() if n != "price"}, "status": "PENDING"}
)
terms = TERMS | TERMS | market | st.builds(lambda terms, more: {**terms, **more}, TERMS, INSTRUMENT)


def with_trade(**optional: Strategy) -> Strategy:
    """Arguments that name a trade, and others."""
    return st.builds(lambda which, rest: {**which, **rest}, which_trade, having({}, **optional))


# Entities for create, update and delete


VALUES: Final[Mapping[type[Entity], Strategy]] = {
    Account: having({"base_currency": currencies}),
    AgentAction: having(
        {"agent": some, "action_type": some},
        input=details,
        reference=optional_some,
        decision_id=ids(AgentDecision),
    ),
    AgentDecision: having(
        {"agent": some, "symbol": symbols, "action": signal_actions},
        confidence=fractions,
        reference=optional_some,
        status=st.sampled_from(DecisionStatus),
    ),
    Alert: having(
        {"alert_type": some, "severity": st.sampled_from(Severity)},
        dedup_key=optional_some,
        symbol=symbols,
        resolved=st.booleans(),
    ),
    CashFlow: having(
        {"kind": st.sampled_from(CashFlowKind), "amount": amounts, "reference": some},
        currency=currencies,
    ),
    Import: having({"source": some, "reference": some}),
    Event: having({"event_type": some, "entity": st.just("Trade"), "entity_id": ids(Trade)}),
    PerformanceMetric: having(
        {
            "name": some,
            "value": amounts,
            "period_start": times,
            "period_end": times,
            "computed_at": times,
        }
    ),
    Portfolio: having({"cash_balance": amounts, "total_value": amounts}, timestamp=times),
    Position: having({"symbol": symbols}, current_price=prices, marked_at=times, quantity=above_0),
    Signal: having({"symbol": symbols, "action": signal_actions}, reference=optional_some),
    Trade: terms,
}
"""For each kind that can be created what an entity is made of."""


@st.composite
def made(draw: st.DrawFn, kind: type[Entity]) -> New:
    """A new entity, whose times are not those of this moment."""
    values = draw(VALUES[kind])
    dated_by = kind.dated_by if kind.ordered_by == "id" else kind.ordered_by
    if kind is Trade:
        values.setdefault("order_id", draw(order_ids))  # or each side would make up its own
    return New(kind, {dated_by: draw(times), "created_at": BEGIN, **values})


new = st.sampled_from([*VALUES, Trade, Trade]).flatmap(made)
CHANGES: Final = having(
    {},
    status=st.sampled_from([*TradeStatus, *DecisionStatus, *ActionStatus]),
    price=prices,
    quantity=quantities,
    fee=st.just("0.75"),
    order_id=order_ids,
    strategy=some,
    decision_id=ids(AgentDecision),
    details=details,
    sequence=st.just(7),
    current_price=prices,
    marked_at=times,
    severity=st.sampled_from(Severity),
    message=texts,
    dedup_key=optional_some,
    resolved=st.booleans(),
    resolution=texts,
    resolved_at=times,
    reasoning=texts,
    amount=amounts,
    value=amounts,
)
"""Of these a record takes those that it has."""
FEWER: Final = CHANGES.map(lambda changes: dict([*changes.items()][:2]))
CHANGEABLE: Final = [Trade, Trade, Trade, Alert, Alert, AgentDecision, Position, *KINDS]


def changed() -> Strategy:
    """A record that was read and changed."""
    kinds = st.sampled_from(CHANGEABLE)
    refs = st.builds(Ref, kinds, backs)
    earlier = st.sampled_from([False, False, True])
    return st.builds(Changed, refs, FEWER, earlier)


untouched = st.builds(
    lambda ref: Changed(ref, {}), st.builds(Ref, st.sampled_from(CHANGEABLE), backs)
)


ARGUMENTS: Final[Mapping[str, Strategy]] = {
    "bulk_create": having({"entities": st.lists(new, max_size=3)}),
    "bulk_update": having({"entities": st.lists(changed(), max_size=3)}),
    "bust_cash_flow": st.one_of(
        having({"reference": some, "reason": reasons}),
        having({"cash_flow_id": ids(CashFlow), "reason": reasons}),
    ),
    "bust_trade": with_trade(execution_id=executions).flatmap(
        lambda which: having({"reason": reasons}).map(lambda reason: {**which, **reason})
    ),
    "cancel_trade": with_trade(reason=texts),
    "correct_trade": with_trade(
        action=actions,
        quantity=quantities,
        price=prices,
        fee=st.sampled_from([0, "0.1", "-2"]),
        fee_currency=currencies | symbols,
        executed_at=times,
        execution_id=executions,
    ).flatmap(lambda which: having({"reason": reasons}).map(lambda reason: {**which, **reason})),
    "create": having({"entity": new}),
    "decide": having(
        {"decision_id": ids(AgentDecision), "status": st.sampled_from(DecisionStatus)}, reason=texts
    ),
    "delete": having({"entity": untouched | changed()}),
    "execute_trade": with_trade(
        price=prices,
        quantity=quantities,
        fee=st.sampled_from([0, 1]),
        executed_at=times,
        execution_id=executions,
    ),
    "import_trades": having(
        {"trades": st.lists(terms, max_size=4)}, batch=st.integers(1, 3), source=st.none() | some
    ),
    "mark_prices": having({"prices": st.dictionaries(symbols, prices)}, at=times),
    "mend": having(
        {
            "mends": st.lists(
                st.one_of(
                    terms.map(lambda given: Mend("record_trade", given)),
                    ids(Trade).map(lambda given: Mend("bust_trade", {"trade_id": given})),
                ),
                max_size=3,
            ),
            "reason": reasons,
        }
    ),
    "raise_alert": having(
        {"alert_type": names, "severity": st.sampled_from([*Severity, "LOUD"])},
        message=texts,
        dedup_key=optional_some,
        symbol=symbols,
        timestamp=times,
    ),
    "rebuild": having({}, symbol=symbols | names),
    "record_action": having(
        {"agent": names, "action_type": some},
        input=details,
        output=details,
        status=st.sampled_from(ActionStatus),
        duration=amounts,
        cost=st.none() | amounts,
        model=optional_some,
        input_tokens=st.none() | st.integers(-1, 9),
        reference=optional_some,
        decision_id=ids(AgentDecision),
    ),
    "record_cash_flow": having(
        {"kind": st.sampled_from(CashFlowKind), "amount": amounts},
        currency=currencies,
        symbol=symbols,
        occurred_at=times,
        entitled_at=st.none() | times,
        reference=some,
    ),
    "record_decision": having(
        {"agent": names, "symbol": symbols, "action": signal_actions},
        quantity=quantities,
        confidence=st.none() | fractions,
        reasoning=texts,
        reference=optional_some,
        parent_id=st.none() | ids(AgentDecision),
        dated_inputs=inputs,
        signals=st.lists(ids(Signal), max_size=2),
    ),
    "record_inputs": having({"decision_id": ids(AgentDecision), "inputs": inputs}),
    "record_metric": having(
        {"name": names, "value": amounts, "period_start": times, "period_end": times},
        parameters=details,
    ),
    "record_signal": having(
        {"symbol": symbols, "action": signal_actions},
        confidence=fractions,
        price=prices,
        reference=optional_some,
        details=details,
    ),
    "record_trade": terms,
    "record_trades": having({"trades": st.lists(terms, max_size=4)}),
    "reject_trade": with_trade(reason=texts),
    "resolve_alert": having(
        {"alert_id": ids(Alert), "resolution": texts}, resolved_by=st.sampled_from(["", "me"])
    ),
    "undo_import": having({"import_id": ids(Import), "reason": reasons}),
    "take_snapshot": having({}, rates=rates),
    "update": having({"entity": changed()}),
    "update_position": having(
        {
            "symbol": symbols,
            "changes": having({"current_price": prices}, marked_at=times, quantity=above_0),
        }
    ),
}
"""For each handler what it is called with."""


def calls(name: str) -> Strategy:
    """Calls of a handler."""
    handler: Callable[..., Any] = getattr(handlers, name)
    return st.builds(Call, st.just(handler), ARGUMENTS[name])


TRADING: Final = ("record_trade", "record_trades", "execute_trade", "bust_trade", "correct_trade")

# One order, met by every call, so that it is filled in parts, too much, busted and cancelled.

_ORDER: Final = {
    "symbol": st.just("AAPL"),
    "action": st.just("BUY"),
    "order_id": st.sampled_from(["p-1", "p-1", "p-2"]),
}
parts = st.sampled_from(["x-1", "x-2", "x-3", "x-4", ""])
submissions = having(
    {**_ORDER, "quantity": st.just(10), "status": st.just("PENDING")}, price=st.just(100)
)
fills = having(
    {
        **_ORDER,
        "quantity": st.sampled_from([2, 2, 5, "7.5"]),
        "price": st.sampled_from([99, "101.5"]),
        "execution_id": parts,
    }
)
_FILL: Final = {"order_id": _ORDER["order_id"], "execution_id": parts}
ORDERS: Final[Mapping[str, Strategy]] = {
    "record_trade": submissions | fills | fills,
    "record_trades": having({"trades": st.lists(submissions | fills | fills, max_size=4)}),
    "import_trades": having({"trades": st.lists(submissions | fills | fills, max_size=4)}),
    "execute_trade": having(
        _FILL, quantity=st.sampled_from([2, 5]), price=st.just(98), executed_at=times
    ),
    "cancel_trade": having({"order_id": _ORDER["order_id"]}),
    "bust_trade": having({**_FILL, "reason": st.just("misread")}),
    "correct_trade": having({**_FILL, "quantity": above_0, "reason": st.just("misread")}),
}
"""For the handlers of orders what they are called with, so that most calls are of one order."""
order_calls = st.sampled_from([*ORDERS, *["record_trade"] * 5]).flatmap(
    lambda name: st.builds(Call, st.just(getattr(handlers, name)), ORDERS[name])
)

any_call = st.sampled_from([*ARGUMENTS, *TRADING, *TRADING[:2]]).flatmap(calls)

LISTS: Final[Mapping[Callable[..., Any], Strategy]] = {
    queries.get_trades: having({}, symbol=symbols, status=st.sampled_from(TradeStatus)),
    queries.get_alerts: having({}, resolved=st.booleans(), severity=st.sampled_from(Severity)),
    queries.get_cash_flows: having({}, kind=st.sampled_from(CashFlowKind)),
    queries.get_signals: having({}, symbol=symbols, action=signal_actions),
    queries.get_decisions: having({}, status=st.sampled_from(DecisionStatus)),
    queries.get_inputs: having({}, decision_id=ids(AgentDecision)),
    queries.get_actions: having({}, decision_id=ids(AgentDecision)),
    queries.get_imports: having({}, status=st.sampled_from(ImportStatus), digest=some),
    queries.get_metrics: having({}, name=some),
    # With an id its kind: the stores number the records of a kind as they like.
    queries.get_events: having({}) | having({"entity": st.just("Trade")}, entity_id=ids(Trade)),
}
"""For each list what is asked of it."""


def questions() -> Strategy:
    """A list, what of it is wanted, and in pages of how many."""
    window = having({"limit": st.integers(1, 3)}, since=times, until=times)
    return st.sampled_from([*LISTS]).flatmap(
        lambda query: st.builds(
            lambda equal, window: Call(query, {**equal, **window}), LISTS[query], window
        )
    )
