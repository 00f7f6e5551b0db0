"""The pytest plugin that applications load for their own tests."""

from __future__ import annotations

import pytest

from tradebook.adapters.migrations import upgrade as migrations

pytest_plugins = ["pytester"]

STAYS = migrations
"""pytester forgets what its tests import first, and Alembic cannot be imported twice."""

USERS_TESTS = """
from sqlalchemy import select
from tradebook import DatabaseManager, Trade, col

def test_a_session(in_memory_db, sample_trade):
    in_memory_db.add(Trade(**sample_trade))
    in_memory_db.commit()
    query = select(Trade).where(col(Trade.symbol) == "AAPL")
    assert in_memory_db.scalars(query).one().price == sample_trade["price"]

def test_each_test_has_a_database_of_its_own(in_memory_db):
    assert in_memory_db.query(Trade).all() == []

def test_a_book(in_memory_book, sample_trade):
    in_memory_book.record_trade(**sample_trade)
    assert in_memory_book.get_open_positions()[0].quantity == 100

def test_a_session_and_a_manager_share_the_database(in_memory_db, in_memory_config, sample_trade):
    with DatabaseManager(in_memory_config) as manager:
        manager.record_trade(**sample_trade)
    assert in_memory_db.query(Trade).count() == 1

def test_fakes(fake_book, async_fake_book, sample_trade):
    import asyncio
    fake_book.record_trade(**sample_trade)
    asyncio.run(async_fake_book.record_trade(**sample_trade))
    assert fake_book.count(Trade) == 1
"""


def test_its_fixtures_serve_the_tests_of_an_application(pytester: pytest.Pytester) -> None:
    pytester.makeconftest('pytest_plugins = ["tradebook.testing.plugin"]')
    pytester.makepyfile(USERS_TESTS)
    # A process of its own: in this one it would take back what it imported, and leave Alembic half loaded.
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=5)
