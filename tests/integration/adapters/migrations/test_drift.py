"""Schema drift of every kind on a migrated database: found, named, and nothing else reported."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import zip_longest

import pytest
from sqlalchemy import URL, Connection, Engine, text

from tests.support.servers import configured, create_database
from tradebook import DatabaseFailure, DatabaseManager
from tradebook.adapters.engine.factory import make_engine
from tradebook.adapters.migrations import upgrade as migrations
from tradebook.adapters.migrations.drift import found_and_expected
from tradebook.adapters.migrations.sqlite_rebuild import rebuild
from tradebook.adapters.orm import metadata
from tradebook.operations.schema_check import check_schema, find_drift

FUNCTIONS = (
    "CREATE FUNCTION hide() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; "
    "CREATE FUNCTION hide_ddl() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; "
    "CREATE FUNCTION nothing() RETURNS text LANGUAGE sql AS 'SELECT NULL::text'; "
)
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
    "invalid, expected none",
    "ALTER TABLE positions DROP CONSTRAINT uq_positions_account_symbol": "positions: unique key "
    "uq_positions_account_symbol is missing",
    "ALTER TABLE seals ADD CONSTRAINT mine_u UNIQUE (account, horizon)": "seals: unique key mine_u is "
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
    "ALTER TABLE alerts ALTER id SET MAXVALUE 5 SET CYCLE": "alerts: column id: identity is by default, "
    "by 1 from 1 to 5, again and again, expected by default",
    # What a superuser can do so that records lie or hide.
    "CREATE TRIGGER hide BEFORE INSERT ON cash_flows FOR EACH ROW EXECUTE FUNCTION hide()": "cash_flows: "
    "trigger hide is unexpected",
    "CREATE CONSTRAINT TRIGGER hide AFTER INSERT ON portfolios INITIALLY DEFERRED FOR EACH ROW "
    "EXECUTE FUNCTION hide()": "portfolios: trigger hide is unexpected",
    "CREATE TRIGGER hide BEFORE INSERT ON alembic_version FOR EACH ROW "
    "EXECUTE FUNCTION hide()": "alembic_version: trigger hide is unexpected",
    "CREATE EVENT TRIGGER hide ON ddl_command_end EXECUTE FUNCTION hide_ddl(); "
    "ALTER EXTENSION plpgsql ADD EVENT TRIGGER hide": "database: event trigger hide is unexpected",
    "CREATE RULE hide AS ON INSERT TO positions WHERE NEW.symbol = 'X' DO INSTEAD NOTHING": "positions: rule hide "
    "is unexpected",
    "ALTER TABLE seals RENAME TO kept; CREATE VIEW seals AS SELECT * FROM kept WHERE number < 5": "seals: "
    "table seals: form is view, expected table",
    "ALTER TABLE seals RENAME TO kept; CREATE MATERIALIZED VIEW seals AS SELECT * FROM kept": "seals: "
    "table seals: form is materialized view, expected table",
    "ALTER TABLE seals RENAME TO kept; CREATE TABLE seals (LIKE kept) PARTITION BY LIST (account)": "seals: "
    "table seals: form is partitioned table, expected table",
    "SET LOCAL allow_system_table_mods = on; CREATE VIEW pg_catalog.seals AS SELECT * FROM public.seals": "seals: "
    "table seals: hidden by is pg_catalog.seals, expected none",
    "CREATE TABLE more () INHERITS (events)": "events: table events: children is public.more, expected none",
    "CREATE TABLE base (mood TEXT); ALTER TABLE events ADD mood TEXT; ALTER TABLE events INHERIT base": "events: column mood is unexpected\nevents: table events: parents is public.base, expected none",
    "ALTER TABLE alerts DROP source, ADD source TEXT NOT NULL GENERATED ALWAYS AS ('mine') STORED": "alerts: "
    "column source: generated is 'mine'::text, expected none",
    "CREATE DOMAIN loose AS text; ALTER TABLE alerts ALTER source TYPE loose": "alerts: column source: type is "
    "public.loose, expected text",
    "ALTER TABLE alerts ALTER source SET DEFAULT nothing()": "alerts: column source: default is public.nothing(), "
    "expected none",
    "ALTER TABLE performance_metrics ALTER name DROP NOT NULL; ALTER TABLE performance_metrics "
    "ADD CONSTRAINT mine_n NOT NULL name NOT VALID": "performance_metrics: not null mine_n is unexpected",
    "ALTER TABLE performance_metrics SET UNLOGGED": "performance_metrics: table performance_metrics: persistence is unlogged, expected none",
    "CREATE POLICY hide ON cash_flows USING (symbol <> 'X')": "cash_flows: policy hide is unexpected",
    "ALTER TABLE agent_actions ENABLE ROW LEVEL SECURITY": "agent_actions: table agent_actions: row security is on, expected none",
    "ALTER TABLE signals FORCE ROW LEVEL SECURITY": "signals: table signals: row security of its owner is on, expected none",
    "ALTER TABLE portfolio_positions DISABLE TRIGGER ALL": "portfolio_positions: foreign key fk_portfolio_positions_account_portfolio_id_portfolios: triggers is 2, expected 4",
    "UPDATE pg_class SET relhastriggers = false WHERE relname = 'decision_signals'": "decision_signals: table decision_signals: ignored is triggers",
    "UPDATE pg_attribute SET atthasdef = false WHERE attrelid = 'trades'::regclass": "trades: column busted_by: default "
    "is none, expected ''::text",
    "UPDATE pg_class SET relchecks = 0 WHERE relname = 'agent_decisions'": "agent_decisions: table agent_decisions: ignored is checks",
    "UPDATE pg_class SET relhasindex = false WHERE relname = 'signals'": "signals: table signals: ignored is indexes",
    "UPDATE pg_index SET indisunique = false WHERE indexrelid = 'uq_positions_account_symbol'::regclass": "positions: unique key uq_positions_account_symbol: index is not unique, expected none",
    "UPDATE pg_index SET indisready = false WHERE indexrelid = 'uq_cash_flows_account_reference'::regclass": "cash_flows: unique key uq_cash_flows_account_reference: index is invalid, expected none",
    "DROP INDEX uq_signals_account_reference; CREATE INDEX uq_signals_account_reference ON signals "
    "(account, reference) WHERE reference IS NOT NULL": "signals: index uq_signals_account_reference: definition "
    "is USING btree",
    "ALTER TABLE portfolios ADD CONSTRAINT mine_x EXCLUDE (id WITH =)": "portfolios: exclusion mine_x is unexpected",
    "CREATE FUNCTION quote_ident(name) RETURNS text LANGUAGE sql AS $$SELECT 'elsewhere'$$": "database: overload "
    "public.quote_ident(name) is unexpected",
    "CREATE FUNCTION never(text, varchar) RETURNS boolean LANGUAGE sql AS 'SELECT false'; CREATE OPERATOR = "
    "(LEFTARG = text, RIGHTARG = varchar, FUNCTION = never)": "database: overload public.=(text,character varying)",
    "CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.portfolios (account text, id bigint, PRIMARY KEY (account, id)); "
    "ALTER TABLE portfolio_positions DROP CONSTRAINT fk_portfolio_positions_account_portfolio_id_portfolios, ADD CONSTRAINT "
    "fk_portfolio_positions_account_portfolio_id_portfolios FOREIGN KEY (account, portfolio_id) REFERENCES "
    "elsewhere.portfolios": "portfolio_positions: foreign key fk_portfolio_positions_account_portfolio_id_portfolios: "
    "definition is FOREIGN KEY (account, portfolio_id) REFERENCES elsewhere.portfolios",
    "SET LOCAL session_replication_role = replica": "database: setting session_replication_role=replica of this "
    "connection is unexpected",
    "ALTER ROLE CURRENT_USER SET session_replication_role = replica": "database: setting "
    "session_replication_role=replica of ",
    "ALTER ROLE ALL SET session_replication_role = local": "database: setting session_replication_role=local of "
    "every role is unexpected",
    "SET LOCAL search_path = public, pg_catalog": "database: setting search_path=public, pg_catalog of this connection",
    "INSERT INTO accounts (account, id, created_at, updated_at, base_currency) OVERRIDING SYSTEM VALUE "
    "VALUES ('A', 7, now(), now(), 'USD'); SELECT setval('accounts_id_seq', 5)": "accounts: column id: last id is 5, "
    "expected 7 or more",
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
    "CREATE TRIGGER hide BEFORE INSERT ON Trades BEGIN SELECT RAISE(IGNORE)!END": "trades: trigger hide is unexpected",
    "CREATE TRIGGER hide AFTER UPDATE ON alembic_version BEGIN DELETE FROM seals!END": "alembic_version: trigger hide "
    "is unexpected",
    "ALTER TABLE seals RENAME TO kept; CREATE VIEW seals AS SELECT * FROM kept WHERE number < 5": "seals: "
    "table seals: form is view, expected table",
    "DROP TABLE seals; CREATE VIRTUAL TABLE seals USING fts5(account)": "seals: table seals: form is virtual table, "
    "expected table",
    "DROP INDEX uq_trades_account_corrects_id": "trades: index uq_trades_account_corrects_id is missing",
    "ALTER TABLE alerts ADD mood TEXT AS (message)": "alerts: column mood is unexpected",
    "INSERT INTO accounts (account, id, created_at, updated_at, base_currency) VALUES ('A', 7, 0, 0, 'USD'); "
    "UPDATE sqlite_sequence SET seq = 5 WHERE name = 'accounts'": "accounts: column id: last id is 5, expected 7 or more",
    "INSERT INTO accounts (account, id, created_at, updated_at, base_currency) VALUES ('A', 7, 0, 0, 'USD'); "
    "DELETE FROM sqlite_sequence": "accounts: column id: last id is 0, expected 7 or more",
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
    ("alerts", "message TEXT NOT NULL", "message TEXT NOT NULL collate  nocase"): "alerts: table alerts: options is "
    "AUTOINCREMENT, COLLATE NOCASE, expected AUTOINCREMENT",
    ("alerts", "source TEXT NOT NULL", "source TEXT NOT NULL ON CONFLICT IGNORE"): "alerts: table alerts: options is "
    "AUTOINCREMENT, ON CONFLICT IGNORE, expected AUTOINCREMENT",
    ("alerts", "source TEXT NOT NULL", "source TEXT NOT NULL AS ('mine')"): "alerts: column source: generated is "
    "always, expected none",
    ("seals", "UNIQUE (account, number)", "UNIQUE (account, number) ON CONFLICT REPLACE"): "seals: table seals: "
    "options is AUTOINCREMENT, ON CONFLICT REPLACE, expected AUTOINCREMENT",
    ("trades", "CONSTRAINT ck_trades_action CHECK (action IN ('BUY', 'SELL'))", "/* x\n\t"
     "CONSTRAINT ck_trades_action CHECK (action IN ('BUY', 'SELL'))\n*/ CHECK (true)"): "trades: check  is unexpected\n"
    "trades: table trades: options is AUTOINCREMENT, a comment, expected AUTOINCREMENT",
    ("trades", "strategy TEXT NOT NULL", "strategy TEXT CONSTRAINT 'x\n\tCONSTRAINT ck_trades_action "
     "CHECK (action IN (''BUY'', ''SELL''))\n' NOT NULL"): "trades: table trades: "
    "options is AUTOINCREMENT, quoted lines, expected AUTOINCREMENT",
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
        return "\n".join(map(str, find_drift(connection)))


def batches() -> Iterator[dict[str, str]]:
    """Yield the n-th alterations of all tables: those of one batch are of different tables, and compared together."""
    of_tables: dict[str, list[tuple[str, str]]] = {}
    for statements, lines in ON_POSTGRESQL.items():
        of_tables.setdefault(lines.partition(":")[0], []).append((statements, lines))
    for batch in zip_longest(*of_tables.values()):
        yield dict(filter(None, batch))


@pytest.mark.parametrize("batch", [*batches()], ids=len)
def test_drift_is_found_and_named_on_postgresql(
    postgresql_engine: Engine, batch: dict[str, str]
) -> None:
    change = text(FUNCTIONS + "; ".join(batch))
    found = drift_after(postgresql_engine, lambda connection: connection.execute(change)).split(
        "\n"
    )
    expected = "\n".join(batch.values()).split("\n")
    unnamed = [line for line in expected if not any(each.startswith(line) for each in found)]
    unforeseen = [each for each in found if not any(each.startswith(line) for line in expected)]
    assert (unnamed, unforeseen) == ([], [])


@pytest.mark.parametrize("statements", ON_SQLITE)
def test_drift_is_found_and_named_on_sqlite(sqlite_engine: Engine, statements: str) -> None:
    def change(connection: Connection) -> None:
        for statement in statements.split("; "):
            connection.exec_driver_sql(statement.replace("!", "; "))

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


def test_each_difference_says_what_to_do(postgresql_engine: Engine) -> None:
    altered = text(
        "ALTER TABLE portfolio_positions DISABLE TRIGGER ALL; "
        "ALTER TABLE alerts ALTER message DROP NOT NULL; DROP INDEX ix_alerts_unresolved; "
        "DROP TABLE seals; CREATE FUNCTION abs(text) RETURNS text "
        "LANGUAGE sql AS 'SELECT NULL::text'; ALTER ROLE ALL SET session_replication_role = local; "
        "ALTER TABLE trades ADD mood TEXT"
    )
    with postgresql_engine.connect() as connection:
        connection.execute(altered)
        fixes = {each.name: each.fix for each in find_drift(connection)}
    assert [
        fixes["fk_portfolio_positions_account_portfolio_id_portfolios"],
        fixes["message"],
        fixes["ix_alerts_unresolved"].partition(" (")[0],
        fixes["seals"],
        fixes["mood"],
    ] == [
        "ALTER TABLE portfolio_positions ENABLE TRIGGER ALL",
        "put it back to not null",
        "make it again: USING btree",
        "compare with a backup, restored beside it: `tradebook restore`",
        "find out who made it, and take it back",
    ]
    assert "RESET" in fixes["session_replication_role=local of every role"]
    assert "search_path" in fixes["public.abs(text)"]


def test_what_is_as_it_should_be_is_no_drift(
    postgresql_engine: Engine, sqlite_engine: Engine
) -> None:
    assert check_schema(postgresql_engine) == check_schema(sqlite_engine) == ()


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
    assert check_schema(made) == ()
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
                "DROP ROLE IF EXISTS looker; CREATE ROLE looker LOGIN; "
                "GRANT SELECT ON ALL TABLES IN SCHEMA public TO looker"
            )
        )
    engine.dispose()
    engine = make_engine(configured(url.set(username="looker", password=None)))
    with pytest.raises(DatabaseFailure, match="GRANT TEMPORARY"):
        check_schema(engine)
    engine.dispose()
