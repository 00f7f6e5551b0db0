"""Schema drift of every kind on a migrated database: found, named, and nothing else reported."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import URL, Connection, Engine, text

from tests.support.servers import configured, create_database
from tradebook import DatabaseFailure, DatabaseManager
from tradebook.adapters.engine.factory import make_engine
from tradebook.adapters.migrations import upgrade as migrations
from tradebook.adapters.migrations.drift import compare, find_drift, found_and_expected
from tradebook.adapters.migrations.sqlite_rebuild import rebuild
from tradebook.adapters.orm import metadata

ON_POSTGRESQL = {
    "ALTER TABLE alerts ADD mood TEXT": "alerts: column mood is unexpected",
    "ALTER TABLE alerts DROP source": "alerts: column source is missing",
    "ALTER TABLE alerts ALTER message TYPE VARCHAR(9)": "alerts: column message: type is "
    "character varying(9), expected text",
    "ALTER TABLE trades ALTER price TYPE NUMERIC(20, 4)": "trades: column price: type is "
    "numeric(20,4), expected numeric",
    "ALTER TABLE trades ALTER details TYPE JSON": "trades: column details: type is json, "
    "expected jsonb",
    "ALTER TABLE trades ALTER executed_at TYPE TIMESTAMP": "trades: column executed_at: type is "
    "timestamp without time zone, expected timestamp with time zone",
    "ALTER TABLE alerts ALTER message DROP NOT NULL": "alerts: column message: null is nullable, "
    "expected not null",
    "ALTER TABLE alerts ALTER symbol SET NOT NULL": "alerts: column symbol: null is not null, "
    "expected nullable",
    "ALTER TABLE trades ALTER busted_by DROP DEFAULT": "trades: column busted_by: default is none, "
    "expected ''::text",
    "ALTER TABLE trades ALTER fee SET DEFAULT 0": "trades: column fee: default is 0, expected none",
    "ALTER TABLE alerts ALTER id DROP IDENTITY": "alerts: column id: identity is none, "
    "expected by default",
    "ALTER TABLE alerts ALTER id SET GENERATED ALWAYS": "alerts: column id: identity is always, "
    "expected by default",
    'ALTER TABLE alerts ALTER message TYPE TEXT COLLATE "C"': "alerts: column message: collation is "
    "C, expected none",
    "DROP INDEX ix_alerts_unresolved": "alerts: index ix_alerts_unresolved is missing",
    "CREATE INDEX mine ON alerts (source)": "alerts: index mine is unexpected",
    "DROP INDEX ix_trades_pending; CREATE INDEX ix_trades_pending ON trades (account, order_id) "
    "WHERE status <> 'BUSTED'": "trades: index ix_trades_pending: definition is USING btree "
    "(account, order_id) WHERE (status <> 'BUSTED'::text), expected USING btree (account, order_id) "
    "WHERE (status = 'PENDING'::text)",
    "DROP INDEX ix_trades_pending; CREATE UNIQUE INDEX ix_trades_pending ON trades "
    "(account, order_id) WHERE status = 'PENDING'": "trades: index ix_trades_pending: definition is "
    "unique USING btree (account, order_id) WHERE (status = 'PENDING'::text), expected USING btree "
    "(account, order_id) WHERE (status = 'PENDING'::text)",
    "UPDATE pg_index SET indisvalid = false "
    "WHERE indexrelid = 'ix_trades_pending'::regclass": "trades: index ix_trades_pending: state is "
    "invalid, expected valid",
    "ALTER TABLE positions DROP CONSTRAINT uq_positions_account_symbol": "positions: unique key "
    "uq_positions_account_symbol is missing",
    "ALTER TABLE seals ADD CONSTRAINT mine UNIQUE (account, horizon)": "seals: unique key mine is "
    "unexpected",
    "ALTER TABLE seals DROP CONSTRAINT pk_seals": "seals: primary key pk_seals is missing",
    "ALTER TABLE trades DROP CONSTRAINT fk_trades_account_corrects_id_trades": "trades: foreign key "
    "fk_trades_account_corrects_id_trades is missing",
    "ALTER TABLE trades DROP CONSTRAINT fk_trades_account_corrects_id_trades, "
    "ADD CONSTRAINT fk_trades_account_corrects_id_trades FOREIGN KEY (account, corrects_id) "
    "REFERENCES trades ON DELETE CASCADE": "trades: foreign key "
    "fk_trades_account_corrects_id_trades: definition is FOREIGN KEY (account, corrects_id) "
    "REFERENCES trades(account, id) ON DELETE CASCADE, expected FOREIGN KEY (account, corrects_id) "
    "REFERENCES trades(account, id)",
    "ALTER TABLE trades DROP CONSTRAINT ck_trades_action": "trades: check ck_trades_action is missing",
    "ALTER TABLE trades ADD CONSTRAINT mine CHECK (price > 0)": "trades: check mine is unexpected",
    "ALTER TABLE trades DROP CONSTRAINT ck_trades_action, ADD CONSTRAINT ck_trades_action "
    "CHECK (action IN ('BUY', 'SELL', 'SHORT'))": "trades: check ck_trades_action: definition is "
    "CHECK ((action = ANY (ARRAY['BUY'::text, 'SELL'::text, 'SHORT'::text]))), expected "
    "CHECK ((action = ANY (ARRAY['BUY'::text, 'SELL'::text])))",
    "ALTER TABLE trades DROP CONSTRAINT ck_trades_action, ADD CONSTRAINT ck_trades_action "
    "CHECK (action IN ('BUY', 'SELL')) NOT VALID": "trades: check ck_trades_action: definition is "
    "CHECK ((action = ANY (ARRAY['BUY'::text, 'SELL'::text]))) NOT VALID, expected "
    "CHECK ((action = ANY (ARRAY['BUY'::text, 'SELL'::text])))",
    "DROP TABLE seals": "seals: table seals is missing",
}
ON_SQLITE = {
    "ALTER TABLE alerts ADD mood TEXT": "alerts: column mood is unexpected",
    "ALTER TABLE trades DROP strategy": "trades: column strategy is missing",
    "DROP INDEX ix_alerts_unresolved": "alerts: index ix_alerts_unresolved is missing",
    "CREATE INDEX mine ON alerts (source)": "alerts: index mine is unexpected",
    "DROP INDEX ix_trades_pending; CREATE INDEX ix_trades_pending ON trades (account, order_id) "
    "WHERE status <> 'BUSTED'": "trades: index ix_trades_pending: definition is (account, order_id) "
    "WHERE status <> 'BUSTED', expected (account, order_id) WHERE status = 'PENDING'",
    "DROP INDEX ix_trades_pending; CREATE UNIQUE INDEX ix_trades_pending ON trades "
    "(account, order_id) WHERE status = 'PENDING'": "trades: index ix_trades_pending: definition is "
    "unique (account, order_id) WHERE status = 'PENDING', expected (account, order_id) "
    "WHERE status = 'PENDING'",
    "DROP TABLE seals": "seals: table seals is missing",
}
REWRITTEN = {
    ("alerts", "message TEXT NOT NULL", "message VARCHAR(9) NOT NULL"): "alerts: column message: "
    "type is VARCHAR(9), expected TEXT",
    ("trades", "details TEXT", "details JSON"): "trades: column details: type is JSON, expected TEXT",
    ("alerts", "message TEXT NOT NULL", "message TEXT"): "alerts: column message: null is nullable, "
    "expected not null",
    ("trades", "DEFAULT ''", "DEFAULT 'me'"): "trades: column busted_by: default is 'me', expected ''",
    ("alerts", " AUTOINCREMENT", ""): "alerts: table alerts: options is none, expected AUTOINCREMENT",
    ("alerts", "message TEXT", "message TEXT COLLATE NOCASE"): "alerts: table alerts: options is "
    "AUTOINCREMENT, COLLATE NOCASE, expected AUTOINCREMENT",
    ("positions", "UNIQUE (account, symbol)", "UNIQUE (account, symbol, status)"): "positions: unique "
    "key uq_positions_account_symbol: definition is (account, symbol, status), expected "
    "(account, symbol)",
    (
        "positions",
        "UNIQUE (account, symbol)",
        "CHECK (version >= 0)",
    ): "positions: check uq_positions_account_symbol is unexpected\n"
    "positions: unique key uq_positions_account_symbol is missing",
    ("seals", "pk_seals UNIQUE (account, id)", "mine UNIQUE (account, id)"): "seals: unique key mine "
    "is unexpected\nseals: unique key pk_seals is missing",
    ("trades", "REFERENCES trades (account, id)", "REFERENCES trades (account, id) ON DELETE CASCADE"):
    "trades: foreign key fk_trades_account_corrects_id_trades: definition is (account, corrects_id) "
    "REFERENCES trades(account, id) ondelete CASCADE, expected (account, corrects_id) REFERENCES "
    "trades(account, id)",
    ("trades", "action IN ('BUY', 'SELL')", "action IN ('BUY', 'SELL', 'SHORT')"): "trades: check "
    "ck_trades_action: definition is action IN ('BUY', 'SELL', 'SHORT'), expected action IN "
    "('BUY', 'SELL')",
    ("trades", "CONSTRAINT ck_trades_action CHECK (action IN ('BUY', 'SELL'))", "CHECK (1)"): "trades: "
    "check  is unexpected\ntrades: check ck_trades_action is missing",
}  # fmt: skip


@pytest.fixture(scope="module")
def postgresql_engine(postgresql: URL) -> Iterator[Engine]:
    yield from _migrated(create_database(postgresql, "drift"))


@pytest.fixture(scope="module")
def sqlite_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    yield from _migrated(f"sqlite:///{tmp_path_factory.mktemp('drift')}/book.db")


def _migrated(url: str | URL) -> Iterator[Engine]:
    made = make_engine(configured(url))
    migrations.upgrade(made)
    yield made
    made.dispose()


def drift_after(engine: Engine, change: Callable[[Connection], object]) -> str:
    """Return the drift after a change, and undo the change."""
    with engine.connect() as connection:
        change(connection)
        return "\n".join(map(str, compare(*found_and_expected(connection))))


@pytest.mark.parametrize("statements", ON_POSTGRESQL)
def test_drift_is_found_and_named_on_postgresql(postgresql_engine: Engine, statements: str) -> None:
    found = drift_after(postgresql_engine, lambda connection: connection.execute(text(statements)))
    assert ON_POSTGRESQL[statements] in found
    expected_lines = 2 if "DROP source" in statements or "pk_seals" in statements else 1
    assert len(found.splitlines()) <= expected_lines


@pytest.mark.parametrize("statements", ON_SQLITE)
def test_drift_is_found_and_named_on_sqlite(sqlite_engine: Engine, statements: str) -> None:
    def change(connection: Connection) -> None:
        for statement in statements.split("; "):
            connection.exec_driver_sql(statement)

    assert drift_after(sqlite_engine, change) == ON_SQLITE[statements]


@pytest.mark.parametrize("edit", REWRITTEN, ids=" ".join)
def test_drift_in_the_ddl_of_a_sqlite_table_is_found_and_named(
    sqlite_engine: Engine, edit: tuple[str, str, str]
) -> None:
    table, there, instead = edit

    def change(connection: Connection) -> None:
        connection.connection.driver_connection.execute("PRAGMA foreign_keys=OFF")
        rebuild(connection, table, lambda ddl: ddl.replace(there, instead))

    assert drift_after(sqlite_engine, change) == REWRITTEN[edit]


def test_what_is_as_it_should_be_is_no_drift(
    postgresql_engine: Engine, sqlite_engine: Engine
) -> None:
    assert find_drift(postgresql_engine) == find_drift(sqlite_engine) == ()


def test_tables_of_others_are_left_alone(postgresql_engine: Engine, sqlite_engine: Engine) -> None:
    def change(connection: Connection) -> None:
        connection.execute(text("CREATE TABLE theirs (anything TEXT)"))

    assert drift_after(postgresql_engine, change) == drift_after(sqlite_engine, change) == ""


def test_comparing_leaves_nothing_behind(postgresql_engine: Engine) -> None:
    with postgresql_engine.connect() as connection:
        found_and_expected(connection)
        left = "SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()"
        assert connection.scalar(text(left)) == 0


def test_tables_made_without_migrations_have_no_drift(empty_database: str | URL) -> None:
    made = make_engine(configured(empty_database))
    metadata.create_all(made)
    assert find_drift(made) == ()
    made.dispose()


def test_who_may_not_make_temporary_tables_is_told_so(new_database: Callable[[], URL]) -> None:
    url = new_database()
    with DatabaseManager(url) as manager:
        manager.upgrade()
    engine = make_engine(configured(url))
    with engine.begin() as connection:
        connection.execute(
            text(
                f'REVOKE TEMPORARY ON DATABASE "{url.database}" FROM PUBLIC; '
                "DROP ROLE IF EXISTS looker; CREATE ROLE looker LOGIN"
            )
        )
    engine.dispose()
    engine = make_engine(configured(url.set(username="looker", password=None)))
    with pytest.raises(DatabaseFailure, match="GRANT TEMPORARY"):
        find_drift(engine)
    engine.dispose()
