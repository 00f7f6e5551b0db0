"""The manifest of a backup: written, read, and checked for changes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from attrs import evolve

from tests.unit.operations.backup.test_retention import backup
from tradebook import BackupDamaged, OperationFailed
from tradebook.operations.backup.manifest import (
    MANIFEST,
    PHYSICAL,
    Counts,
    Manifest,
    files_in,
    read_manifest,
    require_whole,
    write_manifest,
)
from tradebook.operations.backup.store import Store


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """The manifest of a backup of two files, in `tmp_path`."""
    (tmp_path / "base.tar").write_bytes(b"data")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "1").write_bytes(b"more")
    made = evolve(
        backup("b", PHYSICAL, 1),
        counts={"main": Counts(2, 1, 3), "other": Counts(trades=5)},
        files=files_in(tmp_path),
    )
    write_manifest(tmp_path, made)
    return made


def test_it_is_read_as_it_was_written(tmp_path: Path, manifest: Manifest) -> None:
    assert read_manifest(tmp_path) == manifest
    assert manifest.totals == Counts(7, 1, 3)
    assert manifest.size == 8
    require_whole(tmp_path, manifest)


def test_a_manifest_that_was_changed_is_noticed(tmp_path: Path, manifest: Manifest) -> None:
    path = tmp_path / MANIFEST
    document = json.loads(path.read_text())
    document["counts"]["main"]["trades"] = 1
    for content in (json.dumps(document), "{}", "[]", "no JSON", ""):
        path.write_text(content)
        with pytest.raises(BackupDamaged, match=r"manifest\.json is missing or damaged"):
            read_manifest(tmp_path)
    path.unlink()
    with pytest.raises(BackupDamaged, match="missing"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("content", [b"datA", b"dat", b"data and more", None])
def test_a_file_that_was_changed_cut_or_lost_is_named(
    tmp_path: Path, manifest: Manifest, content: bytes | None
) -> None:
    path = tmp_path / "base.tar"
    path.unlink()
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(BackupDamaged, match=r"base\.tar is (missing|not what was written)"):
        require_whole(tmp_path, manifest)


def test_an_incremental_backup_whose_base_is_gone_is_noticed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    orphan = backup("orphan", "incremental", 1, parent="gone")

    with pytest.raises(BackupDamaged, match="builds upon gone"):
        store.chain(orphan)
    with pytest.raises(OperationFailed, match="no backup of-mine"):
        store.get("of-mine")
    with pytest.raises(OperationFailed, match="tradebook backup list"):
        store.get()
