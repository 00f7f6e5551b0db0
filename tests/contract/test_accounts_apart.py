"""No public call reads or changes another account's records, whatever ids, cursors and names it is given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from uuid import uuid4

import attrs
import pytest

from tests.support.attacks import ACCEPTED, answer, dump
from tests.support.backends import BACKENDS, each_backend, new_book
from tests.support.public_calls import KINDS, called, prepared, public_calls, valid_calls
from tradebook import AgentDecision, DatabaseManager, Trade
from tradebook.domain.entity import DEFAULT_ACCOUNT, Entity
from tradebook.testing import FakeBook
from tradebook.testing.fake_store import FakeStore

NOBODYS: Final = 2**62
"""An id that no record has."""
BY_ID: Final = {
    "record_trade": "decision_id", "execute_trade": "trade_id", "cancel_trade": "trade_id",
    "reject_trade": "trade_id", "bust_trade": "trade_id", "correct_trade": "trade_id",
    "bust_cash_flow": "cash_flow_id", "undo_import": "import_id", "resolve_alert": "alert_id", "record_decision": "signals", "decision": "parent_id", "record_inputs": "decision_id", "decide": "decision_id",
    "record_action": "decision_id", "get": "record_id", "get_portfolio_positions": "portfolio_id",
    "get_snapshot": "portfolio_id", "get_decision": "decision_id", "get_actions": "decision_id",
    "get_events": "entity_id", "get_inputs": "decision_id", "replay": "decision_id", "look_ahead": "decision_id",
    "explain": "trade",
}  # fmt: skip
"""Calls that take an id, and in which argument."""
ACROSS: Final = {"get_accounts", "get_consolidated_positions", "get_consolidated_portfolio"}
"""The queries across accounts, which say so; they show both accounts, and change neither."""
BY_ENTITY: Final = {"create", "update", "delete", "bulk_create", "bulk_update"}
BY_CURSOR: Final = {
    name for name in public_calls() if name.startswith("get_") or name == "get_all"
} - {
    "get_order", "get_open_orders",
    "get_open_positions", "get_positions", "get_position_by_symbol", "get_cash_balances", "get_balances", "reconcile", "reconcile_statement", "consistency_token",
    "get_latest_portfolio", "get_portfolio_positions", "get_snapshot", "get_decision",
    *ACROSS,
}  # fmt: skip
"""Calls that take the `after` of a page."""


@pytest.fixture(
    params=each_backend(
        (name for name in BACKENDS if "memory" not in name),
        only_in_full_runs=["sqlite-async", "postgresql-async"],
    )
)
def books(request: pytest.FixtureRequest) -> Iterator[tuple[Any, Any]]:
    """Two accounts of one store: mine, asyncio or not, and theirs; the same names in both."""
    kind, url = BACKENDS[request.param]
    store = FakeStore()
    where = {"store": store} if url is None else {"config": request.getfixturevalue(url)}
    other = FakeBook if url is None else DatabaseManager
    theirs = other(**where, account=f"theirs-{uuid4().hex}")
    mine = new_book(kind, **where, account=f"mine-{uuid4().hex}")
    yield mine, theirs
    mine.close()
    theirs.close()


def records_in(found: Any) -> Iterator[Entity]:
    """The records in whatever a call returns."""
    if isinstance(found, Entity):
        yield found
        found = (
            found.signals if isinstance(found, AgentDecision) and "signals" in vars(found) else []
        )
    if attrs.has(type(found)) and not isinstance(found, Entity):
        found = [getattr(found, field.name) for field in attrs.fields(type(found))]
    if isinstance(found, list | tuple):
        for each in found:
            yield from records_in(each)


def test_every_public_call_is_among_those_that_are_tried() -> None:
    book = FakeBook()
    calls = valid_calls(book, prepared(book))
    assert calls.keys() == public_calls()
    assert BY_ID.keys() | BY_ENTITY | BY_CURSOR <= public_calls()
    for method, variants in calls.items():
        named = {name for arguments in variants for name in arguments}
        assert not {n for n in named if n == "after"} or method in BY_CURSOR, method
        ids = {n for n in named if n.endswith("_id") and n not in ("order_id", "execution_id")}
        assert not ids | named & {"signals"} or method in BY_ID, method


def test_a_call_with_what_is_theirs_shows_mine_only_and_leaves_theirs_alone(
    books: tuple[Any, Any],
) -> None:
    mine, theirs = books
    prepared(mine)
    calls = valid_calls(theirs, prepared(theirs))
    before = theirs.read(dump)
    for method, variants in calls.items():
        for arguments in variants:
            _, found = said(mine, method, arguments)
            if method not in ACROSS:
                assert {r.account for r in records_in(found)} <= {mine.account}, method
            assert theirs.read(dump) == before, method
    assert theirs.verify().proven
    assert mine.verify().proven


def said(book: Any, method: str, arguments: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """What a call is answered, and what it returns."""
    found: list[Any] = []
    return answer(lambda: found.append(called(book, method, arguments))), found


def test_an_id_of_theirs_is_answered_as_one_that_nobody_has(books: tuple[Any, Any]) -> None:
    mine, theirs = books
    my_calls, their_calls = (valid_calls(book, prepared(book)) for book in books)
    before = mine.read(dump), theirs.read(dump)
    for method, name in BY_ID.items():
        for mine_given, theirs_given in zip(my_calls[method], their_calls[method], strict=True):
            if name not in theirs_given:
                continue
            nobodys = [NOBODYS] if name == "signals" else NOBODYS
            answered, found = said(mine, method, {**mine_given, name: theirs_given[name]})
            assert answered == said(mine, method, {**mine_given, name: nobodys})[0], method
            assert answered != ACCEPTED or not [*records_in(found)], method
    assert (mine.read(dump), theirs.read(dump)) == before


def test_a_cursor_of_theirs_leads_into_my_lists_only(books: tuple[Any, Any]) -> None:
    mine, theirs = books
    for book in books:
        calls = valid_calls(book, prepared(book))
        for method in SECOND:
            called(book, method, calls[method][0])
    for method in sorted(BY_CURSOR):
        asked = {"limit": 1, **ASKED.get(method, {})}
        page = called(theirs, method, asked)
        assert page.after is not None, method
        rest = called(mine, method, {**asked, "limit": 100, "after": page.after})
        assert {record.account for record in rest} <= {mine.account}, method


SECOND: Final = (
    "record_cash_flow", "record_signal", "record_decision", "record_action", "record_metric",
    "take_snapshot", "import_trades", "record_inputs",
)  # fmt: skip
"""What makes a second record in lists that have one."""
ASKED: Final[Mapping[str, Mapping[str, Any]]] = {
    "get_trades_by_symbol": {"symbol": "AAPL"},
    "get_all": {"kind": Trade},
    "get_rows": {"kind": Trade},
    "get_recent_trades": {"days": 36_500},
}


def test_a_record_of_theirs_under_any_name_is_not_written(books: tuple[Any, Any]) -> None:
    mine, theirs = books
    prepared(mine)
    prepared(theirs)
    before = mine.read(dump), theirs.read(dump)
    for kind in KINDS:
        for account in (theirs.account, mine.account, DEFAULT_ACCOUNT):
            for method in ("update", "delete", "bulk_update"):
                answered, _ = said(mine, method, argument_of(method, theirs, kind, account))
                assert answered != ACCEPTED, (kind, account, method)
    assert (mine.read(dump), theirs.read(dump)) == before
    for kind in KINDS:
        for method in ("create", "bulk_create"):
            _, made = said(mine, method, argument_of(method, theirs, kind, mine.account))
            assert {record.account for record in records_in(made)} <= {mine.account}
    assert theirs.read(dump) == before[1]


def argument_of(method: str, book: Any, kind: type[Entity], account: str) -> dict[str, Any]:
    """A record of a book, said to be of an account."""
    record = book.get_all(kind, 1)[0]
    vars(record)["account"] = account
    return {"entities": [record]} if "bulk" in method else {"entity": record}
