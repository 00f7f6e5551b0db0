"""The demo as a user runs it, on SQLite: its facts, its proof, and what a second run changes."""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from rich.console import Console
from sqlalchemy import URL

from tradebook.demo import run_demo
from tradebook.demo.prices import SOURCE, trading_days
from tradebook.demo.results import Results, read_results
from tradebook.demo.simulation import CAPITAL, DEPOSIT, simulate
from tradebook.domain.agents import DecisionStatus
from tradebook.domain.errors import InvalidInput, TradebookError
from tradebook.entrypoints.manager import DatabaseManager

FIRST_YEAR = trading_days()[:252]
_Year: TypeAlias = tuple[list[tuple[object, ...]], dict[str, int]]


def no_progress(_done: int, _total: int) -> None:
    """Nobody is watching."""


def url(path: Path) -> str:
    return f"sqlite:///{path}"


def output_of(database: Path, *, as_json: bool = False, encoding: str = "utf-8") -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, errors="strict")
    run_demo(url(database), Console(file=file, width=80, highlight=False), as_json)
    file.flush()
    return raw.getvalue().decode(encoding)


def counts(manager: DatabaseManager) -> dict[str, int]:
    with manager.unit_of_work(read_only=True) as uow:
        return {
            "trades": uow.trades.count_booked(),
            "signals": uow.signals.count(),
            "decisions": uow.decisions.count(),
            "alerts": uow.alerts.count(),
            "metrics": uow.metrics.count(),
            "snapshots": uow.portfolios.count(),
            "cash flows": uow.cash_flows.count(),
            "events": uow.events.count(),
        }


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The database of a whole run, and its report."""
    database = tmp_path_factory.mktemp("demo") / "demo.db"
    return database, output_of(database)


@pytest.fixture(scope="module")
def report(first_run: tuple[Path, str]) -> str:
    return first_run[1]


@pytest.fixture(scope="module")
def book(first_run: tuple[Path, str]) -> Iterator[DatabaseManager]:
    with DatabaseManager(url(first_run[0])) as manager:
        yield manager


@pytest.fixture(scope="module")
def results(book: DatabaseManager) -> Results:
    return book.read(read_results)


@pytest.fixture(scope="module")
def facts(first_run: tuple[Path, str], book: DatabaseManager) -> dict[str, Any]:
    before = counts(book)
    document: dict[str, Any] = json.loads(output_of(first_run[0], as_json=True))
    assert counts(book) == before, "a second run recorded something"
    return document


def test_the_book_is_proven(report: str, results: Results) -> None:
    verification = results.verification
    assert verification.proven
    assert verification.trades > 100
    proven = f"({verification.trades} trades, {verification.positions} positions)"
    assert f"\nverify: the book is proven {proven}\n" in report


def test_the_agents_pnl_adds_up_to_the_books_to_the_last_digit(
    report: str, results: Results
) -> None:
    snapshot = results.history[-1]
    rows, total = results.agents.rows, results.total
    assert {(row.group, row.kind) for row in rows} == {
        ("momentum", "agent"),
        ("reversion", "agent"),
    }
    assert all(row.trades and row.net_pnl for row in rows)
    assert total.groups.net_pnl == results.book_pnl == snapshot.total_value - CAPITAL
    assert (results.agents.ties, total.difference) == (True, 0)
    assert "the agents' P&L adds up to the book's: yes, difference 0;\n" in report
    assert f"{total.moved:,.2f} moved from unrealized to realized" in report


def test_the_report_says_what_the_account_is_worth(report: str, results: Results) -> None:
    snapshot = results.history[-1]
    assert results.portfolio.total_value == snapshot.total_value
    for amount in (snapshot.cash_balance, snapshot.positions_value, snapshot.total_value):
        assert f"{amount:,.2f}" in report
    for symbol in ("AAPL", "FB", "GOOG", "IBM", "MSFT"):
        assert f"\n{symbol} " in report


def test_the_report_draws_the_equity_curve_and_names_the_source(report: str) -> None:
    assert "Equity curve" in report
    assert any("\u2801" <= character <= "\u28ff" for character in report)
    assert " ".join(SOURCE.split()) in " ".join(report.split())


def test_the_report_says_how_to_explore_the_database(
    report: str, first_run: tuple[Path, str]
) -> None:
    for command in ("positions", "trades", "portfolio", "alerts", "verify"):
        assert f"tradebook {command} --database {url(first_run[0])}" in report


def test_the_report_fits_a_terminal_of_80_columns(report: str) -> None:
    lines = [line for line in report.splitlines() if "--database" not in line]
    assert max(map(len, lines)) <= 80


def test_there_is_a_snapshot_of_every_close(results: Results) -> None:
    closes = [day.closes_at for day in trading_days()]
    assert [portfolio.timestamp for portfolio in results.history] == closes


def test_the_account_never_owes_cash(results: Results) -> None:
    assert min(portfolio.cash_balance for portfolio in results.history) >= 0


def test_every_trade_follows_from_a_decision_and_its_signal(book: DatabaseManager) -> None:
    closes = {day.closes_at: day.closes for day in trading_days()}
    with book.unit_of_work(read_only=True) as uow:
        decided = set()
        for trade in uow.trades.iterate():
            assert trade.decision_id is not None
            decision = uow.decisions.with_signals.get(trade.decision_id)
            decided.add(decision.id)
            assert decision.status is DecisionStatus.EXECUTED
            assert decision.agent == trade.strategy
            (signal,) = decision.signals
            assert (signal.symbol, signal.action.value) == (trade.symbol, trade.action.value)
            assert signal.generated_at < decision.decided_at == trade.executed_at
            assert trade.price == closes[trade.executed_at][trade.symbol]
            assert trade.fee == max(Decimal(1), trade.quantity * Decimal("0.005"))
        others = [d for d in uow.decisions.iterate() if d.id not in decided]
    assert others
    assert {decision.status for decision in others} == {DecisionStatus.REJECTED}


def test_broken_drawdown_limits_left_alerts_and_recoveries_resolved_them(
    report: str, book: DatabaseManager, results: Results
) -> None:
    (alert,) = results.open_alerts
    assert f"{alert.severity} {alert.timestamp:%Y-%m-%d} Total value" in report
    resolved = book.get_alerts(resolved=True)
    assert {a.severity for a in resolved} == {"WARNING", "CRITICAL"}
    assert all(a.resolved_at and a.resolved_at > a.timestamp for a in resolved)


def test_metrics_are_recorded_with_their_conventions(
    book: DatabaseManager, results: Results
) -> None:
    metrics = {metric.name: metric for metric in book.get_metrics()}
    assert metrics["total_return"].value == results.total_return
    assert metrics["max_drawdown"].value == results.max_drawdown
    assert metrics["sharpe_ratio"].value == results.sharpe_ratio
    assert metrics["sharpe_ratio"].parameters["periods_per_year"] == 252


def test_json_has_the_same_facts_exactly(facts: dict[str, Any], results: Results) -> None:
    assert Decimal(facts["total_value"]) == results.portfolio.total_value
    assert Decimal(facts["cash"]) + Decimal(facts["positions_value"]) == results.values[-1]
    assert sum(Decimal(p["net_pnl"]) for p in facts["positions"]) == results.book_pnl
    assert sum(Decimal(a["net_pnl"]) for a in facts["pnl_by_agent"]) == results.book_pnl
    assert facts["agents_add_up"] is True
    assert facts["verify"] == {
        "proven": True,
        "trades": results.verification.trades,
        "positions": 5,
        "differences": 0,
    }
    assert len(facts["equity_curve"]) == facts["snapshots"] == 795


def test_a_second_run_adds_nothing_and_says_so(
    first_run: tuple[Path, str], book: DatabaseManager, facts: dict[str, Any]
) -> None:
    before = counts(book)
    second = output_of(first_run[0])
    assert counts(book) == before
    assert facts["run"]["days"] == 0
    assert "nothing was traded again" in " ".join(second.split())
    assert second.partition("Positions")[2] == first_run[1].partition("Positions")[2]


def test_a_terminal_without_unicode_gets_a_report_too(first_run: tuple[Path, str]) -> None:
    assert "the book is proven" in output_of(first_run[0], encoding="ascii")


@pytest.fixture(scope="module")
def first_year(tmp_path_factory: pytest.TempPathFactory) -> _Year:
    """The book of a year that was simulated at once, and how many records it has."""
    with DatabaseManager(url(tmp_path_factory.mktemp("year") / "straight.db")) as straight:
        assert simulate(straight, FIRST_YEAR, no_progress) == 252
        return _book_of(straight), counts(straight)


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(
    first_year: _Year, tmp_path: Path
) -> None:
    expected, left = first_year
    with DatabaseManager(url(tmp_path / "interrupted.db")) as interrupted:
        for stop in (192, 232):  # an alert is open on both days, and about to be resolved
            with pytest.raises(KeyboardInterrupt):
                simulate(interrupted, FIRST_YEAR, _interrupt_after(stop))
        assert simulate(interrupted, FIRST_YEAR, no_progress) == 252 - 232
        assert _book_of(interrupted) == expected
        assert counts(interrupted) == left
        assert interrupted.verify().proven


@pytest.mark.full
def test_postgresql_holds_the_same_book_to_the_last_digit(
    first_year: _Year, own_postgresql_book: URL
) -> None:
    with DatabaseManager(own_postgresql_book) as server:
        simulate(server, FIRST_YEAR, no_progress)
        assert _book_of(server) == first_year[0]
        assert server.read(read_results).agents.ties


def test_a_book_that_is_not_the_demos_is_left_alone(tmp_path: Path) -> None:
    database = tmp_path / "mine.db"
    with DatabaseManager(url(database)) as mine:
        mine.record_trade(symbol="AAPL", action="BUY", quantity=1, price=1)
        before = counts(mine)
        with pytest.raises(InvalidInput, match="another database"):
            output_of(database)
        assert counts(mine) == before


def test_a_book_that_is_not_proven_fails_the_demo(
    first_run: tuple[Path, str], book: DatabaseManager, tmp_path: Path
) -> None:
    book.close()
    tampered = tmp_path / "tampered.db"
    shutil.copy(first_run[0], tampered)
    with sqlite3.connect(tampered) as connection:
        connection.execute("UPDATE positions SET realized_pnl = '1' WHERE symbol = 'AAPL'")
    connection.close()
    with pytest.raises(TradebookError, match="NOT proven"):
        output_of(tampered)


def test_the_deposit_is_what_the_account_started_with(book: DatabaseManager) -> None:
    (deposit,) = book.get_cash_flows()
    assert (deposit.reference, deposit.amount) == (DEPOSIT, CAPITAL)
    assert deposit.occurred_at == trading_days()[0].opens_at


def _interrupt_after(days: int) -> Callable[[int, int], None]:
    def progress(done: int, _total: int) -> None:
        if done == days:
            raise KeyboardInterrupt

    return progress


def _book_of(manager: DatabaseManager) -> list[tuple[object, ...]]:
    with manager.unit_of_work(read_only=True) as uow:
        trades = list(uow.trades.iterate())
        values = list(uow.portfolios.iterate())
        alerts = list(uow.alerts.iterate())
    return [
        *((t.order_id, t.action, t.quantity, t.price, t.realized_pnl) for t in trades),
        *((p.timestamp, p.total_value, p.cash_balance) for p in values),
        *((a.dedup_key, a.timestamp, a.message, a.resolved_at) for a in alerts),
    ]
