"""`tradebook audit`: seal, export and check, from the command line."""

from __future__ import annotations

import json
from errno import ENOSPC
from pathlib import Path
from unittest.mock import Mock

import pytest

from tests.integration.entrypoints.cli.test_cli import Command
from tests.support.tampering import a_day, change, remove, rows
from tradebook import DatabaseManager


@pytest.fixture
def tradebook(sqlite_book: str) -> Command:
    with DatabaseManager(sqlite_book) as book:
        a_day(book)
    return Command(sqlite_book)


def test_seal_says_what_it_sealed_and_seals_nothing_again(tradebook: Command) -> None:
    assert tradebook("audit", "seal", "--by", "ann").stdout == "1 event sealed in 1 seal\n"
    assert tradebook("audit", "seal").stdout == "0 events sealed in 0 seals\n"
    again = tradebook.json("audit", "seal")
    assert (again["seals"], again["events"], again["last"]) == (0, 0, None)


def test_seal_as_json_has_the_last_seal(tradebook: Command) -> None:
    last = tradebook.json("audit", "seal", "--by", "ann")["last"]
    assert (last["number"], last["count"], last["actor"]) == (5, 1, "ann")
    assert len(last["hash"]) == 64


def test_check_of_an_untouched_book_says_so(tradebook: Command, tmp_path: Path) -> None:
    file = str(tmp_path / "seals.json")
    assert tradebook("audit", "export", file).stdout == f"4 seals exported to {file}\n"
    for arguments in ([], [file]):
        result = tradebook("audit", "check", *arguments)
        assert result.exit_code == 0
        assert "nothing was tampered with (16 events in 4 seals, 9 trades)" in result.stdout
        assert "1 event not sealed yet" in result.stdout
    tradebook("audit", "seal", "--export", file)
    document = tradebook.json("audit", "check", file)
    assert (document["sound"], document["seals"], document["unsealed"]) == (True, 5, 0)
    assert document["findings"] == []


def test_check_names_what_was_tampered_with(tradebook: Command) -> None:
    with DatabaseManager(tradebook.url) as book:
        event = rows(book, "events")[3]
        change(book, "events", {"actor": "bob"}, id=event["id"])
        change(book, "trades", {"strategy": "other"}, order_id="o-5")
    result = tradebook("audit", "check")
    assert result.exit_code == 1
    first, *rest = result.stdout.splitlines()
    assert first.startswith("tampered with: 2 findings")
    assert rest[0].strip() == "Event 4 was changed: it is not what seal 1 covers"
    assert rest[1].strip().startswith("Trade 6 (order 'o-5' for AAPL) was changed: strategy is")
    findings = tradebook.json("audit", "check", exit_code=1)["findings"]
    assert (findings[0]["entity"], findings[0]["key"], findings[0]["what"]) == (
        "Event",
        "4",
        "changed",
    )


def test_check_with_an_export_sees_that_seals_were_dropped(
    tradebook: Command, tmp_path: Path
) -> None:
    file = str(tmp_path / "seals.json")
    tradebook("audit", "export", file)
    with DatabaseManager(tradebook.url) as book:
        remove(book, "seals", number=4)
    assert tradebook("audit", "check").exit_code == 0
    result = tradebook("audit", "check", file)
    assert result.exit_code == 1
    assert "Seal 4 was removed" in result.stdout


def test_a_file_that_is_no_export_of_the_account_is_refused(
    tradebook: Command, tmp_path: Path
) -> None:
    file = tmp_path / "seals.json"
    tradebook("audit", "export", str(file))
    assert "account" in tradebook.refused("audit", "check", str(file), "--account", "other")
    document = json.loads(file.read_text())
    document["seals"][1]["count"] = 7
    file.write_text(json.dumps(document))
    assert "seal 2" in tradebook.refused("audit", "check", str(file))
    for content in ("{}", "not JSON", "[" * 100_000, "\ud800".encode("utf-8", "surrogatepass")):
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        assert "seals.json" in tradebook.refused("audit", "check", str(file)) or content == "{}"
    missing = str(tmp_path / "missing.json")
    assert "does not exist" in tradebook.refused("audit", "check", missing, exit_code=2)


def test_an_export_that_cannot_be_written_leaves_the_one_before(
    tradebook: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "cannot write" in tradebook.refused("audit", "export", str(tmp_path / "no" / "x.json"))
    file = tmp_path / "seals.json"
    tradebook("audit", "export", str(file))
    before = file.read_text()
    monkeypatch.setattr("os.replace", Mock(side_effect=OSError(ENOSPC, "No space left")))
    assert "cannot write" in tradebook.refused("audit", "export", str(file))
    assert [*tmp_path.glob("seals*")] == [file]
    assert file.read_text() == before


def test_exported_seals_are_their_owners_alone_and_follow_no_planted_link(
    tradebook: Command, tmp_path: Path
) -> None:
    file, victim = tmp_path / "seals.json", tmp_path / "victim"
    victim.write_text("precious")
    for planted in ("seals.json", "seals.json.new"):
        (tmp_path / planted).symlink_to(victim)
    tradebook("audit", "export", str(file))
    assert victim.read_text() == "precious"
    assert (file.is_symlink(), file.stat().st_mode & 0o777) == (False, 0o600)


def test_seal_appends_to_witnesses_and_check_reads_them(
    tradebook: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    witness = tmp_path / "w.jsonl"
    monkeypatch.setenv("TRADEBOOK_SEAL_WITNESS", str(witness))
    assert tradebook("audit", "check").stdout.splitlines()[1] == f"{witness} has 0 of 4 seals"
    sealed = tradebook("audit", "seal")
    assert sealed.stdout == f"1 event sealed in 1 seal\n5 seals in {witness}\n"
    assert tradebook("audit", "check").stdout.splitlines()[1] == f"{witness} has 5 of 5 seals"
    with DatabaseManager(tradebook.url) as book:
        remove(book, "seals", number=5)
    result = tradebook("audit", "check")
    assert result.exit_code == 1
    assert f"Seal 5 was removed: {witness} has it since" in result.stdout
    document = tradebook.json("audit", "check", exit_code=1)
    assert (document["sound"], document["witnesses"][0]["seals"]) == (False, 5)


def test_a_witness_that_fails_undoes_no_seal_and_the_next_seal_catches_up(
    tradebook: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, exported = tmp_path / "mnt", tmp_path / "seals.json"
    monkeypatch.setenv("TRADEBOOK_SEAL_WITNESS", str(folder / "w.jsonl"))
    result = tradebook("audit", "seal", "--export", str(exported))
    assert result.exit_code == 1
    assert result.stdout == f"1 event sealed in 1 seal\n5 seals exported to {exported}\n"
    assert f"tradebook: {folder / 'w.jsonl'} cannot be used" in result.stderr
    assert f"there is no folder {folder}" in result.stderr
    failed = tradebook.json("audit", "seal", exit_code=1)
    assert (failed["seals"], failed["witnesses"][0]["seals"]) == (0, 0)
    assert "there is no folder" in failed["witnesses"][0]["error"]
    assert "not proven" in tradebook("audit", "check").stdout
    folder.mkdir()
    again = tradebook("audit", "seal").stdout
    assert again == f"0 events sealed in 0 seals\n5 seals in {folder / 'w.jsonl'}\n"
    (folder / "w.jsonl").unlink()
    (folder / "w.jsonl").mkdir()
    result = tradebook("audit", "check")
    assert result.exit_code == 1
    assert result.stdout.startswith("not proven, since a witness cannot be read (17 events")
    assert "Is a directory" in result.stdout


def test_a_setting_that_names_no_witness_is_refused_before_anything_is_sealed(
    tradebook: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRADEBOOK_SEAL_WITNESS", "yes")
    assert "seal_witness: 'yes' is not accepted" in tradebook.refused("audit", "seal")
    monkeypatch.delenv("TRADEBOOK_SEAL_WITNESS")
    assert tradebook.json("audit", "check")["seals"] == 4


@pytest.mark.parametrize("command", [[], ["seal"], ["export"], ["check"]])
def test_help_teaches_with_examples(tradebook: Command, command: list[str]) -> None:
    result = tradebook("audit", *command, "--help")
    assert result.exit_code == 0
    assert "tradebook audit" in result.stdout
