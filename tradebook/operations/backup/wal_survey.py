"""Survey of archived log: the segments that are missing, and those that are not what the server archived.

Segments are named by timeline and position (`00000001` `00000000` `0000000A`), so a hole shows in the names. The
archive's script keeps the checksum of each file beside it; files that were archived without one are not compared.
"""

from __future__ import annotations

import os
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from attrs import Factory, define, frozen

from tradebook.operations.backup.manifest import Log, no_progress, sha256_of
from tradebook.service_layer.instrumentation import ProgressCallback

PARTIAL: Final = ".partial"
SUM: Final = ".sha256"
"""The end of the name of a checksum: of the clear content, then of the file where it is encrypted."""
QUICK_BYTES: Final = 1 << 28
"""Bytes whose checksums a quick survey compares, 0.2 s or so on a local disk; the newest segments."""
_FILE: Final = re.compile(r"([0-9A-F]{24})(\.gpg|\.age|\.partial|\.sha256)?")
_USUAL_SIZE: Final = 1 << 24
_SPAN: Final = 1 << 32
"""Bytes of the log that have the same first 16 digits in their segments' names."""
_SETTLED_SECONDS: Final = 60
"""The script writes a checksum before the segment gets its name; an older one has lost its segment."""


@frozen(kw_only=True)
class Fault:
    """A segment that is missing or altered.

    Attributes:
        segment: the name of the segment, of the first one of several that are missing in a row.
        what: the fault, as text.
        is_hole: whether recovery ends here; False where another folder has a sound copy.
    """

    segment: str
    what: str
    is_hole: bool


@frozen(kw_only=True)
class LogSurvey:
    """The state of archived log.

    Attributes:
        newest: the newest complete segment; None where there is none.
        faults: in the order of the log.
        altered: files that differ from their checksum or have another size than the rest.
        segments: the number of segments.
        compared: the number of files that were compared with their checksum.
        size: bytes of a segment.
        closed: folders that this user may not read.
    """

    newest: str | None
    faults: tuple[Fault, ...]
    altered: frozenset[Path]
    segments: int
    compared: int
    size: int
    closed: tuple[Path, ...] = ()

    @property
    def is_whole(self) -> bool:
        """True if every segment is there and no file is altered, as far as could be read."""
        return not self.faults

    @property
    def complaints(self) -> list[str]:
        """The faults and the folders that could not be read, as text."""
        unread = [f"{folder} cannot be read by this user: not checked" for folder in self.closed]
        return [*(fault.what for fault in self.faults), *unread]

    def trouble(self, end: int | None = None) -> str | None:
        """Describe why recovery does not reach the end of the archived log.

        Args:
            end: the position in bytes up to which the log was replayed; None where that is not known.

        Returns:
            The reason with the names of the segments; None where recovery reaches the end.
        """
        hole = next((fault for fault in self.faults if fault.is_hole), None)
        if hole is not None:
            later = self.newest is not None and self.newest[8:] > hole.segment[8:]
            return hole.what + (f", and {self.newest} is there" if later else "")
        if (
            self.newest is None
            or end is None
            or end // self.size >= _number(self.newest, self.size)
        ):
            return None
        ended = _name(self.newest, end // self.size, self.size)
        return f"{ended} or the segment after it is damaged, and {self.newest} is there"


@define
class _Copies:
    """The files of one segment in all folders."""

    complete: list[Path] = Factory(list)
    partial: list[Path] = Factory(list)
    is_lost: bool = False
    """Whether a checksum shows that there was a complete file."""


def survey_log(
    folders: Iterable[Path],
    log: Log | None = None,
    *,
    limit: int | None = None,
    report: ProgressCallback = no_progress,
) -> LogSurvey:
    """Survey folders of archived or received log, each segment of which may be in any of them.

    Args:
        folders: those that exist are read.
        log: the place of a backup in the log: only what recovery from it needs is surveyed.
        limit: compare the checksums of so many bytes, the newest segments; by default of all.
        report: called with the bytes compared, and how many there are.
    """
    open_folders, closed = _by_access(folders)
    copies = _copies_in(open_folders)
    size = _segment_size(copies)
    names = _lineage(copies, size)
    complete_ones = [number for number, name in names.items() if copies[name].complete]
    # What is known of a segment before the first, a checksum, is left from one that was no longer needed.
    first = min(complete_ones, default=max(names, default=0))
    before = first - 1
    if log is not None:
        first = _number(log.segment, size)
        before = (position(log.end) - 1) // size  # up to here the backup itself has the log
    own = before
    names = {number: name for number, name in names.items() if number >= first}
    files = [path for number in sorted(names) for path in copies[names[number]].complete]
    altered, compared = _altered(files, size, limit, report)
    faults = []
    newest = None
    for number, name in sorted(names.items()):
        if number - before > 1:
            faults.append(_missing(_name(name, before + 1, size), _name(name, number - 1, size)))
        before = max(before, number)
        complete = copies[name].complete
        is_hole = number > own and not set(complete) - altered
        for path in altered.intersection(complete):
            what = f"{path} is not what was archived (another checksum or size)"
            faults.append(Fault(segment=name, what=what, is_hole=is_hole))
        # The receiver's newest segment is partial until it is complete.
        if is_hole and not complete and (copies[name].is_lost or number != max(names)):
            faults.append(_missing(name, name))
        newest = newest if is_hole else name
    return LogSurvey(
        newest=newest,
        faults=tuple(faults),
        altered=altered,
        segments=sum(bool(copies[name].complete) for name in names.values()),
        compared=compared,
        size=size,
        closed=tuple(closed),
    )


def position(text: str) -> int:
    """Return a position in the log, such as `0/3000028`, in bytes."""
    high, _, low = text.partition("/")
    return int(high, 16) * _SPAN + int(low, 16)


def _missing(first: str, last: str) -> Fault:
    what = f"{first} is missing" if first == last else f"{first} to {last} are missing"
    return Fault(segment=first, what=what, is_hole=True)


def _number(segment: str, size: int) -> int:
    return int(segment[8:16], 16) * (_SPAN // size) + int(segment[16:24], 16)


def _name(neighbour: str, number: int, size: int) -> str:
    high, low = divmod(number, _SPAN // size)
    return f"{neighbour[:8]}{high:08X}{low:08X}"


def _by_access(folders: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Return the folders that exist: those that can be read, and those that cannot."""
    can, cannot = [], []
    for folder in folders:
        try:
            if folder.is_dir():
                os.scandir(folder).close()
                can.append(folder)
        except PermissionError:
            cannot.append(folder)
    return can, cannot


def _copies_in(folders: Iterable[Path]) -> dict[str, _Copies]:
    found: dict[str, _Copies] = defaultdict(_Copies)
    settled = time.time() - _SETTLED_SECONDS
    for folder in folders:
        for path in sorted(folder.iterdir()):
            if (match := _FILE.fullmatch(path.name)) is None:
                continue
            name, end = match.groups()
            if end == SUM:
                found[name].is_lost |= path.stat().st_mtime < settled
            elif end == PARTIAL:
                found[name].partial.append(path)
            else:
                found[name].complete.append(path)
    return {
        name: each for name, each in found.items() if each.complete or each.is_lost or each.partial
    }


def _segment_size(copies: Mapping[str, _Copies]) -> int:
    """Return the size of most segments; where all are encrypted, the one that their numbers imply."""
    # A partial file has its full size from the beginning.
    clear = [
        path
        for each in copies.values()
        for path in (*each.complete, *each.partial)
        if path.suffix in ("", PARTIAL)
    ]
    sizes = Counter(path.stat().st_size for path in clear)
    if sizes:
        return max(sizes.most_common(1)[0][0], 1)
    if len({name[:16] for name in copies}) < 2:
        return _USUAL_SIZE
    largest = max(int(name[16:24], 16) for name in copies)
    return _SPAN >> largest.bit_length()


def _lineage(copies: Mapping[str, _Copies], size: int) -> dict[int, str]:
    """Return the segments that lead to the newest timeline, by number.

    Where a timeline begins, the ones before it end: what they have of later log was given up by a recovery.
    """
    timelines: dict[str, dict[int, str]] = defaultdict(dict)
    for name in copies:
        timelines[name[:8]][_number(name, size)] = name
    names: dict[int, str] = {}
    for _, segments in sorted(timelines.items(), reverse=True):
        first = min(names, default=None)
        names |= {n: name for n, name in segments.items() if first is None or n < first}
    return names


def _altered(
    files: Sequence[Path], size: int, limit: int | None, report: ProgressCallback
) -> tuple[frozenset[Path], int]:
    """Compare files with their checksums, the newest first; return those that differ, and how many were compared."""
    altered = {path for path in files if not path.suffix and path.stat().st_size != size}
    sums = {path: expected for path in files if (expected := _expected_sum(path)) is not None}
    total = sum(path.stat().st_size for path in sums)
    done = compared = 0

    def add(count: int) -> None:
        nonlocal done
        done += count
        report(done, total)

    for path in reversed(sums):
        if limit is not None and done >= limit:
            break
        compared += 1
        if sha256_of(path, add) != sums[path]:
            altered.add(path)
    return frozenset(altered), compared


def _expected_sum(path: Path) -> str | None:
    """Return the checksum of a file; None where it was archived without one."""
    file = path.with_name(path.name[:24] + SUM)
    lines = file.read_text(errors="replace").splitlines() if file.exists() else []
    # The first is of the clear content.
    wanted = lines[1:2] if path.suffix else lines[:1]
    return wanted[0].partition(" ")[0] if wanted else None
