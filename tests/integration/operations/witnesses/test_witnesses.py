"""Every kind of witness: it gets each seal once, and shows a chain that was replaced, cut or removed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from attrs import evolve
from dulwich import porcelain
from sqlalchemy import URL

from tests.integration.operations.witnesses.conftest import KINDS, config_of
from tests.support.servers import configured
from tests.support.tampering import change, remove, reseal, rows
from tradebook import AsyncDatabaseManager, DatabaseManager, WitnessFailed


def findings(book: DatabaseManager) -> list[tuple[str, str, str]]:
    """What is found of seals and witnesses; records whose events a test removed are found, too."""
    found = book.check_seals().findings
    return [(f.entity, f.key, f.what) for f in found if f.entity in ("Seal", "Witness")]


def seal_another(book: DatabaseManager) -> None:
    book.raise_alert("a", "INFO")
    book.seal()


def test_it_gets_every_seal_that_it_lacks_and_agrees_with_the_book(
    sealed_file: str, witness: str
) -> None:
    with DatabaseManager(config_of(sealed_file, witness)) as book:
        [state] = book.check_seals().witnesses
        assert (state.seals, state.at, state.error) == (0, None, "")
        [state] = book.seal().witnesses
        assert (state.seals, state.error) == (5, "")
        assert state.at is not None
        assert book.seal().witnesses == (state,)
        seal_another(book)
        checked = book.check_seals()
        assert (checked.findings, checked.sound, checked.witnesses[0].seals) == ((), True, 6)


def test_it_shows_a_chain_that_was_replaced_and_gets_nothing_of_it(
    sealed_file: str, witness: str
) -> None:
    with DatabaseManager(config_of(sealed_file, witness)) as book:
        book.seal()
        seal_another(book)
        change(book, "events", {"actor": "bob"}, entity="Alert")
        reseal(book)
        with DatabaseManager(sealed_file) as without:
            assert without.check_seals().sound
        [found] = book.check_seals().findings
        assert (found.entity, found.what) == ("Seal", "changed")
        assert found.detail.startswith(f"{witness} has it with the hash ")
        with pytest.raises(WitnessFailed, match="another seal 6: nothing was appended"):
            book.seal()
        assert len(findings(book)) == 1


def test_it_shows_a_chain_that_was_cut_short_or_removed_as_a_whole(
    sealed_file: str, witness: str
) -> None:
    with DatabaseManager(config_of(sealed_file, witness)) as book:
        book.seal()
        seal_another(book)
        [last] = rows(book, "seals", number=6)
        remove(book, "seals", number=6)
        for id_, _ in last["covered"]:
            remove(book, "events", id=id_)
        assert findings(book) == [("Seal", "6", "removed")]
        with pytest.raises(WitnessFailed, match="has seal 6, which the book does not have"):
            book.seal()
        for table in ("seals", "events", "trades"):
            remove(book, table)
        with DatabaseManager(sealed_file) as without:
            assert findings(without) == []
        first = "5" if "rfc3161" in witness else "1"
        assert findings(book) == [("Seal", first, "removed")]


@pytest.mark.parametrize("kind", ["file", "memory", "git", "timestamps"])
def test_accounts_and_books_are_told_apart(
    sealed_file: str, setting: Callable[[str], str], kind: str
) -> None:
    witness = setting(kind)
    named = f"{witness}{'&' if '?' in witness else '?'}book=other"
    with (
        DatabaseManager(config_of(sealed_file, witness)) as book,
        DatabaseManager(config_of(sealed_file, witness), account="main/../Ö") as other,
        DatabaseManager(config_of(sealed_file, named)) as renamed,
    ):
        for each in (book, other, renamed):
            seal_another(each)
        assert [len(findings(each)) for each in (book, other, renamed)] == [0, 0, 0]
        assert [state.seals for state in other.check_seals().witnesses] == [1]
        remove(other, "seals")
        remove(other, "events")
        assert findings(other) == [("Seal", "1", "removed")]
        assert findings(book) == []


BREAKS: dict[str, Callable[[Path], Path]] = {
    "file": lambda folder: folder / "file.jsonl",
    "objects": lambda folder: folder / "objects",
    "bare git": lambda folder: folder / "bare-git",
    "timestamps": lambda folder: folder / "tokens",
}


@pytest.mark.parametrize("kind", BREAKS)
def test_one_that_cannot_be_reached_undoes_no_seal_and_catches_up(
    sealed_file: str, setting: Callable[[str], str], kind: str, tmp_path: Path
) -> None:
    place, witness = BREAKS[kind](tmp_path), setting(kind)
    if place.exists():
        place.rename(tmp_path / "away")
    if kind == "file":
        place.symlink_to(tmp_path / "no" / "such" / "place")
    others = setting("memory")
    with DatabaseManager(config_of(sealed_file, witness, others)) as book:
        with pytest.raises(WitnessFailed, match=r"stays sealed \(seals: 1, events: 1\)") as failed:
            book.seal()
        first, second = failed.value.sealed.witnesses
        assert (first.witness, second.seals, second.error) == (witness, 5, "")
        assert first.error in str(failed.value)
        with pytest.raises(WitnessFailed):
            seal_another(book)
        checked = book.check_seals()
        assert (checked.seals, checked.unsealed, checked.findings) == (6, 0, ())
        assert (checked.sound, bool(checked.witnesses[0].error)) == (False, True)
        if place.is_symlink():
            place.unlink()
        if (tmp_path / "away").exists():
            (tmp_path / "away").rename(place)
        assert [state.seals for state in book.seal().witnesses] == [6, 6]
        assert book.check_seals().sound


def test_one_that_cannot_be_read_leaves_the_book_unproven(sealed_file: str, tmp_path: Path) -> None:
    (tmp_path / "folder.jsonl").mkdir()
    with DatabaseManager(config_of(sealed_file, str(tmp_path / "folder.jsonl"))) as book:
        checked = book.check_seals()
    assert (checked.findings, checked.sound) == ((), False)
    assert "Is a directory" in checked.witnesses[0].error


@pytest.mark.parametrize("kind", ["file", "objects", "git"])
def test_one_that_was_altered_is_named(
    sealed_file: str, setting: Callable[[str], str], kind: str, tmp_path: Path
) -> None:
    witness = setting(kind)
    with DatabaseManager(config_of(sealed_file, witness)) as book:
        book.seal()
    if kind == "git":  # an ordinary commit, past the witness
        [file] = (tmp_path / "git").rglob("*.jsonl")
    else:
        [file] = [tmp_path / "file.jsonl"] if kind == "file" else tmp_path.rglob("*/*.jsonl")
    lines = file.read_text().splitlines(keepends=True)
    third = json.loads(lines[2])
    for altered, said in (
        ([*lines[:2], *lines[3:]], "seal 3"),
        (
            [*lines[:2], json.dumps({**third, "seal": {**third["seal"], "count": 9}}) + "\n"],
            "seal 3",
        ),
        ([*lines, lines[2].replace(third["seal"]["hash"], "f" * 64)], "two seals 3"),
    ):
        file.write_text("".join(altered))
        if kind == "git":
            porcelain.commit(str(tmp_path / "git"), message=b"altered", all=True, author=b"a <a@b>",
                             committer=b"a <a@b>")  # fmt: skip
        with DatabaseManager(config_of(sealed_file, witness)) as book:
            [found] = [each for each in book.check_seals().findings if each.entity == "Witness"]
        assert (found.key, found.what) == (witness, "changed")
        assert said in found.detail


@pytest.mark.parametrize("kind", ["file", "git"])
def test_from_asyncio_it_works_as_from_threads(
    sealed_file: str, setting: Callable[[str], str], kind: str
) -> None:
    witness = setting(kind)

    async def work() -> None:
        async with AsyncDatabaseManager(config_of(sealed_file, witness)) as book:
            assert [state.seals for state in (await book.seal()).witnesses] == [5]
            checked = await book.check_seals()
            assert (checked.sound, checked.witnesses[0].seals) == (True, 5)
            with DatabaseManager(sealed_file) as tampered:
                remove(tampered, "seals")
            assert len((await book.check_seals()).findings) == 1
            with pytest.raises(WitnessFailed, match="which the book does not have") as failed:
                await book.seal()
            assert failed.value.sealed.seals == 1

    asyncio.run(work())


def test_a_standby_that_lags_behind_raises_no_false_alarm(
    postgresql_book: URL, own_postgresql_book: URL, tmp_path: Path
) -> None:
    """The other database stands for a standby that has not got anything yet."""
    standby = own_postgresql_book.set(drivername="postgresql").render_as_string(False)
    witness = tmp_path / "w.jsonl"
    config = evolve(configured(postgresql_book), seal_witness=witness, read_url=standby)
    with DatabaseManager(config, "witnessed") as book:
        seal_another(book)
        checked = book.check_seals()
        assert (checked.findings, checked.witnesses[0].seals) == ((), 1)
        seal_another(book)
        assert book.check_seals().witnesses[0].seals == 2


def test_many_seals_are_caught_up_with_in_every_kind(
    sealed_file: str, setting: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seals in several files of a repository, pages of the book and one append."""
    monkeypatch.setattr("tradebook.operations.witnesses.repositories._IN_A_FILE", 10)
    with DatabaseManager(sealed_file) as book:
        for number in range(40):
            book.raise_alert(f"{number}", "INFO")
        book.seal(batch=1)
    with DatabaseManager(config_of(sealed_file, *map(setting, KINDS))) as book:
        assert {state.seals for state in book.seal().witnesses} == {45}
        seal_another(book)
        checked = book.check_seals()
        assert (checked.sound, {state.seals for state in checked.witnesses}) == (True, {46})


@pytest.mark.parametrize("kind", ["file", "git", "objects"])
def test_many_who_seal_at_the_same_time_leave_one_whole_chain(
    sealed_file: str, setting: Callable[[str], str], kind: str, tmp_path: Path
) -> None:
    with (
        DatabaseManager(config_of(sealed_file, setting(kind))) as book,
        ThreadPoolExecutor(4) as pool,
    ):

        def work(number: int) -> None:
            book.raise_alert(str(number), "INFO")
            book.seal()

        list(pool.map(work, range(8)))
        book.seal()
        checked = book.check_seals()
        assert (checked.sound, checked.witnesses[0].seals) == (True, checked.seals)
    [*files] = tmp_path.rglob("*.jsonl")
    lines = "".join(file.read_text() for file in files).splitlines()
    numbers = sorted(json.loads(line)["seal"]["number"] for line in lines)
    if kind != "objects":  # two that append at the same time make two objects that say the same
        assert numbers == list(range(1, checked.seals + 1))
    if kind == "git":
        assert porcelain.status(str(tmp_path / "git")).unstaged == []
