"""What is granted or changed besides `db roles` is reported by the doctor, and taken back or named by the next run.

All cases are changed together, in one database, as a superuser; then the doctor runs, the command, and the doctor
again. Each test looks at one of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from attrs import frozen

from tests.support.command_line import Command
from tests.support.secured_servers import SecuredServer, execute
from tradebook import DatabaseConfig

OPTIONS = ("--prefix", "kept", "--yes")
TAKEN_BACK: dict[str, tuple[str, str]] = {
    "membership of the owner": ("GRANT kept_owner TO kept_a", "kept_a is a member of kept_owner"),
    "another's membership": ("GRANT kept_owner TO stranger", "stranger is a member of kept_owner"),
    "membership through a group": (
        "CREATE ROLE kept_group; GRANT pg_write_all_data TO kept_group; GRANT kept_group TO kept_a",
        "kept_a is a member of kept_group",
    ),
    "membership of another login": ("GRANT kept_b TO kept_a", "kept_a is a member of kept_b"),
    "a predefined role": (
        "GRANT pg_write_all_data TO kept_reader",
        "kept_reader is a member of pg_write_all_data",
    ),
    "the right to make members": (
        "GRANT kept_writer TO kept_a WITH ADMIN OPTION",
        "kept_a may make others members of kept_writer",
    ),
    "a grant on a table": (
        "GRANT DELETE, TRUNCATE ON events TO kept_writer",
        'REVOKE DELETE, TRUNCATE ON TABLE "public"."events" FROM "kept_writer"',
    ),
    "a grant on a table to a login": (
        "GRANT UPDATE ON trades TO kept_a",
        'REVOKE UPDATE ON TABLE "public"."trades" FROM "kept_a"',
    ),
    "a grant on a table to another role": (
        "GRANT SELECT ON cash_flows TO stranger",
        'REVOKE SELECT ON TABLE "public"."cash_flows" FROM "stranger"',
    ),
    "a grant on a table to all": (
        "GRANT INSERT ON seals TO PUBLIC",
        'REVOKE INSERT ON TABLE "public"."seals" FROM PUBLIC',
    ),
    "the right to grant": (
        "GRANT SELECT ON trades TO kept_reader WITH GRANT OPTION",
        'REVOKE GRANT OPTION FOR SELECT ON TABLE "public"."trades" FROM "kept_reader"',
    ),
    "a grant on all columns of a table": (
        "GRANT UPDATE ON positions TO kept_writer",
        'REVOKE UPDATE ON TABLE "public"."positions" FROM "kept_writer"',
    ),
    "a grant on a column": (
        "GRANT UPDATE (count) ON seals TO kept_writer",
        'REVOKE UPDATE ("count") ON TABLE "public"."seals" FROM "kept_writer"',
    ),
    "a grant on the schema": (
        "GRANT CREATE ON SCHEMA public TO kept_writer",
        'REVOKE CREATE ON SCHEMA "public" FROM "kept_writer"',
    ),
    "a grant on the schema to all": (
        "GRANT CREATE ON SCHEMA public TO PUBLIC",
        'REVOKE CREATE ON SCHEMA "public" FROM PUBLIC',
    ),
    "a grant on the bindings' schema": (
        "GRANT CREATE ON SCHEMA tradebook_security TO kept_a",
        'REVOKE CREATE ON SCHEMA "tradebook_security" FROM "kept_a"',
    ),
    "a grant on a sequence": (
        "GRANT UPDATE ON SEQUENCE events_id_seq TO kept_writer",
        'REVOKE UPDATE ON SEQUENCE "public"."events_id_seq" FROM "kept_writer"',
    ),
    "a grant on the database": (
        "GRANT CREATE ON DATABASE {database} TO kept_a",
        'REVOKE CREATE ON DATABASE "{database}" FROM "kept_a"',
    ),
    "the right of all to connect": (
        "GRANT CONNECT ON DATABASE {database} TO PUBLIC",
        'REVOKE CONNECT ON DATABASE "{database}" FROM PUBLIC',
    ),
    "a grant on later tables": (
        "ALTER DEFAULT PRIVILEGES FOR ROLE kept_owner IN SCHEMA public GRANT DELETE ON TABLES TO kept_a",
        'REVOKE DELETE ON TABLES FROM "kept_a"',
    ),
    "a grant on later tables of any schema": (
        "ALTER DEFAULT PRIVILEGES FOR ROLE kept_owner GRANT UPDATE ON TABLES TO PUBLIC",
        "REVOKE UPDATE ON TABLES FROM PUBLIC",
    ),
    "a grant on the bindings": (
        "GRANT INSERT ON tradebook_security.account_access TO kept_a",
        'REVOKE INSERT ON TABLE "tradebook_security"."account_access" FROM "kept_a"',
    ),
    "a grant on a catalogue": (
        "GRANT SELECT ON pg_authid TO kept_reader",
        'REVOKE SELECT ON TABLE "pg_catalog"."pg_authid" FROM "kept_reader"',
    ),
    "a function of the server": (
        "GRANT EXECUTE ON FUNCTION pg_read_file(text) TO kept_a",
        "REVOKE EXECUTE ON FUNCTION pg_catalog.pg_read_file(text)",
    ),
    "a function of the server for all": (
        "GRANT EXECUTE ON FUNCTION pg_ls_logdir() TO PUBLIC",
        "pg_catalog.pg_ls_logdir()",
    ),
    "large objects": ("GRANT EXECUTE ON FUNCTION lo_create(oid) TO PUBLIC", "lo_create(oid)"),
    "a parameter": (
        "GRANT SET ON PARAMETER session_replication_role TO kept_a",
        'REVOKE SET ON PARAMETER session_replication_role FROM "kept_a"',
    ),
    "a setting that stops triggers": (
        "ALTER ROLE kept_writer SET session_replication_role = replica",
        "triggers run for kept_writer",
    ),
    "a reader that writes": (
        "ALTER ROLE kept_reader RESET default_transaction_read_only",
        "kept_reader only reads",
    ),
    "a policy of another condition": (
        "ALTER POLICY own_accounts ON trades USING (true)",
        'DROP POLICY "own_accounts" ON "public"."trades"',
    ),
    "a policy for more roles": (
        "ALTER POLICY every_account ON events TO PUBLIC",
        'DROP POLICY "every_account" ON "public"."events"',
    ),
    "a further policy": (
        "CREATE POLICY wide ON positions USING (true)",
        'DROP POLICY "wide" ON "public"."positions"',
    ),
    "a policy that is gone": ("DROP POLICY own_accounts ON alerts", "CREATE POLICY own_accounts"),
    "a policy of the bindings": (
        "ALTER POLICY own_accounts ON tradebook_security.account_access USING (true)",
        'DROP POLICY "own_accounts" ON "tradebook_security"."account_access"',
    ),
    "row-level security disabled": (
        "ALTER TABLE signals DISABLE ROW LEVEL SECURITY",
        'ALTER TABLE "public"."signals" ENABLE ROW LEVEL SECURITY',
    ),
    "row-level security of the bindings": (
        "ALTER TABLE tradebook_security.account_access DISABLE ROW LEVEL SECURITY",
        'ALTER TABLE "tradebook_security"."account_access" ENABLE ROW LEVEL SECURITY',
    ),
    "row-level security forced": (
        "ALTER TABLE accounts FORCE ROW LEVEL SECURITY",
        'ALTER TABLE "public"."accounts" NO FORCE',
    ),
    "a hollow function": (
        "CREATE OR REPLACE FUNCTION tradebook_security.keep_booked() RETURNS trigger "
        "LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "rejects changes of booked trades",
    ),
    "a disabled trigger": (
        "ALTER TABLE trades DISABLE TRIGGER {guard}",
        'ENABLE TRIGGER "{guard}"',
    ),
    "disabled foreign keys": (
        "ALTER TABLE portfolio_positions DISABLE TRIGGER ALL",
        "a trigger of portfolio_positions was disabled",
    ),
    "the owner of a table": ("ALTER TABLE alerts OWNER TO kept_a", "alerts belongs to kept_a"),
    "the owner of the database": (
        "ALTER DATABASE {database} OWNER TO kept_writer",
        'ALTER DATABASE "{database}" OWNER TO CURRENT_USER',
    ),
    "the owner of the schema": (
        "ALTER SCHEMA public OWNER TO kept_reader",
        'ALTER SCHEMA "public" OWNER TO CURRENT_USER',
    ),
    "the owner of the trigger's function": (
        "ALTER FUNCTION tradebook_security.keep_booked() OWNER TO kept_a",
        "ALTER FUNCTION tradebook_security.keep_booked() OWNER TO CURRENT_USER",
    ),
    "a setting of the database that stops triggers": (
        "ALTER DATABASE {database} SET session_replication_role = replica",
        "triggers run for every role",
    ),
    "a backup that writes": (
        "ALTER ROLE kept_backup IN DATABASE {database} SET default_transaction_read_only = off",
        "kept_backup only reads",
    ),
    "a role dropped and made again": (
        "DROP ROLE kept_gone; CREATE ROLE kept_gone LOGIN",
        "kept_gone was dropped since it was bound to A",
    ),
}
REMAINS: dict[str, tuple[str, str]] = {
    "a view of the owner": (
        "CREATE VIEW leak AS SELECT * FROM trades; ALTER VIEW leak OWNER TO kept_owner",
        "view public.leak reads the book with the rights of kept_owner",
    ),
    "a view of a view": (
        "CREATE VIEW inner_leak AS SELECT * FROM events; CREATE VIEW outer_leak AS SELECT * FROM inner_leak; "
        "GRANT SELECT ON outer_leak TO kept_a",
        "view public.outer_leak reads the book",
    ),
    "a materialized view": (
        "CREATE MATERIALIZED VIEW copied AS SELECT * FROM trades; GRANT SELECT ON copied TO kept_a",
        "materialized view public.copied reads the book",
    ),
    "a function with the owner's rights": (
        "CREATE FUNCTION wide() RETURNS void LANGUAGE sql SECURITY DEFINER AS 'DELETE FROM public.events'; "
        "ALTER FUNCTION wide() OWNER TO kept_owner",
        "function public.wide() runs with the rights of kept_owner",
    ),
    "a function beside the bindings": (
        "CREATE FUNCTION tradebook_security.other() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "function tradebook_security.other()",
    ),
    "a further trigger": (
        "CREATE FUNCTION quiet() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; "
        "CREATE TRIGGER quiet BEFORE INSERT ON seals FOR EACH ROW EXECUTE FUNCTION quiet()",
        "trigger quiet of seals",
    ),
    "a rule": (
        "CREATE RULE dropped AS ON INSERT TO alerts DO INSTEAD NOTHING",
        "rule dropped ON alerts",
    ),
}
HARMLESS = (
    "CREATE ROLE stranger",
    "GRANT CONNECT ON DATABASE kept TO stranger",
    "GRANT USAGE ON SCHEMA public TO stranger",
    "GRANT pg_monitor TO kept_b",
    "CREATE FUNCTION pooled() RETURNS void LANGUAGE sql SECURITY DEFINER AS ''",
    "REVOKE EXECUTE ON FUNCTION pooled() FROM PUBLIC; GRANT EXECUTE ON FUNCTION pooled() TO stranger",
    "CREATE VIEW fair WITH (security_invoker = on) AS SELECT * FROM trades; GRANT SELECT ON fair TO kept_a",
    "CREATE TABLE mine (id int); GRANT ALL ON mine TO kept_a",
)
"""What a database may have besides."""
CASES = {**TAKEN_BACK, **REMAINS}


@frozen
class Found:
    """What was reported and done: before the command, by it, and after it."""

    names: dict[str, str]
    before: list[dict[str, Any]]
    ran: dict[str, Any]
    after: list[dict[str, Any]]


def privileges(command: Command, exit_code: int = 1) -> list[dict[str, Any]]:
    """The doctor's findings about privileges; a server without fsync is red."""
    findings = command.json("doctor", "--quick", exit_code=exit_code)["findings"]
    return [each for each in findings if each["check"] == "privileges"]


@pytest.fixture(scope="module")
def config(secured: SecuredServer) -> DatabaseConfig:
    config = secured.create("kept")
    command = Command(str(config.url))
    assert command("init").exit_code == 0
    logins = (f"--login={role}=writer" for role in ("kept_a", "kept_b", "kept_gone"))
    assert command.json("db", "roles", *OPTIONS, "--rls", *logins, "--bind=kept_gone=A")
    assert [each["level"] for each in privileges(command)] == ["green"]
    return config


@pytest.fixture(scope="module")
def found(config: DatabaseConfig) -> Iterator[Found]:
    command = Command(str(config.url))
    [(guard,)] = execute(config, "SELECT tgname FROM pg_trigger WHERE tgname LIKE 'keep_booked%'")
    names = {"database": "kept", "guard": guard}
    execute(config, "; ".join(HARMLESS))
    assert [each["level"] for each in privileges(command)] == ["green"]
    execute(config, "; ".join(statement for statement, _ in CASES.values()).format(**names))
    before = privileges(command)
    ran = command.json("db", "roles", *OPTIONS, exit_code=1)
    yield Found(names, before, ran, privileges(command))
    execute(config, "DROP OWNED BY stranger; DROP ROLE stranger, kept_group")


@pytest.mark.parametrize("case", CASES)
def test_it_is_reported(found: Found, case: str) -> None:
    expected = CASES[case][1].format(**found.names)
    reported = [each for each in found.before if expected in each["what"]]
    assert reported, [each["what"] for each in found.before]
    assert all(each["fix"] for each in reported)
    expected_level = "yellow" if case == "large objects" else "red"  # as PostgreSQL comes
    assert expected_level in {each["level"] for each in reported}


@pytest.mark.parametrize("case", TAKEN_BACK)
def test_it_is_taken_back(found: Found, case: str) -> None:
    expected = CASES[case][1].format(**found.names)
    assert found.ran["skipped"] == []
    assert not [each for each in found.after if expected in each["what"]]


@pytest.mark.parametrize("case", REMAINS)
def test_what_users_made_is_refused_by_name(found: Found, case: str) -> None:
    [named] = [each for each in found.ran["remains"] if REMAINS[case][1] in each["what"]]
    assert [each for each in found.after if each["what"] == named["what"]]


def test_nothing_else_is_left_and_again_changes_nothing(
    found: Found, config: DatabaseConfig
) -> None:
    assert Command(str(config.url)).json("db", "roles", *OPTIONS, exit_code=1)["steps"] == 0
    assert {each["what"] for each in found.after} == {each["what"] for each in found.ran["remains"]}


GUARDS = {
    "a guard that is gone": "DROP TRIGGER {guard} ON trades",
    "a guard of another condition": "DROP TRIGGER {guard} ON trades; CREATE TRIGGER {guard} BEFORE UPDATE "
    "ON trades FOR EACH ROW WHEN (false) EXECUTE FUNCTION tradebook_security.keep_booked()",
    "a guard of another function": "CREATE FUNCTION pass() RETURNS trigger LANGUAGE plpgsql AS "
    "'BEGIN RETURN NEW; END'; CREATE OR REPLACE TRIGGER {guard} BEFORE UPDATE ON trades "
    "FOR EACH ROW EXECUTE FUNCTION pass()",
    "a guard for replicas only": "ALTER TABLE trades ENABLE REPLICA TRIGGER {guard}",
    "no row-level security at all": "DO $$ DECLARE each record; BEGIN FOR each IN SELECT * FROM pg_policies "
    "WHERE schemaname = 'public' LOOP EXECUTE format('DROP POLICY %I ON %I', each.policyname, "
    "each.tablename); EXECUTE format('ALTER TABLE %I DISABLE ROW LEVEL SECURITY', each.tablename); "
    "END LOOP; END $$",
}


@pytest.mark.parametrize("case", GUARDS)
def test_a_guard_is_restored(found: Found, config: DatabaseConfig, case: str) -> None:
    command = Command(str(config.url))
    execute(config, GUARDS[case].format(**found.names))
    reported = [each for each in privileges(command) if each not in found.after]
    assert "red" in {each["level"] for each in reported}
    assert command.json("db", "roles", *OPTIONS, exit_code=1)["steps"] > 0
    assert privileges(command) == found.after


def test_an_attribute_is_refused_by_name(config: DatabaseConfig) -> None:
    command = Command(str(config.url))
    execute(config, "ALTER ROLE kept_b CREATEROLE BYPASSRLS")
    [found] = privileges(command)
    refused = command.refused("db", "roles", *OPTIONS)
    execute(config, "ALTER ROLE kept_b NOCREATEROLE NOBYPASSRLS")
    says = "'kept_b' is not accepted; expected a role without rolcreaterole, rolbypassrls"
    assert (found["level"], says in found["what"], says in refused) == ("red", True, True)
