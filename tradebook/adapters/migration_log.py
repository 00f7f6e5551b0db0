"""Migrations in the log: of which database, from which revision to which, and how long it took."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine

from tradebook.adapters import log
from tradebook.adapters.errors import translated_errors


@contextmanager
def logged_migration(engine: Engine) -> Iterator[None]:
    """Log what becomes of the schema inside; nothing where it is as it should be already."""
    if not log.MIGRATIONS.isEnabledFor(logging.INFO):
        yield
        return
    began, before = time.monotonic(), _revision(engine)
    yield
    after, seconds = _revision(engine), round(time.monotonic() - began, 3)
    if after != before:
        about = log.about(
            database=_safe_url(engine), from_revision=before, to_revision=after, seconds=seconds
        )
        log.MIGRATIONS.info("the schema went from %s to %s", before, after, extra=about)


def _safe_url(engine: Engine) -> str:
    """As `DatabaseConfig.safe_url`: what else is secret never was in the engine's URL."""
    url = engine.url.set(drivername=engine.dialect.name)
    return url.render_as_string(hide_password=True)


def _revision(engine: Engine) -> str | None:
    with translated_errors(), engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()
