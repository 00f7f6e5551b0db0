"""Verification of the book: fold all trades again and compare with the stored records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from itertools import chain
from typing import Final

from attrs import define, field, frozen

from tradebook.domain.accounting import BookedTrade
from tradebook.domain.cash import CashFlow, CashTotal, cash_totals
from tradebook.domain.folding import AMOUNTS, Fold, LastEntry
from tradebook.domain.numbers import EXACT, ZERO, canonical, exact, plain
from tradebook.domain.plain_values import optional_function
from tradebook.domain.portfolio import BOOK, Portfolio, PortfolioPosition, carried_value
from tradebook.domain.positions import Position, instrument
from tradebook.domain.trades import Trade, TradeStatus
from tradebook.domain.validation import argument
from tradebook.service_layer.handlers.rebuilding import changed_last, counted_version
from tradebook.service_layer.instrumentation import Progress, ProgressCallback
from tradebook.service_layer.ports.paging import BATCH
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork
from tradebook.service_layer.verification.cash_folds import Cut, over_cuts
from tradebook.service_layer.verification.findings import Finding
from tradebook.service_layer.verification.record_check import KINDS, RecordCheck
from tradebook.service_layer.verification.snapshot_folds import Point, Views

_TRADES: Final = 10_000
"""Trades read at a time; as plain values they take 15 MB."""
_REVERSED: Final = ("kind", "amount", "currency", "symbol", "occurred_at", "reference")


@frozen
class Difference:
    """One stored value that does not follow from the trades, the cash flows or the events.

    Attributes:
        entity: the kind of record.
        key: its symbol, id or currency.
        field: the name of the field, or the identity that fails; `record` where the record as a whole is missing
            or too many.
        stored: the value in the book.
        computed: the value that follows.
    """

    entity: str
    key: str
    field: str
    stored: str
    computed: str


@frozen
class Verification:
    """The result of `verify`.

    Attributes:
        account: the account verified.
        trades: the number of trades folded.
        positions: the number of positions compared.
        cash_flows: the number of cash flows summed.
        portfolios: the number of snapshots checked.
        differences: every difference; empty where the book is proven.
        records: the number of other records, such as orders and alerts, that were compared with their events.
    """

    account: str
    trades: int
    positions: int
    cash_flows: int
    portfolios: int
    differences: tuple[Difference, ...]
    records: int = 0

    @property
    def proven(self) -> bool:
        """True where every stored value follows from the trades, the cash flows and the events."""
        return not self.differences


def verify(uow: AbstractUnitOfWork, *, progress: ProgressCallback | None = None) -> Verification:
    """Fold every trade by `sequence` and every cash flow, and compare the results with the stored records.

    Compares positions, the P&L of each trade, cash, and every identity of the book's own snapshots, all to
    the last digit; then every other record with the state that its events give it, and the number of records of
    each kind with that of the events that made them. The terms of booked trades are compared with their events by
    `check_seals`. The file of a SQLite database is checked for damage first.

    Args:
        uow: a read-only unit of work, which sees one instant.
        progress: called with (trades folded, trades in all) as it goes.

    Returns:
        The numbers of checked records, and every difference with both values.

    Raises:
        DatabaseCorrupt: the database file is damaged; the message says where.
        NotPermitted: row security hides the account from the role that is connected.
    """
    report = argument("progress", optional_function, progress)
    uow.require_visible()
    uow.require_intact()
    return _Proof(uow, report).run()


@define
class _Totals:
    """Totals of all positions in one snapshot, computed from the trades, in the snapshot's currency."""

    realized_pnl: Decimal = ZERO
    fees: Decimal = ZERO
    cash_flow: Decimal = ZERO


class _Proof:
    def __init__(self, uow: AbstractUnitOfWork, report: ProgressCallback | None) -> None:
        self.uow = uow
        self.progress = Progress(report, uow.trades.count_booked())
        self.differences: list[Difference] = []
        self.reported: set[tuple[str, str, str]] = set()
        self.cash_flows = 0
        self.portfolios: dict[int, Portfolio] = {}
        self.cuts: list[Cut] = []
        self.submitted = uow.events.submissions()
        self.closed: dict[str, list[tuple[int, int]]] = {}
        self.totals: dict[int, _Totals] = {}

    def run(self) -> Verification:
        holdings = self.uow.ledger.holdings()
        self._read_portfolios()
        for position in holdings.positions:
            self._check_position(position)
        trades = self.progress.done
        booked = {"booked trades": (self.progress.total, trades)}
        self._compare("Account", self.uow.account, booked)
        records = self._check_records()
        self._check_cash(holdings.cash)
        self._check_portfolios()
        return Verification(
            account=self.uow.account,
            trades=trades,
            positions=len(holdings.positions),
            cash_flows=self.cash_flows,
            portfolios=len(self.portfolios),
            differences=tuple(self.differences),
            records=records,
        )

    def _check_records(self) -> int:
        """Compare each record but positions and booked trades with what its events say of it."""
        check = RecordCheck(self.uow)
        for kind in KINDS:
            for page in check.pages(kind):
                self._report(check.compare(kind, page))
        self.cuts = [cut for cut in check.cuts if cut.portfolio_id in self.portfolios]
        for page in self.uow.trades.unbooked():
            self._report(check.compare(Trade, page))
        self._report(check.missing(trades=self.uow.trades.count()))
        return sum(compared.records for compared in check.compared.values())

    def _report(self, findings: Iterable[Finding]) -> None:
        for found in findings:
            values = (found.found, found.recorded) if found.field else (found.what, found.detail)
            self._differ(found.entity, found.key, found.field or "record", *values)

    def _differ(self, entity: str, key: str, field: str, stored: object, computed: object) -> None:
        """Report a difference, unless a fold has reported it of the same field already."""
        if (entity, key, field) not in self.reported:
            self.reported.add((entity, key, field))
            difference = Difference(entity, key, field, _shown(stored), _shown(computed))
            self.differences.append(difference)

    def _compare(
        self, entity: str, key: object, values: Mapping[str, tuple[object, object]]
    ) -> None:
        for name, (stored, computed) in values.items():
            if stored != computed:
                self._differ(entity, str(key), name, stored, computed)

    def _check_position(self, position: Position) -> None:
        symbol = position.symbol
        corrections = self.uow.trades.corrections(symbol)
        points = self._points(symbol)
        fold = Fold(symbol, position.updated_at, self.uow.max_ahead)
        views = Views(fold, points, corrections.busts)
        numbers = _Numbers(frozenset([*corrections.busts, *corrections.bookings]))
        trades = self.uow.trades.in_fold_order(symbol, batch=_TRADES)
        for trade in self.progress.over(trades):
            expected = numbers.expected(trade)
            if trade.sequence != expected:
                self._compare("Trade", _called(trade), {"sequence": (trade.sequence, expected)})
            if trade.corrects_id is None:
                views.check_before(trade.sequence, self._check_snapshot)
            self._check_trade(trade, views.apply(trade), views.now.constants)
        last = numbers.last
        views.check_before(last.sequence + 1, self._check_snapshot)
        computed = {**views.now.values_in(position.last_mark), "sequence": last.sequence}
        if last.at is not None:
            computed["updated_at"] = changed_last(self.uow, position, last.at)
            computed["version"] = counted_version(self.uow, position, last.sequence, self.submitted)
        stored = {name: (getattr(position, name), v) for name, v in computed.items()}
        self._compare("Position", symbol, stored)
        if position.is_paid:
            earned = EXACT.subtract(position.realized_pnl, position.fees)
            kept = EXACT.add(position.cash_flow, position.cost_basis)
            law = {"realized_pnl - fees == cash_flow + cost_basis": (earned, kept)}
            self._compare("Position", symbol, law)
        for point in views.left():
            missing = {f"sequence of {symbol}": (point.sequence, "missing")}
            self._compare("Portfolio", point.portfolio_id, missing)

    def _check_trade(
        self, trade: BookedTrade, realized: Decimal, constants: Mapping[str, object]
    ) -> None:
        counts = trade.status is TradeStatus.EXECUTED
        same_terms = not counts or instrument(trade) == constants
        if same_terms and trade.realized_pnl == realized:
            return  # the usual case: naming each compared field would take longer than the fold
        checks: dict[str, tuple[object, object]] = {"realized_pnl": (trade.realized_pnl, realized)}
        if counts:
            own = instrument(trade)
            checks |= {name: (own[name], value) for name, value in constants.items()}
        self._compare("Trade", _called(trade), checks)

    def _read_portfolios(self) -> None:
        for portfolio in chain.from_iterable(self.uow.portfolios.batches()):
            if portfolio.source == BOOK:
                self.portfolios[portfolio.id] = portfolio
                self.totals[portfolio.id] = _Totals()
                for symbol, sequence in portfolio.closed_sequences.items():
                    self.closed.setdefault(symbol, []).append((sequence, portfolio.id))

    def _points(self, symbol: str) -> list[Point]:
        """Return the snapshots that hold a position."""
        rows = self.uow.portfolios.positions_in(symbol)
        held = [row for row in rows if row.portfolio_id in self.portfolios]
        points = [Point(row.sequence, row.portfolio_id, row) for row in held]
        return points + [Point(s, id_, None) for s, id_ in self.closed.get(symbol, [])]

    def _check_snapshot(self, fold: Fold, point: Point) -> None:
        self._add_to_totals(fold, point.portfolio_id)
        balance, portfolio_id, row = fold.balance, point.portfolio_id, point.row
        if row is None:
            flat = {f"quantity of {fold.symbol}": (ZERO, canonical(balance.quantity))}
            self._compare("Portfolio", portfolio_id, flat)
            return
        computed: dict[str, object] = {n: canonical(getattr(balance, n)) for n in AMOUNTS}
        computed["other_fees"] = fold.other_fees
        with exact():
            value = balance.quantity * row.current_price * row.multiplier
            computed["market_value"] = canonical(value)
            computed["unrealized_pnl"] = canonical(value - balance.cost_basis)
        checks = {name: (getattr(row, name), value) for name, value in computed.items()}
        self._compare("PortfolioPosition", f"{portfolio_id} {row.symbol}", checks)

    def _add_to_totals(self, fold: Fold, portfolio_id: int) -> None:
        if not fold.constants:  # every trade was busted: no currency, and nothing to convert
            return
        rate = _rate(self.portfolios[portfolio_id], str(fold.constants["currency"]))
        totals, balance = self.totals[portfolio_id], fold.balance
        with exact():
            totals.realized_pnl += balance.realized_pnl * rate
            totals.fees += balance.fees * rate
            totals.cash_flow += balance.cash_flow * rate
            for currency, fee in fold.other_fees.items():
                converted = Decimal(fee) * _rate(self.portfolios[portfolio_id], currency)
                totals.fees += converted
                totals.cash_flow -= converted

    def _check_portfolios(self) -> None:
        ids = list(self.portfolios)
        for start in range(0, len(ids), BATCH):
            rows: dict[int, list[PortfolioPosition]]
            rows = {id_: [] for id_ in ids[start : start + BATCH]}
            for row in self.uow.portfolios.positions_of(list(rows)):
                rows[row.portfolio_id].append(row)
            for id_, positions in rows.items():
                identities = _identities(self.portfolios[id_], positions, self.totals[id_])
                self._compare("Portfolio", id_, identities)

    def _check_cash(self, stored: Iterable[CashTotal]) -> None:
        passing = over_cuts(self._cash_flows(), self.cuts, self._check_cash_of)
        flows = ((flow.currency, flow.kind, flow.amount) for flow in passing)
        folded = {total.currency: total for total in cash_totals(flows)}
        totals = {total.currency: total for total in stored}
        for currency in sorted(folded.keys() | totals.keys()):
            computed = folded.get(currency, CashTotal(currency))
            total = totals.get(currency, CashTotal(currency))
            external, income = (total.external, computed.external), (total.income, computed.income)
            self._compare("CashFlow", currency, {"external": external, "income": income})

    def _check_cash_of(self, portfolio_id: int, counted: tuple[CashTotal, ...]) -> None:
        """Compare the cash of a snapshot with the flows that there were then."""
        portfolio = self.portfolios[portfolio_id]

        def converted(name: str) -> Decimal:
            amounts = (getattr(c, name) * _rate(portfolio, c.currency) for c in counted)
            return canonical(sum(amounts, start=ZERO))

        with exact():
            computed = {"external_flows": converted("external"), "income": converted("income")}
        checks = {name: (getattr(portfolio, name), value) for name, value in computed.items()}
        self._compare("Portfolio", portfolio_id, checks)

    def _cash_flows(self) -> Iterator[CashFlow]:
        for batch in self.uow.cash_flows.batches():
            self.cash_flows += len(batch)
            self._check_reversals({f.busts_id: f for f in batch if f.busts_id is not None})
            yield from batch

    def _check_reversals(self, reversals: Mapping[int, CashFlow]) -> None:
        busted = {flow.id: flow for flow in self.uow.cash_flows.found(reversals.keys())}
        for busts_id, stored in reversals.items():
            flow = busted.get(busts_id)
            if flow is None or flow.busts_id is not None:
                missing = {"busts_id": (busts_id, "a cash flow")}
                self._compare("CashFlow", stored.id, missing)
                continue
            computed = flow.reversal("", stored.created_at)
            terms = {n: (getattr(stored, n), getattr(computed, n)) for n in _REVERSED}
            self._compare("CashFlow", stored.id, terms)


def _identities(
    portfolio: Portfolio, rows: list[PortfolioPosition], totals: _Totals
) -> dict[str, tuple[object, object]]:
    """Map each identity of a snapshot to its (stored, computed) values."""

    def total(amounts: Iterable[tuple[Decimal, str]]) -> Decimal:
        return sum((a * _rate(portfolio, currency) for a, currency in amounts), start=ZERO)

    p = portfolio
    with exact():
        computed = {
            "realized_pnl": totals.realized_pnl,
            "fees": totals.fees,
            "cash_balance": p.external_flows + p.income + totals.cash_flow,
            "positions_value": total(
                (carried_value(r.settlement, r.market_value, r.unrealized_pnl), r.currency)
                for r in rows
            ),
            "unrealized_pnl": total((r.unrealized_pnl, r.currency) for r in rows),
            "gross_exposure": total((abs(r.market_value), r.currency) for r in rows),
            "net_exposure": total((r.market_value, r.currency) for r in rows),
            "total_value": p.cash_balance + p.positions_value,
        }
        earned = p.external_flows + p.income + p.realized_pnl + p.unrealized_pnl - p.fees
    checks: dict[str, tuple[object, object]] = {
        name: (getattr(p, name), canonical(value)) for name, value in computed.items()
    }
    law = "total_value == external_flows + income + realized_pnl + unrealized_pnl - fees"
    return {**checks, law: (p.total_value, canonical(earned))}


def _rate(portfolio: Portfolio, currency: str) -> Decimal:
    """Return the snapshot's rate of a currency; 0 where it has none, as amounts of 0 need no rate."""
    if currency == portfolio.currency:
        return Decimal(1)
    return Decimal(portfolio.rates.get(currency, "0"))


def _called(trade: BookedTrade) -> str:
    return f"{trade.symbol} {trade.order_id} {trade.execution_id}".strip()


@define
class _Numbers:
    """The expected sequence numbers in a symbol's ledger, which has no gaps."""

    taken: frozenset[int]
    last: LastEntry = field(factory=LastEntry)
    _expected: int = 0

    def expected(self, trade: BookedTrade) -> int:
        """Return the number that the next trade must have; a correction keeps its own."""
        self.last.add(trade)
        if trade.corrects_id is not None:
            return trade.sequence
        self._expected += 1
        while self._expected in self.taken:
            self._expected += 1
        return self._expected


def _shown(value: object) -> str:
    return plain(value) if isinstance(value, Decimal) else str(value)
