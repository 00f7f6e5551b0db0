"""A trade that names its decision, in one statement: the same book as by the ordinary path, and no decision moves twice."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import URL, text

from tests.integration.adapters.runner.test_fast_record_trade_waiting import meanwhile
from tests.support import examples
from tests.support.backends import in_full_runs, run_together
from tests.support.statements import statements
from tradebook import DatabaseManager, Event, NotFound, handlers
from tradebook.adapters.repositories.entity_rows import columns_of
from tradebook.testing import strategies

BUY: dict[str, Any] = {"symbol": "X", "action": "BUY", "quantity": 1, "price": 10}
Managers = Callable[..., Any]


@pytest.fixture(params=["sqlite_book", "postgresql_book"])
def two(request: pytest.FixtureRequest, new_manager: Managers, account: str) -> tuple[Any, Any]:
    """Two managers of one account, as in two processes; both remember the positions in X and Y."""
    url = request.getfixturevalue(request.param)
    managers = new_manager(url, account), new_manager(url, account)
    managers[0].record_trade(**BUY)
    managers[1].record_trade(**{**BUY, "symbol": "Y"})
    return managers


def is_fast(manager: Any, **terms: Any) -> bool:
    """Record a trade; return whether that did not read its position."""
    with statements() as sent:
        manager.record_trade(**{**BUY, **terms})
    return not any(statement.startswith("SELECT positions") for statement in sent)


def require_sound(manager: Any) -> None:
    assert manager.verify().proven
    assert manager.check_seals().findings == ()


def happened(manager: Any, decision: Any) -> list[Any]:
    """Return the events of a decision, oldest first."""
    return manager.get_events(entity="AgentDecision", entity_id=decision.id)[::-1]


def forget_evidence(manager: Any, account: str, decision: Any) -> None:
    """Leave of the events of a decision what old versions of the book wrote."""
    old = """UPDATE events SET payload = '{"signals": []}'
        WHERE account = :account AND entity = 'AgentDecision' AND entity_id = :id"""
    which = {"account": account, "id": decision.id}
    manager.run(lambda uow: uow.session.execute(text(old), which) and None)


@pytest.mark.parametrize("verdict", ["", "APPROVED"])
def test_a_decision_is_executed_in_the_statement_of_its_trade(
    two: tuple[Any, Any], verdict: str
) -> None:
    manager = two[0]
    decision = manager.record_decision("bot", "X", "BUY", reasoning="é" * 300, inputs={"a": [1.5]})
    if verdict:
        manager.decide(decision.id, verdict)
    with statements() as sent:
        trade = manager.record_trade(**BUY, decision_id=decision.id)
    assert not any(statement.startswith("SELECT") for statement in sent)
    assert sum(not statement.startswith("PREPARE") for statement in sent) in (1, 6)

    executed = manager.get_decision(decision.id)
    assert (executed.status, executed.updated_at) == ("EXECUTED", trade.created_at)
    last = happened(manager, decision)[-1]
    told = manager.get_events(entity="Trade", entity_id=trade.id)[0]
    assert (last.event_type, last.payload["trade_id"]) == ("DecisionExecuted", trade.id)
    assert last.payload["changes"] == {"status": [verdict or "PROPOSED", "EXECUTED"]}
    assert last.payload["evidence"] == {"version": 1, "record": executed.evidence()}
    assert last.id > told.id
    assert (last.actor, last.occurred_at) == (told.actor, told.occurred_at)
    assert last.correlation_id == told.correlation_id
    require_sound(manager)


def test_only_the_first_trade_of_a_decision_executes_it(two: tuple[Any, Any]) -> None:
    mine, others = two
    decision = others.record_decision("bot", "X", "BUY")  # of another process
    assert is_fast(mine, decision_id=decision.id, order_id="o")
    moved = mine.get_decision(decision.id)
    assert is_fast(mine, decision_id=decision.id)
    assert mine.record_trade(**BUY, decision_id=decision.id, order_id="o").order_id == "o"
    others.record_trade(**{**BUY, "symbol": "Y"}, decision_id=decision.id)
    assert vars(mine.get_decision(decision.id)).items() >= {"updated_at": moved.updated_at}.items()
    assert [e.event_type for e in happened(mine, decision)] == [
        *("DecisionRecorded", "DecisionExecuted")
    ]
    require_sound(mine)


@pytest.mark.parametrize("verdict", ["REJECTED", "EXPIRED"])
def test_a_decision_that_another_process_took_back_keeps_its_status(
    two: tuple[Any, Any], verdict: str
) -> None:
    mine, others = two
    decision = mine.record_decision("bot", "X", "BUY")
    others.decide(decision.id, verdict)
    assert is_fast(mine, decision_id=decision.id)
    assert mine.get_decision(decision.id).status == verdict
    assert happened(mine, decision)[-1].event_type == "DecisionResolved"
    require_sound(mine)


def test_a_decision_of_another_account_and_none_are_refused(
    two: tuple[Any, Any], new_manager: Managers
) -> None:
    mine, _ = two
    with DatabaseManager(mine.config, uuid4().hex) as elsewhere:
        theirs = elsewhere.record_decision("bot", "X", "BUY")
        for id_ in (theirs.id, 10**12):
            with pytest.raises(NotFound, match="no AgentDecision"):
                mine.record_trade(**BUY, decision_id=id_)
        assert elsewhere.get_decision(theirs.id).status == "PROPOSED"
    assert mine.get_position_by_symbol("X").quantity == 1
    require_sound(mine)


def test_a_decision_from_before_events_had_evidence_takes_the_ordinary_path(
    two: tuple[Any, Any], account: str
) -> None:
    mine, _ = two
    decision = mine.record_decision("bot", "X", "BUY")
    forget_evidence(mine, account, decision)
    assert not is_fast(mine, decision_id=decision.id)
    last = happened(mine, decision)[-1]
    assert last.payload["evidence"]["record"] == mine.get_decision(decision.id).evidence()
    assert is_fast(mine, decision_id=decision.id)


def test_an_import_executes_a_decision_from_before_events_had_evidence(
    two: tuple[Any, Any], account: str
) -> None:
    mine, _ = two
    decisions = [mine.record_decision("bot", "X", "BUY") for _ in range(3)]
    forget_evidence(mine, account, decisions[1])
    mine.import_trades([{**BUY, "decision_id": decision.id} for decision in decisions])
    for decision in decisions:
        last = happened(mine, decision)[-1]
        assert last.event_type == "DecisionExecuted"
        assert last.payload["evidence"]["record"] == mine.get_decision(decision.id).evidence()
    require_sound(mine)


def test_many_writers_execute_a_decision_once(two: tuple[Any, Any]) -> None:
    mine, others = two
    decision = mine.record_decision("bot", "X", "BUY")
    calls = [{**BUY, "decision_id": decision.id, "symbol": "XY"[i % 2]} for i in range(10)]
    with_others = threading.Thread(
        target=lambda: [others.record_trade(**call) for call in calls[:5]]
    )
    with_others.start()
    run_together(mine, handlers.record_trade, calls[5:])
    with_others.join()
    events = happened(mine, decision)
    assert [e.event_type for e in events] == ["DecisionRecorded", "DecisionExecuted"]
    of_decision = {trade.id for trade in mine.get_trades(decision_id=decision.id)}
    assert len(of_decision) == 10
    assert events[-1].payload["trade_id"] in of_decision
    require_sound(mine)


@pytest.mark.parametrize("status", ["APPROVED", "REJECTED", "EXECUTED"])
def test_a_decision_that_changes_while_its_trade_waits_is_taken_as_it_is_then(
    postgresql_book: URL, account: str, status: str
) -> None:
    with (
        DatabaseManager(postgresql_book, account) as mine,
        DatabaseManager(postgresql_book, account) as others,
    ):
        mine.record_trade(**BUY)
        decision = mine.record_decision("bot", "X", "BUY")

        def change(uow: Any) -> None:
            if status == "EXECUTED":
                handlers.record_trade(uow, **{**BUY, "symbol": "Y"}, decision_id=decision.id)
            else:
                handlers.decide(uow, decision.id, status)

        fast: list[bool] = []
        meanwhile(others, change, lambda: fast.append(is_fast(mine, decision_id=decision.id)))
        after = mine.get_decision(decision.id)
        moved = [event.payload.get("changes") for event in happened(mine, decision)][1:]
        step = {"status": ["PROPOSED", status]}
        last = {"status": ["APPROVED", "EXECUTED"]}
        assert fast == [True]
        assert moved == ([step, last] if status == "APPROVED" else [step])
        assert after.status == ("EXECUTED" if status == "APPROVED" else status)
        require_sound(mine)


def test_neither_the_position_nor_the_decision_is_waited_for_by_one_that_holds_the_other(
    postgresql_book: URL, account: str
) -> None:
    """The ordinary path locks the position first; the statement does too, or the two would deadlock."""
    with (
        DatabaseManager(postgresql_book, account) as mine,
        DatabaseManager(postgresql_book, account) as others,
    ):
        mine.record_trade(**BUY)
        decision = mine.record_decision("bot", "X", "BUY")

        def lock_the_decision(watching: Any) -> None:
            free = "SELECT 1 FROM agent_decisions WHERE id = :id FOR UPDATE NOWAIT"
            assert watching.session.scalar(text(free), {"id": decision.id}) == 1
            watching.rollback()

        meanwhile(
            others,
            lambda uow: uow.ledger.open("X", ()),
            lambda: mine.record_trade(**BUY, decision_id=decision.id),
            lock_the_decision,
        )
        assert mine.get_decision(decision.id).status == "EXECUTED"


NUMBERED = (
    "id",
    "trade_id",
    "decision_id",
    "created_at",
    "updated_at",
    "decided_at",
    "executed_at",
    "booked_at",
)


def plain(value: Any) -> Any:
    """Return JSON without ids of records and times of calls."""
    if isinstance(value, dict):
        return {name: plain(v) for name, v in value.items() if name not in NUMBERED}
    return value


def books(manager: Any, decisions: list[Any], steps: list[Any], *, fast: bool) -> list[Any]:
    """Make decisions and trades of them, and return all that is in the book then."""
    manager.record_trade(**BUY, order_id="first")
    made = []
    for one in decisions:
        names = set(columns_of(type(one))) - {*NUMBERED, "account", "status", "reference"}
        made.append(manager.record_decision(**{name: getattr(one, name) for name in names}))
    for number, (place, verdict, repeated) in enumerate(steps):
        terms = {**BUY, "order_id": f"o{number}", "decision_id": made[place % len(made)].id}
        if verdict:
            with suppress(Exception):
                manager.decide(terms["decision_id"], verdict)
        for _ in range(1 + repeated):
            if fast:
                manager.record_trade(**terms)
            else:
                manager.run(lambda uow, terms=terms: handlers.record_trade(uow, **terms).id)
    require_sound(manager)
    first = made[0].id
    events = [
        (
            e.event_type,
            e.entity_id - (first if e.entity == "AgentDecision" else e.entity_id),
            plain(e.payload),
        )
        for e in manager.iterate(Event)
    ]
    return [events, [(d.status, plain(d.evidence())) for d in manager.get_decisions(limit=100)]]


@pytest.mark.parametrize("backend", ["sqlite_book", in_full_runs("postgresql_book")])
def test_books_are_the_same_with_and_without_the_fast_path(
    request: pytest.FixtureRequest, backend: str
) -> None:
    url = request.getfixturevalue(backend)
    verdicts = st.sampled_from(["", "", "APPROVED", "REJECTED", "EXPIRED"])
    steps = st.tuples(st.integers(0, 2), verdicts, st.booleans())

    @examples.law(3)
    @given(
        st.lists(strategies.decisions(), min_size=1, max_size=3),
        st.lists(steps, min_size=1, max_size=5),
    )
    def law(decisions: list[Any], taken: list[Any]) -> None:
        found = []
        for fast in (True, False):
            with DatabaseManager(url, uuid4().hex) as manager:
                found.append(books(manager, decisions, taken, fast=fast))
        assert found[0] == found[1]

    law()
