"""Both managers under many calls: at the same time, and one after another."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import Any
from uuid import uuid4
from weakref import ref

import attrs
import pytest
from sqlalchemy import URL, text
from sqlalchemy.orm import Session

from tests.support.backends import in_full_runs, run_together
from tests.support.servers import configured
from tradebook import handlers
from tradebook.adapters.migrations import schema_state
from tradebook.adapters.migrations import upgrade as migrations

ONE_TRADE: dict[str, Any] = {"symbol": "X", "action": "BUY", "quantity": 1, "price": 1}


class Meeting:
    """Handlers that finish only once so many have been in a transaction at the same time."""

    def __init__(self, people: int) -> None:
        self.people, self.key = people, threading.get_ident() % 2**31
        self.has_met = False

    def attend(self, uow: Any, symbol: str) -> None:
        """Be present, record a trade, and leave when everybody has been seen."""
        session: Session = uow.session
        session.execute(text("SELECT pg_advisory_xact_lock_shared(:key)"), {"key": self.key})
        handlers.record_trade(uow, **{**ONE_TRADE, "symbol": symbol})
        present = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = :key")
        for _ in range(20_000):
            if self.has_met or session.scalar(present, {"key": self.key}) >= self.people:
                self.has_met = True
                return
        raise AssertionError(f"fewer than {self.people} came together")


def test_fifty_calls_on_ten_connections_go_on_together(
    new_manager: Callable[..., Any], postgresql_book: URL
) -> None:
    config = attrs.evolve(configured(postgresql_book), pool_size=10, max_overflow=0)
    manager = new_manager(config, uuid4().hex)
    meeting = Meeting(10)
    calls = [{"symbol": f"X{number}"} for number in range(50)]
    run_together(manager, meeting.attend, calls, workers=50)
    assert meeting.has_met
    assert len(manager.get_open_positions()) == 50
    assert (manager.pool_status().checked_out, manager.verify().proven) == (0, True)


def test_many_first_calls_prepare_once(
    new_manager: Callable[..., Any], sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = []
    check, upgrade = schema_state.schema_state, migrations.upgrade
    monkeypatch.setattr(
        schema_state, "schema_state", lambda c: prepared.append("checked") or check(c)
    )
    monkeypatch.setattr(migrations, "upgrade", lambda e: prepared.append("upgraded") or upgrade(e))
    manager = new_manager(sqlite_url)
    calls = [{**ONE_TRADE, "symbol": f"X{number}"} for number in range(50)]
    assert len(run_together(manager, handlers.record_trade, calls, workers=50)) == 50
    assert prepared == ["checked", "upgraded"]
    assert len(manager.get_positions()) == 50


def mixed_calls(manager: Any, numbers: range) -> None:
    """Mostly reading and marking, on a few symbols, and a trade now and then."""
    for number in numbers:
        symbol = f"X{number % 7}"
        if number % 50 == 0:
            manager.record_trade(**{**ONE_TRADE, "symbol": symbol})
        elif number % 5 == 1:
            manager.mark_prices({"X0": number})
        elif number % 5 == 2:
            manager.get_trades(limit=3)
        else:
            manager.get_position_by_symbol(symbol)


def objects_alive() -> int:
    """All but weak references, whose number goes up and down: what they refer to counts."""
    gc.collect()
    return sum(type(each) is not ref for each in gc.get_objects())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("database", "calls"), [("memory", 500), ("postgresql", 500), in_full_runs("memory", 3_000)]
)
def test_hundreds_of_calls_leave_the_pool_empty_and_memory_flat(
    new_manager: Callable[..., Any],
    database: str,
    calls: int,
    request: pytest.FixtureRequest,
) -> None:
    url = "sqlite://" if database == "memory" else request.getfixturevalue("postgresql_book")
    manager = new_manager(url, uuid4().hex)
    for number in range(7):  # their positions are remembered from here on
        manager.record_trade(**{**ONE_TRADE, "symbol": f"X{number}"})
    mixed_calls(manager, range(calls // 2))
    before = objects_alive()
    mixed_calls(manager, range(calls // 2, calls))
    assert objects_alive() - before < calls // 50
    assert manager.pool_status().checked_out == 0
    assert manager.verify().proven
