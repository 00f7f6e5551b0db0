"""Files that are hostile, damaged or unreadable: refused by name, in little memory."""

from __future__ import annotations

import errno
import gzip
import io
import os
import sqlite3
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import pytest

from tests.unit.entrypoints.cli.test_trade_files import HEADER, a_file, refusal_of, rows_of
from tradebook.entrypoints.cli.book.trade_files import TradeFile
from tradebook.entrypoints.cli.book.trade_text import ImportRefused, opened_file

ROW = "AAPL,BUY,1,2\n"
MEGABYTE = 1_000_000
LONG = "the row is longer than 100,000 characters"


def bomb(beginning: str, repeated: bytes, megabytes: int) -> bytes:
    """Compress a text without holding it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [packer.compress(beginning.encode())]
    parts += [packer.compress(repeated * (MEGABYTE // len(repeated))) for _ in range(megabytes)]
    return b"".join([*parts, packer.flush()])


@pytest.mark.parametrize(
    ("beginning", "repeated", "expected"),
    [
        (f"{HEADER}\n", b"x", f"line 2: {LONG}"),
        ("", b"x", f"line 1: {LONG}"),
        (f'{HEADER}\n"', b"x\n", f"line 2: {LONG}"),
        ("", b"\n", "more than 1,000 blank lines"),
        ("", b" " * 99_999 + b"\n", "200 times as large as the gzip file"),
        (f"{HEADER},n\n", b"A,BUY,1,2," + b"x" * 99_000 + b"\n", "200 times as large"),
    ],
    ids=["row", "header", "quoted lines", "blank lines", "long blank lines", "long rows"],
)
def test_a_file_without_end_is_refused_in_little_memory(
    beginning: str, repeated: bytes, expected: str
) -> None:
    content = bomb(beginning, repeated, 60)
    tracemalloc.start()
    try:
        assert expected in refusal_of(content, "trades.csv.gz", ignored=["n"])
        # a hundred rows are read at once, of up to 100,000 characters each
        assert tracemalloc.get_traced_memory()[1] < 12 * MEGABYTE
    finally:
        tracemalloc.stop()


def test_text_that_is_no_utf_8_is_named_by_line_in_little_memory() -> None:
    content = f"{HEADER}\n{ROW}".encode() + b"x" * 50_000 + b"\xff" + b"x" * 20 * MEGABYTE
    tracemalloc.start()
    try:
        assert "line 3: byte 0xff is no UTF-8" in refusal_of(content)
        assert tracemalloc.get_traced_memory()[1] < 5 * MEGABYTE
    finally:
        tracemalloc.stop()


def test_a_row_of_the_longest_length_is_read() -> None:
    filler = "x" * (100_000 - len(ROW) - 1)
    content = f"{HEADER},note\nAAPL,BUY,1,2,{filler}\n"
    assert len(rows_of(content, ignored=["note"])) == 1
    assert len(rows_of("\n" * 999 + content, ignored=["note"])) == 1
    assert f"line 2: {LONG}" in refusal_of(content.replace("xx\n", "xxx\n"), ignored=["note"])


class FailingFile(io.BytesIO):
    """A file on a disk that cannot be read beyond a byte."""

    def __init__(self, content: bytes, bad_from: int) -> None:
        super().__init__(content)
        self.bad_from = bad_from

    def read(self, size: int | None = -1, /) -> bytes:
        self._fail()
        return super().read(size)

    def read1(self, size: int | None = -1, /) -> bytes:
        self._fail()
        return super().read1(size)

    def _fail(self) -> None:
        if self.tell() >= self.bad_from:
            raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_file_that_cannot_be_read_at_an_offset_is_named_with_the_place(pack: Any) -> None:
    content = pack(f"{HEADER}\n".encode() + os.urandom(100_000).hex("\n").encode())
    file = TradeFile("t.csv", FailingFile(content, 100_000))
    with pytest.raises(ImportRefused, match=r"^t\.csv: it cannot be read at byte 1\d\d,\d{3} "):
        list(file.rows())


def test_a_file_that_has_no_end_to_measure_is_refused() -> None:
    with (
        opened_file(Path("/proc/self/mem")) as binary,
        pytest.raises(ImportRefused, match="it cannot be read at byte 0"),
    ):
        list(TradeFile("mem", binary).rows())


@pytest.mark.parametrize("text", [ROW * 3, f"{ROW}\xff"], ids=["text", "no text"])
def test_a_gzip_file_with_a_bad_checksum_is_refused(text: str) -> None:
    content = bytearray(gzip.compress(f"{HEADER}\n{text}".encode("latin-1")))
    content[-8] ^= 0xFF
    assert "damaged gzip file" in refusal_of(bytes(content)) or "0xff" in refusal_of(bytes(content))


def test_standard_input_that_cannot_be_kept_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def write(self, _: Any) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tempfile.TemporaryFile", Full)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(HEADER.encode())))
    with pytest.raises(ImportRefused, match="No space left"), opened_file(Path("-")):
        pass


def test_rows_that_cannot_be_counted_for_want_of_space_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Full:
        def __init__(self, *_: Any) -> None: ...
        def execute(self, statement: str, *_: Any) -> None:
            if statement.startswith("INSERT"):
                raise sqlite3.OperationalError("database or disk is full")

        def close(self) -> None: ...

    monkeypatch.setattr("sqlite3.connect", Full)
    with pytest.raises(ImportRefused, match=r"line 2: .*disk is full"):
        list(a_file(f"{HEADER}\n{ROW}").rows())
