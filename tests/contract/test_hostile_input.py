"""Hostile input on every backend: refused by name, alike everywhere, and the book is as it was."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from itertools import groupby
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tradebook
from tests.support.attacks import ACCEPTED, OWN, Attack, EntityAttack, answer, attacks, dump
from tests.support.backends import each_backend
from tests.support.hostile_values import NASTY, Midway, raising
from tests.support.public_calls import (
    BUY,
    KINDS,
    NOT_A_CALL,
    arguments_taken,
    called,
    prepared,
    public_calls,
    valid_calls,
)
from tradebook import AsyncBook, CallContext, ConcurrentUpdate, InvalidInput, Trade, handlers
from tradebook.service_layer.book import Book
from tradebook.testing import AsyncFakeBook, FakeBook

SOME = settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
AT_ONCE = 25


def test_every_argument_of_every_public_call_is_attacked() -> None:
    book = FakeBook()
    calls = valid_calls(book, prepared(book))
    assert calls.keys() == public_calls()
    assert {name for name in vars(AsyncBook) if name[0] != "_"} - NOT_A_CALL - {"aclose"} == {
        *calls
    }
    for method, variants in calls.items():
        taken = {name for name, _ in arguments_taken(getattr(Book, method))}
        attacked = {name for arguments in variants for name in arguments}
        assert taken - {"uow"} == attacked, method


def test_what_the_calls_are_attacked_with_is_accepted_else() -> None:
    for method in public_calls():
        for variant in range(2):
            book = FakeBook()
            variants = valid_calls(book, prepared(book))[method]
            for arguments in variants[variant : variant + 1]:
                called(book, method, arguments)


def test_no_attack_on_a_call_gets_through() -> None:
    answers: dict[str, set[str]] = {}
    for method, made in groupby(attacks()[0], lambda attack: attack.method):
        book = FakeBook()  # one for each: what was accepted makes every later call slower
        ids = prepared(book)
        for attack in made:
            before = book.store.snapshot()
            outcome = attack.on(book, ids)
            answers.setdefault(outcome.split()[0], set()).add(method)
            assert outcome == ACCEPTED or book.store.snapshot() is before, attack
        assert book.verify().proven
    assert len(answers["InvalidInput"]) > 40


def groups(of: int) -> st.SearchStrategy[list[Any]]:
    """Some attacks of a kind to be made one after the other."""
    every = attacks()[of]
    return st.randoms(use_true_random=False).map(lambda random: random.sample(every, AT_ONCE))


@pytest.mark.parametrize(
    "book", each_backend(only_in_full_runs=["sqlite-async", "postgresql-async"]), indirect=True
)
@SOME
@given(calls=groups(0), entities=groups(1))
def test_an_attack_is_answered_as_the_fake_does_and_changes_nothing(
    prepared_books: tuple[Any, Any, Any], calls: list[Attack], entities: list[EntityAttack]
) -> None:
    book, fake, (ids, fake_ids) = prepared_books
    before = book.read(dump)
    for attack in [*calls, *entities]:
        said = attack.on(fake, fake_ids)
        assert attack.on(book, ids) == said, attack
        if said == ACCEPTED:
            before = book.read(dump)
    assert book.read(dump) == before
    assert book.verify().proven


@pytest.fixture
def prepared_books(book: Book) -> tuple[Any, Any, Any]:
    """A book of every backend and a fake one, with the same records; and their ids."""
    fake = FakeBook(account=book.account, actor="tester")  # type: ignore[attr-defined]
    return book, fake, (prepared(book), prepared(fake))


BY_HAND: dict[str, Callable[[Any, Any], Any]] = {
    "run": lambda book, value: book.run(value),
    "read": lambda book, value: book.read(value),
    "context of a unit of work": lambda book, value: entered(book.unit_of_work(context=value)),
    "read_only": lambda book, value: entered(book.unit_of_work(read_only=value)),
    "actor of a context": lambda _, value: CallContext(actor=value),
    "time of a context": lambda _, value: CallContext(at=value),
    "token of a context": lambda _, value: CallContext(token=value),
    "correlation of a context": lambda _, value: CallContext(correlation_id=value),
    "actor": lambda _, value: entered(tradebook.context(actor=value)),
    "correlation_id": lambda _, value: entered(tradebook.context(correlation_id=value)),
}
"""What takes functions and contexts instead of records."""

CALLABLE = {"a class", "an entity's class", "a function"}


def entered(context: Any) -> None:
    with context:
        pass


@pytest.mark.parametrize("what", BY_HAND)
def test_functions_and_contexts_are_refused_by_name(book: Book, what: str) -> None:
    for name, make in NASTY.items():
        if name not in CALLABLE:
            answer(partial(BY_HAND[what], book, make()))


KINDS_OF_BOOKS = [
    *(
        (kind, option)
        for kind in (FakeBook, AsyncFakeBook)
        for option in ("store", "clock", "max_seconds_ahead")
    ),
    *(
        (kind, option)
        for kind in (FakeBook, AsyncFakeBook, tradebook.DatabaseManager)
        for option in ("account", "base_currency", "actor")
    ),
    (tradebook.DatabaseManager, "config"),
    *((tradebook.AsyncDatabaseManager, o) for o in ("config", "account", "base_currency", "actor")),
]


@pytest.mark.parametrize(("kind", "option"), KINDS_OF_BOOKS)
def test_a_book_is_made_of_nothing_else(kind: type[Any], option: str) -> None:
    for name, make in NASTY.items():
        if name in CALLABLE and option == "clock":
            continue
        given = {option: make()} if kind in (FakeBook, AsyncFakeBook) else {"config": "sqlite://"}
        outcome = answer(partial(kind, **{**given, option: make()}))
        assert outcome in (ACCEPTED, OWN) or outcome.startswith("InvalidInput"), name


def test_every_option_of_a_book_is_attacked() -> None:
    attacked: dict[type[Any], set[str]] = {}
    for kind, option in KINDS_OF_BOOKS:
        attacked.setdefault(kind, set()).add(option)
    for kind, options in attacked.items():
        assert options == {*inspect.signature(kind).parameters}


@pytest.mark.parametrize("call", ["record_trades", "bulk_create", "bulk_update"])
def test_a_list_that_raises_midway_leaves_nothing_and_raises_what_it_raised(
    book: Book, call: str
) -> None:
    def rows() -> Any:
        order = {"symbol": "AAPL", "order_id": "first", **BUY}
        yield order if call == "record_trades" else Trade(**order)
        yield from raising()

    before = book.read(dump)
    with pytest.raises(Midway):
        getattr(book, call)(rows())
    assert book.read(dump) == before


def test_trades_given_by_a_generator_are_all_there_after_a_retry(book: Book) -> None:
    tried = []
    record_trades = handlers.record_trades

    def contended(uow: Any, trades: Any) -> Any:
        done = record_trades(uow, trades)
        tried.append(len(done.trades))
        if len(tried) == 1:
            raise ConcurrentUpdate("somebody else was first")
        return done

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(handlers, "record_trades", contended)
        done = book.record_trades({"symbol": "AAPL", "order_id": str(n), **BUY} for n in range(3))
    assert tried == [3, 3]
    assert done.booked == len(book.get_trades()) == 3


def test_a_generator_of_signals_is_refused_because_it_would_be_empty_on_a_retry(book: Book) -> None:
    with pytest.raises(InvalidInput, match=r"signals: .* a list of records' ids"):
        book.record_decision("ann", "AAPL", "BUY", signals=(n for n in (1, 2)))  # type: ignore[arg-type]


def test_a_missing_or_unknown_name_is_pythons_own_error_or_names_the_term(book: Book) -> None:
    with pytest.raises(TypeError):
        book.resolve_alert()  # type: ignore[call-arg]
    with pytest.raises(InvalidInput, match="colour: 'this name'"):
        book.record_trade(**BUY, symbol="AAPL", colour="red")  # type: ignore[call-arg]
    with pytest.raises(InvalidInput, match="symbol: None"):
        book.record_trade(**BUY)  # type: ignore[call-arg]


def test_every_field_of_every_kind_is_attacked() -> None:
    assert {(a.kind, a.field) for a in attacks()[1]} == {
        (kind, f.name) for kind in KINDS for f in attrs.fields(kind)
    }
