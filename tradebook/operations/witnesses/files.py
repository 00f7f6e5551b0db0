"""A file as a witness of seals: lines of JSON that are appended under a lock and never changed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from typing_extensions import override

from tradebook.config.witnesses import WitnessUrl
from tradebook.domain.errors import WitnessFailed
from tradebook.operations.witnesses.lines import (
    BEGINNING,
    KeptLines,
    failures,
    require_folder,
    to_lines,
)
from tradebook.operations.witnesses.locks import flush_folder, locked, opened
from tradebook.service_layer.ports.witnesses import Witness, WitnessedSeal
from tradebook.service_layer.verification.witness_check import lacking


class FileWitness(Witness):
    """A file of lines, one for each seal; several books and accounts may share it."""

    def __init__(self, url: WitnessUrl) -> None:
        """Keep the setting; the file is opened for each call."""
        self.name, self._path, self._book = url.shown, Path(str(url.place)), url.book
        self._folder = self._path.parent

    @override
    def last(self, account: str) -> WitnessedSeal | None:
        return self._kept(account).last

    @override
    def read(self, account: str) -> dict[int, WitnessedSeal]:
        return self._kept(account).verified()

    @override
    def append(self, account: str, entries: Sequence[Mapping[str, Any]]) -> None:
        if not entries:
            return
        # An append-only file (`chattr +a`) can be opened for appending only; a link is not followed.
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
        with failures(self.name), locked(self._path, flags, self.name) as descriptor:
            content = self._content(descriptor)
            kept = KeptLines.from_bytes(self.name, self._book, account, content)
            new = to_lines(self._book, account, lacking(self.name, kept.seals, entries))
            if not new:
                return
            # A crash may have left a line without its end; it stays, since nothing is ever taken away.
            new = new if content.endswith(b"\n") or not content else b"\n" + new
            while new:
                new = new[os.write(descriptor, new) :]
            os.fsync(descriptor)
            if not content:
                flush_folder(self._folder)

    def _kept(self, account: str) -> KeptLines:
        require_folder(self.name, self._folder)
        content = b""
        with (
            failures(self.name),
            suppress(FileNotFoundError),
            opened(self._path, os.O_RDONLY | os.O_NOFOLLOW) as descriptor,
        ):
            content = self._content(descriptor)
        return KeptLines.from_bytes(self.name, self._book, account, content)

    def _content(self, descriptor: int) -> bytes:
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read()
        # A line that a crash cut off may be shorter than its beginning.
        lines = content.splitlines()
        if not all(line and line[: len(BEGINNING)] == BEGINNING[: len(line)] for line in lines):
            raise WitnessFailed(
                f"{self.name} is no file of witnessed seals, and stays as it is: name a new file"
            )
        return content
