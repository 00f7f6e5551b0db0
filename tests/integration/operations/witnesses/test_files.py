"""A file as a witness: it only grows, whoever writes to it and whatever is in it."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path
from subprocess import run

import pytest

from tests.integration.operations.witnesses.conftest import config_of
from tradebook import DatabaseManager, WitnessFailed


def test_what_was_appended_stays_byte_for_byte_and_is_its_owners(
    sealed_file: str, tmp_path: Path
) -> None:
    file = tmp_path / "w.jsonl"
    with DatabaseManager(config_of(sealed_file, str(file))) as book:
        book.seal()
        before = file.read_bytes()
        book.raise_alert("a", "INFO")
        book.seal()
    assert file.read_bytes().startswith(before)
    assert file.stat().st_mode & 0o777 == 0o600
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(line["account"], line["seal"]["number"]) for line in lines] == [
        ("main", number) for number in range(1, 7)
    ]


def test_a_line_that_a_crash_cut_off_is_left_and_its_seal_appended(
    sealed_file: str, tmp_path: Path
) -> None:
    file = tmp_path / "w.jsonl"
    with DatabaseManager(config_of(sealed_file, str(file))) as book:
        book.seal()
        whole = file.read_bytes()
        for length in (len(whole) - 1, len(whole) - 300, 30, 1):
            file.write_bytes(whole[:length])
            assert book.check_seals().sound
            book.seal()
            assert file.read_bytes().startswith(whole[:length])
            checked = book.check_seals()
            assert (checked.sound, checked.witnesses[0].seals) == (True, 5)


@pytest.mark.parametrize("seal", ["5", "[]", '{"number": Infinity, "hash": ""}', "[" * 100_000])
def test_a_line_that_says_nothing_of_a_seal_is_passed_over(
    sealed_file: str, tmp_path: Path, seal: str
) -> None:
    file = tmp_path / "w.jsonl"
    facts = '"book": "book", "account": "main", "witnessed_at": "2026-01-01"'
    file.write_text(f'{{"format": "tradebook witness 1", {facts}, "seal": {seal}}}\n')
    with DatabaseManager(config_of(sealed_file, str(file))) as book:
        assert book.seal().witnesses[0].seals == 5
        assert book.check_seals().sound


def test_a_file_of_something_else_stays_as_it_is(sealed_file: str, tmp_path: Path) -> None:
    (tmp_path / "notes.jsonl").write_text('{"mine": 1}\n')
    (tmp_path / "blank.jsonl").write_text("\n")
    with DatabaseManager(sealed_file) as book:
        (tmp_path / "exported.json").write_text(json.dumps(book.export_seals(), indent=1))
    database = sealed_file.removeprefix("sqlite:///")
    names = ("notes.jsonl", "blank.jsonl", "exported.json", database)
    for file in (tmp_path / name for name in names):
        before = file.read_bytes()[:100]
        with (
            DatabaseManager(config_of(sealed_file, str(file))) as book,
            pytest.raises(WitnessFailed, match="is no file of witnessed seals, and stays as it is"),
        ):
            book.seal()
        assert file.read_bytes()[:100] == before


def test_a_link_is_not_followed_and_a_lock_not_waited_for_without_end(
    sealed_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradebook.operations.witnesses.locks._PATIENCE", 0.05)
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "victim")
    file = tmp_path / "w.jsonl"
    with DatabaseManager(config_of(sealed_file, str(tmp_path / "link.jsonl"))) as book:
        with pytest.raises(WitnessFailed, match="symbolic link"):
            book.seal()
        assert not (tmp_path / "victim").exists()
    with file.open("ab") as holder, DatabaseManager(config_of(sealed_file, str(file))) as book:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(WitnessFailed, match="is locked by another process"):
            book.seal()
    assert file.read_bytes() == b""


def test_an_append_only_file_takes_them(sealed_file: str, tmp_path: Path) -> None:
    """`chattr +a` needs root, and a file system that has it."""
    file = tmp_path / "w.jsonl"
    with DatabaseManager(config_of(sealed_file, str(file))) as book:
        book.seal()
        is_append_only = (
            run(["chattr", "+a", file], capture_output=True, check=False).returncode == 0
        )
        try:
            if is_append_only:
                with pytest.raises(PermissionError):
                    file.write_bytes(b"")
            book.raise_alert("a", "INFO")
            assert book.seal().witnesses[0].seals == 6
        finally:
            if is_append_only:
                run(["chattr", "-a", file], check=True)
