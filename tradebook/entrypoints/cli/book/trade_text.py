"""The text of a file of trades: plain or gzip, in lines of bounded length, with errors that name the place."""

from __future__ import annotations

import csv
import gzip
import shutil
import sys
import tempfile
import zlib
from codecs import getincrementaldecoder
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from hashlib import file_digest
from io import SEEK_END, BufferedReader, RawIOBase, TextIOWrapper
from pathlib import Path
from typing import IO, Final, cast

from attrs import define, field
from typing_extensions import Buffer, override

from tradebook.venues.errors import ImportRefused as ImportRefused

STDIN: Final = "-"
MAX_ROW: Final = 100_000
"""Characters of a row, line ends inside quotes included: as many as the longest text of a record."""
MAX_BLANK_LINES: Final = 1_000
"""Blank lines before the header."""
MAX_INFLATION: Final = 200
"""Bytes that a byte of a gzip file may become. Files of trades have 5 to 20; gzip reaches 1,032."""
_FREELY_INFLATED: Final = 10_000_000
"""Bytes that any gzip file may become."""
_CHUNK: Final = 65_536
_NOT_CSV: Final = {
    b"PK\x03\x04": "a zip archive or a spreadsheet; export the sheet as CSV",
    b"\xff\xfe": "UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "UTF-16 text; save it as UTF-8",
    b"SQLite format 3": "a SQLite database",
}


@contextmanager
def opened_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that is read twice: `-` and pipes are copied to a temporary file first."""
    is_stdin = str(path) == STDIN
    try:
        opened = nullcontext(sys.stdin.buffer) if is_stdin else path.open("rb")
    except OSError as error:
        raise ImportRefused(f"{path}: it cannot be read ({error.strerror})") from error
    with opened as file:
        if file.seekable() and not is_stdin:
            yield file
            return
        with tempfile.TemporaryFile() as copy:
            try:
                shutil.copyfileobj(file, copy)
            except OSError as error:
                raise ImportRefused(
                    f"{path}: it cannot be copied to a temporary file ({error.strerror}); free space there, "
                    "or set TMPDIR"
                ) from error
            yield copy


class _Overinflated(Exception):
    """A gzip file becomes far larger than files of trades do."""


@define
class TradeText:
    """The text of a file that can be read more than once.

    Args:
        name: the file's name in messages.
        file: the open file, binary and seekable.
        encoding: of its text; UTF-8 by default.

    Attributes:
        size: the file's size in bytes.
    """

    name: str
    _file: IO[bytes]
    _encoding: str | None = None
    size: int = field(init=False)

    @size.default
    def _measure(self) -> int:
        with self._named_errors():
            return self._file.seek(0, SEEK_END)

    @property
    def position(self) -> int:
        """The number of bytes read, out of `size`."""
        return self._file.tell()

    @contextmanager
    def binary(self) -> Iterator[IO[bytes]]:
        """Read the file as it is, from its beginning; what goes wrong names it.

        Raises:
            ImportRefused: the file cannot be read.
        """
        with self._named_errors():
            self._file.seek(0)
            yield self._file

    def begins_with(self, magic: bytes) -> bool:
        """Return whether the file begins with these bytes."""
        with self.binary() as file:
            return file.read(len(magic)) == magic

    @contextmanager
    def lines(self) -> Iterator[Lines]:
        """Read the file from its beginning.

        Raises:
            ImportRefused: the file cannot be read, or is no text in UTF-8, while its lines are read.
        """
        with self._named_errors():
            encoding = self._encoding or "utf-8-sig"
            text = TextIOWrapper(self._plain_bytes(), encoding=encoding, newline="")
            try:
                yield Lines(text)
            except UnicodeError as error:
                if self._encoding:
                    raise self.refused(f"it is no text in {self._encoding} ({error})") from None
                raise self._undecodable() from None
            finally:
                # A generator that is not read to its end is closed late, perhaps after the file.
                if not self._file.closed:
                    text.detach()

    def digest(self) -> str:
        """Return the SHA-256 of the file as it is, in hexadecimal."""
        with self._named_errors():
            self._file.seek(0)
            return file_digest(cast("BufferedReader", self._file), "sha256").hexdigest()

    def refused(self, problem: str) -> ImportRefused:
        """Make the error that this file has a problem."""
        return ImportRefused(f"{self.name}: {problem}")

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except _Overinflated:
            raise self.refused(
                f"its text is more than {MAX_INFLATION} times as large as the gzip file, which no file of "
                "trades is; decompress it, and look at what it holds"
            ) from None
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise self.refused(f"it is a damaged gzip file ({error})") from None
        except OSError as error:
            raise self.refused(
                f"it cannot be read at byte {self._place()} ({error.strerror or error}); copy it elsewhere, or "
                "check its disk"
            ) from error

    def _place(self) -> str:
        try:
            return f"{self._file.tell():,}"
        except OSError:
            return "0"

    def _plain_bytes(self) -> IO[bytes]:
        self._file.seek(0)
        magic = self._file.read(16)
        self._file.seek(0)
        if self._encoding and not magic.startswith(b"\x1f\x8b"):
            return self._file
        for beginning, what in _NOT_CSV.items():
            if magic.startswith(beginning):
                raise self.refused(f"it is {what}")
        if magic.startswith(b"\x1f\x8b"):
            return BufferedReader(_Inflated(self._file), _CHUNK)
        if self.name.endswith(".gz"):
            raise self.refused("it is no gzip file, although its name ends with .gz")
        return self._file

    def _undecodable(self) -> ImportRefused:
        decoder, number = getincrementaldecoder("utf-8")(), 1
        source = self._plain_bytes()
        try:
            while chunk := source.read(_CHUNK):
                decoder.decode(chunk)
                number += chunk.count(b"\n")
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            number += error.object.count(b"\n", 0, error.start)
            byte = f"byte 0x{error.object[error.start]:02x}"
            return self.refused(
                f"line {number}: {byte} is no UTF-8; save the file as UTF-8, or say --encoding"
            )
        return self.refused("it is no UTF-8 text; save it as UTF-8")


class Lines(Iterator[str]):
    """The lines of a text, counted by rows.

    Attributes:
        row: the number of the first line of the current row, from 1.
    """

    def __init__(self, text: TextIOWrapper) -> None:
        """Begin before the first line."""
        self._text = text
        self._number = self._taken = 0
        self.row = 1

    def begin_row(self) -> None:
        """Count the next line as the first of a row."""
        self.row, self._taken = self._number + 1, 0

    @override
    def __next__(self) -> str:
        line = self._text.readline(MAX_ROW + 1)
        if not line:
            raise StopIteration
        self._number += 1
        self._taken += len(line)
        if self._taken > MAX_ROW:
            raise csv.Error(f"the row is longer than {MAX_ROW:,} characters")
        return line

    def read(self, size: int) -> str:
        """Read up to this many characters of what is left."""
        return self._text.read(size)

    def first(self) -> str:
        """Read up to the first line that is not blank, and return it; `""` where there is none."""
        for line in self:
            if line.strip() or self._number > MAX_BLANK_LINES:
                return line
            self.begin_row()
        return ""


class _Inflated(RawIOBase):
    """The content of a gzip file, as long as it is no more than a file of trades can hold."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._gzip = gzip.GzipFile(fileobj=file)
        self._size = 0

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Buffer, /) -> int:
        size = self._gzip.readinto(buffer)
        self._size += size
        if self._size > max(_FREELY_INFLATED, MAX_INFLATION * self._file.tell()):
            raise _Overinflated
        return size
