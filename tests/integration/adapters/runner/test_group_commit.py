"""Group commit: trades recorded at the same time share a transaction, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import URL
from sqlalchemy.exc import OperationalError
from sqlalchemy.util import greenlet_spawn

import tradebook
from tests.integration.adapters.runner.test_fast_decisions import forget_evidence, require_sound
from tests.support import examples
from tests.support.backends import Driven, in_full_runs, run_together
from tests.support.servers import configured
from tests.support.statements import statements
from tradebook import AsyncDatabaseManager, CallContext, DatabaseManager, Event, Trade, handlers
from tradebook.adapters.ledger.position_cache import LOCK_TIMEOUT
from tradebook.adapters.runner import group_commit, trade_queue
from tradebook.adapters.runner.group_commit import GroupCommit
from tradebook.adapters.runner.trade_queue import WaitingCall
from tradebook.testing import strategies

SYMBOLS = ("X", "Y", "Z")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
Managers = Callable[..., Any]


def buy(symbol: str = "X", **terms: Any) -> dict[str, Any]:
    return {"symbol": symbol, "action": "BUY", "quantity": 1, "price": 10, **terms}


@pytest.fixture(params=["sqlite_book", "postgresql_book"])
def two(request: pytest.FixtureRequest, new_manager: Managers, account: str) -> tuple[Any, Any]:
    """Two managers of one account, as in two processes; the first keeps the positions in X, Y and Z."""
    url = request.getfixturevalue(request.param)
    managers = new_manager(url, account), new_manager(url, account)
    for symbol in SYMBOLS:
        managers[0].record_trade(**buy(symbol))
    return managers


def group_of(manager: Any) -> Any:
    """Return the queue of a manager's group commit."""
    return manager._container.group_commit()


def write_together(
    manager: Any, trades: Sequence[dict[str, Any]], contexts: Sequence[CallContext] = ()
) -> list[WaitingCall]:
    """Write trades in one transaction; return the calls with their answers."""
    group: GroupCommit = group_of(manager)
    contexts = contexts or [CallContext(token=uuid4().hex) for _ in trades]
    calls = [
        group.new_call((), terms, context, lambda: None)
        for terms, context in zip(trades, contexts, strict=True)
    ]
    assert None not in calls
    group.queue.waiting.extend(call for call in calls if call is not None)
    write_some(manager)
    return [call for call in calls if call is not None]


def write_some(manager: Any) -> None:
    """Write what waits, as the thread or the task of a manager does."""
    queue = group_of(manager).queue
    if isinstance(manager, Driven):
        manager._await(greenlet_spawn(queue.write_some))
    else:
        queue.write_some()


def answered(calls: Sequence[WaitingCall]) -> list[bool]:
    assert [call.error for call in calls] == [None] * len(calls)
    return [call.trade_id is not None for call in calls]


# What is written together


def test_a_group_is_one_transaction_and_on_postgresql_one_statement(two: tuple[Any, Any]) -> None:
    manager = two[0]
    trades = [buy(symbol, order_id=f"{symbol}-{n}") for n in range(2) for symbol in SYMBOLS]
    write_together(manager, [buy("X"), buy("Y")])  # psycopg2 prepares the statement
    with statements() as sent:
        assert answered(write_together(manager, trades)) == [True] * 6
    if manager.config.backend == "postgresql":
        assert len(sent) == 1
    else:
        assert sent[0] == "BEGIN IMMEDIATE"
        assert {statement.split()[0] for statement in sent[1:]} == {"INSERT", "UPDATE"}
    assert [p.quantity for p in manager.get_positions()] == [4, 4, 3]
    require_sound(manager)


def test_each_event_says_whose_call_it_was_and_when(two: tuple[Any, Any]) -> None:
    manager = two[0]
    contexts = [CallContext(actor=name, correlation_id=f"r-{name}") for name in ("ann", "ben")]
    calls = write_together(manager, [buy("X"), buy("X")], contexts)
    for call, context in zip(calls, contexts, strict=True):
        [event] = manager.get_events(entity="Trade", entity_id=call.trade_id)
        assert (event.actor, event.correlation_id) == (context.actor, context.correlation_id)
        assert event.occurred_at == context.at == manager.get(Trade, call.trade_id).created_at


@pytest.mark.parametrize("backend", ["sqlite_book", in_full_runs("postgresql_book")])
def test_a_group_leaves_the_book_that_the_same_trades_one_by_one_leave(
    request: pytest.FixtureRequest, backend: str
) -> None:
    url = request.getfixturevalue(backend)

    instruments = [
        strategies.fills(symbol, foreign_fees=True, min_size=2, max_size=5) for symbol in SYMBOLS
    ]

    @examples.law(8)
    @given(st.tuples(*instruments), st.randoms(use_true_random=False))
    def law(fills: tuple[list[Any], ...], chance: Any) -> None:
        first = [of_symbol[0] for of_symbol in fills]
        rest = [of_symbol[1:] for of_symbol in fills]
        queues = [queue for queue in rest for _ in queue]
        chance.shuffle(queues)
        trades = [queue.pop(0) for queue in queues]
        assert seen(first, trades, together=True) == seen(first, trades, together=False)

    def seen(first: list[Any], trades: list[Any], *, together: bool) -> list[Any]:
        contexts = [CallContext(at=NOON + timedelta(seconds=n)) for n in range(99)]
        with DatabaseManager(url, uuid4().hex) as manager:
            one_by_one(manager, first, contexts)
            if together:
                assert all(answered(write_together(manager, trades, contexts[: len(trades)])))
            else:
                one_by_one(manager, trades, contexts)
            require_sound(manager)
            return everything(manager)

    law()


def one_by_one(manager: DatabaseManager, trades: list[Any], contexts: list[CallContext]) -> None:
    for terms, context in zip(trades, contexts, strict=False):
        with manager.unit_of_work(context=context) as uow:
            handlers.record_trade(uow, **terms)
            uow.commit()


def everything(manager: DatabaseManager) -> list[Any]:
    """Return all that a book holds, but for its own name and the ids."""
    hidden = ("id", "account", "entity_id")
    rows = [*manager.iterate(Trade), *manager.iterate(Event), *manager.iterate(tradebook.Position)]
    return sorted(
        repr(
            [
                (n, in_order(v))
                for n, v in sorted(vars(row).items())
                if n not in hidden and n[0] != "_"
            ]
        )
        for row in rows
    )


def in_order(value: Any) -> Any:
    return sorted(value.items()) if isinstance(value, dict) else value


# What cannot be written together harms no other


def test_a_fill_that_is_recorded_is_recognised_and_the_others_are_written(
    two: tuple[Any, Any],
) -> None:
    manager = two[0]
    manager.record_trade(**buy("X", order_id="again"))
    calls = write_together(manager, [buy("X", order_id="again"), buy("Y"), buy("Z")])
    assert answered(calls) == [False, True, True]
    assert [p.quantity for p in manager.get_positions()] == [2, 2, 2]
    require_sound(manager)


def test_the_same_fill_twice_is_booked_once(two: tuple[Any, Any]) -> None:
    manager = two[0]
    calls = write_together(manager, [buy("X", order_id="o"), buy("X", order_id="o"), buy("X")])
    assert answered(calls) == [True, False, True]
    assert manager.get_position_by_symbol("X").quantity == 3
    require_sound(manager)


@pytest.mark.parametrize(
    "refused",
    [
        {"currency": "EUR"},
        {"executed_at": "2999-01-01"},
        {"decision_id": 10**9},
        {"symbol": "never traded"},
    ],
)
def test_a_refused_trade_is_left_to_its_own_call(
    two: tuple[Any, Any], refused: dict[str, Any]
) -> None:
    manager = two[0]
    calls = write_together(manager, [buy("Y"), buy(**{"symbol": "X", **refused}), buy("Z")])
    assert answered(calls) == [True, False, True]
    assert [p.quantity for p in manager.get_positions()] == [1, 2, 2]
    require_sound(manager)


def test_the_fill_of_an_order_is_left_to_its_own_call(two: tuple[Any, Any]) -> None:
    manager = two[0]
    manager.record_trade(**buy("X", order_id="o", quantity=3, status="PENDING"))
    fill = buy("X", order_id="o", execution_id="e-1")
    assert answered(write_together(manager, [fill, buy("Y")])) == [False, True]
    manager.record_trade(**fill)
    assert manager.get_order("o").remaining == 2
    require_sound(manager)


def test_a_position_that_another_process_moved_is_left_alone(two: tuple[Any, Any]) -> None:
    mine, others = two
    others.record_trade(**buy("X"))
    assert answered(write_together(mine, [buy("X"), buy("X"), buy("Y")])) == [False, False, True]
    assert [p.quantity for p in mine.get_positions()] == [2, 2, 1]
    mine.record_trade(**buy("X"))
    assert answered(write_together(mine, [buy("X"), buy("Y")])) == [True, True]
    require_sound(mine)


def test_a_mark_made_since_stays_where_it_is_newer(two: tuple[Any, Any]) -> None:
    mine, others = two
    others.mark_prices({"X": 99}, at="2026-06-01")
    others.mark_prices({"Y": 98})
    trades = [buy(symbol, executed_at="2026-01-01") for symbol in ("X", "Y")]
    assert answered(write_together(mine, trades)) == [True, True]
    assert mine.get_position_by_symbol("Y").current_price == 98
    require_sound(mine)


def test_nobody_waits_for_a_position_that_another_transaction_holds(
    new_manager: Managers, postgresql_book: URL, account: str
) -> None:
    manager = new_manager(postgresql_book, account)
    for symbol in SYMBOLS:
        manager.record_trade(**buy(symbol))
    with DatabaseManager(postgresql_book, account) as other, other.unit_of_work() as uow:
        uow.ledger.open("X", ())
        assert answered(write_together(manager, [buy("X"), buy("Y")])) == [False, True]
        uow.rollback()
    assert manager.record_trade(**buy("X")).sequence == 2
    require_sound(manager)


def test_a_symbol_whose_lock_is_taken_keeps_its_calls_in_the_queue(two: tuple[Any, Any]) -> None:
    manager = two[0]
    queue = group_of(manager).queue
    with locked_elsewhere(manager, "X"):
        calls = write_together(manager, [buy("X"), buy("Y"), buy("X")])
        assert answered(calls) == [False, True, False]
        assert [call.fill.name.symbol for call in queue.waiting] == ["X", "X"]
    write_some(manager)
    assert manager.get_position_by_symbol("X").quantity == 3
    require_sound(manager)


def test_a_call_that_waited_too_long_for_a_lock_is_let_go(two: tuple[Any, Any]) -> None:
    manager = two[0]
    with locked_elsewhere(manager, "X"):
        [call] = write_together(manager, [buy("X")])
        gone: list[bool] = []
        call.wake = lambda: gone.append(True)
        call.since -= LOCK_TIMEOUT
        write_some(manager)
        assert gone == [True]
        assert not group_of(manager).queue.waiting


@contextmanager
def locked_elsewhere(manager: Any, symbol: str) -> Iterator[None]:
    """Hold a symbol's lock as another thread, or task, does."""
    lock = manager._container.position_cache().entry(symbol).lock
    with ThreadPoolExecutor(1) as other:
        if isinstance(manager, Driven):
            manager._await(greenlet_spawn(lambda: lock.acquire(timeout=1)))
            yield
            lock._owner = None
            lock._lock.release()
        else:
            other.submit(lambda: lock.acquire(timeout=1)).result()
            yield
            other.submit(lock.release).result()


# Decisions


def test_decisions_are_executed_with_their_trades(two: tuple[Any, Any], account: str) -> None:
    manager = two[0]
    decisions = [manager.record_decision("bot", symbol, "BUY") for symbol in ("X", "Y", "Y", "Z")]
    forget_evidence(manager, account, decisions[3])
    trades = [
        buy("X", decision_id=decisions[0].id),
        buy("X", decision_id=decisions[0].id),  # after the first: its decision is executed by then
        buy("Y", decision_id=decisions[1].id),
        buy("Y", decision_id=decisions[2].id),
        buy("Z", decision_id=decisions[3].id),
    ]
    manager.decide(decisions[1].id, "APPROVED")
    manager.decide(decisions[2].id, "REJECTED")
    calls = write_together(manager, trades)
    assert answered(calls) == [True, False, True, True, False]
    found = [manager.get(tradebook.AgentDecision, decision.id).status for decision in decisions]
    assert found == ["EXECUTED", "EXECUTED", "REJECTED", "PROPOSED"]
    [event, *_] = manager.get_events(entity="AgentDecision", entity_id=decisions[1].id)
    assert event.event_type == "DecisionExecuted"
    assert event.payload["trade_id"] == calls[2].trade_id
    assert event.payload["changes"] == {"status": ["APPROVED", "EXECUTED"]}
    manager.record_trade(**trades[1])
    manager.record_trade(**trades[4])
    assert manager.verify().proven


# Failures


@pytest.mark.parametrize("committed", [True, False])
def test_a_lost_connection_loses_nothing_and_books_nothing_twice(
    two: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    manager, failed = two[0], []
    allow_alone(group_of(manager), 0)
    really = trade_queue.write_group

    def lose(sender: Any, groups: Any) -> Any:
        if failed:
            return really(sender, groups)
        failed.append(sum(map(len, groups)))
        if committed:
            really(sender, groups)
            if manager.config.backend == "sqlite":
                sender.send("COMMIT", ())
        raise OperationalError("INSERT", {}, Exception("the server closed the connection"))

    monkeypatch.setattr(trade_queue, "write_group", lose)
    calls = [buy(SYMBOLS[n % 3], order_id=f"o-{n}") for n in range(24)]
    booked = run_together(manager, handlers.record_trade, calls, workers=12)
    assert failed[0] >= 1
    assert [trade.order_id for trade in booked] == [call["order_id"] for call in calls]
    assert len({trade.id for trade in booked}) == 24
    assert [p.quantity for p in manager.get_positions()] == [9, 9, 9]
    assert manager.retries >= failed[0]
    require_sound(manager)


def allow_alone(group: Any, number: int) -> None:
    """Let so many calls write their trades themselves."""
    if isinstance(group, group_commit.ThreadGroupCommit):
        del group._slots[number:]
    else:
        group._alone = group._free = number


# Many calls


@pytest.mark.parametrize("alone", [0, 2])
def test_many_calls_on_few_symbols_book_what_one_caller_would_have(
    two: tuple[Any, Any], alone: int
) -> None:
    manager = two[0]
    allow_alone(group_of(manager), alone)
    calls = [
        buy(SYMBOLS[n % 3], order_id=f"o-{n % 81}", quantity=n % 81 % 7 + 1) for n in range(120)
    ]
    booked = run_together(manager, handlers.record_trade, calls, workers=24)
    assert len({trade.id for trade in booked if trade.order_id == "o-0"}) == 1
    by_order = {call["order_id"]: call for call in reversed(calls)}
    for trade in booked:
        assert trade.quantity == by_order[trade.order_id]["quantity"]
    bought = sum((p.quantity for p in manager.get_positions()), Decimal(0))
    assert bought == 3 + sum(call["quantity"] for call in calls[:81])
    require_sound(manager)


def test_two_processes_share_their_symbols(two: tuple[Any, Any]) -> None:
    with ThreadPoolExecutor(16) as threads:
        if isinstance(two[0], Driven):
            for number in range(6):
                calls = [buy(symbol, order_id=f"a-{number}-{symbol}") for symbol in SYMBOLS]
                run_together(two[number % 2], handlers.record_trade, calls)
        else:
            list(
                threads.map(
                    lambda n: two[n % 2].record_trade(**buy(SYMBOLS[n % 3], order_id=f"a-{n}")),
                    range(18),
                )
            )
    assert [p.quantity for p in two[0].get_positions()] == [7, 7, 7]
    require_sound(two[0])


@pytest.mark.parametrize("url", ["sqlite_book", "postgresql_book"])
def test_a_cancelled_task_harms_no_other(url: str, request: pytest.FixtureRequest) -> None:
    database = request.getfixturevalue(url)

    async def run() -> None:
        async with AsyncDatabaseManager(database, uuid4().hex) as book:
            for symbol in SYMBOLS:
                await book.record_trade(**buy(symbol))
            tasks = [
                asyncio.create_task(book.record_trade(**buy(SYMBOLS[n % 3], order_id=f"o-{n}")))
                for n in range(30)
            ]
            for turns in range(3):
                await asyncio.sleep(0)
                for task in tasks[turns::9]:
                    task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            booked = {trade.order_id async for trade in book.iterate(Trade)}
            for number, result in enumerate(results):
                if not isinstance(result, asyncio.CancelledError):
                    assert isinstance(result, Trade)
                    assert f"o-{number}" in booked
            assert (await book.verify()).proven
            for number in range(30):  # whatever a cancelled call did, its fill is booked once
                await book.record_trade(**buy(SYMBOLS[number % 3], order_id=f"o-{number}"))
            assert sum(p.quantity for p in await book.get_positions()) == 33

    asyncio.run(run())


def test_another_event_loop_begins_anew(sqlite_book: str) -> None:
    book = AsyncDatabaseManager(sqlite_book)

    async def run(first: int) -> None:
        allow_alone(group_of(book), 0)
        calls = (book.record_trade(**buy(order_id=f"o-{first + n}")) for n in range(5))
        await asyncio.gather(*calls)
        await book.aclose()

    asyncio.run(run(0))
    asyncio.run(run(5))

    async def quantity() -> Any:
        async with book:
            return (await book.get_position_by_symbol("X")).quantity

    assert asyncio.run(quantity()) == 10


def test_one_setting_turns_it_off(sqlite_book: str) -> None:
    with DatabaseManager(f"sqlite:///{sqlite_book.split('///')[-1]}?group_commit=no") as book:
        assert group_of(book) is None
        calls = [buy(order_id=f"o-{n}") for n in range(8)]
        run_together(book, handlers.record_trade, calls)
        assert book.get_position_by_symbol("X").quantity == 8


def test_the_thread_that_writes_ends_when_nothing_comes(
    sqlite_book: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "_IDLE", 0.01)
    with DatabaseManager(sqlite_book) as book:
        book.record_trade(**buy())
        group = group_of(book)
        allow_alone(group, 0)
        for number in range(3):
            book.record_trade(**buy(order_id=f"o-{number}"))
            while group._writing_in is not None:
                pass
        assert book.get_position_by_symbol("X").quantity == 4


def test_a_statement_that_the_server_refuses_is_done_again_by_each_call(
    two: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = two[0]
    really = trade_queue.write_group

    def refuse(sender: Any, groups: Any) -> Any:
        if sum(map(len, groups)) > 1:
            sender.send("SELECT none FROM nothing", ())
        return really(sender, groups)

    monkeypatch.setattr(trade_queue, "write_group", refuse)
    calls = [buy(SYMBOLS[n % 3], order_id=f"o-{n}") for n in range(12)]
    assert len(run_together(manager, handlers.record_trade, calls, workers=12)) == 12
    assert [p.quantity for p in manager.get_positions()] == [5, 5, 5]
    require_sound(manager)


def test_a_group_reads_no_other_account(
    new_manager: Managers, postgresql_book: URL, account: str
) -> None:
    manager = new_manager(evolve(configured(postgresql_book), pool_size=1), account)
    with DatabaseManager(postgresql_book, uuid4().hex) as other:
        for symbol in SYMBOLS:
            manager.record_trade(**buy(symbol))
            other.record_trade(**buy(symbol, order_id=f"same-{symbol}"))
        trades = [buy(symbol, order_id=f"same-{symbol}") for symbol in SYMBOLS]
        assert answered(write_together(manager, trades)) == [True] * 3
        assert [p.quantity for p in other.get_positions()] == [1, 1, 1]
