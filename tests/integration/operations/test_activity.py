"""`tradebook metrics` and `tradebook top` on a real PostgreSQL: lock waits, dead rows, standbys."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
import pytest
from prometheus_client import CollectorRegistry, start_http_server
from sqlalchemy import URL, Engine

from tests.integration.adapters.engine.test_pool import until
from tests.support.breakable_servers import BreakableServer, book_with_standby
from tests.support.command_line import Command
from tests.support.servers import configured, create_database
from tradebook import DatabaseManager
from tradebook.operations import activity, metrics
from tradebook.operations.activity import (
    Activity,
    chain_length,
    monitoring_connection,
    monitoring_engine,
    read_activity,
)
from tradebook.operations.metrics import catalog
from tradebook.operations.metrics.database import database_registry, read_samples

BUY: dict[str, Any] = {"symbol": "AAPL", "action": "BUY", "quantity": 1, "price": "150.25"}
Samples = dict[tuple[str, tuple[str, ...]], float]


@pytest.fixture(scope="module")
def url(postgresql: URL, migrated_database: str) -> URL:
    """Create a database with a book of two accounts."""
    url = create_database(postgresql, "watched", migrated_database)
    with DatabaseManager(url) as book:
        for number in range(3):
            book.record_trade(**BUY, order_id=f"o-{number}")
        book.bust_trade(order_id="o-0", reason="wrong")
        book.record_trade(**BUY, status="PENDING")
    with DatabaseManager(url, account="other") as book:
        book.record_trade(**BUY)
        book.raise_alert("drawdown", "CRITICAL")
        resolved = book.raise_alert("drawdown", "EMERGENCY")
        book.resolve_alert(resolved.id, "hedged")
    return url


@pytest.fixture
def engine(url: URL) -> Iterator[Engine]:
    with monitoring_engine(configured(url), "watcher") as engine:
        yield engine


@pytest.fixture
def tradebook(url: URL) -> Command:
    return Command(url.render_as_string(hide_password=False))


@contextmanager
def session(url: URL, *statements: str, name: str = "holder") -> Iterator[Any]:
    """Open a session with a transaction."""
    text = url.set(drivername="postgresql").render_as_string(False)
    connection = psycopg2.connect(text, application_name=name)
    try:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
        yield connection
    finally:
        connection.close()


@contextmanager
def blocked_writer(url: URL, engine: Engine) -> Iterator[int]:
    """Let a trade wait for a session that locks its position; yield that session's process id."""
    hold = "SELECT id, 'hunter2' FROM positions WHERE symbol = 'AAPL' FOR UPDATE"
    with session(url, hold) as holder:
        book = DatabaseManager(url)
        writer = threading.Thread(target=lambda: book.record_trade(**BUY))
        writer.start()
        try:
            until(lambda: bool(seen(engine).blocked))
            yield holder.info.backend_pid
        finally:
            holder.rollback()
            writer.join()
            book.close()


def seen(engine: Engine) -> Activity:
    with monitoring_connection(engine) as connection:
        found = read_activity(connection)
    assert found is not None
    return found


def samples(engine: Engine) -> Samples:
    return {(metric.name, labels): value for metric, labels, value in read_samples(engine)}


def test_top_shows_who_blocks_whom(url: URL, engine: Engine, tradebook: Command) -> None:
    with blocked_writer(url, engine) as holder:
        shown = tradebook.json("top", "--once", "--interval", "0.1")
        text = tradebook("top", "--once", "--interval", "0.1").stdout
    [waiting] = shown["blocked"]
    assert waiting["blocked_by"] == [holder]
    assert waiting["waiting_seconds"] > 0
    assert waiting["waits_for"].startswith("Lock ")
    [blocker] = shown["blockers"]
    assert (blocker["pid"], blocker["application"]) == (holder, "holder")
    assert blocker["state"] == "idle in transaction"
    assert "FOR UPDATE" in blocker["statement"]
    assert shown["blocking_chain_length"] == 2
    assert "hunter2" not in str(shown) + text
    assert "AAPL" not in str(shown) + text
    assert "lock waits" in text
    assert f"{holder}" in text


def test_the_metrics_show_a_blocked_writer_and_that_it_went_on(url: URL, engine: Engine) -> None:
    with blocked_writer(url, engine):
        blocked = samples(engine)
    assert blocked[catalog.LOCK_WAITS.name, ()] == 1
    assert blocked[catalog.LONGEST_LOCK_WAIT.name, ()] > 0
    assert blocked[catalog.CHAIN.name, ()] == 2
    assert blocked[catalog.OLDEST_TRANSACTION.name, ()] > 0
    assert blocked[catalog.CONNECTIONS.name, ("idle in transaction",)] >= 1
    free = samples(engine)
    assert free[catalog.LOCK_WAITS.name, ()] == free[catalog.CHAIN.name, ()] == 0


def test_a_transaction_is_long_after_a_minute(
    url: URL, engine: Engine, tradebook: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    with session(url, "SELECT 1", name="report"):
        assert samples(engine)[catalog.LONG_TRANSACTIONS.name, ()] == 0
        monkeypatch.setattr(activity, "LONG_SECONDS", 0.0)
        assert samples(engine)[catalog.LONG_TRANSACTIONS.name, ()] >= 1
        shown = tradebook.json("top", "--once", "--interval", "0.1")
        text = tradebook("top", "--once", "--interval", "0.1").stdout
    assert "report" in [s["application"] for s in shown["long_transactions"]]
    assert "long transactions" in text


def test_what_the_book_holds_is_counted_over_all_accounts(engine: Engine) -> None:
    found = samples(engine)
    with monitoring_connection(engine) as connection:
        booked = connection.exec_driver_sql("SELECT count(sequence) FROM trades").scalar_one()
    assert found[catalog.BOOKED.name, ()] == booked >= 4
    assert found[catalog.BUSTED.name, ()] == 1
    assert found[catalog.PENDING.name, ()] == 1
    assert found[catalog.POSITIONS.name, ()] == 2
    assert found[catalog.UNRESOLVED.name, ("CRITICAL",)] == 1
    assert found[catalog.UNRESOLVED.name, ("EMERGENCY",)] == 0
    assert found[catalog.OLDEST_ALERT.name, ("CRITICAL",)] > 0
    assert found[catalog.OLDEST_ALERT.name, ("EMERGENCY",)] == 0
    assert found[catalog.DATABASE_SIZE.name, ()] > 1_000_000


def test_dead_rows_index_use_and_the_cache_are_measured(url: URL, engine: Engine) -> None:
    churn = (
        "ALTER TABLE performance_metrics SET (autovacuum_enabled = off)",
        "INSERT INTO performance_metrics (account, created_at, updated_at, name, value, period_start,"
        " period_end, computed_at, parameters) SELECT 'main', now(), now(), n::text, 1, now(), now(),"
        " now(), '{}' FROM generate_series(1, 50) AS n",
        "DELETE FROM performance_metrics",
        "SELECT pg_stat_force_next_flush()",
    )
    with session(url, *churn) as connection:
        connection.commit()
        dead = (catalog.DEAD_ROWS.name, ("performance_metrics",))
        until(lambda: samples(engine)[dead] == 50)
    found = samples(engine)
    used = (catalog.INDEX_SCANS.name, ("positions", "uq_positions_account_symbol"))
    assert found[used] > 0
    assert found[catalog.SEQUENTIAL_SCANS.name, ("performance_metrics",)] > 0
    assert 0 < found[catalog.CACHE_HIT_RATIO.name, ()] <= 1
    assert found[catalog.COMMITS.name, ()] > 0
    assert found[catalog.MOST_CONNECTIONS.name, ()] >= found[catalog.ALL_CONNECTIONS.name, ()] > 0


def test_without_standbys_there_is_no_lag(engine: Engine) -> None:
    found = samples(engine)
    assert found[catalog.REPLICAS.name, ()] == 0
    assert not [name for name, _ in found if name.startswith("tradebook_postgresql_replication")]


def test_every_metric_of_a_database_is_exported_but_those_of_its_log(engine: Engine) -> None:
    exported = {name for name, _ in samples(engine)}
    of_standbys = {catalog.REPLICATION_LAG.name, catalog.REPLICATION_LAG_BYTES.name}
    of_log = {
        m.name for m in (catalog.ARCHIVE_FAILURES, catalog.ARCHIVE_AGE, catalog.SLOT_RETAINED)
    }
    assert {metric.name for metric in catalog.DATABASE_METRICS} == exported | of_standbys | of_log


@pytest.fixture(scope="module")
def modest(url: URL) -> URL:
    """Return the URL for a role that may read the book, but not other roles' activity."""
    role = "CREATE ROLE modest LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO modest"
    with session(url, role) as connection:
        connection.commit()
    return url.set(username="modest")


def test_a_role_that_may_not_see_others_counts_them(url: URL, modest: URL) -> None:
    with (
        session(url, "SELECT 'hunter2'"),
        monitoring_engine(configured(modest), "modest") as engine,
    ):
        found = seen(engine)
        assert samples(engine)[catalog.UP.name, ()] == 1
    assert found.hidden == found.states()["unknown"] >= 1
    assert "hunter2" not in str(found)


def test_a_role_that_may_not_see_others_sees_who_waits_and_claims_nothing_else(
    url: URL, modest: URL, engine: Engine
) -> None:
    tradebook = Command(modest.render_as_string(False))
    with (
        monitoring_engine(configured(modest), "modest") as asking,
        blocked_writer(url, engine) as holder,
    ):
        found = samples(asking)
        shown = tradebook.json("top", "--once", "--interval", "0.1")
        text = tradebook("top", "--once", "--interval", "0.1").stdout
    assert found[catalog.LOCK_WAITS.name, ()] == 1
    assert found[catalog.LONGEST_LOCK_WAIT.name, ()] > 0
    assert found[catalog.CHAIN.name, ()] == 2
    not_known = (catalog.LONG_TRANSACTIONS, catalog.OLDEST_TRANSACTION, catalog.REPLICAS)
    assert not {(metric.name, ()) for metric in not_known} & found.keys()
    [waiting] = shown["blocked"]
    assert (waiting["blocked_by"], waiting["waits_for"][:5]) == ([holder], "Lock ")
    assert shown["hidden_sessions"] >= 2
    assert "GRANT pg_monitor TO modest" in " ".join(text.split())


def test_what_pg_monitor_sees_needs_no_word_about_it(url: URL, modest: URL) -> None:
    with session(url, "GRANT pg_monitor TO modest") as connection:
        connection.commit()
        text = Command(modest.render_as_string(False))("top", "--once", "--interval", "0.1").stdout
        connection.cursor().execute("REVOKE pg_monitor FROM modest")
        connection.commit()
    assert "connections:" in text
    assert "pg_monitor" not in text


def test_a_database_that_does_not_answer_is_an_answer(tmp_path: Any, postgresql: URL) -> None:
    with monitoring_engine(configured(postgresql.set(database="nowhere")), "watcher") as engine:
        registry = database_registry(engine)
        assert registry.get_sample_value("tradebook_up") == 0
        assert registry.get_sample_value("tradebook_booked_trades_total") is None


def test_metrics_once_prints_what_prometheus_reads(tradebook: Command) -> None:
    text = tradebook("metrics", "--once").stdout
    assert "# TYPE tradebook_up gauge\ntradebook_up 1.0\n" in text
    assert 'tradebook_unresolved_alerts{severity="CRITICAL"} 1.0' in text
    document = tradebook.json("metrics")
    assert {"name": "tradebook_up", "kind": "gauge", "labels": {}, "value": 1} in document[
        "metrics"
    ]


def test_top_shows_throughput_and_the_pools_of_applications(url: URL, tradebook: Command) -> None:
    registry = CollectorRegistry()
    with DatabaseManager(url) as book:
        metrics.instrument(book, registry=registry, pool="trader")
        server, thread = start_http_server(0, "127.0.0.1", registry)
        try:
            app = f"http://127.0.0.1:{server.server_port}/metrics"
            shown = tradebook.json("top", "--interval", "0.1", "--app", app)
            text = tradebook("top", "--once", "--interval", "0.1", "--app", app).stdout
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
    [pool] = shown["pools"]
    assert (pool["pool"], pool["size"], pool["limit"]) == ("trader", 10, 30)
    assert shown["throughput"]["trades_per_second"] == 0
    assert shown["throughput"]["commits_per_second"] >= 0
    assert shown["server"]["cache_hit_ratio"] <= 1
    assert "trader" in text
    assert "connections:" in text


def test_top_says_what_is_wrong_with_an_application(tradebook: Command) -> None:
    ftp = tradebook.refused("top", "--once", "--interval", "0.1", "--app", "file:///etc/passwd")
    assert "--app: 'file:///etc/passwd' is not accepted" in ftp
    gone = tradebook.refused("top", "--once", "--interval", "0.1", "--app", "http://127.0.0.1:9/")
    assert "no metrics at http://127.0.0.1:9/" in gone


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[BreakableServer, BreakableServer]]:
    """Start a server and a standby of it."""
    with book_with_standby(waits=True) as made:
        yield made


@pytest.mark.slow
def test_a_standby_that_stops_replaying_lags(
    pair: tuple[BreakableServer, BreakableServer],
) -> None:
    primary, standby = pair
    lag = (catalog.REPLICATION_LAG_BYTES.name, ("walreceiver",))
    with monitoring_engine(configured(primary.url("postgres")), "watcher") as engine:
        assert samples(engine)[catalog.REPLICAS.name, ()] == 1
        until(lambda: samples(engine)[lag] == 0)
        standby.execute("SELECT pg_wal_replay_pause()")
        standby.wait_for("SELECT pg_get_wal_replay_pause_state() = 'paused'")
        # Without waiting for the paused standby, which would never confirm the commit.
        primary.execute("SET synchronous_commit = local; CREATE TABLE more AS SELECT 1 AS n")
        until(lambda: samples(engine)[lag] > 0)
        with monitoring_engine(configured(standby.url("postgres")), "watcher") as beside:
            behind = (catalog.REPLICATION_LAG_BYTES.name, ("this standby",))
            until(lambda: samples(beside)[behind] > 0)
            assert samples(beside)[catalog.REPLICAS.name, ()] == 0
        standby.execute("SELECT pg_wal_replay_resume()")
        until(lambda: samples(engine)[lag] == 0)


@pytest.mark.parametrize(
    ("blocked_by", "length"),
    [
        ({}, 0),
        ({1: (), 2: ()}, 0),
        ({1: (2,)}, 2),
        ({1: (2,), 2: (3,), 4: (3,)}, 3),
        ({1: (2, 3), 2: (3,), 3: (4,), 4: ()}, 4),
        ({1: (2,), 2: (1,)}, 3),
        ({pid: tuple(range(pid)) for pid in range(1, 300)}, 300),
    ],
)
def test_a_chain_is_as_long_as_its_longest_row(
    blocked_by: dict[int, tuple[int, ...]], length: int
) -> None:
    assert chain_length(blocked_by) == length
