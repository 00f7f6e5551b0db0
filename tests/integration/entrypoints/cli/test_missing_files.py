"""Commands on a SQLite file that does not exist: those that read or change a book never create one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.command_line import Command
from tradebook.entrypoints.cli.app import COMMANDS, load

CREATES = ("init", "import", "demo", "db upgrade", "restore", "sandbox")
ARGUMENTS = {
    "cash bust": ["reference", "--reason", "x"],
    "trades bust": ["order", "--reason", "x"],
    "trades correct": ["order", "--price", "1", "--reason", "x"],
    "positions": ["--all"],
}
"""Commands that take more than the values that are required of them."""


def leaves(command: Any, path: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each command below one, with a value for everything that it requires."""
    below = getattr(command, "commands", {})
    for name, each in below.items():
        yield from leaves(each, f"{path} {name}")
    if not below or command.invoke_without_command:
        values: list[str] = []
        for param in command.params:
            if param.required:
                is_option = param.param_type_name == "option"
                values += [param.opts[0]] if is_option else []
                values += ["1.csv" if param.name == "path" else "1"]
        yield path, values + ARGUMENTS.get(path, [])


ALL = {path: values for name in COMMANDS for path, values in leaves(load(name), name)}
READS = {
    *("trades", "positions", "portfolio", "accounts", "cash", "alerts", "export", "verify"),
    *("audit check", "audit export", "db check", "db current", "db history", "top", "metrics"),
    *("trades bust", "trades correct", "cash bust", "alerts resolve", "rebuild", "audit seal"),
}


@pytest.mark.parametrize("command", [path for path in ALL if not path.startswith(CREATES)])
def test_no_command_but_those_that_begin_a_book_creates_a_file(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "book.db"
    result = Command(f"sqlite:///{file}")(*command.split(), *ALL[command])
    assert not file.exists()
    if command in READS:
        said = " ".join(result.stderr.split())
        assert result.exit_code == 1
        assert f"there is no file {file}" in said
        assert "tradebook init" in said


def test_every_command_named_here_exists() -> None:
    assert ALL.keys() >= READS
    assert ARGUMENTS.keys() <= ALL.keys()


@pytest.mark.parametrize("arguments", [[], ["--account", "all"]])
def test_views_of_all_accounts_create_no_file(arguments: list[str], tmp_path: Path) -> None:
    file = tmp_path / "book.db"
    said = Command(f"sqlite:///{file}").refused("positions", *arguments)
    assert "there is no file" in said
    assert not file.exists()


@pytest.mark.parametrize("name", ["file:{}?uri=true", "file:{}?uri=true&mode=rwc"])
def test_a_file_that_is_named_as_a_uri_is_not_created_either(name: str, tmp_path: Path) -> None:
    file = tmp_path / "book.db"
    said = Command(f"sqlite:///{name.format(file)}").refused("positions")
    assert f"there is no file {file}" in said
    assert not file.exists()


def test_init_and_import_create_the_file(tmp_path: Path) -> None:
    trades = tmp_path / "trades.csv"
    trades.write_text("symbol,action,quantity,price\nX,BUY,1,1\n")
    for number, command in enumerate((["init"], ["import", str(trades)])):
        file = tmp_path / f"{number}.db"
        assert Command(f"sqlite:///{file}")(*command).exit_code == 0
        assert file.exists()
