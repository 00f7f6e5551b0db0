"""Up to where a seal may say that nothing can come any more, and seals on the fake."""

from __future__ import annotations

import pytest

from tests.support.tampering import a_day
from tradebook import Event, Seal
from tradebook.domain.validation import utc_now
from tradebook.service_layer.handlers.seals import seal_next
from tradebook.service_layer.ports.watermark import ALONE, UNKNOWN, TransactionSnapshot, Watermark
from tradebook.testing import FakeBook


def last_seal(to_id: int, settled_id: int, horizon: int) -> Seal:
    return Seal(
        number=1,
        from_id=1,
        to_id=to_id,
        count=1,
        covered=[[to_id, "0"]],
        settled_id=settled_id,
        horizon=horizon,
        events_hash="0",
        previous_hash="",
        sealed_at=utc_now(),
    )


def moment(ended: int, begun: int, at: int = 7, running: int = 2**63 - 1) -> TransactionSnapshot:
    return TransactionSnapshot(ended, begun, at, running)


@pytest.mark.parametrize(
    ("first", "second", "number", "settled"),
    [
        (ALONE, ALONE, 1, 50),
        (UNKNOWN, UNKNOWN, 0, 10),
        # Nobody is writing, and no statement is running.
        (moment(100, 100), moment(100, 100), 100, 50),
        # Somebody is: what they hold may come yet. Those of the last seal's time have ended.
        (moment(95, 100), moment(95, 101), 101, 40),
        (moment(90, 100), moment(90, 100), 100, 40),
        # ... or have not.
        (moment(89, 100), moment(89, 100), 100, 10),
        # A statement that began before the first look may have its id, and no number yet.
        (moment(100, 100), moment(100, 100, running=7), 0, 40),
        (moment(100, 100), moment(102, 102, running=8), 102, 50),
    ],
)
def test_all_is_there_up_to_what_no_transaction_can_still_commit(
    first: TransactionSnapshot, second: TransactionSnapshot, number: int, settled: int
) -> None:
    horizon = Watermark(newest=50, first=first, second=second)
    assert horizon.number == number
    assert horizon.complete_up_to_id(last_seal(to_id=40, settled_id=10, horizon=90)) == settled


def test_before_the_first_seal_nothing_is_settled_while_somebody_writes() -> None:
    assert Watermark(50, moment(90, 100), moment(90, 100)).complete_up_to_id(None) == 0
    assert Watermark(50, ALONE, ALONE).complete_up_to_id(None) == 50


def test_of_a_last_seal_whose_horizon_is_not_known_nothing_more_is_settled() -> None:
    horizon = Watermark(50, moment(90, 100), moment(90, 100))
    assert horizon.complete_up_to_id(last_seal(to_id=40, settled_id=10, horizon=0)) == 10


@pytest.mark.filterwarnings("ignore::tradebook.UncommittedWork")
def test_a_full_batch_settles_no_more_than_it_read() -> None:
    book = FakeBook()
    a_day(book)
    book.raise_alert("a", "INFO")
    with book.unit_of_work() as uow:
        uow.seals.transaction_snapshot = lambda: ALONE  # type: ignore[method-assign]
        newest = uow.events.newest_id()
        made = seal_next(uow, 1)
        rest = seal_next(uow, 5)
    assert made is not None
    assert rest is not None
    assert (made.settled_id, rest.settled_id) == (made.to_id, newest)


def test_an_event_that_is_committed_below_sealed_ones_is_sealed_next() -> None:
    book = FakeBook()
    with book.unit_of_work() as late:
        late.events.add(
            Event(event_type="Noted", entity="Note", entity_id=1, occurred_at=late.now())
        )
        book.raise_alert("a", "INFO")
        book.seal()
        late.commit()
    checked = book.check_seals()
    assert (checked.findings, checked.unsealed) == ((), 1)
    assert book.seal().events == 1
    [first, second] = sorted(book.iterate(Seal), key=lambda seal: seal.number)
    assert second.to_id < first.from_id
    assert (book.check_seals().findings, book.check_seals().unsealed) == ((), 0)
