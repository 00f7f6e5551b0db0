"""What the book logs, written out: as text, or as one JSON document a line.

The book logs to children of the logger `tradebook` and sets up nothing by itself: an application that configures
logging has its records already. `configure` is for those that do not.

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

VARIABLE: Final = "TRADEBOOK_LOG"
JSON: Final = "json"
TEXT: Final = "text"
_LONG: Final = ("statement", "plan", SUMMARY)
"""What is in the message already."""


def configure(
    *, json: bool = False, level: int | str = logging.INFO, stream: TextIO | None = None
) -> logging.Handler:
    """Write what the book logs to a stream; calling it again replaces what it set up before.

    Args:
        json: one JSON document a line, not text.
        level: the least that is written.
        stream: where to; standard error by default.

    Returns:
        The handler, on the logger `tradebook`, which passes nothing on to other handlers then.
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
    logging.getLogger(ADAPTERS).setLevel(logging.WARNING)
    return handler


def configure_from(environ: Mapping[str, str]) -> None:
    """As `TRADEBOOK_LOG` says; nothing where it says nothing.

    Raises:
        InvalidInput: it is neither `json` nor `text`.
    """
    wanted = environ.get(VARIABLE)
    if not wanted:
        return
    if wanted not in (JSON, TEXT):
        raise InvalidInput(VARIABLE, wanted, f"{JSON} or {TEXT}")
    configure(json=wanted == JSON)


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """What a record is about; who calls, and for which request, where it does not say so itself."""
    known = {"actor": current_actor.get(), "correlation_id": current_correlation_id.get()}
    said: Mapping[str, Any] = getattr(record, FIELDS, {})
    return {**{name: value for name, value in known.items() if value}, **said}


class JsonFormatter(logging.Formatter):
    """One JSON document a line: time (ISO 8601, UTC), level, logger, message and what the record is about."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        at = datetime.fromtimestamp(record.created, UTC)
        fields = fields_of(record)
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
    """A line for people: what a record is about, but for long texts, follows the message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # as `Formatter` calls it
        """The line, before a traceback."""
        fields = fields_of(record)
        about = " ".join(f"{n}={v}" for n, v in fields.items() if n not in _LONG)
        first, _, rest = super().formatMessage(record).partition("\n")
        return "\n".join(filter(None, [f"{first} [{about}]" if about else first, rest]))
