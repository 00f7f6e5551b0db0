"""Output of the package's logs, as text or as one JSON document a line.

The package logs to children of the logger `tradebook` and configures no logging by itself: an application that does
receives its records. `configure` is for applications that do not.

    from tradebook.operations import logs

    logs.configure(json=True)
"""

from __future__ import annotations

import json as _json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from tradebook.adapters.loggers import ADAPTERS, FIELDS, ROOT, SUMMARY
from tradebook.domain.errors import InvalidInput
from tradebook.service_layer.call_context import current_actor, current_correlation_id

_VARIABLE: Final = "TRADEBOOK_LOG"
_IN_MESSAGE: Final = ("statement", "plan", SUMMARY)
"""Fields that the message of a text record contains already."""


def configure(
    *, json: bool = False, level: int | str = logging.INFO, stream: TextIO | None = None
) -> logging.Handler:
    """Write the package's logs to a stream, instead of where an earlier call sent them.

    Args:
        json: whether to write one JSON document a line instead of text.
        level: lowest level that is written.
        stream: where to write; standard error by default.

    Returns:
        The handler of the logger `tradebook`, which no longer passes its records to the root logger's.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if json else TextFormatter())
    handler.set_name(ROOT)
    logger = logging.getLogger(ROOT)
    for former in [h for h in logger.handlers if h.get_name() == ROOT]:
        logger.removeHandler(former)
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False
    # SQLAlchemy names the logger of our pool class after its module, and logs each disposed pool there at INFO.
    logging.getLogger(ADAPTERS).setLevel(logging.WARNING)
    return handler


def configure_from(environ: Mapping[str, str]) -> None:
    """Configure logging by the variable `TRADEBOOK_LOG`; do nothing where it is not set.

    Raises:
        InvalidInput: it is neither `json` nor `text`.
    """
    style = environ.get(_VARIABLE)
    if not style:
        return
    if style not in ("json", "text"):
        raise InvalidInput(_VARIABLE, style, "json or text")
    configure(json=style == "json")


def record_fields(record: logging.LogRecord) -> dict[str, Any]:
    """Return a record's fields, with actor and correlation id of the current call where it has none."""
    fields = {"actor": current_actor.get(), "correlation_id": current_correlation_id.get()}
    own: Mapping[str, Any] = getattr(record, FIELDS, {})
    return {**{name: value for name, value in fields.items() if value}, **own}


class JsonFormatter(logging.Formatter):
    """Formatter of one JSON document a line: time in UTC, level, logger, message and the record's fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a JSON document."""
        at = datetime.fromtimestamp(record.created, UTC)
        fields = record_fields(record)
        document = {
            "time": at.isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": fields.pop(SUMMARY, record.getMessage()),
            **fields,
        }
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        return _json.dumps(document, default=str)


class TextFormatter(logging.Formatter):
    """Formatter of a line of text: time, level, logger and message, then the record's short fields."""

    def __init__(self) -> None:
        """Set the format of the line."""
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # overrides `Formatter`
        """Return the line without a traceback; fields follow the message's first line."""
        fields = record_fields(record)
        about = " ".join(f"{n}={v}" for n, v in fields.items() if n not in _IN_MESSAGE)
        first, _, rest = super().formatMessage(record).partition("\n")
        return "\n".join(filter(None, [f"{first} [{about}]" if about else first, rest]))
