"""The demo's market day by day: the agents' signals, the decisions, the trades.

Agents form opinions from the closes up to the day before; approved trades execute at the day's close.
Each day is one unit of work with that day's time, so an interrupted run leaves whole days in the book,
and the next run continues with the day after.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from tradebook.demo.agents import Agent, Momentum, Opinion, Reversion
from tradebook.demo.figures import TRADING_DAYS_PER_YEAR, max_drawdown, sharpe_ratio, total_return
from tradebook.demo.prices import TradingDay
from tradebook.demo.risk import DrawdownWatch, objection
from tradebook.domain.agents import DecisionStatus
from tradebook.domain.cash import CashFlowKind
from tradebook.domain.errors import InvalidInput
from tradebook.domain.numbers import ZERO
from tradebook.domain.signals import SignalAction
from tradebook.domain.trades import Trade, TradeStatus
from tradebook.service_layer import handlers, queries
from tradebook.service_layer.book import Book
from tradebook.service_layer.call_context import CallContext
from tradebook.service_layer.instrumentation import ProgressCallback
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

CAPITAL: Final = Decimal(100_000)
"""The first deposit, in USD."""
DEPOSIT: Final = "demo/deposit"
"""The reference of the first deposit, which marks a book as the demo's."""

_FEE_PER_SHARE: Final = Decimal("0.005")
_LOWEST_FEE: Final = Decimal(1)


def simulate(book: Book, days: Sequence[TradingDay], progress: ProgressCallback) -> int:
    """Trade the days that are not in the book yet.

    Args:
        book: empty, or as an earlier run left it.
        days: in order, from the first day of the demo.
        progress: called with (days done, days in all).

    Returns:
        The number of days traded now; the others were in the book.

    Raises:
        InvalidInput: the account holds a book that is not the demo's.
    """
    with book.unit_of_work(read_only=True) as uow:
        desk = _Desk(uow)
    traded = 0
    for number, day in enumerate(days, start=1):
        if day.closes_at not in desk.finished:
            context = CallContext(at=day.closes_at, actor="demo", correlation_id=f"demo/{day.date}")
            with book.unit_of_work(context=context) as uow:
                desk.trade(uow, day)
                if number == len(days):
                    _record_metrics(uow, days[0], day, desk.values)
                uow.commit()
            traded += 1
        desk.observe(day)
        progress(number, len(days))
    return traded


class _Desk:
    """The state between two days; all of it but the agents' price windows can be read from the book.

    Attributes:
        agents: the agents that trade.
        holdings: the shares that each agent holds, by its name and by symbol.
        finished: the closing times of the days that are in the book.
        values: the total values at those closes, in order.
        watch: checks the drawdown limits.
        seen_at: the time of the last close that the agents observed.
    """

    def __init__(self, uow: AbstractUnitOfWork) -> None:
        """Restore the state that an earlier run left in the book."""
        _require_demo_book(uow)
        self.agents: tuple[Agent, ...] = (Momentum(), Reversion())
        self.holdings: dict[str, dict[str, Decimal]] = {agent.name: {} for agent in self.agents}
        for trade in uow.trades.iterate(status=TradeStatus.EXECUTED):
            self._hold(trade)
        history = list(uow.portfolios.iterate())[::-1]
        self.finished = {portfolio.timestamp for portfolio in history}
        self.values = [portfolio.total_value for portfolio in history]
        alerts = {a.dedup_key: a.id for a in queries.get_unresolved_alerts(uow) if a.dedup_key}
        self.watch = DrawdownWatch(self.values, alerts)
        self.seen_at: datetime | None = None

    def trade(self, uow: AbstractUnitOfWork, day: TradingDay) -> None:
        """Trade one day: marks, opinions, trades, a snapshot, the drawdown limits."""
        if not self.values:
            handlers.record_cash_flow(
                uow, CashFlowKind.DEPOSIT, CAPITAL, occurred_at=day.opens_at, reference=DEPOSIT
            )
        handlers.mark_prices(uow, day.closes, at=day.closes_at)
        proposed: list[tuple[Agent, Opinion]] = []
        for agent in self.agents:
            held = {symbol for symbol, shares in self.holdings[agent.name].items() if shares}
            proposed += [(agent, opinion) for opinion in agent.opinions(held)]
        # Sales first, because they free the cash that purchases need.
        proposed.sort(key=lambda pair: pair[1].action is not SignalAction.SELL)
        for agent, opinion in proposed:
            self._follow(uow, day, agent, opinion)
        snapshot = handlers.take_snapshot(uow)
        self.watch.check(uow, snapshot.total_value)
        self.values.append(snapshot.total_value)

    def observe(self, day: TradingDay) -> None:
        """Pass the day's closes to the agents."""
        for agent in self.agents:
            agent.observe(day.closes)
        self.seen_at = day.closes_at

    def _follow(
        self, uow: AbstractUnitOfWork, day: TradingDay, agent: Agent, opinion: Opinion
    ) -> None:
        """Record the signal and the decision, and trade unless a limit rejects it."""
        price = day.closes[opinion.symbol]
        quantity = self._quantity(agent, opinion, price)
        fee = max(_LOWEST_FEE, quantity * _FEE_PER_SHARE)
        decision_id = self._record_decision(uow, day, agent, opinion, quantity)
        against = None
        if opinion.action is SignalAction.BUY:
            against = objection(uow, opinion.symbol, quantity * price + fee, self._total_value())
        if against:
            handlers.decide(uow, decision_id, DecisionStatus.REJECTED, reason=against)
            return
        handlers.decide(uow, decision_id, DecisionStatus.APPROVED, reason="within the limits")
        trade = handlers.record_trade(
            uow,
            symbol=opinion.symbol,
            action=opinion.action.value,
            quantity=quantity,
            price=price,
            fee=fee,
            executed_at=day.closes_at,
            order_id=f"{agent.name}-{opinion.symbol}-{day.date}",
            strategy=agent.name,
            decision_id=decision_id,
        )
        self._hold(trade)

    def _hold(self, trade: Trade) -> None:
        """Add a trade to what its agent holds."""
        held = self.holdings[trade.strategy]
        held[trade.symbol] = held.get(trade.symbol, ZERO) + trade.signed_quantity

    def _quantity(self, agent: Agent, opinion: Opinion, price: Decimal) -> Decimal:
        """Return whole shares: all that the agent holds, or as many as its stake buys."""
        if opinion.action is SignalAction.SELL:
            return self.holdings[agent.name][opinion.symbol]
        return self._total_value() * agent.stake // price

    def _total_value(self) -> Decimal:
        return self.values[-1] if self.values else ZERO

    def _record_decision(
        self,
        uow: AbstractUnitOfWork,
        day: TradingDay,
        agent: Agent,
        opinion: Opinion,
        quantity: Decimal,
    ) -> int:
        shared: dict[str, Any] = {
            "symbol": opinion.symbol,
            "action": opinion.action,
            "strategy": agent.name,
            "price": opinion.price,
            "confidence": opinion.confidence,
            "reference": f"demo/{agent.name}/{opinion.symbol}/{day.date}",
        }
        signal = handlers.record_signal(
            uow,
            strength=opinion.strength,
            source=agent.name,
            generated_at=self.seen_at,
            details=dict(opinion.inputs),
            **shared,
        )
        decision = handlers.record_decision(
            uow,
            agent.name,
            quantity=quantity,
            reasoning=opinion.reasoning,
            model=agent.model,
            inputs=dict(opinion.inputs),
            signals=[signal.id],
            **shared,
        )
        return decision.id


def _require_demo_book(uow: AbstractUnitOfWork) -> None:
    """Refuse a book that holds anything but the demo."""
    if uow.accounts.current() is None:
        return
    first = uow.cash_flows.in_order(limit=1)
    if not first or first[0].reference != DEPOSIT:
        raise InvalidInput(
            "account", uow.account, "an empty book, or the demo's own; give it another database"
        )


def _record_metrics(
    uow: AbstractUnitOfWork, first: TradingDay, last: TradingDay, values: Sequence[Decimal]
) -> None:
    figures = {
        "total_return": total_return(CAPITAL, values[-1]),
        "max_drawdown": max_drawdown(values),
        "sharpe_ratio": sharpe_ratio(values),
    }
    conventions = {
        "values": "total value at each close",
        "risk_free_rate": "0",
        "periods_per_year": TRADING_DAYS_PER_YEAR,
    }
    for name, value in figures.items():
        handlers.record_metric(
            uow,
            name,
            value,
            period_start=first.opens_at,
            period_end=last.closes_at,
            parameters=conventions,
        )
