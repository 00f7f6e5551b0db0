"""Upgrades, backups and roles, which need a session: refused through PgBouncer, done by the direct URL."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from configparser import ConfigParser

import pytest
import yaml
from attrs import evolve

from tests.integration.poolers.conftest import PooledBook
from tests.support.backends_behind import left_behind
from tests.support.checkout import ROOT
from tests.support.command_line import Command
from tests.support.poolers import pooler
from tests.support.servers import configured
from tradebook import AsyncDatabaseManager, DatabaseConfig, DatabaseManager, OperationFailed
from tradebook.adapters.engine.factory import engine_for
from tradebook.adapters.migrations import upgrade as migrations
from tradebook.operations.backup import Store, back_up
from tradebook.operations.doctor import Finding, Level, poolers, postgresql, run
from tradebook.operations.doctor.checks import Check, CheckTarget
from tradebook.operations.security.privileges import KINDS

NEEDED = "name the server itself by TRADEBOOK_DATABASE_DIRECT_URL"


def upgrade_by_manager(config: DatabaseConfig) -> None:
    with DatabaseManager(config) as manager:
        manager.upgrade()


def upgrade_by_asyncio(config: DatabaseConfig) -> None:
    async def call() -> None:
        async with AsyncDatabaseManager(config) as manager:
            await manager.upgrade()

    asyncio.run(call())


def revision(config: DatabaseConfig) -> str | None:
    with engine_for(config) as engine:
        return migrations.current_revision(engine)


@pytest.fixture
def behind(pooled: PooledBook) -> PooledBook:
    """A book whose schema is not up to date."""
    with engine_for(configured(pooled.direct)) as engine:
        migrations.downgrade(engine, "0007")
    return pooled


@pytest.mark.parametrize(
    ("upgrade", "kind"),
    [
        (upgrade_by_manager, "transaction"),
        (upgrade_by_manager, None),
        (upgrade_by_asyncio, "transaction"),
    ],
)
def test_an_upgrade_through_a_pooler_is_refused_and_leaves_nothing(
    behind: PooledBook, kind: str | None, upgrade: Callable[[DatabaseConfig], None]
) -> None:
    before = left_behind(behind.url)
    with pytest.raises(OperationFailed, match=NEEDED):
        upgrade(evolve(configured(behind.url), pooler=kind))
    assert left_behind(behind.url) == before
    assert revision(configured(behind.direct)) == "0007"


def test_a_pooler_that_is_not_one_of_sessions_as_configured_is_found_out(
    behind: PooledBook,
) -> None:
    left_behind(behind.url)  # two connections of the server are open
    with pytest.raises(OperationFailed, match=NEEDED):
        upgrade_by_manager(evolve(configured(behind.url), pooler="session"))
    assert revision(configured(behind.direct)) == "0007"


@pytest.mark.parametrize("upgrade", [upgrade_by_manager, upgrade_by_asyncio])
def test_an_upgrade_through_a_pooler_is_done_by_the_direct_url(
    behind: PooledBook, upgrade: Callable[[DatabaseConfig], None]
) -> None:
    before = left_behind(behind.url)
    direct = behind.direct.render_as_string(hide_password=False)
    upgrade(evolve(behind.config, direct_url=direct))
    assert left_behind(behind.url) == before
    assert revision(configured(behind.direct)) == "0009"
    upgrade(behind.config)  # there is nothing to do, which takes no session


def with_direct_url(pooled: PooledBook) -> DatabaseConfig:
    return evolve(
        pooled.config, direct_url=pooled.direct.render_as_string(hide_password=False), processes=3
    )


def test_a_backup_goes_by_the_direct_url(pooled: PooledBook, store: Store) -> None:
    with pytest.raises(OperationFailed, match=NEEDED):
        back_up(pooled.config, store)
    assert back_up(with_direct_url(pooled), store).kind == "logical"


@pytest.fixture
def commands(pooled: PooledBook, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command line, whose environment names the pooler and the server."""
    monkeypatch.setenv("TRADEBOOK_DB_POOLER", "transaction")
    direct = pooled.direct.render_as_string(hide_password=False)
    monkeypatch.setenv("TRADEBOOK_DATABASE_DIRECT_URL", direct)
    return Command(pooled.url.render_as_string(hide_password=False))


def test_roles_get_the_limits_that_then_travel_with_no_transaction(
    commands: Command, pooled: PooledBook
) -> None:
    planned = commands.json("db", "roles", "--prefix", "limited", "--limits", "--dry-run")
    limits = [step["sql"] for step in planned["steps"] if "_timeout" in step["sql"]]
    assert limits == [
        f'ALTER ROLE "limited_{kind}" SET {setting}'
        for kind in KINDS
        if kind in ("writer", "reader", "auditor")
        for setting in (
            "lock_timeout = '10s'",
            "idle_in_transaction_session_timeout = '10min'",
        )
    ]
    assert commands.json("db", "current")["state"] == "current"
    direct = configured(pooled.direct).safe_url
    assert commands.json("db", "check")["database"] == direct


def examined(config: DatabaseConfig, check: Check) -> list[Finding]:
    with engine_for(config) as engine, engine.connect() as connection:
        return list(check(CheckTarget(connection, config, engine, "main")))


def test_the_doctor_says_what_it_can_tell_of_a_pooler(pooled: PooledBook) -> None:
    found = examined(configured(pooled.url), poolers.pooler)
    assert [finding.level for finding in found] == [Level.YELLOW] * 3 + [Level.GREEN]
    fixes = " ".join(finding.fix for finding in found)
    for named in ("TRADEBOOK_DB_POOLER", "TRADEBOOK_DATABASE_DIRECT_URL", "db roles --limits"):
        assert named in fixes
    pooled.limit_database()
    found = examined(with_direct_url(pooled), poolers.pooler)
    assert [finding.level for finding in found] == [Level.GREEN]
    assert "PgBouncer before 1.21" in found[0].what
    assert {each[-1] for each in left_behind(pooled.url)} == {"None"}  # nor is a probe left
    assert poolers.pooler in run._POSTGRESQL
    [finding] = examined(configured(pooled.direct), poolers.pooler)
    assert (finding.level, finding.what) == (Level.GREEN, "none seen")


def test_the_doctor_counts_the_connections_of_all_processes(pooled: PooledBook) -> None:
    [finding] = examined(with_direct_url(pooled), postgresql.connections)
    assert finding.level == Level.GREEN
    assert "3 processes with such a pool may take 90 of the pooler's clients" in finding.what
    direct = evolve(configured(pooled.direct), pool_size=30, processes=3)
    [finding] = examined(direct, postgresql.connections)
    assert finding.level == Level.RED
    assert "3 processes with such a pool may take 150" in finding.what
    assert "to at most 32" in finding.fix


def settings_of(text: str) -> dict[str, str]:
    parser = ConfigParser(delimiters=["="], comment_prefixes=[";"], interpolation=None)
    parser.read_string(text)
    return dict(parser["pgbouncer"])


def test_pgbouncer_starts_with_the_settings_that_are_documented(pooled: PooledBook) -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    [documented] = re.findall(
        r"```ini\n(.*?)```", (ROOT / "docs/operations.md").read_text(), re.DOTALL
    )
    for text in (documented, compose["configs"]["pgbouncer"]["content"]):
        stated = settings_of(text)
        assert stated["pool_mode"] == "transaction"
        for place in ("auth_type", "auth_file", "listen_addr", "listen_port", "unix_socket_dir"):
            stated.pop(place, None)
        with pooler(pooled.direct, **stated) as made:
            assert revision(configured(made.url)) == "0009"
