"""A clock that is or was wrong: times far in the future are refused, and what has them can be repaired."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from attrs import evolve

from tests.contract.test_clock import call
from tests.support.backends import BACKENDS, each_backend, new_book, within
from tests.support.servers import configured
from tradebook import (
    AgentAction,
    AgentDecision,
    Alert,
    CashFlow,
    Event,
    InvalidInput,
    InvalidTransition,
    Portfolio,
    Position,
    Signal,
    Trade,
    handlers,
)

WRONG = datetime(2926, 1, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
BUY: dict[str, Any] = {"action": "BUY", "quantity": 1, "price": 10}


def bought(book: Any, symbol: str, **terms: Any) -> Any:
    return book.record_trade(symbol=symbol, **BUY, **terms)


DATED: dict[str, Callable[[Any, datetime], object]] = {
    "a trade on the ordinary path": lambda book, at: bought(book, "NEW", executed_at=at),
    "a trade on the fast path": lambda book, at: bought(book, "X", executed_at=at),
    "an order": lambda book, at: bought(book, "X", executed_at=at, status="PENDING"),
    "a batch": lambda book, at: book.record_trades([{"symbol": "X", **BUY, "executed_at": at}]),
    "an import": lambda book, at: book.import_trades(
        [{"symbol": "X", **BUY}, {"symbol": "X", **BUY, "executed_at": at}]
    ),
    "an execution": lambda book, at: book.execute_trade(order_id="pending", executed_at=at),
    "a correction": lambda book, at: book.correct_trade(order_id="1", executed_at=at, reason="r"),
    "a mark": lambda book, at: book.mark_prices({"X": 1}, at=at),
    "a mark of one": lambda book, at: book.update_position(
        "X", {"current_price": 1, "marked_at": at}
    ),
    "a cash flow": lambda book, at: book.record_cash_flow("DEPOSIT", 1, occurred_at=at),
    "a signal": lambda book, at: book.record_signal("X", "BUY", generated_at=at),
    "a decision": lambda book, at: book.record_decision("a", "X", "BUY", decided_at=at),
    "an action": lambda book, at: book.record_action("a", "think", started_at=at),
    "an alert": lambda book, at: book.raise_alert("a", "INFO", timestamp=at),
    "a created trade": lambda book, at: book.create(
        Trade(symbol="X", **BUY, order_id="c", executed_at=at)
    ),
    "a created mark": lambda book, at: book.create(
        Position(symbol="Z", current_price=1, marked_at=at)
    ),
    "a created cash flow": lambda book, at: book.create(
        CashFlow(kind="DEPOSIT", amount=1, reference="c", occurred_at=at)
    ),
    "a created snapshot": lambda book, at: book.create(
        Portfolio(total_value=1, cash_balance=1, timestamp=at)
    ),
    "a created signal": lambda book, at: book.create(
        Signal(symbol="X", action="BUY", generated_at=at)
    ),
    "a created decision": lambda book, at: book.create(
        AgentDecision(agent="a", symbol="X", action="BUY", decided_at=at)
    ),
    "a created action": lambda book, at: book.create(
        AgentAction(agent="a", action_type="think", started_at=at)
    ),
    "a created alert": lambda book, at: book.create(
        Alert(alert_type="a", severity="INFO", timestamp=at)
    ),
}


def seen(book: Any) -> object:
    position = book.get_position_by_symbol("X")
    return len([*book.iterate(Event)]), position.quantity, position.current_price


def test_a_time_in_the_future_is_refused_by_name_and_one_of_today_is_not(book: Any) -> None:
    for place in range(2):
        bought(book, "X", order_id=str(place))
    bought(book, "X", order_id="pending", status="PENDING")
    for what, record in DATED.items():
        before, now = seen(book), datetime.now(UTC)
        for at in (now + 1.01 * DAY, datetime.max.replace(tzinfo=UTC)):
            with pytest.raises(InvalidInput, match="a day after this machine's clock") as refused:
                record(book, at)
            assert refused.value.field, what
            assert seen(book) == before, what
        record(book, now + 0.9 * DAY)
    assert book.verify().proven


def test_a_machine_whose_clock_stands_still_in_1970_is_told_to_set_it(book: Any) -> None:
    with pytest.raises(InvalidInput, match=r"clock, which says 1970-.*set the clock"):
        call(
            book,
            datetime(1970, 1, 1, tzinfo=UTC),
            handlers.record_trade,
            symbol="X",
            executed_at=datetime.now(UTC),
            **BUY,
        )


@pytest.fixture
def wrong(book: Any) -> Any:
    """A book on which the clock was 900 years ahead for a while, and that was used since."""
    bought(book, "X", order_id="first")
    bought(book, "FLAT", order_id="untouched")
    call(book, WRONG, handlers.record_trade, symbol="X", order_id="second", **BUY)
    call(book, WRONG, handlers.mark_prices, {"X": 99})
    call(book, WRONG, handlers.take_snapshot)
    bought(book, "X", order_id="third")
    book.bust_trade(order_id="first", reason="r")
    return book


def held(book: Any, at: datetime) -> dict[str, Decimal]:
    return {position.symbol: position.quantity for position in book.positions_as_of(at)}


def test_a_book_that_a_wrong_clock_dated_is_repaired_with_events(wrong: Any) -> None:
    assert held(wrong, datetime.now(UTC)) == {"FLAT": 1, "X": 1}
    before = datetime.now(UTC)
    rebuilt = wrong.rebuild(times=True)
    assert (rebuilt.positions, rebuilt.snapshots, rebuilt.restated) == (("X",), 1, 0)
    assert wrong.verify().proven
    assert wrong.check_seals().sound
    assert held(wrong, datetime.now(UTC)) == {"FLAT": 1, "X": 2}
    position = wrong.get_position_by_symbol("X")
    assert before <= position.updated_at == position.marked_at <= datetime.now(UTC)
    assert before <= wrong.get_latest_portfolio().timestamp <= datetime.now(UTC)
    [event] = wrong.get_events(event_type="PositionRebuilt")
    assert event.payload["before"] == dict.fromkeys(("updated_at", "marked_at"), WRONG.isoformat())
    [event] = wrong.get_events(event_type="RecordUpdated")
    assert event.payload["changes"]["timestamp"][0] == WRONG.isoformat()
    assert wrong.rebuild(times=True).positions == ()

    # From here on the clock's own times count again.
    trade = bought(wrong, "X", order_id="fourth")
    assert before <= trade.booked_at <= datetime.now(UTC)
    assert [p.current_price for p in wrong.mark_prices({"X": 11})] == [11]
    snapshot = wrong.take_snapshot()
    assert before <= snapshot.timestamp <= datetime.now(UTC)
    assert held(wrong, trade.booked_at) == {"FLAT": 1, "X": 3}
    assert held(wrong, before) == {"FLAT": 1, "X": 1}
    assert wrong.portfolio_as_of(snapshot.timestamp).portfolio.total_value == snapshot.total_value
    assert wrong.verify().proven


def test_times_are_repaired_on_request_only(wrong: Any) -> None:
    assert wrong.rebuild().positions == ()
    assert wrong.get_position_by_symbol("X").updated_at == WRONG


def test_a_snapshot_is_refused_rather_than_dated_by_a_wrong_clock(wrong: Any) -> None:
    with pytest.raises(InvalidTransition, match=r"2926-01-01.*tradebook rebuild --times"):
        wrong.take_snapshot()
    assert wrong.rebuild("X", times=True).snapshots == 0
    with pytest.raises(InvalidTransition, match="2926-01-01"):
        wrong.take_snapshot()


def test_snapshots_dated_after_one_of_a_wrong_clock_get_their_own_times_back(book: Any) -> None:
    """Date records as an earlier version did: each by the one before it."""
    bought(book, "X")
    taken = [book.take_snapshot().id for _ in range(2)]
    with book.unit_of_work() as uow:
        within(uow, _redate, taken)
        uow.commit()
    assert book.rebuild(times=True).snapshots == 2
    times = [each.timestamp for each in book.iterate(Portfolio)]
    assert times == [event.occurred_at for event in book.get_events(event_type="SnapshotTaken")]


def _redate(uow: Any, ids: list[int]) -> None:
    for portfolio in uow.portfolios.found(ids):
        portfolio.set_unchecked(timestamp=WRONG)
        uow.portfolios.write(portfolio, ("timestamp",))


def bounded(backend: str, seconds: int, request: pytest.FixtureRequest) -> Any:
    """A book of a backend with a bound of its own on times ahead."""
    kind, fixture = BACKENDS[backend]
    if fixture is None:
        return new_book(kind, max_seconds_ahead=seconds)
    config = configured(request.getfixturevalue(fixture))
    return new_book(kind, evolve(config, max_seconds_ahead=seconds), account=uuid4().hex)


@pytest.mark.parametrize("backend", each_backend())
@pytest.mark.parametrize(("seconds", "said"), [(60, "60 seconds"), (7 * 86_400, "604,800 seconds")])
def test_the_bound_is_a_setting_on_every_path(
    backend: str, seconds: int, said: str, request: pytest.FixtureRequest
) -> None:
    with bounded(backend, seconds, request) as book:
        for place in range(2):
            bought(book, "X", order_id=str(place))
        bought(book, "X", order_id="pending", status="PENDING")
        refusal = rf"more than {said} after.*TRADEBOOK_MAX_SECONDS_AHEAD"
        for what, record in DATED.items():
            before, now = seen(book), datetime.now(UTC)
            with pytest.raises(InvalidInput, match=refusal):
                record(book, now + timedelta(seconds=seconds + 30))
            assert seen(book) == before, what
            record(book, now + timedelta(seconds=0.9 * seconds))
        assert book.verify().proven
        assert book.rebuild().positions == ()


@pytest.mark.parametrize("backend", each_backend(("fake", "sqlite-file", "postgresql-async")))
def test_a_wrong_bound_is_refused_by_name(backend: str, request: pytest.FixtureRequest) -> None:
    for wrong in (-1, 10**12, True, "60"):
        with pytest.raises(InvalidInput, match="max_seconds_ahead"):
            bounded(backend, wrong, request)  # type: ignore[arg-type]
