"""Encryption at rest, by gpg or age: only public keys are needed to back up, and no passphrase is ours."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

from attrs import frozen

from tradebook.domain.errors import InvalidInput, ProgramMissing
from tradebook.operations.server.programs import program_failed

GPG: Final = "gpg"
AGE: Final = "age"
_INSTALL: Final = {
    GPG: "apt-get install gnupg, or brew install gnupg",
    AGE: "apt-get install age, or brew install age",
}


@frozen
class Encryption:
    """Whom backups are encrypted for.

    Attributes:
        tool: gpg or age.
        recipients: keys of gpg by name, address or fingerprint; public keys of age, or files of them.
    """

    tool: str
    recipients: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> Encryption:
        """`gpg:ann@example.com`, `age:age1...`; several recipients with commas between.

        Raises:
            InvalidInput: it is neither.
        """
        tool, _, names = text.partition(":")
        recipients = tuple(name.strip() for name in names.split(",") if name.strip())
        if tool not in _INSTALL or not recipients or any(n.startswith("-") for n in recipients):
            raise InvalidInput("encrypt", text, "gpg:RECIPIENT or age:RECIPIENT")
        return cls(tool, recipients)

    @property
    def suffix(self) -> str:
        """Of the names of encrypted files."""
        return f".{self.tool}"

    @property
    def command(self) -> list[str]:
        """What encrypts its standard input."""
        tool = installed(self.tool)
        if self.tool == GPG:
            given = [word for name in self.recipients for word in ("--recipient", name)]
            here_only = "--no-auto-key-locate"  # a mistyped address is not looked up in the network
            return [tool, "--batch", "--quiet", here_only, "--encrypt", *given]
        return [tool, "--encrypt", *(word for name in self.recipients for word in _for_age(name))]


def _for_age(name: str) -> tuple[str, str]:
    return ("-R", name) if Path(name).is_file() else ("-r", name)


def installed(tool: str) -> str:
    """The path of gpg or age.

    Raises:
        ProgramMissing: it is not installed.
    """
    path = shutil.which(tool)
    if path is None:
        raise ProgramMissing(f"{tool} is not installed; {_INSTALL[tool]}")
    return path


def decrypting(tool: str, identity: Path | None) -> list[str]:
    """What decrypts its standard input; gpg asks its agent for the passphrase, age reads a file."""
    path = installed(tool)
    if tool == GPG:
        return [path, "--quiet", "--decrypt"]
    if identity is None:
        raise InvalidInput("identity", None, "the file with age's secret key: --identity FILE")
    return [path, "--decrypt", "-i", str(identity)]


@contextmanager
def written(path: Path, encryption: Encryption | None) -> Iterator[BinaryIO]:
    """A stream into a new file that only its owner reads, through the encryption where there is one."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:
        if encryption is None:
            yield file
        else:
            with piped(encryption.command, stdin=subprocess.PIPE, stdout=file) as process:
                yield process.stdin


@contextmanager
def read(path: Path, tool: str | None, identity: Path | None = None) -> Iterator[BinaryIO]:
    """A stream out of a file, decrypted where it was encrypted by `tool`."""
    with path.open("rb") as file:
        if tool is None:
            yield file
        else:
            command = decrypting(tool, identity)
            with piped(command, stdin=file, stdout=subprocess.PIPE) as process:
                yield process.stdout


@contextmanager
def piped(command: Sequence[str | Path], **options: Any) -> Iterator[Any]:
    """A program that runs while the block does; killed where the block fails.

    Raises:
        OperationFailed: the program failed, which explains whatever the block raised of a broken pipe.
    """
    with tempfile.TemporaryFile() as errors:
        with subprocess.Popen([*command], stderr=errors, **options) as process:
            try:
                yield process
            except BrokenPipeError:  # it ended first, and says why below
                process.stdin = None
            except BaseException:
                process.kill()
                process.stdin = None
                raise
        code = process.returncode
        if code != 0:
            errors.seek(0)
            raise program_failed(command[0], code, errors.read().decode(errors="replace"))
