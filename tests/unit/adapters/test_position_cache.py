"""What a manager remembers of the positions it wrote, and how values reach a driver past the column types."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import make_url

from tradebook import InvalidInput
from tradebook.adapters import orm
from tradebook.adapters.ledger import position_cache
from tradebook.adapters.ledger.position_cache import CachedPosition, PositionCache, ThreadTurn
from tradebook.adapters.ledger.single_trade import _processor
from tradebook.adapters.orm import events, positions, trades
from tradebook.domain.positions import Position

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
orm.start_mappers()


def position(symbol: str, version: int = 1) -> Position:
    return Position(symbol=symbol, version=version)


def test_memory_is_bounded_and_forgets_what_was_used_longest_ago(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(position_cache, "MOST", 2)
    memory = PositionCache()
    for symbol in "AB":
        memory.keep(position(symbol))
    memory.of("A")
    memory.keep(position("C"))
    assert [memory.of(symbol).values is None for symbol in "ACB"] == [False, False, True]


def test_a_later_version_is_kept() -> None:
    memory = PositionCache()
    for version in (2, 3, 1):
        memory.keep(position("A", version))
    copy = memory.of("A").copy()
    assert copy is not None
    assert copy.version == 3


def test_copies_are_the_callers_own() -> None:
    memory = PositionCache()
    memory.keep(position("A"))
    first, second = memory.of("A").copy(), memory.of("A").copy()
    assert first is not None
    assert second is not None
    first.quantity = Decimal(5)
    assert second.quantity == 0


def test_guesses_rest_the_longer_the_more_of_them_were_wrong() -> None:
    symbol = CachedPosition(ThreadTurn())
    rests = []
    for _ in range(8):
        symbol.invalidate()
        rests.append(symbol.rest)
    assert rests == [0, 2, 6, 14, 30, 62, 64, 64]
    symbol.confirm_guess()
    symbol.invalidate()
    assert symbol.rest == 0


def test_a_symbol_at_rest_is_asked_of_the_database() -> None:
    symbol = CachedPosition(ThreadTurn(), values={"symbol": "A"}, rest=1)
    assert symbol.copy() is None
    assert symbol.copy() is not None


def test_a_turn_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(position_cache, "_PATIENCE", 0.001)
    turn = ThreadTurn()
    assert turn.acquire()
    assert not turn.acquire()
    turn.release()
    assert turn.acquire()


@pytest.mark.parametrize("url", ["sqlite://", "postgresql+psycopg2://", "postgresql+asyncpg://"])
def test_values_reach_the_driver_as_their_columns_types_send_them(url: str) -> None:
    dialect = make_url(url).get_dialect()()
    samples: list[Any] = [
        Decimal("0.000000000000000001"),
        Decimal("1234567890123456789"),
        NOON,
        NOON.replace(year=33, microsecond=7),
        None,
        "BUY",
        {"a": [1, "ü"]},
    ]
    for column in [*trades.c, *positions.c, *events.c]:
        exact = column.type.dialect_impl(dialect).bind_processor(dialect)
        quick = _processor(column, dialect)
        for sample in samples if column.nullable else [s for s in samples if s is not None]:
            try:
                sent = exact(sample) if exact else sample
            except (InvalidInput, AttributeError, TypeError):
                continue  # of another type
            given = quick(sample) if quick else sample
            if isinstance(sent, datetime) and isinstance(given, str):
                given = datetime.fromisoformat(given)
            assert given == sent, column
