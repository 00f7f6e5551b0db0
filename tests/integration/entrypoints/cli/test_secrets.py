"""Passwords and the command line: they come from files and the environment, and show nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command_line import Command
from tests.support.secured_servers import PASSWORD, SecuredServer

WARNING = "a password in --database in the list of processes"


@pytest.mark.usefixtures("brief_outages")
@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:s3cret@localhost:1/book",
        "postgresql://me@localhost:1/book?sslpassword=s3cret",
        "postgresql://localhost:1/book?password=s3cret",
    ],
)
@pytest.mark.parametrize("command", [["trades"], ["config"], ["audit", "access"], ["db", "roles"]])
def test_a_password_on_the_command_line_is_warned_of(
    tradebook: Command, command: list[str], url: str
) -> None:
    result = tradebook(*command, "--database", url)
    said = " ".join(result.stderr.split())
    assert WARNING in said
    assert "TRADEBOOK_DB_PASSWORD_FILE" in said
    assert "s3cret" not in result.output


def test_nothing_is_said_where_no_password_stands_there(tradebook: Command) -> None:
    assert WARNING not in tradebook("config", "--database", "postgresql://me@host/book").stderr
    named = Command("postgresql://me:s3cret@host/book")("config")
    assert named.exit_code == 0
    assert named.stderr == ""


def test_a_file_gives_the_password_that_the_command_line_does_not(
    secured: SecuredServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = secured.create("by_file").database
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n")
    monkeypatch.setenv("TRADEBOOK_DB_PASSWORD_FILE", str(file))
    url = f"postgresql://admin@localhost:{secured.port}/{name}"
    result = Command("sqlite://")("init", "--database", url)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"ready: postgresql://admin:***@localhost:{secured.port}/{name}\n"
