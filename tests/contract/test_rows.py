"""Records as plain rows: what the entities say, on every store, and never changed."""

from __future__ import annotations

import pickle
from typing import Any

import attrs
import pytest

from tests.contract.test_paging import order, pages
from tests.support.assorted_records import KINDS, NOON
from tests.support.backends import within
from tradebook import InvalidInput, Row, Trade, TradeAction
from tradebook.domain.entity import Entity
from tradebook.service_layer import queries


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_rows_have_every_value_of_the_entities(filled_book: Any, kind: type[Entity]) -> None:
    book = filled_book
    entities = book.get_all(kind)
    names = [field.name for field in attrs.fields(kind) if field.name != "signals"]

    rows = book.get_rows(kind)

    assert len(rows) == len(entities) > 0
    for row, entity in zip(rows, entities, strict=True):
        for name in names:
            value, expected = getattr(row, name), getattr(entity, name)
            assert (value, type(value), str(value)) == (expected, type(expected), str(expected))
        assert list(row._asdict()) == names


def test_pages_of_rows_are_those_of_entities(book: Any) -> None:
    for number in range(7):
        order(book, number, minute=number // 3, symbol="AAPL" if number % 2 else "MSFT")
    for wanted in ({}, {"symbol": "AAPL", "action": "BUY"}, {"since": NOON, "until": NOON}):
        entities = list(pages(lambda after, w=wanted: book.get_all(Trade, 2, after, **w)))  # type: ignore[misc]
        rows = list(pages(lambda after, w=wanted: book.get_rows(Trade, 2, after, **w)))  # type: ignore[misc]
        assert [page.after for page in rows] == [page.after for page in entities]
        assert [[row.id for row in page] for page in rows] == [
            [entity.id for entity in page] for page in entities
        ]


def test_a_row_is_a_named_tuple_that_nobody_changes(book: Any) -> None:
    order(book, 1, details={"why": ["it rose"]})
    [row] = book.get_rows(Trade)

    assert isinstance(row, Row)
    assert row.action is TradeAction.BUY
    assert repr(row).startswith(f"TradeRow(id={row.id}, account=")
    assert pickle.loads(pickle.dumps(row)) == row
    with pytest.raises(AttributeError, match="attribute"):
        row.price = 1
    with pytest.raises(AttributeError, match="prize"):
        row.prize = 1
    with pytest.raises(TypeError, match="assignment"):
        row[0] = 1
    row.details["why"].append("mine alone")
    assert book.get_rows(Trade)[0].details == {"why": ["it rose"]}
    with pytest.raises(InvalidInput, match="entity"):
        book.update(row)


@pytest.mark.filterwarnings("ignore::tradebook.UncommittedWork")
def test_rows_in_a_unit_of_work_have_what_it_changed(book: Any) -> None:
    pending = order(book, 1)
    with book.unit_of_work() as uow:
        within(uow, queries.get, Trade, pending.id).strategy = "changed"
        [row] = within(uow, queries.get_rows, Trade)
        assert row.strategy == "changed"
    assert book.get_rows(Trade)[0].strategy == ""


def test_what_is_refused_of_a_list_of_entities_is_refused_of_rows(book: Any) -> None:
    refused: list[tuple[str, Any]] = [
        ("kind", lambda: book.get_rows("trades")),
        ("kind", lambda: book.get_rows(Entity)),
        ("limit", lambda: book.get_rows(Trade, 0)),
        ("after", lambda: book.get_rows(Trade, 1, "elsewhere")),
        ("prize", lambda: book.get_rows(Trade, prize=1)),
    ]
    for name, call in refused:
        with pytest.raises(InvalidInput, match=name):
            call()
