"""Rules of online revisions: every revision from the second on keeps them, and broken ones are found."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import URL, inspect

from tests.support.revision_rules import Sent, broken_rules, statements_of
from tests.support.servers import configured
from tradebook.adapters.engine.factory import make_engine
from tradebook.adapters.migrations import revisions
from tradebook.adapters.migrations import upgrade as migrations

REVISIONS = [script.revision for script in revisions.all_revisions()]
IN_USE = {"trades", "alerts", "agent_actions"}


def test_no_revision_breaks_a_rule(new_database: Callable[[], URL]) -> None:
    engine = make_engine(configured(new_database()))
    migrations.upgrade(engine, REVISIONS[0])
    for revision in REVISIONS[1:]:
        tables = set(inspect(engine).get_table_names())
        with statements_of(engine) as sent:
            migrations.upgrade(engine, revision)
        assert any(revision in statement.sql for statement in sent)
        assert broken_rules(sent, tables - {"alembic_version"}) == []
    engine.dispose()


@pytest.mark.parametrize(
    ("sql", "rule"),
    [
        ("ALTER TABLE trades ADD COLUMN x TEXT NOT NULL", "nullable or has a default"),
        ("ALTER TABLE trades ADD x TEXT NOT NULL", "nullable or has a default"),
        ("ALTER TABLE trades ADD x TIMESTAMPTZ DEFAULT now() NOT NULL", "constant"),
        ("ALTER TABLE trades ADD COLUMN x uuid DEFAULT gen_random_uuid()", "constant"),
        ("ALTER TABLE trades ADD COLUMN x BIGSERIAL", "fills in"),
        ("ALTER TABLE trades ADD x INT GENERATED ALWAYS AS (id * 2) STORED", "fills in"),
        ("ALTER TABLE trades ADD x INT CHECK (x > 0)", "after its column"),
        ("ALTER TABLE trades ADD x INT REFERENCES alerts", "after its column"),
        ("CREATE INDEX ix_x ON trades (account)", "CONCURRENTLY"),
        ("CREATE UNIQUE INDEX ix_x ON trades (account)", "CONCURRENTLY"),
        ("DROP INDEX ix_trades_pending", "CONCURRENTLY"),
        ("DROP INDEX ix_agent_actions_account_started_at_id", "CONCURRENTLY"),
        ("REINDEX TABLE trades", "CONCURRENTLY"),
        ("ALTER TABLE trades ADD CONSTRAINT ck CHECK (price > 0)", "NOT VALID"),
        ("ALTER TABLE trades ADD CONSTRAINT fk FOREIGN KEY (a) REFERENCES alerts", "NOT VALID"),
        ("ALTER TABLE trades ADD CONSTRAINT uq UNIQUE (account)", "a key is made of an index"),
        ("ALTER TABLE trades ALTER COLUMN strategy SET NOT NULL", "SET NOT NULL"),
        ("ALTER TABLE trades ALTER price TYPE NUMERIC(9)", "another type"),
        ("ALTER TABLE trades ALTER COLUMN price SET DATA TYPE NUMERIC(9)", "another type"),
        ("ALTER TABLE trades DROP COLUMN strategy", "stays"),
        ("DROP TABLE alerts", "stays"),
        ("ALTER TABLE trades RENAME COLUMN price TO cost", "stays"),
        ("LOCK TABLE trades IN SHARE MODE", "kept from"),
        ("TRUNCATE trades", "kept from"),
        ("UPDATE trades SET strategy = ''", "every row"),
        ("ALTER TABLE trades ADD COLUMN x TEXT", "short lock_timeout"),
    ],
)
def test_a_revision_that_others_cannot_trade_through_is_found(sql: str, rule: str) -> None:
    found = broken_rules([Sent(sql, 1)], IN_USE)
    assert [message for message in found if rule in message], found
    assert broken_rules([Sent(sql, 1)], {"others"}) == []


def test_validating_in_the_transaction_that_added_is_found() -> None:
    added = Sent("ALTER TABLE trades ADD CONSTRAINT ck CHECK (price > 0) NOT VALID", 1)
    validate = "ALTER TABLE trades VALIDATE CONSTRAINT ck"
    timeout = Sent("SET lock_timeout = 400", 0)
    assert broken_rules([timeout, added, Sent(validate, None)], IN_USE) == []
    [message] = broken_rules([timeout, added, Sent(validate, 1)], IN_USE)
    assert "another transaction" in message
