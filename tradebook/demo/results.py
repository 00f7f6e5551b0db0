"""The demo's results, read from the book at one instant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal

from attrs import frozen

from tradebook.demo.figures import max_drawdown, sharpe_ratio, total_return
from tradebook.domain.agents import DecisionStatus
from tradebook.domain.alerts import Alert
from tradebook.domain.attribution import Attribution, AttributionTotal, GroupBy
from tradebook.domain.numbers import exact
from tradebook.domain.portfolio import Portfolio, Rates, value_holdings
from tradebook.domain.positions import Position
from tradebook.domain.trades import Trade, TradeStatus
from tradebook.service_layer import queries
from tradebook.service_layer.explanations.attribution.attribution import attribution
from tradebook.service_layer.explanations.lineage.explain import explain
from tradebook.service_layer.explanations.lineage.explanation import Explanation
from tradebook.service_layer.explanations.look_ahead import LookAhead, look_ahead
from tradebook.service_layer.explanations.quality.calibration import Calibration, calibration
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork
from tradebook.service_layer.verification.verify import Verification, verify


@frozen(kw_only=True)
class Results:
    """The contents of the book after the demo.

    Attributes:
        portfolio: the account valued at its current prices; computed, not a stored snapshot.
        positions: every position ever traded, by symbol.
        agents: the P&L of each agent's own trades, compared with the book's.
        history: the snapshots, oldest first.
        open_alerts: the unresolved alerts, newest first.
        alerts: the number of alerts ever raised.
        signals: the number of signals.
        decisions: the number of decisions with each status.
        best, worst: what led to the trades with the highest and the lowest realized P&L less fee.
        calibration: how often the decisions were right after 30 days, and whether their confidence said so.
        look_ahead: whether each decision could know what it was made from.
        verification: the result of `verify`.
    """

    portfolio: Portfolio
    positions: list[Position]
    agents: Attribution
    history: list[Portfolio]
    open_alerts: list[Alert]
    alerts: int
    signals: int
    decisions: Mapping[DecisionStatus, int]
    best: Explanation
    worst: Explanation
    calibration: Calibration
    look_ahead: LookAhead
    verification: Verification

    @property
    def values(self) -> list[Decimal]:
        """The total value at each snapshot, oldest first: the equity curve."""
        return [portfolio.total_value for portfolio in self.history]

    @property
    def total_return(self) -> Decimal:
        """Growth from the money paid in to the total value, as a ratio."""
        return total_return(self.portfolio.external_flows, self.portfolio.total_value)

    @property
    def max_drawdown(self) -> Decimal:
        """The largest fall of the equity curve from a peak, as a ratio."""
        return max_drawdown(self.values)

    @property
    def sharpe_ratio(self) -> Decimal:
        """Sharpe ratio of the equity curve; see `figures.sharpe_ratio`."""
        return sharpe_ratio(self.values)

    @property
    def total(self) -> AttributionTotal:
        """The sum of the agents' P&L beside the book's own, in the account's one currency."""
        (total,) = self.agents.totals
        return total

    @property
    def book_pnl(self) -> Decimal:
        """The book's net P&L: realized + unrealized - fees."""
        return self.total.book.net_pnl


def read_results(uow: AbstractUnitOfWork) -> Results:
    """Read everything that the report contains, in one unit of work and so at one instant."""
    positions, holdings = queries.get_positions(uow), uow.ledger.holdings()
    earned = sorted(uow.trades.iterate(status=TradeStatus.EXECUTED), key=_earned)
    rates = Rates(holdings.base_currency or uow.base_currency, {})
    portfolio, _ = value_holdings(holdings, account=uow.account, rates=rates, at=uow.now())
    return Results(
        portfolio=portfolio,
        positions=positions,
        agents=attribution(uow, GroupBy.AGENT),
        history=list(uow.portfolios.iterate())[::-1],
        open_alerts=queries.get_unresolved_alerts(uow),
        alerts=uow.alerts.count(),
        signals=uow.signals.count(),
        decisions=Counter(d.status for d in uow.decisions.iterate()),
        best=explain(uow, trade=earned[-1].id),
        worst=explain(uow, trade=earned[0].id),
        calibration=calibration(uow, horizon="30d"),
        look_ahead=look_ahead(uow),
        verification=verify(uow),
    )


def _earned(trade: Trade) -> tuple[Decimal, int]:
    """Return what a trade realized less its fee; the id decides between equals."""
    with exact():
        return trade.realized_pnl - trade.fee, trade.id
