"""Locks, settings and prepared statements left on the server's connections behind a pooler."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import Any, Final

import psycopg2
from sqlalchemy import URL

_QUERY: Final = """
SELECT current_setting('statement_timeout'), current_setting('lock_timeout'),
    current_setting('idle_in_transaction_session_timeout'), current_setting('TimeZone'),
    (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'),
    (SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()),
    (SELECT array_agg(name) FROM pg_prepared_statements WHERE name NOT LIKE 'tradebook_booking_%%')
"""


def left_behind(url: URL, backends: int = 2) -> set[Any]:
    """Settings, advisory locks, temporary tables and prepared statements of each connection of the server.

    All connections of the pool are looked at: each is held in a transaction until the last was.
    """
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    seen, pids = set(), set()
    with ExitStack() as held:
        for _ in range(backends):
            connection = held.enter_context(closing(psycopg2.connect(plain)))
            held.callback(connection.rollback)  # PgBouncer closes one that is left in a transaction
            cursor = connection.cursor()
            cursor.execute("SELECT pg_backend_pid()")
            pids.add(cursor.fetchone()[0])
            cursor.execute(_QUERY)
            seen.add(tuple(map(str, cursor.fetchone())))
    assert len(pids) == backends
    return seen
