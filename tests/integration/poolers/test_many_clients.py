"""Many clients over few connections of the server: no error, and nothing lost or booked twice."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from attrs import evolve
from sqlalchemy import URL

from benchmarks.pooled_clients import CLIENTS, CONNECTIONS, KINDS, require_booked
from tests.integration.poolers.conftest import PooledBook
from tests.support.backends_behind import left_behind
from tests.support.poolers import pooler
from tests.support.servers import configured
from tradebook import DatabaseManager, OperationFailed, Trade
from tradebook.adapters.engine.factory import engine_for
from tradebook.adapters.migrations import upgrade as migrations


@pytest.mark.parametrize("kind", ["tasks", pytest.param("threads", marks=pytest.mark.pooler)])
def test_twelve_clients_over_two_connections_book_each_fill_once(
    pooled: PooledBook, kind: str
) -> None:
    KINDS[kind](pooled.config, "many", 12, 36)
    require_booked(pooled.config, "many", 12, 36)


@pytest.mark.pooler
@pytest.mark.slow
@pytest.mark.parametrize("limited_by", ["database", "transaction"])
@pytest.mark.parametrize("kind", KINDS)
def test_three_hundred_clients_over_ten_connections_book_each_fill_once(
    pooled: PooledBook, kind: str, limited_by: str
) -> None:
    if limited_by == "database":
        pooled.limit_database()
    with pooler(pooled.direct, size=CONNECTIONS) as made:
        config = evolve(configured(made.url), pooler="transaction")
        KINDS[kind](config, "many", CLIENTS, 3_000)
        require_booked(config, "many", CLIENTS, 3_000)
        left = left_behind(made.url, CONNECTIONS)
        assert {each[-1] for each in left} == {"None"}
        assert len(left) == 1


@pytest.mark.pooler
@pytest.mark.slow
@pytest.mark.parametrize("by", ["pooler", "direct"])
def test_an_upgrade_while_eight_clients_are_busy_is_done_directly_or_refused(
    own_postgresql_book: URL, by: str
) -> None:
    direct = own_postgresql_book.render_as_string(hide_password=False)
    with engine_for(configured(own_postgresql_book)) as engine:
        migrations.downgrade(engine, "0007")
    with pooler(own_postgresql_book) as made:
        config = evolve(configured(made.url), pooler="transaction")
        before = left_behind(made.url)
        ended, booked = threading.Event(), []

        def book(client: int) -> None:
            # As programs of the version before do: those of this one would refuse the schema.
            with DatabaseManager(config, "busy") as manager:
                manager._container.schema_use().is_done = True
                while not ended.is_set():
                    booked.append(f"{client}-{len(booked)}")
                    manager.record_trade(
                        symbol=f"S{client}", action="BUY", quantity=1, price=1, order_id=booked[-1]
                    )

        with ThreadPoolExecutor(8) as clients:
            working = [clients.submit(book, client) for client in range(8)]
            try:
                while len(booked) < 100:
                    assert not any(work.done() for work in working)
                if by == "direct":
                    with DatabaseManager(evolve(config, direct_url=direct)) as manager:
                        manager.upgrade()
                else:
                    with (
                        pytest.raises(OperationFailed, match="TRADEBOOK_DATABASE_DIRECT_URL"),
                        DatabaseManager(config) as manager,
                    ):
                        manager.upgrade()
                enough = len(booked) + 100
                while len(booked) < enough:
                    assert not any(work.done() for work in working)
            finally:
                ended.set()
            for work in working:
                work.result()
        assert left_behind(made.url) == before
    with engine_for(configured(own_postgresql_book)) as engine:
        at = {"pooler": "0007", "direct": "0009"}[by]
        assert migrations.current_revision(engine) == at
        migrations.upgrade(engine)
    with DatabaseManager(own_postgresql_book, "busy") as manager:
        assert {trade.order_id for trade in manager.iterate(Trade)} == set(booked)
        assert manager.verify().proven
