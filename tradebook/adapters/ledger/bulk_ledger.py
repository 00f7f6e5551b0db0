"""The ledger for many fills: PostgreSQL takes rows by COPY, SQLite by one INSERT for a whole batch.

Ids are taken in blocks before the rows are written, so that an event can name its trade. psycopg2 writes in
a thread, so that the caller folds the next batch while the server is busy with this one.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from json import dumps
from typing import Any, Final

from sqlalchemy import TextClause, exists, select, text
from sqlalchemy.orm import Session
from sqlalchemy.orm.util import identity_key
from typing_extensions import override

from tradebook.adapters import orm
from tradebook.adapters.engine.postgresql_copy import copy_rows, is_secured
from tradebook.adapters.ledger.bulk_decisions import BulkDecisions, Executed
from tradebook.adapters.ledger.bulk_rows import BulkCall, CopyRows, SqliteRows, insert_sql
from tradebook.adapters.repositories.bulk_insert import all_new, new_ids
from tradebook.adapters.repositories.entity_rows import chunks, insert_if_new, max_ahead, values_of
from tradebook.adapters.types import ExactDecimal, UtcDateTime, unreadable
from tradebook.domain.agents import AgentDecision
from tradebook.domain.errors import ConcurrentUpdate
from tradebook.domain.fills import Booking, FillName, RecordedFill, RunningPosition
from tradebook.domain.positions import Position
from tradebook.domain.trades import TERMS, OrderKey, TradeStatus
from tradebook.service_layer.ports.ledger import BulkLedger

_NAME: Final = ("symbol", "venue", "order_id", "execution_id")
_RECORDED: Final = (*_NAME, "revision", "status", "id", "corrects_id", *TERMS)
_SELECT_RECORDED: Final = "SELECT " + ", ".join(f"trades.{name}" for name in _RECORDED)
_READERS: Final[Mapping[type[Any], Callable[[str], Any]]] = {
    ExactDecimal: Decimal,
    UtcDateTime: lambda text: datetime.fromisoformat(text).replace(tzinfo=UTC),
}
_TERM_READERS: Final = [(name, _READERS.get(type(orm.trades.c[name].type))) for name in TERMS]
WritePosition = Callable[[dict[str, Any], int], bool]
"""Writes the fields of a position over a version of it; False when the stored version is another."""


class SqlBulkLedger(BulkLedger):
    """The part of the bulk ledger that both databases share."""

    def __init__(self, session: Session, call: BulkCall, write_position: WritePosition) -> None:
        """Take the session and call of the unit of work, and a function that writes positions."""
        self.connection = session.connection()
        self.call = call
        self._session = session
        self._write_position = write_position
        self._executed: Executed = []

    @cached_property
    def _decisions(self) -> BulkDecisions:
        return BulkDecisions(self.connection, self.call)

    @override
    def open(self, symbols: Collection[str]) -> list[RunningPosition]:
        some = chunks(sorted(symbols))
        return [position for chunk in some for position in self._open(chunk)]

    @override
    def recorded(self, orders: Collection[OrderKey]) -> Iterator[RecordedFill]:
        found = self.connection.execute(self._find_recorded(sorted(orders)))
        # Unpacked in one step: a slice of a SQLAlchemy row takes twice as long as the rest of the loop.
        for (
            symbol,
            venue,
            order_id,
            execution_id,
            revision,
            status,
            id_,
            corrects_id,
            *terms,
        ) in found:
            name = FillName(symbol, venue, order_id, execution_id)
            read = self._read_terms(terms) if status == TradeStatus.EXECUTED else {}
            yield RecordedFill(name, revision, status, read, id_, corrects_id)

    def _read_terms(self, stored: Sequence[Any]) -> dict[str, Any]:
        """Return the values of `TERMS` as the driver gives them, by name."""
        return dict(zip(TERMS, stored, strict=True))

    @override
    def lock_decisions(self, ids: Collection[int]) -> set[int]:
        return self._decisions.lock_executable(ids)

    @override
    def is_written(self) -> bool:
        executed, self._executed = self._executed, []
        if not self._has_written():
            return False
        for id_, _ in executed:
            key = identity_key(AgentDecision, (self.call.account, id_))
            if key in self._session.identity_map:
                self._session.refresh(self._session.identity_map[key])
        return True

    def _expect(self, executed: Executed) -> None:
        """Note the decisions of the next write; those that were executed as entities are flushed before it."""
        self._executed = executed
        if executed:
            self._session.flush()

    def _write_new(self, executed: Executed, write: Callable[[], object]) -> bool:
        """Write trades and events, and execute decisions; False where a trade or a decision refuses that."""
        ids = {id_ for id_, _ in executed}
        if ids and self._decisions.lock(ids) < ids:
            return False

        def write_all() -> bool:
            write()
            return not executed or self._decisions.execute(executed)

        return all_new(self.connection, write_all)

    @abstractmethod
    def _has_written(self) -> bool:
        """Wait for the last write, and return whether everything in it was new."""

    @override
    def write(self, positions: Collection[RunningPosition]) -> None:
        # In the order in which trades lock positions, so that two writers cannot deadlock.
        for position in sorted(positions, key=lambda each: each.opened["symbol"]):
            if not self._write_position(position.settled(), position.opened["version"]):
                symbol = position.opened["symbol"]
                raise ConcurrentUpdate(f"the position in {symbol} changed while importing")

    @override
    def close(self) -> None:
        """Do nothing: no write is on its way."""

    @abstractmethod
    def _find_recorded(self, orders: Sequence[OrderKey]) -> TextClause:
        """Return the SELECT of the trades of these orders."""

    def _open(self, symbols: Sequence[str]) -> list[RunningPosition]:
        found = self._locked(symbols)
        missing = sorted(set(symbols) - found.keys())
        if missing:
            account, at = self.call.account, self.call.at
            flat = [Position(account=account, symbol=s, created_at=at) for s in missing]
            insert = insert_if_new(self._session, orm.positions)
            self.connection.execute(insert, [values_of(position) for position in flat])
            found |= self._locked(missing)
        unused = self._unused([s for s in symbols if not found[s]["sequence"]])
        most = max_ahead(self._session)
        return [RunningPosition(found[s], self.call.at, s in unused, most) for s in symbols]

    def _locked(self, symbols: Sequence[str]) -> dict[str, dict[str, Any]]:
        columns = orm.positions.c
        statement = select(orm.positions).where(
            columns.account == self.call.account, columns.symbol.in_(symbols)
        )
        if self.connection.dialect.name == "postgresql":
            statement = statement.order_by(columns.symbol.collate("C")).with_for_update()
        rows = self.connection.execute(statement).mappings()
        return {row["symbol"]: dict(row) for row in rows}

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
    """The bulk ledger by COPY; the unique key finds fills that were recorded meanwhile."""

    def __init__(self, session: Session, call: BulkCall, write_position: WritePosition) -> None:
        """Take the session and call of the unit of work, and a function that writes positions."""
        super().__init__(session, call, write_position)
        self._rows = CopyRows(call)
        self._is_staged = is_secured(self.connection)
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._writing: Future[bool] | None = None
        self._ids: list[int] = []
        self._largest_batch = 0

    @override
    def _find_recorded(self, orders: Sequence[OrderKey]) -> TextClause:
        # One index scan by order id for each order, whatever the planner's statistics: it never reorders
        # LATERAL with OFFSET, and no index serves IS NOT DISTINCT FROM.
        statement = text(
            f"""{_SELECT_RECORDED}
            FROM unnest(CAST(:symbols AS text[]), CAST(:venues AS text[]),
                CAST(:order_ids AS text[])) AS wanted (symbol, venue, order_id)
            CROSS JOIN LATERAL (SELECT * FROM trades WHERE account = :account
                AND order_id = wanted.order_id
                AND symbol IS NOT DISTINCT FROM wanted.symbol
                AND venue IS NOT DISTINCT FROM wanted.venue OFFSET 0) AS trades"""  # noqa: S608, names of ours
        )
        return statement.bindparams(
            account=self.call.account,
            symbols=[order.symbol for order in orders],
            venues=[order.venue for order in orders],
            order_ids=[order.order_id for order in orders],
        )

    @override
    def prepare(self, bookings: Sequence[Booking]) -> tuple[bytes, bytes, Executed]:
        self._largest_batch = max(self._largest_batch, len(bookings))
        if len(self._ids) < len(bookings):
            if self._writing is not None:
                wait([self._writing])  # the connection takes one statement at a time
            self._take_ids()
        ids, self._ids = self._ids[: len(bookings)], self._ids[len(bookings) :]
        trades: list[str] = []
        events: list[str] = []
        bookings = by_symbol(bookings)
        for trade, event in self._rows.rows(ids, bookings):
            trades.append(trade)
            events.append(event)
        return "".join(trades).encode(), "".join(events).encode(), executed_by(ids, bookings)

    @override
    def begin_write(self, prepared: tuple[bytes, bytes, Executed]) -> None:
        self._take_ids()
        self._expect(prepared[2])
        if self.connection.dialect.is_async:
            self._writing = Future()
            self._writing.set_result(self._write(*prepared))
        else:
            self._writing = self._thread.submit(self._write, *prepared)

    @override
    def _has_written(self) -> bool:
        writing, self._writing = self._writing, None
        return writing is None or writing.result()

    @override
    def close(self) -> None:
        self._thread.shutdown()

    def _write(self, trades: bytes, events: bytes, executed: Executed) -> bool:
        connection, rows, staged = self.connection, self._rows, self._is_staged

        def write() -> None:
            copy_rows(connection, "trades", rows.trade_columns, trades, staged=staged)
            copy_rows(connection, "events", rows.event_columns, events, staged=staged)

        return self._write_new(executed, write)

    def _take_ids(self) -> None:
        """Take ids for as many trades as the largest batch had; the end of the import loses the rest."""
        missing = self._largest_batch - len(self._ids)
        if missing > 0:
            self._ids += new_ids(self.connection, "trades", missing)


class SqliteBulkLedger(SqlBulkLedger):
    """The bulk ledger by one INSERT for each batch: there is no second writer and no server to wait for."""

    def __init__(self, session: Session, call: BulkCall, write_position: WritePosition) -> None:
        """Take the session and call of the unit of work, and a function that writes positions."""
        super().__init__(session, call, write_position)
        self._rows = SqliteRows(call, self.connection.dialect)
        self._is_written = True

    @override
    def _find_recorded(self, orders: Sequence[OrderKey]) -> TextClause:
        # SQLite never reorders a CROSS JOIN, so that each order is one look-up by the unique key.
        statement = text(
            f"""{_SELECT_RECORDED}
            FROM (SELECT value ->> 0 AS symbol, value ->> 1 AS venue,
                value ->> 2 AS order_id FROM json_each(:wanted)) AS wanted
            CROSS JOIN trades ON trades.account = :account
                AND trades.symbol = wanted.symbol AND trades.venue = wanted.venue
                AND trades.order_id = wanted.order_id"""  # noqa: S608, names of ours
        )
        wanted = dumps([[order.symbol, order.venue, order.order_id] for order in orders])
        return statement.bindparams(account=self.call.account, wanted=wanted)

    @override
    def _read_terms(self, stored: Sequence[Any]) -> dict[str, Any]:
        # Not by the column types, whose caches are for values that come again: 4 us a trade less.
        try:
            return {
                term: value if read is None else read(value)
                for (term, read), value in zip(_TERM_READERS, stored, strict=True)
            }
        except (ArithmeticError, TypeError, ValueError) as error:
            raise unreadable(stored, "the terms of a trade") from error

    @override
    def prepare(self, bookings: Sequence[Booking]) -> Sequence[Booking]:
        return by_symbol(bookings)

    @override
    def begin_write(self, prepared: Sequence[Booking]) -> None:
        ids = new_ids(self.connection, "trades", len(prepared))
        self._expect(executed_by(ids, prepared))
        self._is_written = self._write_new(self._executed, lambda: self._insert(ids, prepared))

    @override
    def _has_written(self) -> bool:
        return self._is_written

    def _insert(self, ids: Sequence[int], bookings: Sequence[Booking]) -> None:
        rows = list(self._rows.rows(ids, bookings))
        trades = insert_sql(orm.trades, self._rows.trade_columns)
        self.connection.exec_driver_sql(trades, [trade for trade, _ in rows])
        events = insert_sql(orm.events, self._rows.event_columns)
        self.connection.exec_driver_sql(events, [event for _, event in rows])


def by_symbol(bookings: Sequence[Booking]) -> list[Booking]:
    """Sort bookings by symbol, so that neighbours in the indexes are written together."""
    return sorted(bookings, key=lambda booking: booking.trade["symbol"])


def executed_by(ids: Iterable[int], bookings: Iterable[Booking]) -> Executed:
    """Return the decisions that bookings are the first of, with the ids of these trades."""
    pairs = zip(ids, bookings, strict=True)
    return [(booking.trade["decision_id"], id_) for id_, booking in pairs if booking.is_first]
