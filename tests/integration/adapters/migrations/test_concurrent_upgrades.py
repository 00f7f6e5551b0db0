"""Upgrades under concurrency: another upgrade, running transactions, an interruption, missing privileges."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest
from attrs import evolve
from sqlalchemy import URL, Connection, Engine, text
from sqlalchemy.exc import ProgrammingError

from tests.support.servers import configured, create_database
from tradebook import (
    BookBusy,
    DatabaseConfig,
    DatabaseFailure,
    DatabaseReadOnly,
    InvalidInput,
    SchemaNotReady,
)
from tradebook.adapters.engine.factory import make_engine
from tradebook.adapters.migrations import revisions
from tradebook.adapters.migrations import upgrade as migrations
from tradebook.adapters.migrations.lock import ADVISORY_KEY
from tradebook.adapters.orm import metadata
from tradebook.operations.schema_check import check_schema

UPGRADE = (
    "import sys; from tradebook.adapters.engine.factory import make_engine;"
    "from tradebook import DatabaseConfig; from tradebook.adapters.migrations.upgrade import upgrade;"
    "upgrade(make_engine(DatabaseConfig.from_url(sys.argv[1])), report=print)"
)
TAKE_KEY = text("SELECT pg_advisory_lock(:key)").bindparams(key=ADVISORY_KEY)
TRY_KEY = text("SELECT pg_try_advisory_lock(:key)").bindparams(key=ADVISORY_KEY)
HALF_MADE = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
BUILDING = (
    "SELECT pid FROM pg_stat_activity WHERE query LIKE 'CREATE%CONCURRENTLY%' AND datname = :name"
)


class Reports:
    """Lines that an upgrade reports, and an event for the first that contains a word."""

    def __init__(self, word: str) -> None:
        self.lines: list[str] = []
        self.said = threading.Event()
        self._word = word

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        if self._word in line:
            self.said.set()


@pytest.fixture(scope="module")
def first_revision(postgresql: URL) -> str:
    """The name of a database at revision 0001, to be copied."""
    engine = make_engine(configured(create_database(postgresql, "first_revision")))
    migrations.upgrade(engine, "0001")
    engine.dispose()
    return "first_revision"


@pytest.fixture
def url(postgresql: URL, first_revision: str) -> URL:
    """Create a database at revision 0001."""
    return create_database(postgresql, f"db{uuid4().hex}", first_revision)


@pytest.fixture
def engine(url: URL) -> Iterator[Engine]:
    made = make_engine(configured(url))
    yield made
    made.dispose()


def upgrading(url: URL | str, output: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    """Start an upgrade in a process of its own, whose output are its reports."""
    command = [sys.executable, "-c", UPGRADE, str(configured(url).url)]
    return subprocess.Popen(command, stdout=output)


def wait_until(engine: Engine, question: str) -> object:
    """Poll a query until it returns a true value; give up after 10,000 polls."""
    for _ in range(10_000):
        with engine.connect() as connection:
            names = {"name": engine.url.database} if ":name" in question else {}
            answer = connection.scalar(text(question), names)
        if answer:
            return answer
    raise AssertionError(f"it never came to this: {question}")


def reading_of_before(engine: Engine) -> Connection:
    """Open a transaction with a snapshot, which CREATE INDEX CONCURRENTLY waits for."""
    connection = engine.connect().execution_options(isolation_level="REPEATABLE READ")
    connection.execute(text("SELECT count(*) FROM accounts"))
    return connection


def test_the_second_upgrade_waits_for_the_first(engine: Engine) -> None:
    reports = Reports("waiting")
    with ThreadPoolExecutor(1) as threads:
        with engine.connect() as first:
            first.execute(TAKE_KEY)  # the only lock of earlier versions
            pid = first.scalar(text("SELECT pg_backend_pid()"))
            first.commit()
            second = threads.submit(migrations.upgrade, engine, report=reports)
            assert reports.said.wait(60)
            assert migrations.current_revision(engine) == "0001"
            first.invalidate()
        second.result(60)
    assert migrations.current_revision(engine) == revisions.head_revision()
    [line] = [line for line in reports.lines if "waiting" in line]
    user = engine.url.username
    assert re.search(rf"pid {pid} \(application '.*' of {user}, since 20..-.* UTC\); waiting", line)


def test_a_reader_with_the_advisory_lock_is_named_and_holds_up_no_upgrade(
    engine: Engine, url: URL
) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE ROLE onlooker LOGIN"))
        connection.execute(text("GRANT SELECT ON ALL TABLES IN SCHEMA public TO onlooker"))
    reader = make_engine(configured(url.set(username="onlooker", password=None)))
    reports = Reports("waiting")
    reading = reading_of_before(engine)
    with ThreadPoolExecutor(1) as threads, reader.connect() as onlooker, reading:
        with pytest.raises(ProgrammingError, match="permission denied for table alembic_version"):
            onlooker.execute(text("LOCK TABLE alembic_version IN SHARE UPDATE EXCLUSIVE MODE"))
        onlooker.rollback()
        onlooker.execute(TAKE_KEY)
        pid = onlooker.scalar(text("SELECT pg_backend_pid()"))
        onlooker.commit()
        first = upgrading(url, subprocess.PIPE)
        wait_until(engine, HALF_MADE)
        # Nor do two upgrades run at the same time because of it.
        second = threads.submit(migrations.upgrade, engine, report=reports)
        assert reports.said.wait(60)
        reading.close()
        said, _ = first.communicate(timeout=60)
        assert first.returncode == 0
        second.result(60)
        onlooker.invalidate()
    reader.dispose()
    with engine.begin() as connection:
        connection.execute(text("DROP OWNED BY onlooker; DROP ROLE onlooker"))
    named = (
        rf"pid {pid} \(application '.*' of onlooker, since .* UTC\) holds .*it is not waited for"
    )
    assert re.search(named.encode(), said)
    assert check_schema(engine) == ()


def test_an_upgrade_that_waits_does_not_hold_up_the_one_that_it_waits_for(
    engine: Engine, url: URL
) -> None:
    reading = reading_of_before(engine)
    first = upgrading(url)
    wait_until(engine, HALF_MADE)
    with ThreadPoolExecutor(1) as threads:
        reports = Reports("waiting")
        second = threads.submit(migrations.upgrade, engine, report=reports)
        assert reports.said.wait(60)
        # Nor does one of an earlier version begin, which takes the advisory lock alone.
        assert not reading.scalar(TRY_KEY)
        reading.close()
        assert first.wait(60) == 0
        second.result(60)
    assert check_schema(engine) == ()


def test_an_index_that_a_killed_upgrade_left_half_made_is_made_anew(
    engine: Engine, url: URL
) -> None:
    reading = reading_of_before(engine)
    killed = upgrading(url)
    wait_until(engine, HALF_MADE)
    killed.kill()
    killed.wait()
    server_side = wait_until(engine, BUILDING)
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_terminate_backend(:pid, 60000)"), {"pid": server_side})
        assert connection.scalar(text(HALF_MADE)) == 1
    reading.close()
    assert migrations.current_revision(engine) == "0001"
    migrations.upgrade(engine)
    assert check_schema(engine) == ()


@pytest.mark.full
def test_ctrl_c_ends_an_upgrade_at_once_and_running_it_again_goes_on(
    engine: Engine, url: URL
) -> None:
    code = "from tradebook.entrypoints.cli import main; main()"
    command = [sys.executable, "-c", code, "db", "upgrade", "--database", str(configured(url).url)]
    reading = reading_of_before(engine)
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as upgrade:
        wait_until(engine, HALF_MADE)
        upgrade.send_signal(signal.SIGINT)
        _, said = upgrade.communicate(timeout=60)
    assert upgrade.returncode == 130, said
    assert b"run the command again to go on" in said
    assert b"Traceback" not in said
    wait_until(engine, f"SELECT NOT EXISTS ({BUILDING})")
    reading.close()
    migrations.upgrade(engine)
    assert check_schema(engine) == ()


def test_a_killed_upgrade_of_a_file_leaves_it_as_it_was(sqlite_url: str, tmp_path: Path) -> None:
    code = (
        "import sys; from tradebook.adapters.migrations import upgrade as migrations;"
        "from tradebook.adapters.engine.factory import make_engine;"
        "from tradebook import DatabaseConfig;"
        "made = make_engine(DatabaseConfig.from_url(sys.argv[1]));"
        "tell = lambda line: (print(line, flush=True), 'to 0002' in line and sys.stdin.read());"
        "migrations.upgrade(made, report=tell)"
    )
    engine = make_engine(configured(sqlite_url))
    migrations.upgrade(engine, "0001")
    command = [sys.executable, "-c", code, sqlite_url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"up to 0002")
        process.kill()
    assert migrations.current_revision(engine) == "0001"
    migrations.upgrade(engine)
    assert check_schema(engine) == ()
    engine.dispose()


def test_a_revision_that_cannot_get_its_lock_lets_others_go_first_and_is_tried_again(
    engine: Engine,
) -> None:
    reports = Reports("tried again")
    with ThreadPoolExecutor(1) as threads:
        with engine.connect() as reading, engine.connect() as writing:
            reading.execute(text("SELECT count(*) FROM trades"))
            upgrade = threads.submit(migrations.upgrade, engine, report=reports)
            assert reports.said.wait(60)
            writing.execute(text("UPDATE trades SET strategy = ''"))
            writing.commit()
            assert migrations.current_revision(engine) == "0001"
        upgrade.result(60)
    assert check_schema(engine) == ()


def test_a_revision_that_never_gets_its_lock_gives_up_and_says_why(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "ATTEMPTS", 2)
    with engine.connect() as reading:
        reading.execute(text("SELECT count(*) FROM trades"))
        with pytest.raises(BookBusy, match=r"in 2 tries .*lock timeout.*running it again") as busy:
            migrations.upgrade(engine)
    assert busy.value.attempts == 2
    migrations.upgrade(engine)


def test_an_upgrade_of_a_file_that_somebody_writes_waits_for_the_end(tmp_path: Path) -> None:
    engine = make_engine(DatabaseConfig(path=tmp_path / "book.db", lock_timeout=0))
    migrations.upgrade(engine, "0001")
    reports = Reports("tried again")
    with ThreadPoolExecutor(1) as threads:
        with engine.begin():
            upgrade = threads.submit(migrations.upgrade, engine, report=reports)
            assert reports.said.wait(60)
        upgrade.result(60)
    assert check_schema(engine) == ()
    engine.dispose()


def test_the_timeout_of_statements_does_not_end_a_migration_and_holds_again_afterwards(
    engine: Engine, url: URL
) -> None:
    impatient = make_engine(evolve(configured(url), statement_timeout=400, lock_timeout=9000))
    reading = reading_of_before(engine)
    with ThreadPoolExecutor(1) as threads:
        upgrade = threads.submit(migrations.upgrade, impatient)
        wait_until(engine, f"{BUILDING} AND now() - query_start > interval '500 ms'")
        reading.close()
        upgrade.result(60)
    with impatient.connect() as connection:
        assert connection.scalar(text("SHOW statement_timeout")) == "400ms"
        assert connection.scalar(text("SHOW lock_timeout")) == "9s"
    impatient.dispose()


def test_a_revision_that_is_not_known_is_refused_and_the_known_ones_are_named(
    engine: Engine,
) -> None:
    for change in (migrations.upgrade, migrations.downgrade):
        with pytest.raises(InvalidInput, match=r"'0815' is not accepted.*0001, 0002"):
            change(engine, "0815")
    with pytest.raises(InvalidInput):
        migrations.downgrade(engine, revisions.HEAD)
    with pytest.raises(InvalidInput):
        migrations.upgrade(engine, revisions.BASE)


def test_a_schema_that_is_newer_is_not_touched(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'f00d'"))
    for change in (migrations.upgrade, migrations.downgrade):
        with pytest.raises(SchemaNotReady, match="newer than this version"):
            change(engine, "0001")


def test_tables_made_without_migrations_are_not_guessed_at(empty_database: str | URL) -> None:
    made = make_engine(configured(empty_database))
    metadata.create_all(made)
    with pytest.raises(SchemaNotReady, match=r"made without migrations.*stamp head"):
        migrations.upgrade(made)
    made.dispose()


def test_who_does_not_own_the_tables_is_told_who_may(engine: Engine, url: URL) -> None:
    with engine.begin() as connection:
        connection.execute(text("DROP ROLE IF EXISTS guest; CREATE ROLE guest LOGIN"))
        connection.execute(text("GRANT SELECT ON ALL TABLES IN SCHEMA public TO guest"))
    guest = make_engine(configured(url.set(username="guest", password=None)))
    with pytest.raises(DatabaseFailure, match=r"must be owner of table trades.*role that owns"):
        migrations.upgrade(guest)
    guest.dispose()


def test_a_database_that_takes_no_writes_is_not_migrated(
    engine: Engine, url: URL, sqlite_url: str, tmp_path: Path
) -> None:
    file = make_engine(configured(sqlite_url))
    migrations.upgrade(file, "0001")
    with engine.begin() as connection:
        connection.execute(
            text(f'ALTER DATABASE "{url.database}" SET default_transaction_read_only = on')
        )
    for where in (url, f"sqlite:///file:{tmp_path}/book.db?mode=ro&uri=true"):
        closed = make_engine(configured(where))
        with pytest.raises(DatabaseReadOnly):
            migrations.upgrade(closed)
        closed.dispose()
    assert migrations.current_revision(file) == "0001"
    file.dispose()
