"""The Ledger for many fills: PostgreSQL takes rows by COPY, SQLite by one statement for a whole batch.

Ids are taken in blocks before the rows are written, so that an event can name its trade. psycopg2 writes in
a thread, so that the caller folds the next batch while the server is busy with this one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from decimal import Decimal
from json import dumps
from typing import Any, Final

from sqlalchemy import Connection, exists, select, text
from sqlalchemy.orm import Session

from tradebook.adapters import orm
from tradebook.adapters.engine.postgresql_copy import copy_rows, is_secured
from tradebook.adapters.ledger.bulk_rows import EVENT_COLUMNS, TRADE_COLUMNS, Call, Renderer
from tradebook.adapters.repositories.bulk_insert import all_new, new_ids
from tradebook.adapters.repositories.entity_rows import (
    bring_up_to_date,
    columns_of,
    insert_if_new,
    values_of,
)
from tradebook.domain.errors import ConcurrentUpdate
from tradebook.domain.fills import FillName, Posting, RecordedFill, Running
from tradebook.domain.positions import Position
from tradebook.domain.trades import TERMS, OrderKey
from tradebook.service_layer.ports.ledger import BulkLedger

_CHUNK: Final = 500
_TERMS: Final = ", ".join(f"trades.{name}" for name in TERMS)
_RECORDED: Final = (
    "SELECT trades.symbol, trades.venue, trades.order_id, trades.execution_id, trades.revision, "
    f"trades.status, {_TERMS}"
)
WritePosition = Callable[[Position, int], bool]


class SqlBulkLedger(BulkLedger):
    """What both databases do alike."""

    def __init__(self, session: Session, call: Call, write_position: WritePosition) -> None:
        self.session = session
        self.call = call
        self.renderer = Renderer(call)
        self._write_position = write_position

    @property
    def connection(self) -> Connection:
        """Of the unit of work."""
        return self.session.connection()

    def open(self, symbols: Collection[str]) -> list[tuple[Position, bool]]:
        wanted = sorted(symbols)
        opened: list[tuple[Position, bool]] = []
        for start in range(0, len(wanted), _CHUNK):
            opened += self._open(wanted[start : start + _CHUNK])
        return opened

    def write(self, running: Collection[Running]) -> None:
        # By symbol, the order in which trades lock.
        for each in sorted(running, key=lambda one: one.position.symbol):
            position = each.settle()
            if not self._write_position(position, each.version):
                raise ConcurrentUpdate(f"the position in {position.symbol} changed while importing")
            bring_up_to_date(self.session, position, columns_of(Position))

    def settled(self) -> bool:
        return True

    def close(self) -> None:
        """Nothing is being written here."""

    def _open(self, symbols: list[str]) -> list[tuple[Position, bool]]:
        found = self._locked(symbols)
        missing = sorted(set(symbols) - found.keys())
        if missing:
            account, at = self.call.account, self.call.at
            flat = [Position(account=account, symbol=s, created_at=at) for s in missing]
            insert = insert_if_new(self.session, orm.positions)
            self.connection.execute(insert, [values_of(position) for position in flat])
            found |= self._locked(missing)
        unused = self._unused([s for s in symbols if not found[s].sequence])
        return [(found[symbol], symbol in unused) for symbol in symbols]

    def _locked(self, symbols: list[str]) -> dict[str, Position]:
        columns = orm.positions.c
        statement = select(orm.positions).where(
            columns.account == self.call.account, columns.symbol.in_(symbols)
        )
        if self.connection.dialect.name == "postgresql":
            statement = statement.order_by(columns.symbol.collate("C")).with_for_update()
        rows = self.connection.execute(statement).mappings()
        return {row["symbol"]: Position(**row) for row in rows}

    def _unused(self, symbols: list[str]) -> set[str]:
        if not symbols:
            return set()
        positions, trades = orm.positions.c, orm.trades.c
        used = select(positions.symbol).where(
            positions.account == self.call.account,
            positions.symbol.in_(symbols),
            exists().where(trades.account == positions.account, trades.symbol == positions.symbol),
        )
        return set(symbols) - set(self.connection.scalars(used))


class PostgresqlBulkLedger(SqlBulkLedger):
    """By COPY. What is not known to be new meanwhile is for the unique key to say."""

    def __init__(self, session: Session, call: Call, write_position: WritePosition) -> None:
        super().__init__(session, call, write_position)
        self._is_asyncio = self.connection.dialect.is_async
        self._is_staged = is_secured(self.connection)
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._posting: Future[bool] | None = None
        self._ids: list[int] = []
        self._needed = 0

    def recorded(self, orders: Collection[OrderKey]) -> Iterator[RecordedFill]:
        # One look-up by order id for each, whatever the planner knows of the table: LATERAL with OFFSET is
        # never turned around, and no index serves IS NOT DISTINCT FROM.
        statement = text(
            " ".join(
                (
                    _RECORDED,
                    "FROM unnest(CAST(:symbols AS text[]), CAST(:venues AS text[]),",
                    "CAST(:order_ids AS text[])) AS wanted (symbol, venue, order_id)",
                    "CROSS JOIN LATERAL (SELECT * FROM trades WHERE account = :account",
                    "AND order_id = wanted.order_id",
                    "AND symbol IS NOT DISTINCT FROM wanted.symbol",
                    "AND venue IS NOT DISTINCT FROM wanted.venue OFFSET 0) AS trades",
                )
            )
        )
        wanted = sorted(orders)
        rows = self.connection.execute(
            statement,
            {
                "account": self.call.account,
                "symbols": [order.symbol for order in wanted],
                "venues": [order.venue for order in wanted],
                "order_ids": [order.order_id for order in wanted],
            },
        )
        for row in rows:
            yield RecordedFill(FillName._make(row[:4]), row[4], row[5], tuple(row[6:]))

    def prepare(self, postings: Sequence[Posting]) -> tuple[bytes, bytes]:
        self._needed = max(self._needed, len(postings))
        if len(self._ids) < len(postings):
            self._wait()
            self._keep_ids()
        ids, self._ids = self._ids[: len(postings)], self._ids[len(postings) :]
        trades: list[str] = []
        events: list[str] = []
        for trade, event in self.renderer.copy_lines(ids, by_symbol(postings)):
            trades.append(trade)
            events.append(event)
        return "".join(trades).encode(), "".join(events).encode()

    def post(self, prepared: tuple[bytes, bytes]) -> None:
        self._keep_ids()
        if self._is_asyncio:
            self._posting = Future()
            self._posting.set_result(self._post(*prepared))
        else:
            self._posting = self._thread.submit(self._post, *prepared)

    def settled(self) -> bool:
        posting, self._posting = self._posting, None
        return posting is None or posting.result()

    def close(self) -> None:
        self._thread.shutdown()

    def _wait(self) -> None:
        if self._posting is not None:
            wait([self._posting])

    def _post(self, trades: bytes, events: bytes) -> bool:
        connection = self.connection

        def write() -> None:
            copy_rows(connection, "trades", TRADE_COLUMNS, trades, staged=self._is_staged)
            copy_rows(connection, "events", EVENT_COLUMNS, events, staged=self._is_staged)

        return all_new(connection, write)

    def _keep_ids(self) -> None:
        """Have ids ready for as many trades as any batch had; what is left over is lost."""
        missing = self._needed - len(self._ids)
        if missing > 0:
            self._ids += new_ids(self.connection, "trades", missing)


class SqliteBulkLedger(SqlBulkLedger):
    """By statements for whole batches: nobody else writes, and there is no server to wait for."""

    def recorded(self, orders: Collection[OrderKey]) -> Iterator[RecordedFill]:
        # CROSS JOIN: SQLite never turns its sides around.
        statement = text(
            " ".join(
                (
                    _RECORDED,
                    "FROM (SELECT value ->> 0 AS symbol, value ->> 1 AS venue,",
                    "value ->> 2 AS order_id FROM json_each(:wanted)) AS wanted",
                    "CROSS JOIN trades ON trades.account = :account",
                    "AND trades.symbol = wanted.symbol AND trades.venue = wanted.venue",
                    "AND trades.order_id = wanted.order_id",
                )
            )
        )
        wanted = dumps([[o.symbol, o.venue, o.order_id] for o in sorted(orders)])
        rows = self.connection.execute(statement, {"account": self.call.account, "wanted": wanted})
        for row in rows:
            yield RecordedFill(FillName._make(row[:4]), row[4], row[5], _from_sqlite(row[6:]))

    def prepare(self, postings: Sequence[Posting]) -> Sequence[Posting]:
        return by_symbol(postings)

    def post(self, prepared: Sequence[Posting]) -> None:
        self._was_new = all_new(self.connection, lambda: self._insert(prepared))

    def settled(self) -> bool:
        return self._was_new

    def _insert(self, postings: Sequence[Posting]) -> None:
        ids = new_ids(self.connection, "trades", len(postings))
        rows = list(self.renderer.sqlite_rows(ids, postings))
        for place, (table, columns) in enumerate(
            (("trades", TRADE_COLUMNS), ("events", EVENT_COLUMNS))
        ):
            names, marks = ", ".join(columns), ", ".join("?" * len(columns))
            statement = " ".join(("INSERT INTO", table, f"({names}) VALUES ({marks})"))
            self.connection.exec_driver_sql(statement, [row[place] for row in rows])


def by_symbol(postings: Sequence[Posting]) -> list[Posting]:
    """The order of writing: what is near in the indexes comes together."""
    return sorted(postings, key=lambda posting: posting.name.symbol)


def _from_sqlite(terms: Sequence[Any]) -> tuple[Any, ...]:
    action, quantity, price, fee, fee_currency, currency, multiplier, settlement, executed = terms
    return (
        action,
        Decimal(quantity),
        Decimal(price),
        Decimal(fee),
        fee_currency,
        currency,
        Decimal(multiplier),
        settlement,
        datetime.fromisoformat(executed).replace(tzinfo=UTC),
    )


def bulk_ledger(session: Session, call: Call, write_position: WritePosition) -> SqlBulkLedger:
    """The one for the session's database."""
    on_sqlite = session.get_bind().dialect.name == "sqlite"
    kind = SqliteBulkLedger if on_sqlite else PostgresqlBulkLedger
    return kind(session, call, write_position)
