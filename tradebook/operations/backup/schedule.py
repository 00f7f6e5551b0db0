"""Text for systemd and cron that makes backups regular; an administrator reads and installs it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Final

from tradebook.domain.errors import InvalidInput

ENVIRONMENT: Final = "/etc/tradebook.env"
"""The file of the scheduled commands' variables, TRADEBOOK_DB_HOST and others; for root to read alone."""
_WHEN: Final = {
    "hour": ("*-*-* *:{minute:02}:00", "{minute} * * * *"),
    "day": ("*-*-* {hour:02}:{minute:02}:00", "{minute} {hour} * * *"),
    "week": ("Sun *-*-* {hour:02}:{minute:02}:00", "{minute} {hour} * * 0"),
}
"""The time of each schedule, for systemd and for cron."""

_UNITS: Final = """\
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
    """Return a systemd service and its timer, as text.

    Args:
        commands: run one after another, until one fails.
        every: hour, day or week.
        at: `HH:MM`, local time; of `hour`, the minute alone counts.
        user: the user that runs them.
    """
    return _UNITS.format(
        user=user,
        environment=ENVIRONMENT,
        commands="\n".join(f"ExecStart={_systemd_quoted(command)}" for command in commands),
        every=every,
        calendar=_fill(_WHEN[every][0], at),
    )


def cron_line(commands: Sequence[Sequence[str]], every: str, at: str) -> str:
    """Return one line of a crontab; the arguments are those of `systemd_units`."""
    script = " && ".join(shlex.join(command) for command in commands)
    variables = f"set -a && . {ENVIRONMENT} && set +a"
    # cron would replace a bare % by a newline.
    return f"{_fill(_WHEN[every][1], at)} {variables} && {script}".replace("%", "\\%") + "\n"


def _systemd_quoted(command: Sequence[str]) -> str:
    """Quote a command for ExecStart, which expands % and $ inside quotes too."""
    words = (word.replace("%", "%%").replace("$", "$$") for word in command)
    return " ".join(
        word
        if re.fullmatch(r"[\w@%+=:,./-]+", word)
        else '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'
        for word in words
    )


def _fill(when: str, at: str) -> str:
    found = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)", at)
    if found is None:
        raise InvalidInput("at", at, "a time of day such as 02:30")
    return when.format(hour=int(found[1]), minute=int(found[2]))
