"""The demo's limits, on a book in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from tradebook.demo import simulation
from tradebook.demo.agents import Agent, Momentum, Opinion, Reversion
from tradebook.demo.prices import trading_days
from tradebook.demo.risk import LIMITS, DrawdownWatch, objection
from tradebook.domain.alerts import Alert
from tradebook.domain.signals import SignalAction
from tradebook.entrypoints.manager import DatabaseManager
from tradebook.service_layer.call_context import CallContext

WARNING, CRITICAL = LIMITS
TOTAL = Decimal(1000)
PEAK = Decimal(1000)


@pytest.fixture
def book() -> Iterator[DatabaseManager]:
    """An account with 400 in cash and X worth 200."""
    with DatabaseManager("sqlite://") as manager:
        manager.record_cash_flow("DEPOSIT", 600)
        manager.record_trade(symbol="X", action="BUY", quantity=20, price=10)
        yield manager


@pytest.mark.parametrize(
    ("symbol", "cost", "reason"),
    [
        ("Y", "350", None),
        ("Y", "350.01", "Y would be 35% of the account, the limit is 35%"),
        ("Y", "400.01", "it would cost 400.01 and the cash is 400.00"),
        ("X", "150", None),
        ("X", "160", "X would be 36% of the account, the limit is 35%"),
    ],
)
def test_a_purchase_needs_the_cash_and_must_not_be_too_much_of_the_account(
    book: DatabaseManager, symbol: str, cost: str, reason: str | None
) -> None:
    assert book.read(objection, symbol, Decimal(cost), TOTAL) == reason


def seen(book: DatabaseManager, watch: DrawdownWatch, *values: str) -> None:
    for value in values:
        with book.unit_of_work(context=CallContext(at=datetime.now(UTC))) as uow:
            watch.check(uow, Decimal(value))
            uow.commit()


def unresolved(book: DatabaseManager) -> list[Alert]:
    return book.get_unresolved_alerts()


def test_a_limit_breaks_when_it_is_exceeded_and_raises_one_alert(book: DatabaseManager) -> None:
    watch = DrawdownWatch([PEAK], {})
    seen(book, watch, "960")
    assert unresolved(book) == []
    seen(book, watch, "959.99", "950", "959")
    (alert,) = unresolved(book)
    assert (alert.dedup_key, alert.severity.value) == (WARNING.key, "WARNING")
    assert "959.99 is 4.00% below its peak of 1,000.00" in alert.message


def test_a_deep_fall_breaks_both_limits(book: DatabaseManager) -> None:
    seen(book, DrawdownWatch([PEAK], {}), "900")
    assert {alert.dedup_key for alert in unresolved(book)} == {WARNING.key, CRITICAL.key}


def test_an_alert_is_resolved_when_half_of_the_fall_is_regained(book: DatabaseManager) -> None:
    watch = DrawdownWatch([PEAK], {})
    seen(book, watch, "950", "970", "980")
    assert len(unresolved(book)) == 1
    seen(book, watch, "980.01")
    assert unresolved(book) == []
    (alert,) = book.get_alerts()
    assert alert.resolution == "Recovered: the drawdown is down to 2.00%."


def test_a_new_peak_moves_the_limits(book: DatabaseManager) -> None:
    seen(book, DrawdownWatch([PEAK], {}), "1100", "1050")
    assert len(unresolved(book)) == 1


def test_a_watch_that_goes_on_resolves_what_was_raised_before(book: DatabaseManager) -> None:
    seen(book, DrawdownWatch([PEAK], {}), "950")
    (alert,) = unresolved(book)
    seen(book, DrawdownWatch([PEAK, Decimal(950)], {WARNING.key: alert.id}), "990")
    assert unresolved(book) == []


def says(agent: Agent, action: SignalAction, symbol: str) -> Opinion:
    return Opinion(
        symbol=symbol,
        action=action,
        price=Decimal(1),
        strength=Decimal(1),
        confidence=Decimal(1),
        reasoning=f"{agent.name} was told so",
        inputs={},
    )


class Buyer(Momentum):
    """Speaks first, and wants a stock once the other one holds its own."""

    stake = Decimal("0.34")

    def opinions(self, held: Collection[str]) -> list[Opinion]:
        if not self._seen or "MSFT" in held:
            return []
        return [says(self, SignalAction.BUY, "MSFT")] if len(self._seen["IBM"]) == 2 else []


class Seller(Reversion):
    """Buys three stocks on the second day, and sells one on the third."""

    stake = Decimal("0.33")

    def opinions(self, held: Collection[str]) -> list[Opinion]:
        if not self._seen:
            return []
        if held:
            return [says(self, SignalAction.SELL, "AAPL")]
        return [says(self, SignalAction.BUY, symbol) for symbol in ("AAPL", "GOOG", "IBM")]


def test_what_is_sold_pays_for_what_is_bought_on_the_same_day(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(simulation, "Momentum", Buyer)
    monkeypatch.setattr(simulation, "Reversion", Seller)
    with DatabaseManager("sqlite://") as manager:
        simulation.simulate(manager, trading_days()[:3], lambda _done, _total: None)
        held = {position.symbol for position in manager.get_open_positions()}
    assert held == {"GOOG", "IBM", "MSFT"}
