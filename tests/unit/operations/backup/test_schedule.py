"""The text for systemd and cron, parsed again and run."""

from __future__ import annotations

import configparser
import os
import shlex
import subprocess
from pathlib import Path

import pytest

from tradebook import InvalidInput
from tradebook.operations.backup import schedule

COMMANDS = [
    ["/opt/trade book/tradebook", "backup", "--store", "/srv/50%/$HOME"],
    ["/opt/trade book/tradebook", "backup", "prune", "--keep", "7", "--yes"],
]


def test_the_systemd_units_can_be_read_and_hold_the_commands() -> None:
    text = schedule.systemd_units(COMMANDS, "day", "02:30", "book")
    service, timer = text.split("# /etc/systemd/system/tradebook-backup.timer")
    read = configparser.ConfigParser(interpolation=None, strict=False)
    read.optionxform = str
    read.read_string(timer)

    started = [line for line in service.splitlines() if line.startswith("ExecStart=")]
    assert read["Timer"]["OnCalendar"] == "*-*-* 02:30:00"
    assert read["Timer"]["Persistent"] == "true"
    assert "User=book" in service.splitlines()
    words = [shlex.split(line.removeprefix("ExecStart=")) for line in started]
    assert words == [[w.replace("%", "%%").replace("$", "$$") for w in c] for c in COMMANDS]


@pytest.mark.parametrize(
    ("every", "calendar", "cron"),
    [
        ("hour", "*-*-* *:05:00", "5 * * * *"),
        ("day", "*-*-* 09:05:00", "5 9 * * *"),
        ("week", "Sun *-*-* 09:05:00", "5 9 * * 0"),
    ],
)
def test_systemd_and_cron_get_the_same_time(every: str, calendar: str, cron: str) -> None:
    assert f"OnCalendar={calendar}\n" in schedule.systemd_units(COMMANDS, every, "09:05", "book")
    assert schedule.cron_line(COMMANDS, every, "09:05").startswith(f"{cron} set -a && ")


def test_the_line_for_cron_runs_the_commands_with_the_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "ENVIRONMENT", str(tmp_path / "tradebook.env"))
    (tmp_path / "tradebook.env").write_text("TRADEBOOK_DB_HOST=db.example.com\n")
    show = ["sh", "-c", 'echo "$TRADEBOOK_DB_HOST 50%"']

    line = schedule.cron_line([show, ["false"], show], "day", "02:30")

    assert line.count("\n") == 1
    command = line.split(maxsplit=5)[5].replace("\\%", "%")  # as cron hands it to sh
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, env=os.environ)
    assert (done.returncode, done.stdout) == (1, "db.example.com 50%\n")


@pytest.mark.parametrize("at", ["", "2:30", "24:00", "02:60", "noon", "02:30:00"])
def test_an_invalid_time_is_refused(at: str) -> None:
    with pytest.raises(InvalidInput, match="02:30"):
        schedule.cron_line(COMMANDS, "day", at)
