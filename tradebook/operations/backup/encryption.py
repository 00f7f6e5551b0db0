"""Encryption at rest by gpg or age, and the files of a backup that are written and read through it.

A machine that backs up needs public keys only; no passphrase passes through this program.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import BinaryIO, Final

from attrs import define, frozen

from tradebook.config import DatabaseConfig
from tradebook.domain.errors import InvalidInput, ProgramMissing
from tradebook.operations.server.programs import connection_environment, create_private, piped
from tradebook.service_layer.instrumentation import ProgressCallback

GPG: Final = "gpg"
AGE: Final = "age"
PIECE: Final = 1 << 20
"""Bytes that are read at a time, between two reports of progress."""
_INSTALL: Final = {
    GPG: "apt-get install gnupg, or brew install gnupg",
    AGE: "apt-get install age, or brew install age",
}


@frozen
class Encryption:
    """The tool and the recipients that backups are encrypted with.

    Attributes:
        tool: gpg or age.
        recipients: keys of gpg by name, address or fingerprint; public keys of age, or files of them.
    """

    tool: str
    recipients: tuple[str, ...]

    @classmethod
    def from_text(cls, text: str) -> Encryption:
        """Parse `gpg:ann@example.com` or `age:age1...`, with commas between several recipients.

        Raises:
            InvalidInput: the text is neither.
        """
        tool, _, names = text.partition(":")
        recipients = tuple(name.strip() for name in names.split(",") if name.strip())
        # A recipient that begins with a dash would be an option to gpg.
        if tool not in _INSTALL or not recipients or any(n.startswith("-") for n in recipients):
            raise InvalidInput("encrypt", text, "gpg:RECIPIENT or age:RECIPIENT")
        return cls(tool, recipients)

    @property
    def suffix(self) -> str:
        """The end of the name of an encrypted file, such as `.age`."""
        return f".{self.tool}"

    @property
    def command(self) -> list[str]:
        """The command that encrypts its standard input."""
        tool = find_tool(self.tool)
        if self.tool == GPG:
            recipients = [word for name in self.recipients for word in ("--recipient", name)]
            # By default gpg fetches the key of an unknown address from the network, an attacker's key included.
            return [tool, "--batch", "--quiet", "--no-auto-key-locate", "--encrypt", *recipients]
        options = [("-R" if Path(name).is_file() else "-r", name) for name in self.recipients]
        return [tool, "--encrypt", *(word for option in options for word in option)]


def find_tool(tool: str) -> str:
    """Return the path of gpg or age, which must be installed."""
    path = shutil.which(tool)
    if path is None:
        raise ProgramMissing(f"{tool} is not installed; {_INSTALL[tool]}")
    return path


@contextmanager
def create_file(path: Path, encryption: Encryption | None) -> Iterator[BinaryIO]:
    """Open a new file of a backup, for its owner alone; an encrypted one gets the tool's suffix."""
    suffix = encryption.suffix if encryption else ""
    with create_private(path.with_name(path.name + suffix)) as file:
        if encryption is None:
            yield file
            return
        with piped(encryption.command, stdin=PIPE, stdout=file) as process:
            yield process.stdin


@contextmanager
def open_file(path: Path, tool: str | None, identity: Path | None = None) -> Iterator[BinaryIO]:
    """Open a file of a backup to read it, decrypted by `tool`: gpg and its agent, or age and a key file."""
    with path.open("rb") as file:
        if tool is None:
            yield file
            return
        if tool == AGE and identity is None:
            raise InvalidInput("identity", None, "the file with age's secret key: --identity FILE")
        options = ["--quiet", "--decrypt"] if tool == GPG else ["--decrypt", "-i", str(identity)]
        with piped([find_tool(tool), *options], stdin=file, stdout=PIPE) as process:
            yield process.stdout


@define
class OutputStream:
    """The output of a program, of about `size` bytes: each piece read from it is written into a file too."""

    source: BinaryIO
    target: BinaryIO
    size: int
    report: ProgressCallback
    done: int = 0

    def read(self, size: int) -> bytes:
        """Read up to `size` bytes, write them into the file and report them."""
        piece = self.source.read(size)
        self.target.write(piece)
        self.done += len(piece)
        self.report(min(self.done, self.size), self.size)
        return piece


@contextmanager
def stream_output(
    command: Sequence[str | Path],
    config: DatabaseConfig,
    path: Path,
    encryption: Encryption | None,
    size: int,
    report: ProgressCallback,
) -> Iterator[OutputStream]:
    """Run a program that backs up a database, and write its output, of about `size` bytes, into a new file.

    The block may read the output on its way; what it leaves is written when it ends.
    """
    with (
        connection_environment(config) as environment,
        create_file(path, encryption) as file,
        piped(command, env=environment, stdin=DEVNULL, stdout=PIPE) as process,
    ):
        stream = OutputStream(process.stdout, file, size, report)
        yield stream
        while stream.read(PIECE):
            pass
