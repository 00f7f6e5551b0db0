"""What a manager remembers of the positions it wrote, and how values reach a driver past the column types."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from threading import RLock
from typing import Any

import pytest
from sqlalchemy import make_url

from tradebook import InvalidInput
from tradebook.adapters import orm
from tradebook.adapters.ledger import position_cache
from tradebook.adapters.ledger.position_cache import CachedPosition, PositionCache
from tradebook.adapters.orm import events, positions, trades
from tradebook.adapters.types import bind_processor
from tradebook.domain.positions import Position

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
orm.start_mappers()


def position(symbol: str, version: int = 1) -> Position:
    return Position(symbol=symbol, version=version)


def test_the_cache_is_bounded_and_forgets_what_was_used_longest_ago(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(position_cache, "MAX_SYMBOLS", 2)
    cache = PositionCache()
    for symbol in "AB":
        cache.keep(vars(position(symbol)))
    cache.entry("A")
    cache.keep(vars(position("C")))
    assert [cache.entry(symbol).values is None for symbol in "ACB"] == [False, False, True]


def test_a_later_version_is_kept() -> None:
    cache = PositionCache()
    for version in (2, 3, 1):
        cache.keep(vars(position("A", version)))
    kept = cache.entry("A").take()
    assert kept is not None
    assert kept["version"] == 3


def test_what_is_kept_does_not_change_with_the_entity() -> None:
    cache, kept = PositionCache(), position("A")
    cache.keep(vars(kept))
    kept.quantity = Decimal(5)
    values = cache.entry("A").take()
    assert values is not None
    assert values["quantity"] == 0


def test_the_back_off_grows_with_the_misses_in_a_row() -> None:
    symbol = CachedPosition(RLock())
    back_offs = []
    for _ in range(8):
        symbol.invalidate()
        back_offs.append(symbol.back_off)
    assert back_offs == [0, 2, 6, 14, 30, 62, 64, 64]
    symbol.confirm()
    symbol.invalidate()
    assert symbol.back_off == 0


def test_a_symbol_in_back_off_is_read_from_the_database() -> None:
    symbol = CachedPosition(RLock(), values={"symbol": "A"}, back_off=1)
    assert symbol.take() is None
    assert symbol.take() is not None


def test_a_lock_is_not_waited_for_without_end() -> None:
    lock = PositionCache().entry("A").lock
    with ThreadPoolExecutor(1) as other:
        assert other.submit(lock.acquire).result()
        assert not lock.acquire(timeout=0.001)
        with pytest.raises(RuntimeError):
            lock.release()
        other.submit(lock.release).result()
    assert lock.acquire(timeout=0.001)


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
        quick = bind_processor(column, dialect)
        for sample in samples if column.nullable else [s for s in samples if s is not None]:
            try:
                sent = exact(sample) if exact else sample
            except (InvalidInput, AttributeError, TypeError):
                continue  # of another type
            given = quick(sample) if quick else sample
            if isinstance(sent, datetime) and isinstance(given, str):
                given = datetime.fromisoformat(given)
            assert given == sent, column
