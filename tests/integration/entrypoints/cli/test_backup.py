"""`tradebook backup` and `restore`, on a SQLite file."""

from __future__ import annotations

import io
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import datetime
from pathlib import Path
from unittest.mock import Mock

import pytest
from attrs import evolve
from rich.console import Console

from tests.support.command_line import Command
from tradebook import DatabaseConfig, ProgramMissing
from tradebook.operations.backup import Encryption, Store, back_up
from tradebook.operations.backup.manifest import write_manifest


def test_ctrl_c_and_systemd_end_the_command_cleanly(
    config: DatabaseConfig, store: Store, tmp_path: Path
) -> None:
    # In age's place something that never reads: the command waits for it while it is interrupted.
    (tmp_path / "age").write_text('#!/bin/sh\necho > "$READY"\nexec sleep 600\n')
    (tmp_path / "age").chmod(0o755)
    code = "from tradebook.entrypoints.cli import main; main()"
    command = [sys.executable, "-c", code, "backup", "--store", str(store.folder)]
    environment = {**os.environ, "TRADEBOOK_DATABASE_URL": str(config.url)}
    environment["PATH"] = f"{tmp_path}:{os.environ['PATH']}"
    for number in (signal.SIGINT, signal.SIGTERM):
        environment["READY"] = str(tmp_path / number.name)
        os.mkfifo(environment["READY"])
        with subprocess.Popen(
            [*command, "--encrypt", "age:age1x"], env=environment, stderr=subprocess.DEVNULL
        ) as process:
            Path(environment["READY"]).read_text()  # waits until it is written
            assert len(list(store.folder.glob(".*/book.db.age"))) == 1
            process.send_signal(number)
        assert process.returncode != 0
        assert not store.folder.exists()


def test_without_the_tool_it_says_what_to_install(
    config: DatabaseConfig, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    tradebook = Command(str(config.url))

    for tool, package in (("age", "age"), ("gpg", "gnupg")):
        said = tradebook.refused("backup", "--encrypt", f"{tool}:ann", "--store", str(store.folder))
        assert f"{tool} is not installed; apt-get install {package}" in said
        with pytest.raises(ProgramMissing):
            back_up(config, store, encryption=Encryption(tool, ("ann",)))
    assert store.all() == []
    assert "gpg:RECIPIENT" in tradebook.refused("backup", "--encrypt", "pgp:ann")
    assert "gpg:RECIPIENT" in tradebook.refused("backup", "--encrypt", "gpg:--output=x")


def test_the_commands_back_up_list_verify_prune_and_restore(
    config: DatabaseConfig, store: Store, tmp_path: Path
) -> None:
    tradebook, where = Command(str(config.url)), ("--store", str(store.folder))

    assert tradebook("backup", "list", *where).stdout.startswith("no backups in ")
    assert "tradebook backup list" in tradebook.refused("backup", "verify", *where)
    made = tradebook("backup", "--verify", *where)
    assert made.exit_code == 0
    assert "(1 trade, 1 position, 2 events; " in made.stdout
    assert "restored and proven: " in made.stdout
    document = tradebook.json("backup", *where)
    assert document["backup"]["counts"]["main"] == {"trades": 1, "positions": 1, "events": 2}
    first, second = tradebook.json("backup", "list", *where)["backups"]
    assert datetime.fromisoformat(first["verified"]).tzinfo is not None
    assert second["verified"] is None
    assert tradebook.json("backup", "verify", *where)["accounts"][0]["proven"] is True
    assert first["name"] in tradebook("backup", "list", *where).stdout

    assert "--keep-days" in tradebook.refused("backup", "prune", "--yes", *where, exit_code=2)
    for answer in ("n\n", None):
        answered = tradebook("backup", "prune", "--keep", "1", *where, stdin=answer)
        assert (answered.exit_code, "nothing was removed: say --yes" in answered.stderr) == (
            1,
            True,
        )
    assert len(store.all()) == 2
    pruned = tradebook.json("backup", "prune", "--keep", "1", "--yes", *where)
    assert (pruned["removed"], pruned["kept"]) == ([first["name"]], [second["name"]])

    target = ("--database", f"sqlite:///{tmp_path / 'new.db'}")
    assert tradebook("restore", *where, *target).stdout.endswith("proven: 1 trade in 1 account\n")
    assert "--overwrite" in tradebook.refused("restore", *where, *target)
    for answer in ("n\n", None):
        answered = tradebook("restore", "--overwrite", *where, *target, stdin=answer)
        assert (answered.exit_code, "Replace the book in sqlite" in answered.stderr) == (1, True)
        assert "nothing was replaced: say --yes" in answered.stderr
    again = tradebook.json("restore", "--overwrite", "--yes", *where, *target)
    assert (again["proven"], again["found"]["main"]["trades"]) == (True, 1)


def test_a_backup_whose_book_does_not_add_up_is_not_proven(
    config: DatabaseConfig, store: Store
) -> None:
    with closing(sqlite3.connect(str(config.path))) as connection:
        connection.execute("UPDATE positions SET quantity = '2'")
        connection.commit()
    tradebook, where = Command(str(config.url)), ("--store", str(store.folder))

    made = tradebook("backup", "--verify", *where)

    assert made.exit_code == 1
    assert "the book is not proven" in made.stdout
    assert "not proven: " in made.stdout
    assert tradebook.json("backup", "list", *where)["backups"][0]["verified"] is None


@pytest.mark.parametrize(
    "command",
    [
        ["backup"],
        ["backup", "verify"],
        ["backup", "list"],
        ["backup", "prune"],
        ["backup", "archive"],
        ["backup", "schedule"],
        ["restore"],
    ],
)
def test_help_teaches_with_examples(tradebook: Command, command: list[str]) -> None:
    result = tradebook(*command, "--help")

    assert result.exit_code == 0
    assert result.stdout.count(f"tradebook {' '.join(command)}") > 1  # besides its usage


def test_options_of_a_group_hold_for_its_subcommand_or_are_refused(
    config: DatabaseConfig, store: Store
) -> None:
    tradebook, where = Command(str(config.url)), ("--store", str(store.folder))
    made = tradebook.json("backup", *where)["backup"]["name"]

    assert made in tradebook("backup", *where, "list").stdout
    elsewhere = ("--store", f"{store.folder}2")
    assert made in tradebook("backup", *elsewhere, "list", *where).stdout
    refused = tradebook.refused("backup", "--jobs", "2", "list", *where, exit_code=2)
    assert "--jobs" in refused
    assert "`tradebook backup list` has no such option" in refused


def test_kinds_that_do_not_fit_are_refused(config: DatabaseConfig, store: Store) -> None:
    tradebook, where = Command(str(config.url)), ("--store", str(store.folder))

    assert "SQLite" in tradebook.refused("backup", "--physical", *where)
    both = tradebook.refused("backup", "--physical", "--incremental", *where, exit_code=2)
    assert "--physical" in both
    assert "--into" in tradebook.refused("restore", "--to", "2024-05-17", *where, exit_code=2)
    both = ("--into", "new", "--database", tradebook.url)
    assert "goes without --into" in tradebook.refused("restore", *both, *where, exit_code=2)


def test_a_damaged_backup_is_not_in_the_way_of_the_others(
    config: DatabaseConfig, store: Store
) -> None:
    damaged, sound = back_up(config, store), back_up(config, store)
    (store.folder / damaged.name / "manifest.json").write_text("{}")
    tradebook, where = Command(str(config.url)), ("--store", str(store.folder))

    listed = tradebook("backup", "list", *where)

    assert f"{damaged.name} is damaged" in listed.stderr
    assert sound.name in listed.stdout
    assert store.get() == sound
    assert damaged.name in tradebook("backup", "prune", "--keep", "1", *where).stderr
    assert (store.folder / damaged.name).is_dir()


def test_a_list_at_80_columns_says_what_was_proven_and_what_builds_upon_what(
    config: DatabaseConfig, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = back_up(config, store)
    parent, name = "20240517T023000Z-incremental", "20240517T033000Z-incremental"
    folder = store.folder / name
    (store.folder / made.name).rename(folder)
    write_manifest(folder, evolve(made, name=name, kind="incremental", parent=parent))
    (folder / "verified.json").write_text('{"at": "2024-05-17T04:05:06+00:00", "proven": true}')
    out = io.StringIO()
    terminal = Console(file=out, width=80, force_terminal=True, color_system=None)
    monkeypatch.setattr("tradebook.entrypoints.cli.output.stdout", lambda: terminal)

    Command(str(config.url))("backup", "list", "--store", str(store.folder))

    words = " ".join(out.getvalue().split())
    assert f"{name} 2024-05-17 04:05:06 20240517T023000Z" in words
    assert "verified (UTC) builds upon" in words
    assert max(len(line) for line in out.getvalue().splitlines()[1:]) <= 80  # below the title


def test_a_backup_that_fails_leaves_no_folder_of_backups_that_was_not_there(
    config: DatabaseConfig, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "tradebook.operations.backup.create.write_manifest", Mock(side_effect=OSError)
    )
    tradebook, where = Command(str(config.url)), ("--store", str(store.folder))

    assert tradebook("backup", *where).exit_code == 1
    assert not store.folder.exists()
    store.folder.mkdir()
    assert tradebook("backup", *where).exit_code == 1
    assert os.listdir(store.folder) == []


def test_gpg_is_not_let_into_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # By default gpg fetches the key of an unknown address from any key server that has one.
    (tmp_path / "gpg").touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert "--no-auto-key-locate" in Encryption.from_text("gpg:ann@example.com").command


def test_schedule_prints_what_backs_up_verifies_and_prunes_and_no_secret(store: Store) -> None:
    tradebook = Command("postgresql://ann:secret@db.example.com/book")
    where = ("--store", str(store.folder))

    units = tradebook("backup", "schedule", "--at", "03:15", *where).stdout
    line = tradebook("backup", "schedule", "--cron", "--physical", "--encrypt", "gpg:ann", *where)

    assert "OnCalendar=*-*-* 03:15:00" in units
    assert f" backup --store {store.folder} --verify\n" in units
    assert f" backup prune --store {store.folder} --keep 7 --yes\n" in units
    assert "secret" not in units + line.output
    if shutil.which("gpg"):
        assert f" backup --store {store.folder} --physical --encrypt gpg:ann && " in line.stdout
    else:
        assert "gpg is not installed" in line.stderr
    assert "such as 02:30" in tradebook.refused("backup", "schedule", "--at", "noon")
