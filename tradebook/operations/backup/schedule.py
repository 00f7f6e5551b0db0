"""What makes backups happen: a systemd timer or a line for cron, to be read and installed by a person."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Final

from tradebook.domain.errors import InvalidInput

HOUR: Final = "hour"
DAY: Final = "day"
WEEK: Final = "week"
ENVIRONMENT: Final = "/etc/tradebook.env"
"""Where the scheduled commands find the database: TRADEBOOK_DB_HOST and its like, for root's eyes only."""

_SERVICE: Final = """\
# /etc/systemd/system/tradebook-backup.service
[Unit]
Description=Back up the tradebook, prove the backup, remove old ones
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
User={user}
UMask=0077
EnvironmentFile={environment}
{commands}

# /etc/systemd/system/tradebook-backup.timer
[Unit]
Description=Back up the tradebook every {every}

[Timer]
OnCalendar={calendar}
Persistent=true

[Install]
WantedBy=timers.target

# then: systemctl daemon-reload && systemctl enable --now tradebook-backup.timer
# it runs as {user}, with the variables in {environment} (mode 0600), such as
# TRADEBOOK_DB_HOST and TRADEBOOK_DB_PASSWORD_FILE
"""


def systemd_units(commands: Sequence[Sequence[str]], every: str, at: str, user: str) -> str:
    """A service and its timer, as text.

    Args:
        commands: run one after another, as long as each succeeds.
        every: hour, day or week.
        at: `HH:MM`, local time; of an hour, its minute counts.
        user: who runs them.
    """
    hour, minute = _time(at)
    calendar = {
        HOUR: f"*-*-* *:{minute}:00",
        DAY: f"*-*-* {hour}:{minute}:00",
        WEEK: f"Sun *-*-* {hour}:{minute}:00",
    }[every]
    lines = (f"ExecStart={_for_systemd(command)}" for command in commands)
    return _SERVICE.format(
        user=user,
        environment=ENVIRONMENT,
        commands="\n".join(lines),
        every=every,
        calendar=calendar,
    )


def cron_line(commands: Sequence[Sequence[str]], every: str, at: str) -> str:
    """One line of a crontab."""
    hour, minute = (str(int(part)) for part in _time(at))
    when = {
        HOUR: f"{minute} * * * *",
        DAY: f"{minute} {hour} * * *",
        WEEK: f"{minute} {hour} * * 0",
    }
    script = " && ".join(shlex.join(command) for command in commands)
    variables = f"set -a && . {ENVIRONMENT} && set +a"
    return f"{when[every]} {variables} && {script}".replace("%", "\\%") + "\n"


def _for_systemd(command: Sequence[str]) -> str:
    """systemd reads quotes as a shell does, and % and $ in its own way."""
    words = (word.replace("%", "%%").replace("$", "$$") for word in command)
    return " ".join(
        word if re.fullmatch(r"[\w@%+=:,./-]+", word) else '"' + _escaped(word) + '"'
        for word in words
    )


def _escaped(word: str) -> str:
    return word.replace("\\", "\\\\").replace('"', '\\"')


def _time(at: str) -> tuple[str, str]:
    found = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)", at)
    if found is None:
        raise InvalidInput("at", at, "a time of day such as 02:30")
    return found[1], found[2]
