"""An object store as a witness: each append is a new object, and none is ever written again."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID, uuid4

import fsspec
import pytest
from attrs import evolve

from tests.integration.operations.witnesses.conftest import config_of
from tradebook import DatabaseManager, InvalidInput, WitnessFailed
from tradebook.operations.witnesses import open_witnesses


def test_each_append_is_an_object_and_none_is_overwritten(sealed_file: str) -> None:
    store, prefix = fsspec.filesystem("memory"), f"/{uuid4().hex}"
    with DatabaseManager(config_of(sealed_file, f"memory:/{prefix}")) as book:
        book.seal()
        [first] = store.find(prefix)
        written = store.cat_file(first)
        book.seal()
        book.raise_alert("a", "INFO")
        book.seal()
    names = [name.rsplit("/", 1)[-1][:21] for name in sorted(store.find(prefix))]
    assert names == ["0000000001-0000000005", "0000000006-0000000006"]
    assert store.cat_file(first) == written
    assert first.startswith(f"{prefix}/book/main-")


def test_an_object_of_the_same_name_is_not_written_over(
    sealed_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradebook.operations.witnesses.objects.uuid4", lambda: UUID(int=0))
    config = config_of(sealed_file, f"memory://{uuid4().hex}")
    [witness] = open_witnesses(config)
    entries = [{"number": 1, "hash": "a"}]
    witness.append("main", entries)
    with pytest.raises(WitnessFailed, match="cannot be used"):
        witness.append("main", [{"number": 1, "hash": "b"}])
    assert witness.last("main") == evolve(witness.last("main"), hash="a")


def test_an_object_that_a_crash_cut_off_leaves_those_before_it_as_they_count(
    sealed_file: str,
) -> None:
    store, prefix = fsspec.filesystem("memory"), f"/{uuid4().hex}"
    with DatabaseManager(config_of(sealed_file, f"memory:/{prefix}")) as book:
        book.seal()
        book.raise_alert("a", "INFO")
        book.seal()
        store.pipe_file(sorted(store.find(prefix))[-1], b'{"cut off')
        book.seal()
        assert book.check_seals().witnesses[0].seals == 6
    numbers = [name.rsplit("/", 1)[-1][:10] for name in sorted(store.find(prefix))]
    assert numbers == ["0000000001", "0000000006", "0000000006"]


@pytest.mark.parametrize("lost", [300, 3_000, -5])
def test_an_object_that_a_crash_cut_off_says_nothing_and_its_seals_are_appended(
    sealed_file: str, tmp_path: Path, lost: int
) -> None:
    with DatabaseManager(config_of(sealed_file, f"local://{tmp_path}")) as book:
        book.seal()
        [file] = tmp_path.rglob("*.jsonl")
        file.write_bytes(file.read_bytes()[:-lost])
        assert book.check_seals().sound
        book.seal()
        checked = book.check_seals()
        assert (checked.sound, checked.witnesses[0].seals) == (True, 5)


def test_a_store_without_a_library_is_refused_before_anything_is_sealed(sealed_file: str) -> None:
    for setting, said in (("s3://bucket/prefix", "Install s3fs"), ("gopher://x/y", "gopher")):
        with DatabaseManager(config_of(sealed_file, setting)) as book:
            with pytest.raises(InvalidInput, match=f"seal_witness.*{said}"):
                book.seal()
            with DatabaseManager(sealed_file) as without:
                assert without.check_seals().seals == 4


def test_no_message_shows_the_password_of_a_store(sealed_file: str) -> None:
    setting = "ftp://ann:secret@127.0.0.1:1/seals"
    with DatabaseManager(config_of(sealed_file, setting)) as book:
        assert "secret" not in repr(book.config)
        with pytest.raises((WitnessFailed, InvalidInput)) as failed:
            book.seal()
    assert "secret" not in str(failed.value)
    assert "ftp://ann:***@127.0.0.1:1/seals" in str(failed.value)
