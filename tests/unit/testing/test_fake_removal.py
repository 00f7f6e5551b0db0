"""Records that are removed from the fake: what a database's keys would refuse, it refuses."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tradebook import (
    ConcurrentUpdate,
    ConstraintViolated,
    InvalidInput,
    NotFound,
    Position,
    handlers,
)
from tradebook.domain.errors import DatabaseFailure
from tradebook.testing import FakeBook, FakeUnitOfWork


def units(book: FakeBook) -> tuple[FakeUnitOfWork, FakeUnitOfWork]:
    return book.unit_of_work(), book.unit_of_work()


def alert_of(book: FakeBook) -> int:
    return book.raise_alert(alert_type="a", severity="INFO", dedup_key="k").id


@pytest.mark.filterwarnings("ignore::tradebook.UncommittedWork")
def test_a_removal_is_undone_by_leaving_without_commit(book: FakeBook) -> None:
    id_ = alert_of(book)
    with book.unit_of_work() as uow:
        uow.alerts.remove(uow.alerts.get(id_))
        assert uow.alerts.count() == 0
        with pytest.raises(NotFound):
            uow.alerts.get(id_)
    assert book.get_alerts()[0].id == id_


def test_a_removed_record_gives_up_its_key_but_not_its_id(book: FakeBook) -> None:
    id_ = alert_of(book)
    book.run(lambda uow: uow.alerts.remove(uow.alerts.get(id_)))
    assert alert_of(book) == id_ + 1
    assert len(book.get_alerts()) == 1


def test_what_was_added_in_the_same_unit_of_work_can_be_removed(book: FakeBook) -> None:
    with book.unit_of_work() as uow:
        added = uow.positions.add(Position(symbol="X"))
        uow.positions.remove(added)
        uow.commit()
    assert book.count(Position) == 0


def test_a_read_only_unit_of_work_removes_nothing(book: FakeBook) -> None:
    id_ = alert_of(book)
    with (
        book.unit_of_work(read_only=True) as uow,
        pytest.raises(DatabaseFailure, match="read-only"),
    ):
        uow.alerts.remove(uow.alerts.get(id_))


def remove(uow: FakeUnitOfWork) -> None:
    uow.alerts.remove(uow.alerts.get(1))


def change(uow: FakeUnitOfWork) -> None:
    uow.alerts.get(1).message = "changed"


@pytest.mark.parametrize(
    ("first", "second"), [(change, remove), (remove, change), (remove, remove)]
)
def test_of_two_that_change_or_remove_a_record_the_first_wins(
    book: FakeBook,
    first: Callable[[FakeUnitOfWork], None],
    second: Callable[[FakeUnitOfWork], None],
) -> None:
    alert_of(book)
    one, other = units(book)
    with one, other:
        first(one)
        second(other)
        one.commit()
        with pytest.raises(ConcurrentUpdate, match=r"Alert 1 was (changed|deleted)"):
            other.commit()


def test_a_reference_to_what_another_removed_is_refused_and_the_other_way_round(
    book: FakeBook,
) -> None:
    for removed_first in (True, False):
        signal = book.record_signal(symbol="X", action="BUY")
        remover, referrer = units(book)
        with remover, referrer:
            remover.signals.remove(remover.signals.get(signal.id))
            handlers.record_decision(
                referrer, agent="a", symbol="X", action="BUY", signals=[signal.id]
            )
            one, other = (remover, referrer) if removed_first else (referrer, remover)
            one.commit()
            with pytest.raises(ConcurrentUpdate, match="reference"):
                other.commit()


def test_a_trade_keeps_the_decision_behind_it(book: FakeBook) -> None:
    decision = book.record_decision(agent="a", symbol="X", action="BUY")
    book.record_trade(symbol="X", action="BUY", quantity=1, price=1, decision_id=decision.id)
    with pytest.raises(ConstraintViolated, match=f"Trade refers to AgentDecision {decision.id}"):
        book.run(lambda uow: uow.decisions.remove(uow.decisions.get(decision.id)))


def test_an_order_makes_the_flat_position_that_a_database_makes(book: FakeBook) -> None:
    book.record_trade(symbol="X", action="BUY", quantity=1, price=1, status="PENDING")
    [flat] = book.get_all(Position)
    assert (flat.symbol, flat.sequence, flat.version) == ("X", 0, 1)
    assert book.get_positions() == []
    assert book.get_position_by_symbol("X") is None
    assert book.verify().positions == 0


def test_every_kind_has_its_repository(book: FakeBook) -> None:
    with book.unit_of_work() as uow:
        assert uow.records(Position) is uow.positions
        with pytest.raises(InvalidInput, match=r"^kind: .*one of Account"):
            uow.records(int)  # type: ignore[type-var]
