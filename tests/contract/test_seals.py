"""Seals on every backend: what they cover, who may make them, and that honest work is never reported."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.backends import run_together
from tests.support.tampering import a_day
from tradebook import Event, InvalidInput, InvalidTransition, Seal, handlers
from tradebook.domain.seals import FACTS, Digests, compute_hash
from tradebook.service_layer.book import Book
from tradebook.testing import FakeBook


def test_seals_cover_every_event_once_and_link_to_the_one_before(book: Book) -> None:
    a_day(book)
    told: list[tuple[int, int]] = []
    sealed = book.seal(progress=lambda done, total: told.append((done, total)))
    assert (sealed.seals, sealed.events, told) == (1, 1, [(1, 1)])
    seals = sorted(book.iterate(Seal), key=lambda seal: seal.number)
    assert [seal.number for seal in seals] == [1, 2, 3, 4, 5]
    assert [seal.count for seal in seals] == [4, 4, 4, 4, 1]
    covered = [id_ for seal in seals for id_ in seal.ids]
    assert covered == sorted(event.id for event in book.iterate(Event))
    assert [seal.previous_hash for seal in seals] == ["", *(s.seal_hash for s in seals[:-1])]
    for seal in seals:
        events = [book.get(Event, id_) for id_ in seal.ids]
        prints = Digests.from_events(event for event in events if event is not None)
        assert (prints.covered, prints.hash) == (seal.covered, seal.events_hash)
        assert compute_hash({fact: getattr(seal, fact) for fact in FACTS}) == seal.seal_hash
        assert (seal.actor, seal.from_id, seal.to_id) == ("tester", seal.ids[0], seal.ids[-1])


def test_where_nothing_happened_nothing_is_sealed(book: Book) -> None:
    assert book.seal() == handlers.Sealed(0, 0, None)
    book.raise_alert("a", "INFO")
    assert book.seal().events == book.count(Event)
    assert book.seal() == handlers.Sealed(0, 0, None)
    assert book.count(Seal) == 1
    assert book.count(Event) == 1


def test_what_was_done_honestly_is_sound_sealed_or_not(book: Book) -> None:
    assert book.check_seals().sound
    a_day(book)
    told: list[tuple[int, int]] = []
    checked = book.check_seals(progress=lambda done, total: told.append((done, total)))
    assert (checked.findings, checked.seals, checked.events) == ((), 4, 16)
    assert (checked.unsealed, checked.trades) == (1, 9)
    assert told[-1] == (29, 29)
    kept = book.export_seals()
    assert [seal["number"] for seal in kept["seals"]] == [1, 2, 3, 4]
    book.bust_trade(order_id="unsealed", reason="late")
    book.seal()
    assert book.check_seals(kept).findings == ()
    assert book.verify().proven


def test_several_seals_are_made_in_one_unit_of_work(book: Book) -> None:
    a_day(book)
    book.raise_alert("a", "INFO")
    sealed = book.run(handlers.seal, batch=1)
    assert (sealed.seals, sealed.events) == (2, 2)
    assert book.check_seals().sound


def test_several_who_seal_at_once_make_one_chain(book: Book) -> None:
    a_day(book)
    done = run_together(book, handlers.seal, [{"batch": 3}] * 4)
    assert sum(sealed.events for sealed in done) == 1
    numbers = sorted(seal.number for seal in book.iterate(Seal))
    assert numbers == [1, 2, 3, 4, 5]
    assert book.check_seals().sound


@pytest.mark.parametrize("batch", [0, -1, 10_001, True, "4", 1.5])
def test_a_batch_of_another_size_is_refused(book: Book, batch: Any) -> None:
    book.raise_alert("a", "INFO")
    with pytest.raises(InvalidInput, match="batch"):
        book.seal(batch=batch)
    assert book.count(Seal) == 0


def test_a_seal_is_neither_made_nor_changed_nor_deleted_by_hand(book: Book) -> None:
    a_day(book)
    [seal] = book.get_all(Seal, number=1)
    forged = Seal(
        **{**{f: getattr(seal, f) for f in FACTS if f != "id"}, "covered": [], "number": 9}
    )
    with pytest.raises(InvalidInput, match="`seal` makes them"):
        book.create(forged)
    vars(seal)["number"] = 9
    with pytest.raises(InvalidTransition, match="number"):
        book.update(seal)
    with pytest.raises(InvalidTransition, match="cannot be deleted"):
        book.delete(seal)
    assert book.check_seals().sound


def test_what_is_no_whole_export_of_the_account_is_refused(book: Book) -> None:
    a_day(book)
    kept: Any = book.export_seals()
    first, second, *_ = kept["seals"]
    other = FakeBook(account="other")
    a_day(other)
    for wrong in (
        other.export_seals(),
        [],
        {},
        {**kept, "format": "another"},
        {**kept, "seals": None},
        {**kept, "seals": [{}]},
        {**kept, "seals": [second]},
        {**kept, "seals": [{**first, "actor": "bob"}]},
        {**kept, "seals": [first, {**second, "previous_hash": ""}]},
        {**kept, "account": "other"},
    ):
        with pytest.raises(InvalidInput):
            book.check_seals(wrong)
