"""A load of calls, each delivered at least twice, and what the book must be after it in whatever order they came."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from attrs import field, frozen

from reliability.proof import require_proven
from reliability.scenario import Figures
from tradebook import BookBusy, Portfolio, Trade, exact
from tradebook.testing import FakeBook

Call = tuple[str, dict[str, Any]]
Delivery = list[Call]
"""Calls of one sender, one after another."""

BEGIN: Final = datetime(2026, 3, 2, 9, tzinfo=UTC)
_TERMS: Final = ("symbol", "action", "quantity", "price", "fee", "order_id", "executed_at")
_AMOUNTS: Final = ("quantity", "cost_basis", "realized_pnl", "fees")
_LEDGER: Final = (*_AMOUNTS, "cash_flow", "sequence", "status", "currency")


@frozen
class Load:
    """What is sent to one book.

    Attributes:
        opening: fills that are booked before the rest: then no position is ever flat.
        deliveries: everything else, in the order in which it is sent, each thing at least twice.
        fills: every fill by its order id.
        cancelled: the orders that are submitted and cancelled.
        cash: the reference of each cash flow.
    """

    opening: list[dict[str, Any]]
    deliveries: list[Delivery]
    fills: dict[str, dict[str, Any]]
    cancelled: set[str] = field(factory=set)
    cash: set[str] = field(factory=set)


def new_load(seed: int, symbols: int, orders: int) -> Load:
    """A load of so many fills on so many symbols, with cash, marks, snapshots and cancelled orders between."""
    chance = random.Random(seed)
    names = [f"S{number}" for number in range(symbols)]
    # A half, and whole numbers after it: a position flips, and is never flat.
    opening = [_fill(chance, name, f"open-{name}", quantity=Decimal("0.5")) for name in names]
    fills = {f"o-{n}": _fill(chance, chance.choice(names), f"o-{n}") for n in range(orders)}
    sent: list[Delivery] = [[("record_trade", fill)] for fill in fills.values()]
    cancelled = {f"c-{number}" for number in range(orders // 10)}
    for order_id in sorted(cancelled):
        order = {**_fill(chance, chance.choice(names), order_id), "status": "PENDING"}
        sent.append([("record_trade", order), ("cancel_trade", {"order_id": order_id})])
    cash = {f"cash-{number}" for number in range(orders // 10)}
    sent += [[("record_cash_flow", _cash(reference))] for reference in sorted(cash)]
    sent += [[_mark(chance, names)] for _ in range(orders // 5)]
    sent += [[("take_snapshot", {})] for _ in range(max(orders // 20, 2))]
    deliveries = sent * 2 + chance.sample(sent, len(sent) // 10)
    chance.shuffle(deliveries)
    opened = {fill["order_id"]: fill for fill in opening}
    return Load(opening, deliveries, opened | fills, cancelled, cash)


def _fill(
    chance: random.Random, symbol: str, order_id: str, quantity: Decimal | None = None
) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "action": chance.choice(["BUY", "SELL"]),
        "quantity": quantity or Decimal(chance.randint(1, 9)),
        "price": Decimal(chance.randint(-100, 100_000)) / 1000,
        "fee": Decimal(chance.randint(-5, 20)) / 100,
        "order_id": order_id,
        "executed_at": BEGIN + timedelta(seconds=chance.randint(0, 100_000)),
    }


def _cash(reference: str) -> dict[str, Any]:
    return {
        "kind": "DEPOSIT",
        "amount": Decimal("12.5"),
        "reference": reference,
        "occurred_at": BEGIN,
    }


def _mark(chance: random.Random, names: list[str]) -> Call:
    marked = chance.sample(names, min(len(names), 5))
    return "mark_prices", {"prices": {name: Decimal(chance.randint(1, 99)) for name in marked}}


def send(book: Any, deliveries: Iterable[Delivery]) -> tuple[int, int]:
    """Make the calls, each again for as long as the book is busy; returns (calls made, times busy)."""
    busy = 0
    calls = [call for delivery in deliveries for call in delivery]
    for name, arguments in calls:
        while True:
            try:
                getattr(book, name)(**arguments)
                break
            except BookBusy:
                busy += 1
    return len(calls), busy


def check(book: Any, load: Load) -> Figures:
    """Compare a book with its load; counts what is lost and duplicated, and asserts everything else."""
    trades = list(book.iterate(Trade))
    booked = Counter(trade.order_id for trade in trades)
    wanted = load.fills.keys() | load.cancelled
    flows = Counter(flow.reference for flow in book.get_cash_flows(limit=10_000))
    figures = Figures(
        lost=len(wanted - booked.keys()) + len(load.cash - flows.keys()),
        duplicated=(booked.total() - len(booked)) + (flows.total() - len(flows)),
    )
    if figures.lost or figures.duplicated:
        return figures
    _check_terms(trades, load)
    _check_snapshots(book, _as_one_after_another(book, trades, len(load.cash)))
    assert require_proven(book).trades == len(load.fills)
    return figures


def _check_terms(trades: list[Trade], load: Load) -> None:
    for trade in trades:
        if trade.order_id in load.cancelled:
            assert trade.status == "CANCELLED", trade
        else:
            sent = load.fills[trade.order_id]
            assert {name: getattr(trade, name) for name in sent} == sent


def _as_one_after_another(
    book: Any, trades: list[Trade], flows: int
) -> dict[tuple[str, int], tuple[Any, ...]]:
    """Book the trades again, one after another; gives the amounts of each symbol after each of its trades."""
    sequential, amounts = FakeBook(), {}
    for trade in sorted((t for t in trades if t.sequence), key=lambda t: (t.symbol, t.sequence)):
        again = sequential.record_trade(**{name: getattr(trade, name) for name in _TERMS})
        assert (again.sequence, again.realized_pnl) == (trade.sequence, trade.realized_pnl)
        position = sequential.get_position_by_symbol(trade.symbol)
        assert position is not None
        amounts[trade.symbol, position.sequence] = (
            *(getattr(position, name) for name in _AMOUNTS),
            position.cash_flow,
        )
    for number in range(flows):
        sequential.record_cash_flow(**_cash(str(number)))
    assert _ledger(book) == _ledger(sequential)
    assert book.get_cash_balances() == sequential.get_cash_balances()
    return amounts


def _ledger(book: Any) -> list[tuple[Any, ...]]:
    return [
        (position.symbol, *(getattr(position, name) for name in _LEDGER))
        for position in book.get_positions()
    ]


def _check_snapshots(book: Any, amounts: dict[tuple[str, int], tuple[Any, ...]]) -> None:
    held = defaultdict(list)
    snapshots = list(book.iterate(Portfolio))
    for snapshot in snapshots:
        held[snapshot.id] = book.get_portfolio_positions(snapshot.id)
    for snapshot in snapshots:
        cash = []
        for row in held[snapshot.id]:
            *recorded, cash_flow = amounts[row.symbol, row.sequence]
            assert [getattr(row, name) for name in _AMOUNTS] == recorded, (snapshot, row)
            cash.append(cash_flow)
        _check_identities(snapshot, held[snapshot.id], cash)


def _check_identities(snapshot: Portfolio, rows: list[Any], cash: list[Decimal]) -> None:
    """The identities of DESIGN.md; no position is ever flat, so the rows hold every trade."""
    with exact():
        flows = snapshot.external_flows + snapshot.income
        earned = snapshot.realized_pnl + snapshot.unrealized_pnl - snapshot.fees
        assert snapshot.cash_balance == flows + sum(cash), snapshot
        assert snapshot.positions_value == sum(row.market_value for row in rows), snapshot
        assert snapshot.total_value == snapshot.cash_balance + snapshot.positions_value, snapshot
        assert snapshot.total_value == flows + earned, snapshot


def shares(deliveries: list[Delivery], senders: int) -> Iterator[list[Delivery]]:
    """The deliveries, dealt out to so many senders."""
    for number in range(senders):
        yield deliveries[number::senders]
