"""The table of commands, from which the help is written before any command is imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tradebook.entrypoints.cli.app import COMMANDS, load


@pytest.mark.parametrize("name", COMMANDS)
def test_the_summary_in_the_table_is_the_first_paragraph_of_the_help(name: str) -> None:
    help_text = load(name).help or ""
    assert COMMANDS[name].summary == " ".join(help_text.split("\n\n")[0].split())


def test_help_imports_no_database_library() -> None:
    program = (
        "import sys; from tradebook.entrypoints.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([m for m in sys.modules if m in ('sqlalchemy', 'alembic', 'psycopg2')])"
    )
    command = [sys.executable, "-c", program, "--help"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"
