"""The survey of archived log, on folders of small files in place of segments."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from tradebook.operations.backup.manifest import Log
from tradebook.operations.backup.wal_survey import survey_log

SIZE = 1 << 20
CONTENT = bytes(SIZE)
SUM = hashlib.sha256(CONTENT).hexdigest()


def segment(number: int, timeline: int = 1) -> str:
    return f"{timeline:08X}{number // 4096:08X}{number % 4096:08X}"


def write(folder: Path, *names: str, content: bytes = CONTENT, sums: str = f"{SUM}  -\n") -> None:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(content)
        (folder / f"{name[:24]}.sha256").write_text(sums)


def log_until(end: str) -> Log:
    return Log(system="1", timeline=1, start="0/0", end=end, segment=segment(0), superuser="s")


def faults(*folders: Path, log: Log | None = None) -> list[str]:
    return [fault.what.replace(f"{folders[0]}/", "") for fault in survey_log(folders, log).faults]


def test_a_whole_archive_has_no_fault_across_the_change_of_the_upper_number(tmp_path: Path) -> None:
    write(tmp_path, *map(segment, range(4093, 4100)))
    (tmp_path / f"{segment(4094)}.00000028.backup").touch()
    (tmp_path / "00000002.history").touch()

    survey = survey_log([tmp_path, tmp_path / "absent"])

    assert survey.is_whole
    assert (survey.newest, survey.segments, survey.compared) == (segment(4099), 7, 7)
    assert survey_log([tmp_path], limit=2 * SIZE).compared == 2
    assert survey_log([]).is_whole


def test_missing_segments_are_named_unless_another_folder_has_them(tmp_path: Path) -> None:
    archive, stream = tmp_path / "wal", tmp_path / "stream"
    write(archive, *map(segment, (1, 4, 5, 7)))
    write(stream, segment(6))
    (stream / f"{segment(8)}.partial").write_bytes(CONTENT)

    assert faults(archive, stream) == [f"{segment(2)} to {segment(3)} are missing"]
    assert faults(archive)[1:] == [f"{segment(6)} is missing"]
    assert faults(archive, stream, log=log_until("0/300028")) == []
    assert faults(archive, stream, log=log_until("0/200028")) == [f"{segment(3)} is missing"]


def test_a_segment_that_is_being_received_is_no_fault_by_itself(tmp_path: Path) -> None:
    (tmp_path / f"{segment(8)}.partial").write_bytes(CONTENT)

    assert faults(tmp_path) == []
    assert faults(tmp_path, log=log_until("0/700028")) == []
    assert faults(tmp_path, log=log_until("0/500028")) == [
        f"{segment(6)} to {segment(7)} are missing"
    ]


def test_a_checksum_whose_segment_is_gone_names_it_once_it_is_no_segment_on_its_way(
    tmp_path: Path,
) -> None:
    write(tmp_path, *map(segment, (1, 2)))
    (tmp_path / segment(2)).unlink()

    assert faults(tmp_path) == []
    os.utime(tmp_path / f"{segment(2)}.sha256", (0, 0))

    assert faults(tmp_path) == [f"{segment(2)} is missing"]
    assert survey_log([tmp_path]).trouble() == f"{segment(2)} is missing"
    # Before the first segment it is what a cleanup left.
    (tmp_path / segment(1)).rename(tmp_path / segment(3))
    assert faults(tmp_path) == []


def test_an_altered_file_is_a_hole_unless_another_folder_has_a_sound_one(tmp_path: Path) -> None:
    archive, stream = tmp_path / "wal", tmp_path / "stream"
    write(archive, *map(segment, (1, 2, 3)))
    (archive / segment(2)).write_bytes(b"\1" * SIZE)
    (archive / segment(3)).write_bytes(CONTENT[:-1])

    what = "is not what was archived (another checksum or size)"
    assert faults(archive) == [f"{segment(2)} {what}", f"{segment(3)} {what}"]
    assert survey_log([archive]).trouble() is not None
    write(stream, *map(segment, (2, 3)))
    assert len(faults(archive, stream)) == 2
    assert survey_log([archive, stream]).trouble(4 * SIZE) is None


def test_an_altered_segment_that_the_backup_itself_has_is_no_hole(tmp_path: Path) -> None:
    write(tmp_path, *map(segment, (1, 2, 3)))
    (tmp_path / segment(2)).write_bytes(b"\1" * SIZE)

    survey = survey_log([tmp_path], log_until("0/200028"))

    assert (len(survey.altered), survey.trouble(4 * SIZE)) == (1, None)
    assert survey_log([tmp_path], log_until("0/100028")).trouble(4 * SIZE) is not None


def test_an_encrypted_file_is_compared_with_the_second_checksum(tmp_path: Path) -> None:
    names = [f"{segment(number)}.age" for number in (1, 2)]
    write(tmp_path, *names, content=b"secret", sums=f"{SUM}  -")  # of an earlier version
    assert survey_log([tmp_path]).compared == 0
    sums = f"{SUM}  -\n{hashlib.sha256(b'secret').hexdigest()}  -\n"
    write(tmp_path, *names, content=b"secret", sums=sums)
    assert (survey_log([tmp_path]).compared, survey_log([tmp_path]).is_whole) == (2, True)
    (tmp_path / names[0]).write_bytes(b"secreT")
    assert len(faults(tmp_path)) == 1


@pytest.mark.parametrize(("last", "expected"), [(0xFF, 0), (0xFD, 1)])
def test_the_size_of_encrypted_segments_follows_from_their_numbers(
    tmp_path: Path, last: int, expected: int
) -> None:
    names = [f"{1:08X}{0:08X}{number:08X}.age" for number in range(0xF0, last + 1)]
    write(tmp_path, *names, f"{1:08X}{1:08X}{0:08X}.age", content=b"secret", sums="")

    assert len(faults(tmp_path)) == expected


def test_log_that_a_recovery_gave_up_is_no_part_of_the_newest_timeline(tmp_path: Path) -> None:
    write(tmp_path, *map(segment, (1, 2, 3, 9)), *(segment(number, 2) for number in (3, 4)))

    survey = survey_log([tmp_path])

    assert (survey.newest, survey.is_whole) == (segment(4, 2), True)
    assert survey.trouble(4 * SIZE + 100) is None
    assert survey.trouble(3 * SIZE + 100) == (
        f"{segment(3, 2)} or the segment after it is damaged, and {segment(4, 2)} is there"
    )
