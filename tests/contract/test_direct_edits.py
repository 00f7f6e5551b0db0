"""Direct edits by `create`, `update` and `delete`: every row of the table holds on every backend."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.support.direct_edits import (
    BOOKKEEPING,
    CHANGES,
    KIND_OF,
    LATER,
    MADE_BY_HANDLERS,
    NEW,
    NEW_STATES,
    REMOVALS,
    Edit,
    new_record,
    record_one_of_each,
    values_of_new,
)
from tradebook import (
    AgentDecision,
    InvalidInput,
    InvalidTransition,
    NotFound,
    Position,
    StaleRecord,
)
from tradebook.domain.entity import Entity
from tradebook.service_layer.book import Book


def read(book: Book, ids: dict[str, int], record: str) -> Any:
    """Read a record of the table, a decision with its signals."""
    kind = KIND_OF[record.split()[-1]]
    if kind is AgentDecision:
        return book.get_decision(ids[record])
    return book.get(kind, ids[record])


def everything(book: Book) -> dict[str, list[dict[str, Any]]]:
    """Read every field of every record."""
    return {
        kind.__name__: [
            {n: v for n, v in vars(e).items() if n[0] != "_" and n != "signals"}
            for e in book.read(lambda uow, k=kind: uow.records(k).in_order())  # type: ignore[misc]
        ]
        for kind in KIND_OF.values()
    }


def change(book: Book, ids: dict[str, int], edit: Edit) -> Entity:
    """Set one field, past the entity's own refusal where the table has one, and update the record."""
    entity = read(book, ids, edit.record)
    if edit.advice is None:
        setattr(entity, edit.field, edit.value_in(ids))
    else:
        vars(entity)[edit.field] = edit.value_in(ids)
    return book.update(entity)


def test_each_field_of_a_record_changes_or_is_refused_by_name(book: Book) -> None:
    ids = record_one_of_each(book)
    before = everything(book)
    edits = [edit for edit in CHANGES if edit.field not in ("signals", "version")]
    for edit in edits:
        if edit.advice is not None:
            with pytest.raises((InvalidTransition, InvalidInput), match=edit.advice) as refused:
                change(book, ids, edit)
            assert edit.field in str(refused.value) or edit.field == "resolved", edit
    assert everything(book) == before
    for edit in edits:
        if edit.advice is None:
            change(book, ids, edit)
            assert getattr(read(book, ids, edit.record), edit.field) == edit.value_in(ids), edit
    assert book.verify().proven


def test_an_update_finds_its_record_by_id_and_account_and_keeps_the_time_of_creation(
    book: Book,
) -> None:
    ids = record_one_of_each(book)
    before = everything(book)
    for record in REMOVALS:
        stale = "version" if record == "Position" else "updated_at"
        refusals = {"id": NotFound, "account": InvalidInput, stale: StaleRecord}
        for field, value in {**BOOKKEEPING, "version": 9}.items():
            edit = Edit(record, field, value)
            if field in refusals:
                with pytest.raises(refusals[field]):
                    change(book, ids, edit)
            elif field != "version":
                change(book, ids, edit)
    assert everything(book) == before


def test_each_field_of_a_new_record_is_taken_or_refused_by_name(book: Book) -> None:
    ids = {"AgentDecision": book.record_decision("bot", "X", "BUY").id}
    before = everything(book)
    for edit in [*NEW, *NEW_STATES]:
        kind = edit.record
        if edit.advice is None or (kind, edit.value) == ("Trade", "EXECUTED"):  # it is booked
            continue
        words = edit.advice if edit.value != "BUSTED" else "EXECUTED, or PENDING"
        with pytest.raises(InvalidInput, match=words) as refused:
            book.create(new_record(KIND_OF[kind], **{edit.field: edit.value}))
        named = {"resolved": "resolved_at"}.get(edit.field, edit.field)
        assert refused.value.field == named or kind in MADE_BY_HANDLERS, edit
    assert everything(book) == before
    for kind, values in sorted(values_of_new(ids).items()):
        made = book.create(new_record(KIND_OF[kind], **values))
        for field in values.keys() - BOOKKEEPING.keys() - {"signals"}:
            found = getattr(read(book, {kind: made.id}, kind), field)
            assert found == values[field], (kind, field)
    assert book.verify().proven


@pytest.mark.parametrize("entity", [new_record(Position, account="another"), "AAPL", None])
def test_what_is_no_record_of_the_account_is_refused(book: Book, entity: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        book.create(entity)
    assert refused.value.field in ("account", "entity")
    assert not any(everything(book).values())


BAD: list[tuple[str, str, Any]] = [
    *(("Position", "current_price", value) for value in (Decimal("sNaN"), Decimal("NaN"), "x")),
    *(("Position", "marked_at", value) for value in (Decimal("sNaN"), "x", 5, object())),
    ("Position", "quantity", Decimal("sNaN")),
    ("Position", "version", Decimal("sNaN")),
    ("Trade", "price", Decimal("sNaN")),
    ("Trade", "symbol", 5),
    ("Alert", "timestamp", "x"),
]
"""Values that are put past the converters of a record."""


def test_values_put_past_the_converters_are_refused_by_name(book: Book) -> None:
    ids = record_one_of_each(book)
    before = everything(book)
    for record, field, value in BAD:
        for act in (book.update, lambda entity: book.bulk_update([entity, entity])):
            entity = read(book, ids, record)
            vars(entity)[field] = value
            with pytest.raises((InvalidInput, StaleRecord), match=field) as refused:
                act(entity)
            assert field == "version" or type(refused.value) is InvalidInput
        new = new_record(KIND_OF[record], **{"symbol": "NEW"} if record == "Position" else {})
        vars(new)[field] = value
        with pytest.raises(InvalidInput, match=field):
            book.create(new)
    assert everything(book) == before


def test_a_naive_time_put_past_the_converters_is_taken_as_utc(book: Book) -> None:
    record_one_of_each(book)
    position = book.get_position_by_symbol("X")
    assert position is not None
    vars(position).update(marked_at=LATER.replace(tzinfo=None), current_price=Decimal(3))
    assert book.update(position).marked_at == LATER


def test_a_record_is_deleted_or_it_is_refused_with_what_to_do_instead(book: Book) -> None:
    ids = record_one_of_each(book)
    before = everything(book)
    for record, advice in REMOVALS.items():
        if advice is not None:
            with pytest.raises(InvalidTransition, match=advice):
                book.delete(read(book, ids, record))
    assert everything(book) == before
    for record, advice in REMOVALS.items():
        if advice is None:
            entity = read(book, ids, record)
            book.delete(entity)
            assert book.get(type(entity), entity.id) is None
            for gone in (book.delete, book.update):
                with pytest.raises(NotFound):
                    gone(entity)
    assert book.verify().proven
