"""An object store as a witness of seals: a new object for each append, none ever overwritten."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from typing_extensions import override

from tradebook.config.witnesses import WitnessUrl, masked
from tradebook.domain.errors import ExtraNotInstalled, InvalidInput
from tradebook.operations.witnesses.lines import (
    KeptLines,
    failures,
    folder_of,
    require_folder,
    to_lines,
)
from tradebook.service_layer.ports.witnesses import Witness, WitnessedSeal

_NAME: Final = re.compile(r"[0-9]{10}-([0-9]{10})-[0-9a-f]{8}\.jsonl")


class ObjectWitness(Witness):
    """Objects `PREFIX/BOOK/ACCOUNT/FIRST-LAST-RANDOM.jsonl` in any store that fsspec supports."""

    def __init__(self, url: WitnessUrl) -> None:
        """Load the library of the store; it is connected on first use."""
        try:
            import fsspec
            from fsspec.implementations.local import LocalFileSystem
        except ImportError:
            raise ExtraNotInstalled("fsspec", "fsspec") from None
        self.name, self._book = url.shown, url.book
        try:
            self._files, self._prefix = fsspec.core.url_to_fs(str(url.place))
        except Exception as error:  # each store's library raises errors of its own
            expected = f"a URL of a store whose library is installed ({masked(str(error))})"
            raise InvalidInput("seal_witness", url.shown, expected) from None
        self._is_local = isinstance(self._files, LocalFileSystem)

    @override
    def last(self, account: str) -> WitnessedSeal | None:
        with failures(self.name, Exception):
            for name in sorted(self._names(account), key=_last_number, reverse=True):
                kept = self._kept(account, self._files.cat_file(name))
                if kept.last is not None:  # one that a crash cut off says nothing
                    return kept.last
        return None

    @override
    def read(self, account: str) -> dict[int, WitnessedSeal]:
        with failures(self.name, Exception):
            names = self._names(account)
            found = self._files.cat(names) if names else {}
        return self._kept(account, b"\n".join(found.values())).verified()

    @override
    def append(self, account: str, entries: Sequence[Mapping[str, Any]]) -> None:
        if not entries:
            return
        first, last = entries[0]["number"], entries[-1]["number"]
        # Two that append at the same time make two objects that say the same.
        name = f"{self._folder(account)}/{first:010}-{last:010}-{uuid4().hex[:8]}.jsonl"
        content = to_lines(self._book, account, entries)
        with failures(self.name, Exception):
            try:
                self._files.pipe_file(name, content, mode="create")
            except FileNotFoundError:
                # Folders of disks and servers. A store makes none; a bucket that is missing stays so.
                if not self._files.isdir(self._prefix):
                    raise
                self._files.makedirs(self._folder(account), exist_ok=True)
                self._files.pipe_file(name, content, mode="create")

    def _folder(self, account: str) -> str:
        return f"{self._prefix.rstrip('/')}/{folder_of(self._book, account)}"

    def _names(self, account: str) -> list[str]:
        if self._is_local:
            require_folder(self.name, Path(self._prefix))
        self._files.invalidate_cache()
        try:
            names = self._files.ls(self._folder(account), detail=False)
        except FileNotFoundError:
            return []
        return [name for name in names if _NAME.fullmatch(name.rsplit("/", 1)[-1])]

    def _kept(self, account: str, content: bytes) -> KeptLines:
        return KeptLines.from_bytes(self.name, self._book, account, content)


def _last_number(name: str) -> str:
    return name.rsplit("/", 1)[-1].split("-")[1]
