"""The `tradebook` command, run in the tests' own process."""

from __future__ import annotations

import json
from typing import Any

from typer.testing import CliRunner, Result

from tradebook.entrypoints.cli import app


class Command:
    """The command line on one database, which the environment names."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __call__(self, *arguments: str, stdin: str | bytes | None = None) -> Result:
        """Run a command, and check that it never ends in a traceback."""
        result = CliRunner().invoke(
            app,
            arguments,
            input=stdin,
            env={"TRADEBOOK_DATABASE_URL": self.url, "TERM": "dumb"},
            prog_name="tradebook",
        )
        assert "Traceback" not in result.output
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result

    def json(self, *arguments: str, exit_code: int = 0) -> dict[str, Any]:
        """Run a command with `--json` and return its document."""
        result = self(*arguments, "--json")
        assert result.exit_code == exit_code, result.output
        document = json.loads(result.stdout)
        assert isinstance(document, dict)
        return document

    def refused(self, *arguments: str, exit_code: int = 1) -> str:
        """Run a command that must be refused with nothing on stdout, and return its stderr."""
        result = self(*arguments)
        assert result.exit_code == exit_code, result.output
        assert result.stdout == ""
        return " ".join(result.stderr.split())

    def trades(self) -> int:
        """Return the number of booked trades."""
        return len(self.json("trades", "--limit", "100000")["trades"])
