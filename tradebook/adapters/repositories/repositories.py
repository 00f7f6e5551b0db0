"""The repositories of each kind of record, on a SQLAlchemy session."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from itertools import chain
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    bindparam,
    func,
    literal_column,
    or_,
    select,
)
from typing_extensions import override

from tradebook.adapters import orm
from tradebook.adapters.repositories import price_reads
from tradebook.adapters.repositories.base import SqlRecords, SqlRepository, is_false
from tradebook.adapters.repositories.bulk_insert import insert_rows, new_ids
from tradebook.adapters.repositories.decisions import (
    SqlDecisionInputRepository,
    SqlDecisionRepository,
    SqlSignalRepository,
)
from tradebook.adapters.repositories.entity_rows import (
    add_if_new,
    chunks,
)
from tradebook.adapters.repositories.events import SqlEventRepository
from tradebook.adapters.repositories.seals import SqlSealRepository
from tradebook.domain.accounting import BookedTrade
from tradebook.domain.agents import AgentDecision
from tradebook.domain.alerts import Alert
from tradebook.domain.cash import Account
from tradebook.domain.decision_inputs import DecisionInput
from tradebook.domain.entity import Entity
from tradebook.domain.events import Event
from tradebook.domain.fill_results import Bust
from tradebook.domain.portfolio import Portfolio, PortfolioPosition, PositionRow
from tradebook.domain.positions import Position, PositionStatus
from tradebook.domain.seals import Seal
from tradebook.domain.signals import Signal
from tradebook.domain.trades import OrderKey, Trade, TradeStatus
from tradebook.service_layer.ports.paging import BATCH
from tradebook.service_layer.ports.repositories import (
    AccountRepository,
    Corrections,
    PortfolioRepository,
    PositionRepository,
    RecordedPrice,
    TradeRepository,
)

_SYMBOLS: Final = 100
"""The most symbols in one statement."""


class SqlTradeRepository(SqlRepository[Trade], TradeRepository):
    """Trades, pending and booked."""

    @override
    def of_order(self, order_id: str) -> list[Trade]:
        columns = self.table.c
        return self.fetch(self.where(columns.order_id == order_id).order_by(columns.id))

    @override
    def of_order_key(self, key: OrderKey, *, limit: int) -> list[Trade]:
        values = {"of_account": self.account, "at_most": limit, **key._asdict()}
        return self.fetch(_of_order_key(self._reads_rows), values)

    @override
    def keys_of(self, order_id: str, *, limit: int) -> list[OrderKey]:
        # Whole rows: of the key alone SQLite without statistics reads the unique index of all trades.
        found = self.fetch(self.where(self.table.c.order_id == order_id).limit(limit))
        return [trade.order_key for trade in found]

    @override
    def of_open_orders(self) -> list[Trade]:
        columns = self.table.c
        # As text, not as a parameter: only so does SQLite use the index of pending orders.
        pending = self._select(columns.order_id, literal_column("status = 'PENDING'"))
        ids = sorted(set(self.session.scalars(pending)))
        found = (self.fetch(self.where(columns.order_id.in_(chunk))) for chunk in chunks(ids))
        return sorted(chain.from_iterable(found), key=lambda trade: trade.id)

    @override
    def unbooked(self) -> Iterator[list[Trade]]:
        columns, after = self.table.c, -(2**63)
        never = self.where(columns.sequence.is_(None)).order_by(columns.id).limit(BATCH)
        while found := self.fetch(never.where(columns.id > after)):
            yield found
            if len(found) < BATCH:
                return
            after = found[-1].id

    @override
    def booked(self, symbol: str, *, after: int = 0, limit: int = BATCH) -> list[BookedTrade]:
        self.session.flush()  # a Core statement does not flush by itself
        columns = self.table.c
        statement = (
            select(*(columns[name] for name in BookedTrade._fields))
            .where(columns.account == self.account, columns.symbol == symbol)
            .where(columns.sequence > after)
            .order_by(columns.sequence)
            .limit(limit)
        )
        return [*map(BookedTrade._make, self.session.connection().execute(statement))]

    @override
    def _of_decisions(
        self, decision_ids: Sequence[int], after: int, limit: int
    ) -> list[BookedTrade]:
        self.session.flush()
        columns = self.table.c
        # Without `IS NOT NULL`, which SQLite would take as the range to search in the index.
        statement = (
            select(*(columns[name] for name in BookedTrade._fields))
            .where(columns.account == self.account, columns.decision_id.in_(decision_ids))
            .where(columns.status == TradeStatus.EXECUTED, *([columns.id > after] if after else []))
            .order_by(columns.decision_id, columns.id)
            .limit(limit)
        )
        return [*map(BookedTrade._make, self.session.connection().execute(statement))]

    @override
    def _prices(
        self, symbol: str, start: datetime, end: datetime, after: RecordedPrice | None, limit: int
    ) -> list[RecordedPrice]:
        statement = price_reads.trade_prices
        period = (symbol, start, end, after, limit)
        return price_reads.page(self.session, statement, self.account, *period)

    @override
    def count_booked(self, symbol: str | None = None) -> int:
        columns = self.table.c
        of_symbol = [] if symbol is None else [columns.symbol == symbol]
        return self._number(func.count(), columns.sequence.is_not(None), *of_symbol)

    @override
    def booked_symbols(self) -> list[str]:
        columns = self.table.c
        booked = self._select(columns.symbol, columns.sequence.is_not(None))
        return sorted(self.session.scalars(booked.distinct()))

    @override
    def correcting(self, ids: Collection[int]) -> list[Trade]:
        corrected = self.table.c.corrects_id
        return self.fetch(self.where(corrected.is_not(None), corrected.in_(ids)))

    @override
    def corrections(self, symbol: str) -> Corrections:
        columns = self.table.c
        busted, correcting = columns.bust_sequence.is_not(None), columns.corrects_id.is_not(None)
        busts = self._select(columns.bust_sequence, columns.symbol == symbol, busted)
        bookings = self._select(columns.sequence, columns.symbol == symbol, correcting)
        return Corrections(
            busts=sorted(self.session.scalars(busts)),
            bookings=sorted(self.session.scalars(bookings)),
        )

    @override
    def last_entry(self, symbol: str, time: datetime) -> int:
        columns = self.table.c
        entries = (columns.sequence, columns.booked_at), (columns.bust_sequence, columns.busted_at)
        return max(
            self._number(func.max(entry), columns.symbol == symbol, entry.is_not(None), at <= time)
            for entry, at in entries
        )

    @override
    def busted_after(self, sequences: Mapping[str, int]) -> list[Trade]:
        columns = self.table.c
        found: list[Trade] = []
        for symbols in chunks(sorted(sequences), _SYMBOLS):
            later = [
                and_(
                    columns.symbol == symbol,
                    columns.sequence <= sequences[symbol],
                    columns.bust_sequence > sequences[symbol],
                )
                for symbol in symbols
            ]
            found += self.fetch(self.where(columns.bust_sequence.is_not(None), or_(*later)))
        return sorted(found, key=lambda trade: (trade.symbol, trade.bust_sequence or 0))

    @override
    def newest_booked(self, symbol: str, *, limit: int) -> list[Trade]:
        columns = self.table.c
        booked = self.where(columns.symbol == symbol, columns.sequence.is_not(None))
        return self.fetch(booked.order_by(columns.sequence.desc()).limit(limit))

    @override
    def busts_after(self, symbol: str, sequence: int, *, limit: int) -> list[Bust]:
        self.session.flush()  # a Core statement does not flush by itself
        values = {"of_account": self.account, "of_symbol": symbol, "after": sequence}
        found = self.session.connection().execute(_busts_after(), {**values, "at_most": limit})
        return [*map(Bust._make, found)]


@cache
def _of_order_key(reads_rows: bool) -> Select[Any]:
    """Return the statement of one order's trades, in the order of the unique key.

    In any other order SQLite without statistics reads the whole symbol by time: 80 ms of 100,000 trades, not 0.1.
    """
    columns = orm.trades.c
    found: Select[Any] = select(orm.trades if reads_rows else Trade)
    return (
        found.where(
            columns.account == bindparam("of_account"),
            columns.symbol == bindparam("symbol"),
            columns.venue == bindparam("venue"),
            columns.order_id == bindparam("order_id"),
        )
        .order_by(columns.execution_id, columns.revision)
        .limit(bindparam("at_most"))
    )


@cache
def _busts_after() -> Select[Any]:
    columns = orm.trades.c
    return (
        select(columns.sequence, columns.bust_sequence)
        .where(columns.account == bindparam("of_account"), columns.symbol == bindparam("of_symbol"))
        .where(columns.bust_sequence > bindparam("after"))
        .order_by(columns.bust_sequence)
        .limit(bindparam("at_most"))
    )


class SqlPositionRepository(SqlRepository[Position], PositionRepository):
    """Positions; the ledger writes them."""

    @override
    def by_symbol(self, symbol: str) -> Position | None:
        columns = self.table.c
        return self._first(self.where(columns.symbol == symbol, columns.sequence > 0))

    @override
    def all(self, *, open_only: bool = False) -> list[Position]:
        columns = self.table.c
        conditions = [columns.status == PositionStatus.OPEN] if open_only else []
        # Sorted here: databases sort text by collations of their own.
        return sorted(
            self.fetch(self.where(columns.sequence > 0, *conditions)), key=lambda p: p.symbol
        )


class SqlPortfolioRepository(SqlRepository[Portfolio], PortfolioRepository):
    """Snapshots of the portfolio, each with its positions."""

    @override
    def add(self, entity: Portfolio, positions: Sequence[PositionRow] = ()) -> Portfolio:
        add_if_new(self.session, entity)
        if positions:
            connection, table = self.session.connection(), orm.portfolio_positions
            ids = new_ids(connection, table.name, len(positions))
            for row, id_ in zip(positions, ids, strict=True):
                row.update(id=id_, portfolio_id=entity.id)
            insert_rows(connection, table, positions)
        return entity

    @override
    def positions_of(self, portfolio_ids: Collection[int]) -> list[PortfolioPosition]:
        columns = orm.portfolio_positions.c
        rows = self._positions(columns.portfolio_id.in_(portfolio_ids))
        return sorted(rows, key=lambda row: (row.portfolio_id, row.symbol))

    @override
    def positions_in(self, symbol: str) -> list[PortfolioPosition]:
        rows = self._positions(orm.portfolio_positions.c.symbol == symbol)
        return sorted(rows, key=lambda row: (row.sequence, row.portfolio_id))

    @override
    def _prices(
        self, symbol: str, start: datetime, end: datetime, after: RecordedPrice | None, limit: int
    ) -> list[RecordedPrice]:
        statement = price_reads.snapshot_prices
        period = (symbol, start, end, after, limit)
        return price_reads.page(self.session, statement, self.account, *period)

    def _positions(self, condition: ColumnElement[bool]) -> list[PortfolioPosition]:
        rows = SqlRecords(self.session, self.account, PortfolioPosition)
        return rows.fetch(rows.where(condition))


class SqlAlertRepository(SqlRepository[Alert]):
    """Alerts, one unresolved for each deduplication key."""

    @override
    def add_all(self, entities: Sequence[Alert]) -> list[Alert]:
        self.session.flush()
        return super().add_all(entities)

    @override
    def add(self, entity: Alert) -> Alert:
        self.session.flush()  # an alert resolved in this unit of work no longer holds its key
        return super().add(entity)

    def _identity(self, entity: Alert) -> Sequence[ColumnElement[bool]]:
        return [self.table.c.dedup_key == entity.dedup_key, is_false(self.table.c.resolved)]


class SqlAccountRepository(SqlRepository[Account], AccountRepository):
    """The one account of the unit of work, and the list of all."""

    @override
    def current(self) -> Account | None:
        return self._first(self.where())

    @override
    def everywhere(self) -> list[Account]:
        selected: Select[Any] = select(self.table if self._reads_rows else self.kind)
        # Sorted here: databases sort text by collations of their own.
        return sorted(self.fetch(selected), key=lambda account: account.account)


REPOSITORY_CLASSES: Final[Mapping[type[Entity], type[Any]]] = {
    Account: SqlAccountRepository,
    AgentDecision: SqlDecisionRepository,
    Alert: SqlAlertRepository,
    DecisionInput: SqlDecisionInputRepository,
    Event: SqlEventRepository,
    Portfolio: SqlPortfolioRepository,
    Position: SqlPositionRepository,
    Seal: SqlSealRepository,
    Signal: SqlSignalRepository,
    Trade: SqlTradeRepository,
}
"""The repository of each kind of record that has more than the common methods."""
