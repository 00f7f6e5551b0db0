"""Attacks on every argument of every public call, and what a book answers."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import Any, Final

import attrs
from attrs import frozen
from sqlalchemy import select

from tests.support.hostile_values import NASTY, Midway
from tests.support.public_calls import KINDS, Ids, called, prepared, valid_calls
from tradebook import InvalidInput, InvalidTransition, TradebookError, metadata
from tradebook.domain.entity import Entity
from tradebook.service_layer.book import Book
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork
from tradebook.testing import FakeBook

READABLE: Final = 600
"""Characters of a message that a person still reads."""
ACCEPTED: Final = "accepted"
OWN: Final = "the caller's own error"
_CALLBACKS: Final = {"a class", "an entity's class", "a function"}
"""What can be called, and then raises what it likes."""


@frozen
class Attack:
    """A call with one argument replaced.

    Attributes:
        method: of a book.
        variant: which of the method's valid calls.
        argument: the one that is replaced.
        nasty: by which value.
    """

    method: str
    variant: int
    argument: str
    nasty: str

    def on(self, book: Book, ids: Ids) -> str:
        """Make the attack."""
        arguments = dict(ids.calls_on(book)[self.method][self.variant])
        value = NASTY[self.nasty]()
        arguments[self.argument] = {"symbol": value} if self.argument == "equal" else value
        return answer(lambda: called(book, self.method, arguments))


@frozen
class EntityAttack:
    """A record that is built, or changed, with a value that no field should have.

    Attributes:
        kind: of the record.
        field: that gets the value.
        nasty: which value.
        way: "build" or "assign" a new one, or "change" the first that is recorded.
    """

    kind: type[Entity]
    field: str
    nasty: str
    way: str

    def on(self, book: Book, _ids: Ids) -> str:
        """Make the attack."""
        return answer(lambda: getattr(self, f"_{self.way}")(book, NASTY[self.nasty]()))

    def _build(self, book: Book, value: Any) -> None:
        book.create(self.kind(**{**KINDS[self.kind], self.field: value}))

    def _assign(self, book: Book, value: Any) -> None:
        entity = self.kind(**KINDS[self.kind])
        setattr(entity, self.field, value)
        book.create(entity)

    def _change(self, book: Book, value: Any) -> None:
        found = book.get_all(self.kind, 1)
        if not found:  # a deletion among the attacks before was accepted
            return
        entity = found[0]
        setattr(entity, self.field, value)
        book.update(entity)
        with suppress(InvalidTransition):  # the update was accepted, and this kind is never deleted
            book.delete(entity)


def answer(attempt: Any) -> str:
    """What came of an attempt: it was accepted, or refused by which error, naming which field.

    Raises:
        AssertionError: it failed otherwise.
    """
    try:
        attempt()
    except InvalidInput as error:
        _require_readable(error)
        return f"InvalidInput {_named(error)}"
    except TradebookError as error:
        _require_readable(error)
        return type(error).__name__
    except Midway:
        return OWN
    return ACCEPTED


def _named(error: InvalidInput) -> str:
    assert error.field, f"names no field: {error}"
    return error.field


def _require_readable(error: Exception) -> None:
    message = str(error)
    message.encode()
    assert len(message) <= READABLE, f"{len(message)} characters: {message[:READABLE]}"


def every_attack() -> list[Attack]:
    """All of them, on every argument of every call."""
    book = FakeBook()
    return [
        Attack(method, variant, argument, nasty)
        for method, variants in valid_calls(book, prepared(book)).items()
        for variant, arguments in enumerate(variants)
        for argument in arguments
        for nasty in NASTY
        if argument != "progress" or nasty not in _CALLBACKS
    ]


def every_entity_attack() -> list[EntityAttack]:
    """All of them, on every field of every kind of record."""
    return [
        EntityAttack(kind, attribute.name, nasty, way)
        for kind in KINDS
        for attribute in attrs.fields(kind)
        for nasty in NASTY
        for way in ("build", "assign", "change")
        # SQLAlchemy itself refuses to replace links that were not read.
        if (attribute.name, way) != ("signals", "change")
    ]


@cache
def attacks() -> tuple[list[Attack], list[EntityAttack]]:
    """Every attack, made once."""
    return every_attack(), every_entity_attack()


def dump(uow: AbstractUnitOfWork) -> Any:
    """Every value of every row of the account, of a fake or a database."""
    session = getattr(uow, "session", None)
    if session is None:
        return {
            kind.__name__: sorted(
                (id_, repr(row.values))
                for id_, row in table.rows.items()
                if row.values["account"] == uow.account
            )
            for kind, table in uow.store.snapshot().items()  # type: ignore[attr-defined]
        }
    return {
        table.name: sorted(
            map(repr, session.execute(select(table).where(table.c.account == uow.account)))
        )
        for table in metadata.sorted_tables
        if "account" in table.c
    }
