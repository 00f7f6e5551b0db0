"""Row-level security by account on a real server: no statement shows a role another account's rows."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import attrs
import psycopg2
import pytest

from tests.contract.test_bulk_create import MANY, signal
from tests.support.command_line import Command
from tests.support.secured_servers import SecuredServer, execute
from tests.support.toured_books import take_tour
from tradebook import (
    AsyncDatabaseManager,
    DatabaseConfig,
    DatabaseManager,
    InvalidInput,
    NotFound,
    NotPermitted,
    Signal,
    Trade,
)
from tradebook.adapters.orm import metadata
from tradebook.operations.activity import monitoring_engine
from tradebook.operations.metrics import catalog
from tradebook.operations.metrics.database import read_samples
from tradebook.service_layer.ports.watermark import UNKNOWN

ACCOUNTS = {"bot_a": "A", "bot_b": "B", "bot_lost": "", "rows_writer": "*", "rows_auditor": ""}
OPTIONS = (
    "--prefix",
    "rows",
    "--login",
    "bot_a=writer",
    "--login",
    "bot_b=writer",
    "--rls",
    "--yes",
)


@pytest.fixture(scope="module")
def admin(secured: SecuredServer, tmp_path_factory: pytest.TempPathFactory) -> DatabaseConfig:
    """Set up a book of two accounts, each with its own bot role; return the superuser's configuration."""
    config = secured.create("rows")
    command = Command(str(config.url))
    assert command("init").exit_code == 0
    folder: Path = tmp_path_factory.mktemp("secrets")
    for role in ACCOUNTS:
        (folder / role).write_text(f"of {role}")
    options = (*OPTIONS, "--login", "bot_lost=writer", "--passwords", str(folder))
    bindings = [f"--bind={role}={account}" for role, account in ACCOUNTS.items() if account]
    done = command("db", "roles", *options, *bindings)
    assert done.exit_code == 0, done.output
    assert "bot_lost sees no account: --bind bot_lost=ACCOUNT" in done.output
    for role in ("bot_a", "bot_b"):
        with DatabaseManager(of(config, role), account=ACCOUNTS[role]) as manager:
            take_tour(manager)
            manager.seal()
    return config


def of(admin: DatabaseConfig, role: str, **changes: Any) -> DatabaseConfig:
    return attrs.evolve(admin, username=role, password=f"of {role}", pool_size=3, **changes)


TABLES = sorted(metadata.tables)


@pytest.mark.parametrize("table", TABLES)
def test_each_sees_its_own_rows_only(admin: DatabaseConfig, table: str) -> None:
    accounts = f"SELECT DISTINCT account FROM {table}"
    assert {row[0] for row in execute(admin, accounts)} == {"A", "B"}
    assert execute(of(admin, "bot_a"), accounts) == [("A",)]
    assert execute(of(admin, "bot_b"), accounts) == [("B",)]
    assert execute(of(admin, "bot_lost"), accounts) == []
    everything = {row[0] for row in execute(of(admin, "rows_writer"), accounts)}
    assert everything == {"A", "B"}
    assert {row[0] for row in execute(of(admin, "rows_auditor"), accounts)} == {"A", "B"}


ATTEMPTS = {
    "a setting of the session": "SET tradebook.account = 'B'; SELECT account FROM trades",
    "the wider role": "SET ROLE rows_writer; SELECT account FROM trades",
    "no row security": "SET row_security = off; SELECT account FROM trades",
    "a function of its own": "CREATE FUNCTION pg_temp.all_trades() RETURNS SETOF text LANGUAGE sql "
    "AS 'SELECT account FROM public.trades'; SELECT pg_temp.all_trades()",
    "a view of its own": "CREATE TEMP VIEW mine AS SELECT * FROM trades; SELECT account FROM mine",
    "a leaky condition": "SELECT account FROM trades WHERE "
    "CASE WHEN account = 'B' THEN 1 / (quantity - quantity) > 0 ELSE true END",
    "another's access": "SELECT role FROM tradebook_security.account_access WHERE role <> 'bot_a'",
    "a change of another's": "UPDATE alerts SET message = 'x' RETURNING account",
    "a deletion of another's": "DELETE FROM decision_signals WHERE account = 'B' RETURNING account",
    "copying out": "CREATE TEMP TABLE copied AS SELECT * FROM trades; SELECT account FROM copied",
}


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_raw_sql_gets_no_further(admin: DatabaseConfig, attempt: str) -> None:
    before = execute(admin, "SELECT * FROM alerts WHERE account = 'B'")
    try:
        found = execute(of(admin, "bot_a"), ATTEMPTS[attempt])
    except psycopg2.errors.InsufficientPrivilege:
        found = []
    assert {row[0] for row in found} <= {"A"}
    assert execute(admin, "SELECT * FROM alerts WHERE account = 'B'") == before


def test_nobody_writes_into_another_account(admin: DatabaseConfig) -> None:
    bot = of(admin, "bot_a")
    columns = "id, created_at, updated_at, base_currency"
    forged = "INSERT INTO accounts (account, id, created_at, updated_at, base_currency) VALUES "
    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="row-level security"):
        execute(bot, f"{forged} ('C', 999, now(), now(), 'USD')")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        execute(
            bot, f"INSERT INTO accounts (account, {columns}) SELECT 'B', {columns} FROM accounts"
        )
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        execute(bot, "INSERT INTO tradebook_security.account_access VALUES ('bot_a', 'B')")


def test_another_account_is_an_empty_book_to_a_manager(admin: DatabaseConfig) -> None:
    with DatabaseManager(of(admin, "bot_a"), account="B") as manager:
        assert manager.get_positions() == []
        assert manager.get_events() == []


def test_a_book_of_an_account_without_the_right_is_refused_by_name(admin: DatabaseConfig) -> None:
    events = "SELECT count(*) FROM events"
    before = execute(admin, events)

    async def ask(role: str) -> None:
        async with AsyncDatabaseManager(of(admin, role), account="A") as manager:
            await manager.for_account("B").get_positions()

    for role in ("bot_a", "bot_lost"):
        hidden = rf"hides account 'B' from the role {role}.*--bind {role}=B"
        with DatabaseManager(of(admin, role), account="A") as manager:
            theirs = manager.for_account("B")
            for call in (
                theirs.get_positions,
                theirs.unit_of_work,
                lambda theirs=theirs: theirs.raise_alert("a", "INFO"),
            ):
                with pytest.raises(NotPermitted, match=hidden):
                    call()
        with pytest.raises(NotPermitted, match=hidden):
            asyncio.run(ask(role))
    assert execute(admin, events) == before
    with DatabaseManager(of(admin, "bot_lost"), account="A") as manager:
        with pytest.raises(NotPermitted, match="hides every account"):
            manager.get_accounts()
        with pytest.raises(NotPermitted, match="hides every account"):
            manager.get_consolidated_portfolio()


def test_the_role_of_queries_must_see_the_account_too(admin: DatabaseConfig) -> None:
    url = of(admin, "bot_a").url
    config = of(admin, "rows_writer", read_url=url)
    with DatabaseManager(config, account="A") as manager:
        assert manager.for_account("A").get_positions()
        with pytest.raises(NotPermitted, match="hides account 'B' from the role bot_a"):
            manager.for_account("B").get_positions()

    async def ask() -> None:
        async with AsyncDatabaseManager(config, account="A") as manager:
            await manager.for_account("B").get_positions()

    with pytest.raises(NotPermitted, match="hides account 'B' from the role bot_a"):
        asyncio.run(ask())
    away = attrs.evolve(config, read_url="postgresql://nobody@127.0.0.1:1/book")
    with DatabaseManager(away, account="A") as manager:
        assert manager.for_account("B").raise_alert("a", "INFO").account == "B"


def test_a_role_bound_to_several_accounts_has_a_book_of_each(admin: DatabaseConfig) -> None:
    for role in ("rows_writer", "rows_auditor"):
        with DatabaseManager(of(admin, role), account="A") as manager:
            assert manager.for_account("B").get_positions()
            assert [account.account for account in manager.get_accounts()] == ["A", "B"]


def test_a_view_across_accounts_is_of_those_that_the_role_sees(admin: DatabaseConfig) -> None:
    with DatabaseManager(of(admin, "bot_a"), account="A") as manager:
        assert [account.account for account in manager.get_accounts()] == ["A"]
        held = manager.get_consolidated_positions(include_closed=True)
        assert {position.account for position in held} == {"A"}
        with pytest.raises(InvalidInput, match=r"accounts that are open: A$"):
            manager.get_consolidated_positions(accounts=["A", "B"])
    command = Command(str(of(admin, "bot_a").url))
    listed = command.json("accounts")["accounts"]
    assert [each["account"] for each in listed] == ["A"]
    shown = command.json("positions", "--account", "all", "--all")["positions"]
    assert {each["account"] for each in shown} == {"A"}
    assert "--bind bot_a=B" in command.refused("positions", "--account", "B")


JUDGEMENTS = ("verify", "check_seals", "export_seals", "rebuild")


@pytest.mark.parametrize("judgement", JUDGEMENTS)
def test_nothing_is_said_of_a_book_that_the_role_does_not_see(
    admin: DatabaseConfig, judgement: str
) -> None:
    """Check for NotPermitted: hidden rows would make the book look proven and empty, or its seals removed."""

    async def ask(role: str) -> None:
        async with AsyncDatabaseManager(of(admin, role), account="B") as manager:
            await getattr(manager, judgement)()

    for role in ("bot_a", "bot_lost"):
        bind = f"--bind {role}=B"
        with (
            DatabaseManager(of(admin, role), account="B") as manager,
            pytest.raises(NotPermitted, match=bind),
        ):
            getattr(manager, judgement)()
        with pytest.raises(NotPermitted, match=bind):
            asyncio.run(ask(role))


def test_who_sees_an_account_judges_it(admin: DatabaseConfig) -> None:
    for config in (*(of(admin, role) for role in ("bot_b", "rows_writer", "rows_auditor")), admin):
        with DatabaseManager(config, account="B") as manager:
            assert manager.verify().trades > 0
            assert manager.check_seals().seals == 1
            assert manager.export_seals()["seals"]
    with DatabaseManager(of(admin, "bot_b"), account="B") as manager:
        assert manager.rebuild().trades > 0


def test_the_doctor_proves_nothing_that_the_role_does_not_see(admin: DatabaseConfig) -> None:
    def findings(role: str) -> dict[str, Any]:  # a server without fsync is red
        document = Command(str(of(admin, role).url)).json("doctor", "--account", "B", exit_code=1)
        return {each["check"]: each for each in document["findings"]}

    blind = findings("bot_a")
    for check in ("audit trail", "verify"):
        assert blind[check]["level"] == "yellow"
        assert "--bind bot_a=B" in blind[check]["what"]
    assert findings("bot_b")["verify"]["level"] == "green"


def test_totals_are_left_out_where_the_role_sees_no_account(admin: DatabaseConfig) -> None:
    def booked(role: str) -> set[float]:
        with monitoring_engine(of(admin, role), "test") as engine:
            return {value for metric, _, value in read_samples(engine) if metric is catalog.BOOKED}

    assert booked("bot_lost") == set()
    assert min(booked("bot_a")) > 0
    assert booked("rows_auditor") == booked("rows_writer") > booked("bot_lost")
    message = Command(str(of(admin, "bot_lost").url)).refused("top", "--json")
    assert "--bind bot_lost=ACCOUNT" in message


def test_many_trades_are_imported_under_row_security_through_both_drivers(
    admin: DatabaseConfig,
) -> None:
    def fills(symbol: str) -> list[Any]:
        terms = {"symbol": symbol, "action": "BUY", "quantity": 1, "details": {"a\\b": "c\td"}}
        return [{**terms, "price": n + 1, "order_id": f"{symbol}-{n}"} for n in range(50)]

    with DatabaseManager(of(admin, "bot_a"), account="A") as manager:
        imported = manager.import_trades(fills("SYNC"), batch=20)
        assert (imported.booked, imported.duplicates) == (50, 0)
        assert manager.import_trades(fills("SYNC"), batch=20).duplicates == 50
        assert manager.get_portfolio_positions(manager.take_snapshot().id)
        assert manager.to_arrow(Trade, symbol="SYNC").num_rows == 50

    async def book() -> set[str]:
        async with AsyncDatabaseManager(of(admin, "bot_a"), account="A") as manager:
            assert (await manager.import_trades(fills("ASYNC"), batch=20)).booked == 50
            assert await manager.get_portfolio_positions((await manager.take_snapshot()).id)
            assert (await manager.to_arrow(Trade, symbol="ASYNC")).num_rows == 50
            return {found.entity for found in (await manager.verify()).differences}

    assert asyncio.run(book()) <= {"Alert"}  # another test changes one by SQL


def test_many_records_are_created_under_row_security_through_both_drivers(
    admin: DatabaseConfig,
) -> None:
    def new() -> list[Signal]:
        return [signal(number, reference=None) for number in range(MANY)]

    with DatabaseManager(of(admin, "bot_a"), account="A") as manager:
        made = manager.bulk_create(new())
        kept = {one.id: one.details for one in manager.get_signals(limit=MANY)}
        assert kept == {one.id: given.details for one, given in zip(made, new(), strict=True)}
        first, again = (
            [one.id for one in manager.bulk_create([signal(n) for n in range(MANY)])]
            for _ in range(2)
        )
        assert first == again
    elsewhere = DatabaseManager(of(admin, "bot_a"), account="B")
    with elsewhere as manager, pytest.raises(NotPermitted):
        manager.bulk_create(new())

    async def create() -> int:
        async with AsyncDatabaseManager(of(admin, "bot_a"), account="A") as manager:
            return len(await manager.bulk_create(new()))

    assert asyncio.run(create()) == MANY


def test_again_leaves_row_security_on_and_only_no_rls_takes_it_off(
    secured: SecuredServer,
) -> None:
    config = secured.create("switched")
    command = Command(str(config.url))
    assert command("init").exit_code == 0
    arguments = ("db", "roles", "--prefix", "rows", "--yes")
    secured_tables = "SELECT count(*) FROM pg_class WHERE relrowsecurity AND relkind = 'r'"

    def count() -> int:
        return int(execute(config, f"{secured_tables} AND relname <> 'account_access'")[0][0])

    assert not command.json(*arguments)["row_security"]
    assert count() == 0
    assert command.json(*arguments, "--rls")["row_security"]
    assert command.json(*arguments)["row_security"]
    assert count() == len(TABLES)
    assert not command.json(*arguments, "--no-rls")["row_security"]
    assert count() == 0


def test_a_table_of_a_later_migration_is_closed_until_it_is_secured(
    admin: DatabaseConfig,
) -> None:
    execute(admin, "SET ROLE rows_owner; CREATE TABLE later (account text)")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        execute(of(admin, "bot_a"), "SELECT * FROM later")


def test_a_policy_costs_no_index(admin: DatabaseConfig) -> None:
    """Check the query plan: one subquery for the accounts, and an index scan for the rows."""
    explained = execute(
        of(admin, "bot_a"),
        "SET enable_seqscan = off; EXPLAIN SELECT * FROM trades "
        "WHERE account = 'A' AND symbol = 'AAPL' AND sequence > 3",
    )
    plan = "\n".join(row[0] for row in explained)
    assert "InitPlan" in plan
    assert "SubPlan" not in plan
    assert "Index" in plan


def test_a_seal_of_one_who_does_not_see_all_sessions_settles_nothing(
    admin: DatabaseConfig,
) -> None:
    """Check the watermark: a writer cannot see other roles' running transactions, the auditor can."""
    with (
        DatabaseManager(of(admin, "bot_b"), account="B") as other,
        DatabaseManager(of(admin, "bot_a"), account="A") as writer,
        DatabaseManager(of(admin, "rows_auditor"), account="A") as auditor,
    ):
        assert other.get_positions()  # the pool keeps its connection open
        with writer.unit_of_work() as uow:
            assert uow.seals.transaction_snapshot() == UNKNOWN
        with auditor.unit_of_work() as uow:
            assert uow.seals.transaction_snapshot() != UNKNOWN


def test_decisions_are_executed_by_a_role_that_sees_one_account(admin: DatabaseConfig) -> None:
    buy: dict[str, Any] = {"symbol": "X", "action": "BUY", "quantity": 1, "price": 10}
    with (
        DatabaseManager(of(admin, "bot_a"), account="A") as mine,
        DatabaseManager(of(admin, "bot_b"), account="B") as others,
    ):
        mine.record_trade(**buy)
        ids = [mine.record_decision("bot", "X", "BUY").id for _ in range(2)]
        theirs = others.record_decision("bot", "X", "BUY").id
        mine.record_trade(**buy, decision_id=ids[0])
        mine.import_trades([{**buy, "decision_id": id_} for id_ in ids])
        assert {mine.get_decision(id_).status for id_ in ids} == {"EXECUTED"}
        with pytest.raises(NotFound):
            mine.record_trade(**buy, decision_id=theirs)
        with pytest.raises(NotFound):
            mine.import_trades([{**buy, "decision_id": theirs}])
        assert others.get_decision(theirs).status == "PROPOSED"
        # The book is that of all tests here, some of which alter it.
        about = {"AgentDecision", "Position", "Trade"}
        assert [d for d in mine.verify().differences if d.entity in about] == []
