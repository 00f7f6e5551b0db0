"""Seals on a SQLAlchemy session, and what its database knows of the transactions that are running."""

from __future__ import annotations

from typing import Final

from sqlalchemy import func, select, text

from tradebook.adapters.repositories import SqlRepository
from tradebook.domain.paging import BATCH
from tradebook.domain.repositories import SealRepository
from tradebook.domain.seals import ALONE, UNKNOWN, Moment, Seal

_TRANSACTIONS: Final = text(
    """
    SELECT pg_snapshot_xmin(now)::text::bigint AS ended,
           pg_snapshot_xmax(now)::text::bigint AS begun,
           (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS at,
           (SELECT (extract(epoch FROM min(query_start)) * 1000000)::bigint
            FROM pg_stat_activity
            WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
              AND state = 'active' AND backend_xid IS NULL
              AND wait_event_type IS DISTINCT FROM 'Lock') AS running,
           EXISTS (SELECT FROM pg_extension WHERE extname = 'citus') AS is_distributed,
           EXISTS (SELECT FROM pg_stat_activity
                   WHERE query = '<insufficient privilege>' AND usesysid IS NOT NULL
                     AND datname = current_database()) AS is_partly_hidden
    FROM pg_stat_clear_snapshot() AS forgotten, pg_current_snapshot() AS now
    """
)
"""A statement that waits for a lock has no id yet that it could still insert."""

_NONE: Final = 2**63 - 1


class SqlSealRepository(SqlRepository[Seal], SealRepository):
    def last(self) -> Seal | None:
        newest_first = self.table.c.number.desc()
        return next(iter(self.fetch(self.where().order_by(newest_first).limit(1))), None)

    def numbered(self, *, after: int = 0, limit: int = BATCH) -> list[Seal]:
        number = self.table.c.number
        return self.fetch(self.where(number > after).order_by(number).limit(limit))

    def covering(self, low: int, high: int) -> list[Seal]:
        columns = self.table.c
        overlapping = self.where(columns.to_id >= low, columns.from_id <= high)
        # Sorted here: asked to, SQLite would read every seal of the account in that order.
        return sorted(self.fetch(overlapping), key=lambda seal: seal.number)

    def count_covered(self) -> int:
        columns = self.table.c
        statement = select(func.sum(columns.count)).where(columns.account == self.account)
        return int(self.session.scalar(statement) or 0)

    def moment(self) -> Moment:
        if self.session.get_bind().dialect.name == "sqlite":
            return ALONE  # one transaction writes at a time, and it is this one
        found = self.session.connection().execute(_TRANSACTIONS).one()
        # Transactions of other nodes are numbered there; what a role may not see, may be writing.
        if found.is_distributed or found.is_partly_hidden:
            return UNKNOWN
        running = _NONE if found.running is None else found.running
        return Moment(ended=found.ended, begun=found.begun, at=found.at, running=running)
