"""Witnesses of every kind, as settings of a book."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from dulwich.repo import Repo

from tests.support.tampering import a_day
from tests.support.timestamp_service import TimestampService
from tradebook import DatabaseConfig, DatabaseManager

KINDS = ("file", "memory", "objects", "bare git", "git", "timestamps")


@pytest.fixture(scope="session")
def timestamp_service() -> Iterator[TimestampService]:
    """A timestamp service on this machine."""
    with TimestampService().running() as service:
        yield service


@pytest.fixture
def tokens(timestamp_service: TimestampService, tmp_path: Path) -> str:
    """The setting of a witness by that service."""
    (tmp_path / "tokens").mkdir()
    ca = timestamp_service.write_authority(tmp_path / "ca.pem")
    return f"rfc3161+{timestamp_service.url}?ca={ca}&folder={tmp_path / 'tokens'}"


@pytest.fixture
def setting(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Makes a witness of a kind, and gives its setting."""

    def make(kind: str) -> str:
        place = tmp_path / kind.replace(" ", "-")
        if kind == "file":
            return f"{place}.jsonl"
        if kind == "memory":
            return f"memory://{uuid4().hex}"
        if kind == "timestamps":
            return str(request.getfixturevalue("tokens"))
        place.mkdir()
        if kind == "objects":
            return f"local://{place}"
        (Repo.init_bare if kind == "bare git" else Repo.init)(str(place)).close()
        return f"git://{place}"

    return make


@pytest.fixture(params=KINDS)
def witness(request: pytest.FixtureRequest, setting: Callable[[str], str]) -> str:
    """The setting of a witness of each kind."""
    return setting(request.param)


def config_of(url: str, *witnesses: str) -> DatabaseConfig:
    """The configuration of a file with these witnesses."""
    return DatabaseConfig(path=url.removeprefix("sqlite:///"), seal_witness=witnesses)


@pytest.fixture(scope="session")
def file_of_a_day(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file to be copied, which takes less time than to make another."""
    path = Path(shutil.copy(migrated_file, tmp_path_factory.mktemp("sealed") / "book.db"))
    with DatabaseManager(path) as book:
        a_day(book)
    return path


@pytest.fixture
def sealed_file(file_of_a_day: Path, tmp_path: Path) -> str:
    """A file with four seals that no witness has, and one event that is not sealed."""
    return f"sqlite:///{shutil.copy(file_of_a_day, tmp_path / 'book.db')}"
