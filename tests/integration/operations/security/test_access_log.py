"""Access log of a real server: connections, statements and refusals."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import psycopg2
import pytest
from rich.console import Console

from tests.support.command_line import Command
from tests.support.secured_servers import SecuredServer, execute
from tradebook import DatabaseConfig, DatabaseManager

SECRET = "s3cret of the roles"


@pytest.fixture(scope="module")
def admin(secured: SecuredServer, tmp_path_factory: pytest.TempPathFactory) -> DatabaseConfig:
    """Set up a book whose access is logged; return the superuser's configuration."""
    config = secured.create("seen")
    command = Command(str(config.url))
    assert command("init").exit_code == 0
    folder: Path = tmp_path_factory.mktemp("secrets")
    for kind in ("owner", "writer", "reader", "auditor"):
        (folder / f"seen_{kind}").write_text(SECRET)
    arguments = ("db", "roles", "--prefix", "seen", "--passwords", str(folder), "--log-access")
    document = command.json(*arguments, "--yes")
    assert document["skipped"] == []
    while config_of(secured) != [("stderr, jsonlog", "on", "UTC")]:
        pass  # the server reloads its configuration asynchronously
    assert command.json(*arguments, "--yes")["skipped"] == []
    return config


def config_of(server: SecuredServer) -> list[Any]:
    names = ("log_destination", "log_disconnections", "log_timezone")
    return server.execute("SELECT " + ", ".join(f"current_setting('{name}')" for name in names))


def as_role(admin: DatabaseConfig, kind: str, **changes: Any) -> DatabaseConfig:
    return attrs.evolve(admin, **{"username": f"seen_{kind}", "password": SECRET, **changes})


@pytest.fixture(scope="module")
def auditor(admin: DatabaseConfig) -> Command:
    """Return the command line as the auditor, after some activity."""
    with DatabaseManager(as_role(admin, "writer", application_name="bot 7")) as manager:
        manager.record_trade(symbol="SEEN", action="BUY", quantity=1, price=2, order_id="seen-1")
        manager.record_trade(symbol="SEEN", action="BUY", quantity=1, price=2, order_id="seen-2")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        execute(as_role(admin, "writer"), "DELETE FROM events WHERE actor = 'me'")
    with pytest.raises(psycopg2.OperationalError):
        execute(as_role(admin, "owner", password="guessed"), "SELECT 1")
    execute(as_role(admin, "reader"), "SELECT 'the last thing'")
    command = Command(str(as_role(admin, "auditor").url))
    wait_for(command, lambda each: each["kind"] == "disconnect", "--role", "seen_reader")
    return command


def wait_for(
    command: Command, is_it: Callable[[dict[str, Any]], bool], *arguments: str
) -> list[dict[str, Any]]:
    """Wait for an entry: the server's log collector writes asynchronously, in order."""
    while True:
        found: list[dict[str, Any]] = accesses(command, *arguments)
        if any(is_it(each) for each in found):
            return found


def accesses(command: Command, *arguments: str) -> list[dict[str, Any]]:
    document = command.json("audit", "access", "--limit", "10000", *arguments)
    return list(document["accesses"])


def test_connections_are_listed_with_who_and_from_where(auditor: Command) -> None:
    [first, *_] = accesses(auditor, "--role", "seen_writer", "--kind", "connect")
    assert (first["database"], first["address"]) in [("seen", "127.0.0.1"), ("seen", "::1")]
    assert "connection authorized: user=seen_writer database=seen" in first["text"]
    assert first["application"] == "bot 7" or "application_name=bot 7" in first["text"]
    assert accesses(auditor, "--role", "seen_writer", "--kind", "disconnect")


def test_statements_are_listed_by_role_bookings_too(auditor: Command) -> None:
    written = accesses(auditor, "--role", "seen_writer", "--kind", "statement")
    assert any("INSERT INTO trades" in each["text"] for each in written)
    assert any("seen-1" in each["text"] + each["detail"] for each in written)
    read = accesses(auditor, "--role", "seen_reader", "--kind", "statement")
    assert [each["text"] for each in read if "last thing" in each["text"]] == [
        "SELECT 'the last thing'"
    ]
    assert {each["role"] for each in written} == {"seen_writer"}


def test_refusals_are_listed_with_the_statement(auditor: Command) -> None:
    [deletion] = accesses(auditor, "--role", "seen_writer", "--kind", "refused")
    assert deletion["text"] == "permission denied for table events"
    assert (deletion["state"], deletion["detail"]) == (
        "42501",
        "DELETE FROM events WHERE actor = 'me'",
    )
    [guess] = accesses(auditor, "--role", "seen_owner", "--kind", "refused")
    assert guess["text"] == 'password authentication failed for user "seen_owner"'
    assert guess["state"] == "28P01"


def test_what_is_before_or_after_a_time_is_left_out(auditor: Command) -> None:
    everything = accesses(auditor, "--role", "seen_writer")
    [refusal] = accesses(auditor, "--role", "seen_writer", "--kind", "refused")
    later = accesses(auditor, "--role", "seen_writer", "--since", refusal["at"])
    earlier = accesses(auditor, "--role", "seen_writer", "--until", refusal["at"])
    assert later[0] == refusal or refusal in later
    assert earlier + later == everything
    [last] = auditor.json("audit", "access", "--role", "seen_writer", "--limit", "1")["accesses"]
    assert last == everything[-1]


def test_the_files_say_the_same(auditor: Command, secured: SecuredServer, sqlite_url: str) -> None:
    through_server = accesses(auditor, "--role", "seen_writer")
    from_file = Command(sqlite_url)  # connects to no server
    assert accesses(from_file, "--log", str(secured.log), "--role", "seen_writer") == through_server
    [file] = secured.log.glob("*.json")
    assert accesses(from_file, "--log", str(file), "--role", "seen_writer") == through_server


def test_people_get_a_table(auditor: Command) -> None:
    shown = auditor("audit", "access", "--kind", "refused", "--role", "seen_owner").stdout
    assert "seen_owner" in shown
    assert "28P01" not in shown
    assert "password authentication failed" in " ".join(shown.split())


def test_reading_the_log_does_not_fill_it(auditor: Command) -> None:
    def sent(*arguments: str) -> list[str]:
        return [each["text"] for each in accesses(auditor, "--kind", "statement", *arguments)]

    wait_for(auditor, lambda each: "log_part" in each["text"], "--all")
    shown, everything = sent(), sent("--all")
    assert "BEGIN" in everything
    assert "SELECT name, size FROM tradebook_security.log_files()" in everything
    assert not any("log_part('postgresql" in text for text in shown)
    assert not {"BEGIN", "SELECT name, size FROM tradebook_security.log_files()"} & set(shown)
    assert {"BEGIN", "ROLLBACK"} <= set(sent("--all", "--role", "seen_auditor"))
    assert not {"BEGIN", "ROLLBACK"} & set(sent("--role", "seen_auditor"))
    assert "COMMIT" in shown  # of transactions that contain a statement


def test_a_narrow_terminal_gets_the_statement_whole(
    auditor: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = io.StringIO()
    console = Console(file=said, width=80, force_terminal=True, color_system=None)
    monkeypatch.setattr("tradebook.entrypoints.cli.output.stdout", lambda: console)
    assert auditor("audit", "access", "--kind", "refused", "--role", "seen_owner").exit_code == 0
    lines = said.getvalue().splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 80
    assert "left out for want of width" in said.getvalue()
    assert "seen_owner" in said.getvalue()


@pytest.mark.parametrize("content", ["symbol,price\nA,1\n", '{"symbol": "A"}\n', "LOG:  ready\n"])
def test_what_is_no_log_in_json_is_refused(sqlite_url: str, tmp_path: Path, content: str) -> None:
    (tmp_path / "other.json").write_text(content)
    for place in (tmp_path / "other.json", tmp_path):
        refused = Command(sqlite_url).refused("audit", "access", "--log", str(place))
        assert "log_destination = 'jsonlog'" in refused


def test_a_folder_without_a_log_is_refused_and_an_empty_log_has_nothing(
    sqlite_url: str, tmp_path: Path, secured: SecuredServer, auditor: Command
) -> None:
    command = Command(sqlite_url)
    assert "jsonlog" in command.refused("audit", "access", "--log", str(tmp_path))
    (tmp_path / "new.json").touch()
    assert command("audit", "access", "--log", str(tmp_path)).stdout == "nothing found\n"
    nobody = auditor("audit", "access", "--log", str(secured.log), "--role", "nobody")
    assert nobody.stdout == "nothing found\n"


def test_a_file_has_no_log_of_who_came(sqlite_url: str) -> None:
    refused = Command(sqlite_url).refused("audit", "access")
    assert "a PostgreSQL database: a file has no log of accesses" in refused


@pytest.mark.parametrize("kind", ["writer", "reader", "owner"])
def test_nobody_else_reads_the_log(admin: DatabaseConfig, auditor: Command, kind: str) -> None:
    message = Command(str(as_role(admin, kind).url)).refused("audit", "access")
    assert "connect as the auditor" in message


def test_the_auditor_reads_no_other_file(admin: DatabaseConfig, auditor: Command) -> None:
    read = "SELECT tradebook_security.log_part(%s, 0, 100)"
    config = as_role(admin, "auditor")
    [name] = [row[0] for row in execute(config, "SELECT name FROM tradebook_security.log_files()")]
    assert execute(config, read, name) != [(None,)]
    for other in (
        "../postgresql.conf",
        f"../log/{name}",
        "/etc/passwd",
        name.replace("json", "log"),
    ):
        assert execute(config, read, other) == [(None,)]
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        execute(config, "SELECT pg_read_file('postgresql.conf')")


def test_a_log_that_is_not_set_up_says_what_to_run(secured: SecuredServer) -> None:
    config = secured.create("unseen")
    message = Command(str(config.url)).refused("audit", "access")
    assert "run `tradebook db roles --log-access`" in message


def test_no_password_is_in_the_log(
    admin: DatabaseConfig, secured: SecuredServer, auditor: Command
) -> None:
    """Check the log with the superuser's statements in it: they contain SCRAM verifiers only."""
    folder = Path(str(secured.home)) / "again"
    folder.mkdir()
    (folder / "seen_writer").write_text(SECRET)
    options = "-c log_statement=all"
    loud = secured.config("seen", parameters={"options": options})
    arguments = ("db", "roles", "--prefix", "seen", "--passwords", str(folder), "--yes")
    assert Command(str(loud.url))(*arguments).exit_code == 0
    found = wait_for(auditor, lambda each: "LOGIN PASSWORD" in each["text"], "--role", "admin")
    sent = [each["text"] for each in found if "LOGIN PASSWORD" in each["text"]]
    assert all("SCRAM-SHA-256$" in text for text in sent)
    assert SECRET not in "".join(file.read_text() for file in secured.log.iterdir())
