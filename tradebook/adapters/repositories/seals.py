"""The repository of seals, and the transactions of the server that may still insert events."""

from __future__ import annotations

from typing import Final

from sqlalchemy import func, text
from typing_extensions import override

from tradebook.adapters.repositories.base import SqlRepository
from tradebook.adapters.repositories.bulk_insert import new_ids
from tradebook.domain.seals import Seal
from tradebook.service_layer.ports.paging import BATCH
from tradebook.service_layer.ports.repositories import SealRepository
from tradebook.service_layer.ports.watermark import ALONE, UNKNOWN, TransactionSnapshot

_TRANSACTIONS: Final = text(
    """
    SELECT pg_snapshot_xmin(now)::text::bigint AS ended,
           pg_snapshot_xmax(now)::text::bigint AS begun,
           (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS at,
           (SELECT coalesce((extract(epoch FROM min(query_start)) * 1000000)::bigint,
                            9223372036854775807)
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
"""The transactions that may still insert events, and since when the oldest statement runs.

A statement that waits for a lock is left out: it has not taken an id yet that it could insert. Without any, `running` is later than every statement.
"""


class SqlSealRepository(SqlRepository[Seal], SealRepository):
    """Seals over the audit trail."""

    @override
    def last(self) -> Seal | None:
        return self._first(self.where().order_by(self.table.c.number.desc()).limit(1))

    @override
    def next_id(self) -> int:
        return new_ids(self.session.connection(), self.table.name, 1)[0]

    @override
    def numbered(self, *, after: int = 0, limit: int = BATCH) -> list[Seal]:
        number = self.table.c.number
        return self.fetch(self.where(number > after).order_by(number).limit(limit))

    @override
    def covering(self, low: int, high: int) -> list[Seal]:
        columns = self.table.c
        overlapping = self.where(columns.to_id >= low, columns.from_id <= high)
        # Sorted here: for an ORDER BY SQLite would read every seal of the account in that order.
        return sorted(self.fetch(overlapping), key=lambda seal: seal.number)

    @override
    def count_covered(self) -> int:
        return self._number(func.sum(self.table.c.count))

    @override
    def transaction_snapshot(self) -> TransactionSnapshot:
        if self.session.get_bind().dialect.name == "sqlite":
            return ALONE  # SQLite has one writer, and this transaction is it
        found = self.session.connection().execute(_TRANSACTIONS).one()
        # Other nodes number transactions by themselves; sessions that are hidden from a role may write.
        if found.is_distributed or found.is_partly_hidden:
            return UNKNOWN
        return TransactionSnapshot(
            ended=found.ended, begun=found.begun, at=found.at, running=found.running
        )
