"""`tradebook config`: values, their sources and masked passwords."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.support.checkout import ROOT
from tradebook.entrypoints.cli import app


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("TRADEBOOK_") or name == "DATABASE_URL":
            monkeypatch.delenv(name)


def command(*arguments: str, variables: Mapping[str, str] | None = None) -> Result:
    """Run `tradebook config`, and check that it never ends in a traceback."""
    result = CliRunner().invoke(
        app, ["config", *arguments], env={"TERM": "dumb", **(variables or {})}
    )
    assert "Traceback" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def settings(document: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    return {s["field"]: (s["value"], s["source"]) for s in document["settings"]}


VARIABLES = {
    "TRADEBOOK_ENV": "production",
    "TRADEBOOK_DB_PORT": "5433",
    "TRADEBOOK_DB_PASSWORD": "hunter2",
}


def test_it_shows_each_value_with_its_source_and_no_password() -> None:
    result = command("--database", "postgresql://me@db/book", variables=VARIABLES)
    lines = [line.split() for line in result.stdout.splitlines()]

    assert result.exit_code == 0
    assert "hunter2" not in result.output
    assert lines[0] == ["production:", "postgresql://me:***@db:5433/book?sslmode=require"]
    assert ["host", "db", "--database"] in lines
    assert ["port", "5433", "TRADEBOOK_DB_PORT"] in lines
    assert ["password", "***", "TRADEBOOK_DB_PASSWORD"] in lines
    assert ["sslmode", "require", "production", "preset"] in lines
    assert ["pool_size", "10", "default"] in lines


def test_json_says_the_same() -> None:
    result = command("--json", variables={**VARIABLES, "TRADEBOOK_DB_HOST": "db"})
    document = json.loads(result.stdout)

    assert "hunter2" not in result.output
    assert document["environment"] == "production"
    assert settings(document)["host"] == ("db", "TRADEBOOK_DB_HOST")
    assert settings(document)["password"] == ("***", "TRADEBOOK_DB_PASSWORD")
    assert settings(document)["database"] == ("tradebook", "default")


def test_without_variables_it_is_a_file() -> None:
    document = json.loads(command("--json").stdout)
    assert document["environment"] == "embedded"
    assert settings(document)["path"] == ("tradebook.db", "default")


def test_a_wrong_variable_is_refused_in_words() -> None:
    result = command(variables={**VARIABLES, "TRADEBOOK_DB_POOL_SIZE": "many"})
    assert result.exit_code == 1
    assert result.stderr.startswith("tradebook: TRADEBOOK_DB_POOL_SIZE: 'many'")
    assert "hunter2" not in result.output


def test_it_lists_every_variable() -> None:
    listed = command("--variables").stdout
    assert "TRADEBOOK_DB_PASSWORD_FILE: " in listed
    assert "TRADEBOOK_ENV: " in listed


def test_its_help_has_examples_and_that_of_others_names_the_variables() -> None:
    assert "tradebook config --variables" in command("--help").stdout
    other = CliRunner().invoke(app, ["trades", "--help"], env={"TERM": "dumb"}).stdout
    assert "tradebook config" in " ".join(other.split())


def test_it_connects_to_nothing(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", "from tradebook.entrypoints.cli import main; main()", "config"],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PATH": "", "PYTHONPATH": str(ROOT)},
    )
    assert list(tmp_path.iterdir()) == []
