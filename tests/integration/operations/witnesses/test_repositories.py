"""A git repository as a witness: each append is a commit on top of the one before."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest
from dulwich import porcelain
from dulwich.repo import Repo

from tests.integration.operations.witnesses.conftest import config_of
from tradebook import DatabaseManager, WitnessFailed
from tradebook.operations.witnesses.lines import failures


def log(path: Path, ref: bytes = b"HEAD") -> list[str]:
    """The first lines of the messages of a branch, the newest first."""
    with Repo(str(path)) as repository:
        head = repository.refs[ref]
        return [e.commit.message.decode().splitlines()[0] for e in repository.get_walker([head])]


@pytest.mark.parametrize("is_bare", [True, False])
def test_each_append_is_a_commit(sealed_file: str, tmp_path: Path, is_bare: bool) -> None:
    path = tmp_path / "witness"
    porcelain.init(str(path), bare=is_bare).close()
    with DatabaseManager(config_of(sealed_file, f"git://{path}")) as book:
        book.seal()
        book.seal()
        book.raise_alert("a", "INFO")
        book.seal()
    assert log(path) == ["Seal 6 of account main", "Seals 1 to 5 of account main"]


def test_an_ordinary_repository_stays_clean_and_keeps_what_is_its_users(
    sealed_file: str, tmp_path: Path
) -> None:
    path = tmp_path / "witness"
    porcelain.init(str(path)).close()
    (path / "readme").write_text("mine")
    (path / "draft").write_text("mine")
    porcelain.add(str(path), paths=[str(path / "readme")])
    who = {"author": b"a <a@b>", "committer": b"a <a@b>"}
    porcelain.commit(str(path), message=b"mine", **who)
    porcelain.add(str(path), paths=[str(path / "draft")])
    with DatabaseManager(config_of(sealed_file, f"git://{path}")) as book:
        book.seal()
    status = porcelain.status(str(path))
    assert (status.staged["add"], status.staged["modify"], status.unstaged) == ([b"draft"], [], [])
    assert (log(path)[1], (path / "readme").read_text()) == ("mine", "mine")
    assert len(list(path.rglob("*.jsonl"))) == 1


def test_another_branch_than_the_one_of_head_can_be_named(sealed_file: str, tmp_path: Path) -> None:
    path = tmp_path / "witness"
    porcelain.init(str(path)).close()
    with DatabaseManager(config_of(sealed_file, f"git://{path}?branch=seals")) as book:
        book.seal()
        assert book.check_seals().witnesses[0].seals == 5
    assert log(path, b"refs/heads/seals") == ["Seals 1 to 5 of account main"]
    assert list(path.glob("*.jsonl")) == []


def test_commits_are_pushed_and_those_that_could_not_be_by_the_next_seal(
    sealed_file: str, tmp_path: Path
) -> None:
    path, remote, away = tmp_path / "witness", tmp_path / "remote", tmp_path / "away"
    for each in (path, remote):
        porcelain.init(str(each), bare=True).close()
    porcelain.remote_add(str(path), "origin", str(remote))
    remote.rename(away)
    with DatabaseManager(config_of(sealed_file, f"git://{path}?push=origin")) as book:
        with pytest.raises(WitnessFailed, match="cannot be used"):
            book.seal()
        away.rename(remote)
        assert book.seal().witnesses[0].seals == 5
        assert log(remote) == ["Seals 1 to 5 of account main"]
    with DatabaseManager(config_of(sealed_file, f"git://{remote}")) as book:
        assert book.check_seals().witnesses[0].seals == 5


def test_those_who_append_wait_for_each_other_but_not_without_end(
    sealed_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradebook.operations.witnesses.locks._PATIENCE", 0.05)
    path = tmp_path / "witness"
    porcelain.init(str(path), bare=True).close()
    with (
        DatabaseManager(config_of(sealed_file, f"git://{path}")) as book,
        (path / "tradebook.lock").open("w") as holder,
    ):
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(WitnessFailed, match="is locked by another process"):
            book.seal()
        fcntl.flock(holder, fcntl.LOCK_UN)
        assert book.seal().witnesses[0].seals == 5


def test_what_a_library_says_of_a_url_shows_no_password() -> None:
    with (
        pytest.raises(WitnessFailed, match=r"refused by https://ann:\*\*\*@host/x$"),
        failures("git:///w", ValueError),
    ):
        raise ValueError("refused by https://ann:secret@host/x")


def test_a_folder_without_a_repository_is_refused_with_the_command_that_makes_one(
    sealed_file: str, tmp_path: Path
) -> None:
    with (
        DatabaseManager(config_of(sealed_file, f"git://{tmp_path}")) as book,
        pytest.raises(WitnessFailed, match=f"git init --bare {tmp_path}"),
    ):
        book.seal()
