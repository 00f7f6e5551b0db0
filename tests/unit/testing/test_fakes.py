"""A fake that lies is worse than none: what the book in memory promises."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from attrs import evolve

from tradebook import (
    AgentAction,
    Alert,
    CallContext,
    CashFlow,
    ConcurrentUpdate,
    ConstraintViolated,
    DatabaseFailure,
    InvalidInput,
    InvalidTransition,
    NotFound,
    Portfolio,
    Signal,
    Trade,
    handlers,
)
from tradebook.domain.events import TradeCancelled
from tradebook.domain.orders import become_fill
from tradebook.domain.portfolio import position_row
from tradebook.service_layer.ports.ledger import OpenPosition
from tradebook.testing import FakeBook, FakeStore, FakeUnitOfWork

NOW = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
BUY: Any = {"symbol": "X", "action": "BUY", "quantity": 1, "price": 10}


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


def committed(store: FakeStore, handler: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    with FakeUnitOfWork(store) as uow:
        result = handler(uow, *args, **kwargs)
        uow.commit()
    return result


def alert(**terms: Any) -> Alert:
    return Alert(**{"alert_type": "drawdown", "severity": "INFO", **terms})


# What is committed stays, and nothing else.


def test_commits(store: FakeStore) -> None:
    committed(store, handlers.raise_alert, "a", "INFO")

    with FakeUnitOfWork(store) as uow:
        assert [a.alert_type for a in uow.alerts.page()] == ["a"]


@pytest.mark.filterwarnings("ignore::tradebook.UncommittedWork")
def test_rolls_back_uncommitted_work_by_default(store: FakeStore) -> None:
    with FakeUnitOfWork(store) as uow:
        handlers.record_trade(uow, **BUY)
        assert len(uow.trades.page()) == 1

    with FakeUnitOfWork(store) as uow:
        assert uow.trades.page() == []
        assert uow.positions.all() == []
        assert uow.events.in_order() == []
        assert uow.accounts.current() is None


def test_rolls_back_on_an_error(store: FakeStore) -> None:
    def crashes(uow: Any) -> None:
        uow.alerts.add(alert())
        raise RuntimeError("bot crashed")

    with pytest.raises(RuntimeError, match="bot crashed"):
        committed(store, crashes)

    with FakeUnitOfWork(store) as uow:
        assert uow.alerts.page() == []


def test_rolls_back_when_told_and_goes_on(store: FakeStore) -> None:
    with FakeUnitOfWork(store) as uow:
        uow.alerts.add(alert(alert_type="first"))
        uow.commit()
        uow.alerts.add(alert(alert_type="discarded"))
        uow.rollback()
        uow.alerts.add(alert(alert_type="second"))
        uow.commit()

    with FakeUnitOfWork(store) as uow:
        assert {a.alert_type for a in uow.alerts.page()} == {"first", "second"}


@pytest.mark.filterwarnings("ignore::tradebook.UncommittedWork")
def test_what_is_done_after_the_last_commit_is_discarded(store: FakeStore) -> None:
    with FakeUnitOfWork(store) as uow:
        raised = uow.alerts.add(alert())
        uow.commit()
        raised.resolve("too late", by="", at=NOW)

    with FakeUnitOfWork(store) as uow:
        assert not uow.alerts.get(raised.id).resolved


def test_sees_the_store_as_it_was_on_entering(store: FakeStore) -> None:
    with FakeUnitOfWork(store) as uow:
        committed(store, handlers.raise_alert, "later", "INFO")
        assert uow.alerts.page() == []

    with FakeUnitOfWork(store) as uow:
        assert len(uow.alerts.page()) == 1


def test_has_a_store_of_its_own_unless_given_one() -> None:
    with FakeUnitOfWork() as one, FakeUnitOfWork() as other:
        one.alerts.add(alert())
        one.commit()
        other.rollback()
        assert other.alerts.page() == []


@pytest.mark.filterwarnings("ignore::tradebook.UncommittedWork")
def test_ids_are_never_handed_out_again(store: FakeStore) -> None:
    with FakeUnitOfWork(store) as uow:
        discarded = uow.alerts.add(alert())
        assert discarded.id == 1

    assert committed(store, handlers.raise_alert, "a", "INFO").id == 2
    assert committed(store, handlers.record_signal, "X", "BUY").id == 1  # a table of its own


def test_an_ended_unit_of_work_cannot_be_used(store: FakeStore) -> None:
    with FakeUnitOfWork(store) as uow:
        pass

    with pytest.raises(InvalidTransition, match="this unit of work has ended"):
        uow.alerts.page()
    with pytest.raises(InvalidTransition, match="this unit of work has ended"):
        uow.commit()


def test_a_read_only_unit_of_work_refuses_to_write(store: FakeStore) -> None:
    with FakeUnitOfWork(store, read_only=True) as uow:
        assert uow.trades.page() == []
        with pytest.raises(DatabaseFailure, match="read-only"):
            uow.alerts.add(alert())


# Entities belong to their unit of work, and the store to nobody.


def test_a_record_is_one_object_inside_and_another_outside(store: FakeStore) -> None:
    with FakeUnitOfWork(store) as uow:
        raised = uow.alerts.add(alert())
        assert uow.alerts.get(raised.id) is raised
        assert uow.alerts.page() == [raised]
        uow.commit()

    with FakeUnitOfWork(store) as uow:
        loaded = uow.alerts.get(raised.id)
        assert loaded is not raised
        assert uow.alerts.get(raised.id) is loaded


def test_changing_an_entity_is_persisted_by_commit(store: FakeStore) -> None:
    raised = committed(store, handlers.raise_alert, "a", "INFO", dedup_key="k")

    with FakeUnitOfWork(store) as uow:
        uow.alerts.get(raised.id).resolve("seen", by="ann", at=NOW)
        assert uow.alerts.page(resolved=False) == []
        uow.commit()

    with FakeUnitOfWork(store) as uow:
        assert uow.alerts.get(raised.id).resolution == "seen"


def test_an_entity_stays_attached_after_a_commit(store: FakeStore) -> None:
    with FakeUnitOfWork(store) as uow:
        raised = uow.alerts.add(alert())
        uow.commit()
        raised.resolve("seen", by="ann", at=NOW)
        uow.commit()

    with FakeUnitOfWork(store) as uow:
        assert uow.alerts.get(raised.id).resolved


def test_changing_an_entity_after_the_end_changes_nothing(store: FakeStore) -> None:
    raised = committed(store, handlers.raise_alert, "a", "INFO")
    with FakeUnitOfWork(store) as uow:
        loaded = uow.alerts.get(raised.id)

    for outlived in (raised, loaded):
        outlived.alert_type = "changed"

    with FakeUnitOfWork(store) as uow:
        uow.commit()
        assert uow.alerts.get(raised.id).alert_type == "a"


def test_nested_json_is_not_shared_with_the_store(store: FakeStore) -> None:
    given = {"levels": [1]}
    trade = committed(store, handlers.record_trade, **BUY, details=given)
    trade.details["levels"].append(2)
    given["levels"].append(3)

    with FakeUnitOfWork(store) as uow:
        loaded = uow.trades.get(trade.id)
        assert loaded.details == {"levels": [1]}
        loaded.details["levels"].append(4)
        uow.commit()

    with FakeUnitOfWork(store) as uow:
        assert uow.trades.get(trade.id).details == {"levels": [1]}


@pytest.mark.filterwarnings("ignore::tradebook.UncommittedWork")
def test_entities_stay_readable_after_the_end(store: FakeStore) -> None:
    with FakeUnitOfWork(store) as uow:
        signal = handlers.record_signal(uow, "X", "BUY")
        discarded = handlers.record_decision(uow, "bot", "X", "BUY", signals=[signal.id])

    assert discarded.id == 1
    assert discarded.signals == [signal]
    assert signal.symbol == "X"


def test_a_rolled_back_entity_is_no_longer_written(store: FakeStore) -> None:
    raised = committed(store, handlers.raise_alert, "a", "INFO")

    with FakeUnitOfWork(store) as uow:
        loaded = uow.alerts.get(raised.id)
        loaded.resolve("discarded", by="", at=NOW)
        uow.rollback()
        uow.commit()
        assert not uow.alerts.get(raised.id).resolved
        assert loaded.resolved  # it keeps the values that it has


# Identity and unique keys.


@pytest.mark.parametrize(
    ("repository", "make"),
    [
        ("trades", lambda: Trade(symbol="X", action="BUY", quantity=1, price=1, order_id="o")),
        ("cash_flows", lambda: CashFlow(kind="DEPOSIT", amount=1, reference="r")),
        ("signals", lambda: Signal(symbol="X", action="BUY", reference="r")),
        ("actions", lambda: AgentAction(agent="a", action_type="t", reference="r")),
        ("alerts", lambda: alert(dedup_key="k")),
    ],
)
def test_adding_a_taken_identity_returns_its_record(
    store: FakeStore, repository: str, make: Callable[[], Any]
) -> None:
    with FakeUnitOfWork(store) as uow:
        records = getattr(uow, repository)
        first = records.add(make())
        assert first.id == 1
        assert records.add(make()) is first
        assert records.add(first) is first
        uow.commit()

    with FakeUnitOfWork(store) as uow:
        assert getattr(uow, repository).add(make()).id == 1


@pytest.mark.filterwarnings("ignore::tradebook.UncommittedWork")
def test_records_without_an_identity_are_all_different(store: FakeStore) -> None:
    with FakeUnitOfWork(store) as uow:
        assert uow.signals.add(Signal(symbol="X", action="BUY")).id == 1
        assert uow.signals.add(Signal(symbol="X", action="BUY")).id == 2


def test_a_resolved_alert_gives_up_its_key_at_once(store: FakeStore) -> None:
    with FakeUnitOfWork(store) as uow:
        first = uow.alerts.add(alert(dedup_key="k"))
        first.resolve("seen", by="", at=NOW)
        second = uow.alerts.add(alert(dedup_key="k"))
        assert second is not first
        uow.commit()

    with FakeUnitOfWork(store) as uow:
        assert uow.alerts.add(alert(dedup_key="k")).id == second.id


def test_an_alert_can_pass_its_key_on_in_one_commit(store: FakeStore) -> None:
    first = committed(store, handlers.raise_alert, "a", "INFO", dedup_key="k")

    with FakeUnitOfWork(store) as uow:
        handlers.resolve_alert(uow, first.id, "seen")
        handlers.raise_alert(uow, "b", "INFO", dedup_key="k")
        uow.commit()

    with FakeUnitOfWork(store) as uow:
        assert [a.alert_type for a in uow.alerts.page(resolved=False)] == ["b"]


@pytest.mark.filterwarnings("ignore::tradebook.UncommittedWork")
def test_a_change_that_breaks_a_unique_key_is_refused(store: FakeStore) -> None:
    with FakeUnitOfWork(store) as uow:
        for dedup_key in ("k", "l"):
            uow.alerts.add(alert(dedup_key=dedup_key))
        uow.alerts.get(2).dedup_key = "k"
        with pytest.raises(ConstraintViolated, match="Alert 2: another record"):
            uow.commit()


def test_references_must_exist_in_the_account(store: FakeStore) -> None:
    committed(store, handlers.record_decision, "bot", "X", "BUY")

    with FakeUnitOfWork(store) as uow, pytest.raises(ConstraintViolated, match="decision_id"):
        uow.actions.add(AgentAction(agent="a", action_type="t", decision_id=404))
    with (
        FakeUnitOfWork(store, account="other") as uow,
        pytest.raises(ConstraintViolated, match="decision_id"),
    ):
        uow.actions.add(AgentAction(account="other", agent="a", action_type="t", decision_id=1))


# Accounts do not see each other.


def test_accounts_are_separate(store: FakeStore) -> None:
    committed(store, handlers.record_trade, **BUY, order_id="o")
    raised = committed(store, handlers.raise_alert, "a", "INFO", dedup_key="k")

    with FakeUnitOfWork(store, account="other", base_currency="EUR") as uow:
        assert uow.trades.page() == []
        assert uow.positions.by_symbol("X") is None
        assert uow.events.in_order() == []
        assert uow.ledger.holdings().positions == ()
        assert uow.trades.count_booked() == 0
        with pytest.raises(NotFound, match="no Alert 1 in account 'other'"):
            uow.alerts.get(raised.id)
        handlers.record_trade(uow, **BUY, order_id="o")
        handlers.raise_alert(uow, "b", "INFO", dedup_key="k")
        uow.commit()

    with FakeUnitOfWork(store) as uow:
        account = uow.accounts.current()
        assert account is not None
        assert account.base_currency == "USD"
        assert [a.alert_type for a in uow.alerts.page()] == ["a"]


def test_an_entity_of_another_account_is_refused_even_where_it_is_recorded(
    store: FakeStore,
) -> None:
    with FakeUnitOfWork(store, account="other") as uow:
        uow.alerts.add(alert(account="other", dedup_key="k"))
        uow.commit()

    with FakeUnitOfWork(store) as uow, pytest.raises(ConstraintViolated, match="account 'other'"):
        uow.alerts.add(alert(account="other", dedup_key="k"))


def test_an_entity_of_another_account_is_refused(store: FakeStore) -> None:
    with FakeUnitOfWork(store) as uow, pytest.raises(ConstraintViolated, match="account 'other'"):
        uow.alerts.add(alert(account="other"))


@pytest.mark.parametrize("id_", [404, 0])
def test_get_raises_not_found(store: FakeStore, id_: int) -> None:
    with FakeUnitOfWork(store) as uow:
        for records in (uow.trades, uow.alerts, uow.signals, uow.decisions, uow.events):
            with pytest.raises(NotFound):
                records.get(id_, lock=True)
        with pytest.raises(InvalidInput):
            uow.trades.get("1")  # type: ignore[arg-type]
        with pytest.raises(NotFound, match="no Signal 404"):
            uow.signals.of_ids([404])
        with pytest.raises(NotFound):
            uow.decisions.with_signals.get(id_)


# Two units of work at the same time: the first to commit wins.


def test_the_second_to_change_a_record_is_refused_and_writes_nothing(store: FakeStore) -> None:
    raised = committed(store, handlers.raise_alert, "a", "INFO")

    with FakeUnitOfWork(store) as first, FakeUnitOfWork(store) as second:
        handlers.resolve_alert(first, raised.id, "first")
        handlers.resolve_alert(second, raised.id, "second")
        handlers.record_signal(second, "X", "BUY")
        first.commit()
        with pytest.raises(ConcurrentUpdate, match="Alert 1 was changed by another"):
            second.commit()

    with FakeUnitOfWork(store) as uow:
        assert uow.alerts.get(raised.id).resolution == "first"
        assert uow.signals.page() == []
        assert [e.event_type for e in uow.events.in_order()] == ["AlertRaised", "AlertResolved"]


def test_the_second_to_book_on_a_position_is_refused(store: FakeStore) -> None:
    committed(store, handlers.record_trade, **BUY)

    with FakeUnitOfWork(store) as first, FakeUnitOfWork(store) as second:
        for uow in (first, second):
            handlers.record_trade(uow, **BUY)
        second.commit()
        with pytest.raises(ConcurrentUpdate, match="Position 1 was changed"):
            first.commit()

    with FakeUnitOfWork(store) as uow:
        position = uow.positions.by_symbol("X")
        assert position is not None
        assert (position.quantity, position.version, uow.trades.count_booked()) == (2, 2, 2)


def test_the_first_trade_of_a_symbol_has_one_winner(store: FakeStore) -> None:
    with FakeUnitOfWork(store) as first, FakeUnitOfWork(store) as second:
        for uow in (first, second):
            handlers.record_trade(uow, **BUY)
        first.commit()
        with pytest.raises(ConcurrentUpdate, match="with this identity was first"):
            second.commit()

    with FakeUnitOfWork(store) as uow:
        assert len(uow.positions.all()) == 1


def test_a_unique_key_taken_meanwhile_is_a_conflict(store: FakeStore) -> None:
    with FakeUnitOfWork(store) as first, FakeUnitOfWork(store) as second:
        for name, uow in (("winner", first), ("loser", second)):
            handlers.raise_alert(uow, name, "INFO", dedup_key="k")
        first.commit()
        with pytest.raises(ConcurrentUpdate, match="another Alert with this identity"):
            second.commit()
        assert [a.alert_type for a in second.alerts.page()] == ["winner"]  # it began again


def test_different_symbols_do_not_conflict(store: FakeStore) -> None:
    committed(store, handlers.record_cash_flow, "DEPOSIT", 1)

    with FakeUnitOfWork(store) as first, FakeUnitOfWork(store) as second:
        handlers.record_trade(first, **BUY)
        handlers.record_trade(second, **{**BUY, "symbol": "Y"})
        first.commit()
        second.commit()

    with FakeUnitOfWork(store) as uow:
        assert [p.symbol for p in uow.positions.all()] == ["X", "Y"]


def test_reading_conflicts_with_nothing(store: FakeStore) -> None:
    raised = committed(store, handlers.raise_alert, "a", "INFO")

    with FakeUnitOfWork(store) as reader:
        reader.alerts.get(raised.id)
        committed(store, handlers.resolve_alert, raised.id, "seen")
        reader.alerts.add(alert())
        reader.commit()


def test_a_record_read_before_a_commit_is_still_checked_after_it(store: FakeStore) -> None:
    raised = committed(store, handlers.raise_alert, "a", "INFO")

    with FakeUnitOfWork(store) as uow:
        stale = uow.alerts.get(raised.id)
        committed(store, handlers.resolve_alert, raised.id, "seen")
        uow.alerts.add(alert())
        uow.commit()
        stale.resolve("seen too", by="", at=NOW)
        with pytest.raises(ConcurrentUpdate, match="was changed since it was read"):
            uow.commit()


def test_marks_never_disturb_trading(store: FakeStore) -> None:
    committed(store, handlers.record_trade, **BUY, executed_at=NOW)

    with FakeUnitOfWork(store) as trading, FakeUnitOfWork(store) as ticking:
        handlers.record_trade(trading, **BUY)
        handlers.mark_prices(ticking, {"X": 12})
        ticking.commit()
        trading.commit()

    with FakeUnitOfWork(store) as uow:
        position = uow.positions.by_symbol("X")
        assert position is not None
        assert (position.quantity, position.current_price, position.version) == (2, 12, 2)


def test_of_two_marks_the_later_stays_whoever_commits_last(store: FakeStore) -> None:
    committed(store, handlers.record_trade, **BUY, executed_at=NOW)

    with FakeUnitOfWork(store) as early, FakeUnitOfWork(store) as late:
        handlers.mark_prices(early, {"X": 11}, at=NOW.replace(hour=15))
        handlers.mark_prices(late, {"X": 12}, at=NOW.replace(hour=16))
        late.commit()
        early.commit()

    with FakeUnitOfWork(store) as uow:
        position = uow.positions.by_symbol("X")
        assert position is not None
        assert position.current_price == 12


def test_threads_lose_no_update() -> None:
    book = FakeBook()

    def trade() -> None:
        for _ in range(5):
            book.record_trade(**BUY)

    threads = [threading.Thread(target=trade) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert book.get_open_positions()[0].quantity == 20
    assert book.verify().proven


# The Ledger.


def page_with(uow: FakeUnitOfWork, **terms: Any) -> tuple[OpenPosition, Trade, Any]:
    """A page with a new trade applied to it, ready to book."""
    trade = Trade(**{**BUY, **terms})
    page = uow.ledger.open("X", {trade.order_key})
    happened = page.position.apply(trade, uow.now())
    return page, trade, uow.event(happened, trade)


def test_a_page_is_a_working_copy(store: FakeStore) -> None:
    committed(store, handlers.record_trade, **BUY)

    with FakeUnitOfWork(store) as uow:
        page, _, _ = page_with(uow)
        (marked,) = uow.ledger.marked(["X"])
        marked.mark(99, datetime(2100, 1, 1, tzinfo=UTC))
        uow.commit()
        assert page.position.quantity == 2

    with FakeUnitOfWork(store) as uow:
        position = uow.positions.by_symbol("X")
        assert position is not None
        assert (position.quantity, position.current_price) == (1, 10)


@pytest.mark.filterwarnings("ignore::tradebook.UncommittedWork")
def test_booking_gives_the_event_the_id_of_its_trade(store: FakeStore) -> None:
    with FakeUnitOfWork(store) as uow:
        page, trade, event = page_with(uow)
        assert uow.ledger.book(page, [(trade, event)])
        assert event.entity_id == trade.id == 1
        assert uow.trades.get(1) is trade
        assert uow.events.of("Trade", 1) == [event]


@pytest.mark.filterwarnings("ignore::tradebook.UncommittedWork")
def test_booking_brings_positions_handed_out_up_to_date(store: FakeStore) -> None:
    committed(store, handlers.record_trade, **BUY)

    with FakeUnitOfWork(store) as uow:
        position = uow.positions.by_symbol("X")
        assert position is not None
        handlers.record_trade(uow, **BUY)
        handlers.mark_prices(uow, {"X": 12})
        assert (position.quantity, position.current_price) == (2, 12)
        assert uow.positions.by_symbol("X") is position


@pytest.mark.filterwarnings("ignore::tradebook.UncommittedWork")
def test_a_mark_older_than_the_books_is_not_written(store: FakeStore) -> None:
    committed(store, handlers.record_trade, **BUY, executed_at=NOW)

    with FakeUnitOfWork(store) as uow:
        (stale,) = uow.ledger.marked(["X"])
        handlers.mark_prices(uow, {"X": 12}, at=NOW.replace(hour=16))
        stale.mark(11, NOW.replace(hour=15))
        uow.ledger.mark([stale])
        position = uow.positions.by_symbol("X")
        assert position is not None
        assert position.current_price == 12


@pytest.mark.filterwarnings("ignore::tradebook.UncommittedWork")
def test_booking_on_a_page_keeps_a_mark_made_meanwhile(store: FakeStore) -> None:
    committed(store, handlers.record_trade, **BUY, executed_at=NOW)

    with FakeUnitOfWork(store) as uow:
        page, trade, event = page_with(uow, executed_at=NOW)
        handlers.mark_prices(uow, {"X": 12}, at=NOW.replace(hour=16))
        assert uow.ledger.book(page, [(trade, event)])
        position = uow.positions.by_symbol("X")
        assert position is not None
        assert position.quantity == 2
        assert position.current_price == 12


@pytest.mark.filterwarnings("ignore::tradebook.UncommittedWork")
def test_a_page_that_no_longer_stands_writes_nothing(store: FakeStore) -> None:
    with FakeUnitOfWork(store) as uow:
        page, trade, event = page_with(uow)
        handlers.record_trade(uow, **BUY)
        assert not uow.ledger.book(page, [(trade, event)])
        assert trade.id is None
        assert len(uow.trades.page()) == 1


@pytest.mark.filterwarnings("ignore::tradebook.UncommittedWork")
def test_a_fill_recorded_past_the_page_is_noticed(store: FakeStore) -> None:
    with FakeUnitOfWork(store) as uow:
        page, trade, event = page_with(uow, order_id="o")
        uow.trades.add(Trade(**BUY, order_id="o"))
        assert not uow.ledger.book(page, [(trade, event)])
        assert uow.positions.all() == []


def test_a_refused_booking_gives_back_the_pending_trade(store: FakeStore) -> None:
    pending = committed(store, handlers.record_trade, **BUY, order_id="o", status="PENDING")

    with FakeUnitOfWork(store) as uow:
        page, fill, event = page_with(uow, order_id="o", price=11)
        (order,) = page.trades
        become_fill(order, fill)
        meanwhile = evolve(
            page, opened={**page.opened, "version": page.opened["version"] + 1}
        )  # another booking came in between
        assert not uow.ledger.book(meanwhile, [(order, event)])
        assert (order.id, order.status, order.price) == (pending.id, "PENDING", 10)
        uow.commit()

    with FakeUnitOfWork(store) as uow:
        assert uow.trades.get(pending.id).status == "PENDING"


def test_a_sequence_is_given_once_within_a_symbol(store: FakeStore) -> None:
    committed(store, handlers.record_trade, **BUY)
    second = Trade(**BUY)
    second.book(sequence=1, booked_at=NOW, realized_pnl=Decimal(0))

    with FakeUnitOfWork(store) as uow:
        page = uow.ledger.open("X", [])
        page.position.version += 1
        event = uow.event(TradeCancelled(order_id="o", reason="", changes={}), second)
        assert not uow.ledger.book(page, [(second, event)])


@pytest.mark.filterwarnings("ignore::tradebook.UncommittedWork")
def test_holdings_include_what_this_unit_of_work_did(store: FakeStore) -> None:
    committed(store, handlers.record_trade, **BUY)

    with FakeUnitOfWork(store) as uow:
        handlers.record_cash_flow(uow, "DEPOSIT", 5)
        holdings = uow.ledger.holdings()
        assert [p.symbol for p in holdings.positions] == ["X"]
        assert (holdings.cash[0].external, holdings.cash[0].income) == (5, 0)


@pytest.mark.filterwarnings("ignore::tradebook.UncommittedWork")
def test_a_snapshot_has_one_row_for_each_symbol(store: FakeStore) -> None:
    committed(store, handlers.record_trade, **BUY)

    with FakeUnitOfWork(store) as uow:
        position = uow.ledger.holdings().positions[0]
        rows = [position_row(position, NOW) for _ in range(2)]
        external = Portfolio(cash_balance=Decimal(1), total_value=Decimal(1))
        with pytest.raises(ConstraintViolated):
            uow.portfolios.add(external, rows)


# The facade.


def test_the_book_tells_its_own_time_and_actor() -> None:
    book = FakeBook(account="desk", base_currency="EUR", actor="ann", clock=lambda: NOW)

    trade = book.record_trade(**BUY)

    assert (trade.account, trade.currency, trade.booked_at) == ("desk", "EUR", NOW)
    with book.unit_of_work() as uow:
        assert {event.actor for event in uow.events.in_order()} == {"ann"}
    with book.unit_of_work(context=CallContext(actor="bob")) as uow:
        assert uow.context.actor == "bob"


def test_the_book_opens_and_closes_as_a_manager_does() -> None:
    with FakeBook() as book:
        assert book.get_positions() == []


def test_the_book_keeps_nothing_of_a_failed_call() -> None:
    book = FakeBook()

    def fails(uow: Any) -> None:
        handlers.record_trade(uow, **BUY)
        raise RuntimeError("bot crashed")

    with pytest.raises(RuntimeError):
        book.run(fails)

    assert book.get_positions() == []


def test_fakes_need_neither_hypothesis_nor_sqlalchemy() -> None:
    code = (
        "import sys, tradebook.testing; "
        "sys.exit(len({'hypothesis', 'sqlalchemy'} & sys.modules.keys()))"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
