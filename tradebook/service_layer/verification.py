"""Proof: fold all trades again and compare with what is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Final

from attrs import define, field, frozen

from tradebook.domain.accounting import Balance, effect
from tradebook.domain.cash import CashFlow, CashTotal, cash_totals
from tradebook.domain.events import Effect
from tradebook.domain.numbers import EXACT, ZERO, canonical, exact, plain
from tradebook.domain.portfolio import BOOK, Portfolio, PortfolioPosition, carried_value
from tradebook.domain.positions import INSTRUMENT, Position, PositionStatus
from tradebook.domain.trades import Settlement, Trade, TradeStatus
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

Progress = Callable[[int, int], None]
_PAGE: Final = 1000


@frozen
class Difference:
    """Something stored that does not follow from the trades.

    Attributes:
        entity: the kind of record.
        key: which one.
        field: of the record.
        stored: what the book says.
        computed: what the trades say.
    """

    entity: str
    key: str
    field: str
    stored: str
    computed: str


@frozen
class Verification:
    """What `verify` found.

    Attributes:
        account: which book.
        trades: how many were folded.
        positions: how many were compared.
        cash_flows: how many were summed.
        portfolios: how many snapshots were checked.
        differences: all there are; none when the book is proven.
    """

    account: str
    trades: int
    positions: int
    cash_flows: int
    portfolios: int
    differences: tuple[Difference, ...]

    @property
    def proven(self) -> bool:
        """Whether everything stored follows from the trades and cash flows."""
        return not self.differences


def verify(uow: AbstractUnitOfWork, *, progress: Progress | None = None) -> Verification:
    """Fold every trade by `sequence` and every cash flow, and compare with all that is stored.

    Positions, P&L of each trade, cash, and every identity of snapshots taken from the book; sums and
    totals to the last digit.

    Args:
        uow: a read-only unit of work, which sees one instant.
        progress: called with (trades folded, trades in all) as it goes.

    Returns:
        What was checked, and every difference, each with both values.
    """
    return _Proof(uow, progress or (lambda _done, _total: None)).run()


@define
class _Fold:
    """A position as its trades make it."""

    symbol: str
    balance: Balance = field(factory=Balance)
    sequence: int = 0
    opened_at: object = None
    closed_at: object = None
    constants: dict[str, object] = field(factory=dict)

    def apply(self, trade: Trade) -> Decimal:
        """Fold a trade; returns the P&L that it realized."""
        before, self.balance = self.balance, self.balance.after(trade)
        self.constants = self.constants or {name: getattr(trade, name) for name in INSTRUMENT}
        done = effect(before.quantity, self.balance.quantity)
        if done in (Effect.OPENED, Effect.FLIPPED):
            self.opened_at, self.closed_at = trade.executed_at, None
        elif done is Effect.CLOSED:
            self.closed_at = trade.executed_at
        return EXACT.subtract(self.balance.realized_pnl, before.realized_pnl)

    def as_stored(self) -> dict[str, object]:
        """The fields of the position that follow from its trades."""
        balance = self.balance
        return {
            "quantity": canonical(balance.quantity),
            "cost_basis": canonical(balance.cost_basis),
            "realized_pnl": canonical(balance.realized_pnl),
            "fees": canonical(balance.fees),
            "cash_flow": canonical(balance.cash_flow),
            "status": PositionStatus.OPEN if balance.quantity else PositionStatus.CLOSED,
            "opened_at": self.opened_at,
            "closed_at": self.closed_at,
            "sequence": self.sequence,
            **self.constants,
        }


@define
class _Totals:
    """What the positions contribute to one snapshot, in its currency, as the trades make it."""

    realized_pnl: Decimal = ZERO
    fees: Decimal = ZERO
    cash_flow: Decimal = ZERO


class _Proof:
    def __init__(self, uow: AbstractUnitOfWork, progress: Progress) -> None:
        self.uow = uow
        self.progress = progress
        self.differences: list[Difference] = []
        self.done = 0
        self.cash_flows = 0
        self.total = uow.trades.count_booked()
        self.portfolios: dict[int, Portfolio] = {}
        self.closed: dict[str, list[tuple[int, int]]] = {}
        self.totals: dict[int, _Totals] = {}

    def run(self) -> Verification:
        holdings = self.uow.ledger.holdings()
        self._read_portfolios()
        for position in holdings.positions:
            self._check_position(position)
        self._compare("Account", self.uow.account, {"booked trades": (self.total, self.done)})
        self._check_cash(holdings.cash)
        self._check_portfolios()
        return Verification(
            account=self.uow.account,
            trades=self.done,
            positions=len(holdings.positions),
            cash_flows=self.cash_flows,
            portfolios=len(self.portfolios),
            differences=tuple(self.differences),
        )

    def _compare(
        self, entity: str, key: object, values: Mapping[str, tuple[object, object]]
    ) -> None:
        for name, (stored, computed) in values.items():
            if stored != computed:
                self.differences.append(
                    Difference(entity, str(key), name, _shown(stored), _shown(computed))
                )

    def _check_position(self, position: Position) -> None:
        fold = _Fold(position.symbol)
        snapshots = self._snapshots_of(position)
        for trade in self._trades(position.symbol):
            self._check_trade(fold, trade)
            self._check_snapshots(fold, snapshots)
        stored = {name: (getattr(position, name), v) for name, v in fold.as_stored().items()}
        self._compare("Position", position.symbol, stored)
        if position.settlement is Settlement.CASH:
            earned = EXACT.subtract(position.realized_pnl, position.fees)
            kept = EXACT.add(position.cash_flow, position.cost_basis)
            self._compare(
                "Position",
                position.symbol,
                {"realized_pnl - fees == cash_flow + cost_basis": (earned, kept)},
            )
        for sequence, portfolio_id, _ in snapshots:
            self._compare(
                "Portfolio", portfolio_id, {f"sequence of {position.symbol}": (sequence, "missing")}
            )

    def _trades(self, symbol: str) -> Iterator[Trade]:
        after = 0
        while page := self.uow.trades.booked(symbol, after=after, limit=_PAGE):
            yield from page
            after = page[-1].sequence or 0
            self.done += len(page)
            self.progress(self.done, self.total)

    def _check_trade(self, fold: _Fold, trade: Trade) -> None:
        fold.sequence += 1
        realized = fold.apply(trade) if trade.status is TradeStatus.EXECUTED else ZERO
        self._compare(
            "Trade",
            f"{trade.symbol} {trade.order_id} {trade.execution_id}".strip(),
            {
                "sequence": (trade.sequence, fold.sequence),
                "realized_pnl": (trade.realized_pnl, canonical(realized)),
                **{n: (getattr(trade, n), value) for n, value in fold.constants.items()},
            },
        )

    # Snapshots: what they say of a symbol is compared as the fold passes their sequence.

    def _read_portfolios(self) -> None:
        after = 0
        while page := self.uow.portfolios.in_order(after=after, limit=_PAGE):
            after = page[-1].id
            for portfolio in page:
                if portfolio.source == BOOK:
                    self.portfolios[portfolio.id] = portfolio
                    self.totals[portfolio.id] = _Totals()
                    for symbol, sequence in portfolio.closed_sequences.items():
                        self.closed.setdefault(symbol, []).append((sequence, portfolio.id))

    def _snapshots_of(self, position: Position) -> list[tuple[int, int, PortfolioPosition | None]]:
        """(sequence, snapshot, its row or None where the position was flat), the first last."""
        rows = self.uow.portfolios.positions_in(position.symbol)
        points = [
            (r.sequence, r.portfolio_id, r) for r in rows if r.portfolio_id in self.portfolios
        ]
        flat = [(s, portfolio_id, None) for s, portfolio_id in self.closed.get(position.symbol, [])]
        return sorted([*points, *flat], key=lambda point: point[:2], reverse=True)

    def _check_snapshots(
        self, fold: _Fold, snapshots: list[tuple[int, int, PortfolioPosition | None]]
    ) -> None:
        while snapshots and snapshots[-1][0] == fold.sequence:
            _, portfolio_id, row = snapshots.pop()
            self._check_row(fold, portfolio_id, row)
            self._add_to_totals(fold, portfolio_id)

    def _check_row(self, fold: _Fold, portfolio_id: int, row: PortfolioPosition | None) -> None:
        balance = fold.balance
        if row is None:
            flat = {f"quantity of {fold.symbol}": (ZERO, canonical(balance.quantity))}
            self._compare("Portfolio", portfolio_id, flat)
            return
        names = ("quantity", "cost_basis", "realized_pnl", "fees", "cash_flow")
        computed = {name: canonical(getattr(balance, name)) for name in names}
        with exact():
            value = balance.quantity * row.current_price * row.multiplier
            computed["market_value"] = canonical(value)
            computed["unrealized_pnl"] = canonical(value - balance.cost_basis)
        self._compare(
            "PortfolioPosition",
            f"{portfolio_id} {row.symbol}",
            {name: (getattr(row, name), value) for name, value in computed.items()},
        )

    def _add_to_totals(self, fold: _Fold, portfolio_id: int) -> None:
        rate = _rate(self.portfolios[portfolio_id], str(fold.constants["currency"]))
        totals, balance = self.totals[portfolio_id], fold.balance
        with exact():
            totals.realized_pnl += balance.realized_pnl * rate
            totals.fees += balance.fees * rate
            totals.cash_flow += balance.cash_flow * rate

    def _check_portfolios(self) -> None:
        ids = list(self.portfolios)
        for start in range(0, len(ids), _PAGE):
            of_page = ids[start : start + _PAGE]
            rows: dict[int, list[PortfolioPosition]] = {id_: [] for id_ in of_page}
            for row in self.uow.portfolios.positions_of(of_page):
                rows[row.portfolio_id].append(row)
            for id_ in of_page:
                identities = _identities(self.portfolios[id_], rows[id_], self.totals[id_])
                self._compare("Portfolio", id_, identities)

    def _check_cash(self, stored: Iterable[CashTotal]) -> None:
        flows = ((flow.currency, flow.kind, flow.amount) for flow in self._cash_flows())
        folded = {total.currency: total for total in cash_totals(flows)}
        totals = {total.currency: total for total in stored}
        for currency in sorted(folded.keys() | totals.keys()):
            computed = folded.get(currency, CashTotal(currency))
            total = totals.get(currency, CashTotal(currency))
            self._compare(
                "CashFlow",
                currency,
                {
                    "external": (total.external, computed.external),
                    "income": (total.income, computed.income),
                },
            )

    def _cash_flows(self) -> Iterator[CashFlow]:
        after = 0
        while page := self.uow.cash_flows.in_order(after=after, limit=_PAGE):
            yield from page
            after = page[-1].id
            self.cash_flows += len(page)


def _identities(
    portfolio: Portfolio, rows: list[PortfolioPosition], totals: _Totals
) -> dict[str, tuple[object, object]]:
    """Each of a snapshot's identities: (what it says, what it must be)."""

    def total(amounts: Iterable[tuple[Decimal, str]]) -> Decimal:
        return sum((a * _rate(portfolio, currency) for a, currency in amounts), start=ZERO)

    p = portfolio
    with exact():
        computed = {
            "realized_pnl": totals.realized_pnl,
            "fees": totals.fees,
            "cash_balance": p.external_flows + p.income + totals.cash_flow,
            "positions_value": total((carried_value(r), r.currency) for r in rows),
            "unrealized_pnl": total((r.unrealized_pnl, r.currency) for r in rows),
            "gross_exposure": total((abs(r.market_value), r.currency) for r in rows),
            "net_exposure": total((r.market_value, r.currency) for r in rows),
            "total_value": p.cash_balance + p.positions_value,
        }
        earned = p.external_flows + p.income + p.realized_pnl + p.unrealized_pnl - p.fees
    checks: dict[str, tuple[object, object]] = {
        name: (getattr(p, name), canonical(value)) for name, value in computed.items()
    }
    checks["total_value == external_flows + income + realized_pnl + unrealized_pnl - fees"] = (
        p.total_value,
        canonical(earned),
    )
    return checks


def _rate(portfolio: Portfolio, currency: str) -> Decimal:
    """What the snapshot converted this currency at; an amount that was 0 needed no rate."""
    if currency == portfolio.currency:
        return Decimal(1)
    return Decimal(portfolio.rates.get(currency, "0"))


def _shown(value: object) -> str:
    return plain(value) if isinstance(value, Decimal) else str(value)
