"""The ledger on SQL: a position is locked, trades are applied to it in Python, and all is written together."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    BindParameter,
    CompoundSelect,
    RowMapping,
    Select,
    bindparam,
    func,
    literal,
    null,
    select,
    type_coerce,
    union_all,
    update,
)
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import flag_modified, set_committed_value
from typing_extensions import override

from tradebook.adapters import orm
from tradebook.adapters.ledger.autocommit import Sender
from tradebook.adapters.ledger.bulk_ledger import PostgresqlBulkLedger, SqliteBulkLedger
from tradebook.adapters.ledger.bulk_rows import BulkCall
from tradebook.adapters.ledger.position_cache import PositionCache
from tradebook.adapters.ledger.single_trade import write_trade
from tradebook.adapters.ledger.trade_sql import FIXED
from tradebook.adapters.repositories.entity_rows import (
    UNCOMMITTED,
    as_stored,
    attach,
    bring_up_to_date,
    chunks,
    columns_of,
    insert_all,
    insert_if_new,
    remember,
    values_of,
    write_marks,
)
from tradebook.adapters.repositories.read_sessions import entities_from
from tradebook.adapters.sessions.write_guard import permitted
from tradebook.adapters.types import ExactDecimal
from tradebook.domain.cash import CashFlowKind, cash_totals
from tradebook.domain.errors import ConcurrentUpdate
from tradebook.domain.events import Event
from tradebook.domain.portfolio import BOOK, Holdings
from tradebook.domain.positions import Position
from tradebook.domain.trades import OrderKey, Trade, TradeStatus
from tradebook.service_layer.call_context import CallContext
from tradebook.service_layer.gc_pause import no_collecting
from tradebook.service_layer.ports.ledger import BulkLedger, Ledger, OpenPosition

_ACCOUNT: Final = "account"
"""The `kind` of the account's row among those of cash flows."""


class SqlLedger(Ledger):
    """A ledger with pessimistic locks: a position that `open` returns cannot change until the unit of work ends."""

    def __init__(
        self,
        session: Session,
        account: str,
        context: CallContext,
        position_cache: PositionCache | None = None,
    ) -> None:
        """Take the session, account and call of the unit of work, and the cache that it fills when it commits."""
        self.session = session
        self.account = account
        self.at = context.at
        self._position_cache = position_cache
        self._written: dict[str, Mapping[str, Any]] = {}

    def committed(self) -> None:
        """Put the positions that were written and are now committed into the cache."""
        if self._position_cache is not None:
            for position in self._written.values():
                self._position_cache.keep(position)
        self._written.clear()

    def rolled_back(self) -> None:
        """Drop the positions that were written and are now rolled back."""
        self._written.clear()

    @override
    def open(self, symbol: str, orders: Collection[OrderKey]) -> OpenPosition:
        position = self._locked(symbol)
        if position is None:
            flat = values_of(Position(account=self.account, symbol=symbol, created_at=self.at))
            self.session.connection().execute(insert_if_new(self.session, orm.positions), flat)
            position = self._locked(symbol)
            assert position is not None  # positions are never removed
        base_currency = None if position.has_trades else self._base_currency()
        trades = tuple(self._of_orders(symbol, orders))
        return OpenPosition(position, trades, dict(vars(position)), base_currency)

    def _base_currency(self) -> str | None:
        accounts = orm.accounts.c
        statement = select(accounts.base_currency).where(accounts.account == self.account)
        return self.session.connection().scalar(statement)

    @override
    def book(self, opened: OpenPosition, bookings: Sequence[tuple[Trade, Event]]) -> bool:
        if not self._booked(opened, bookings):
            return False
        bring_up_to_date(self.session, opened.position, columns_of(Position))
        self._written[opened.position.symbol] = vars(opened.position)
        return True

    def _booked(self, opened: OpenPosition, bookings: Sequence[tuple[Trade, Event]]) -> bool:
        orders = [trade for trade, _ in bookings if trade.id is not None]
        if len(bookings) == 1 and not orders:
            return self._book_one(opened, *bookings[0])
        if not self._write(vars(opened.position), opened.opened["version"]):
            for trade in orders:
                self.session.expire(trade)  # stored, it is still the pending order
            return False
        if orders:
            for trade in orders:
                # One statement for busted trades with P&L and for those without.
                if trade.status is TradeStatus.BUSTED:
                    flag_modified(trade, "realized_pnl")
            with permitted(self.session, orders):
                self.session.flush()
        self._insert([trade for trade, _ in bookings if trade.id is None])
        for trade, event in bookings:
            event.entity_id = trade.id
        insert_all(self.session, [event for _, event in bookings])
        return True

    def _book_one(self, opened: OpenPosition, trade: Trade, event: Event) -> bool:
        sender = Sender.from_connection(self.session.connection())
        ids = write_trade(sender, opened.opened, vars(opened.position), vars(trade), vars(event))
        if ids is None:
            return False
        trade.set_unchecked(id=ids[0])
        event.set_unchecked(id=ids[1], entity_id=ids[0])
        attach(self.session, trade)
        remember(self.session, event, event.id)
        return True

    @override
    def bulk(self, context: CallContext) -> BulkLedger:
        call = BulkCall(self.account, self.at, context.actor, context.correlation_id)
        on_sqlite = self.session.get_bind().dialect.name == "sqlite"
        kind = SqliteBulkLedger if on_sqlite else PostgresqlBulkLedger
        return kind(self.session, call, self._write_settled)

    def _write_settled(self, values: dict[str, Any], version: int) -> bool:
        if not self._write(values, version):
            return False
        self.session.info[UNCOMMITTED] = True
        bring_up_to_date(self.session, as_stored(Position, values), columns_of(Position))
        self._written[values["symbol"]] = values
        return True

    @override
    def restate(self, realized_pnl: Mapping[int, Decimal]) -> None:
        if not realized_pnl:
            return
        columns = orm.trades.c
        statement = (
            update(orm.trades)
            .where(columns.account == self.account, columns.id == bindparam("of_id"))
            .values(realized_pnl=bindparam("realized"))
        )
        restated = [{"of_id": id_, "realized": pnl} for id_, pnl in realized_pnl.items()]
        self.session.connection().execute(statement, restated)
        for trade in self.session.identity_map.values():
            if isinstance(trade, Trade) and trade.id in realized_pnl:
                set_committed_value(trade, "realized_pnl", realized_pnl[trade.id])

    @override
    def marked(self, symbols: Collection[str]) -> list[Position]:
        found: list[Position] = []
        for chunk in chunks(sorted(symbols)):
            columns = orm.positions.c
            traded = _positions_of(self.account).where(
                columns.symbol.in_(chunk), columns.sequence > 0
            )
            found += self._positions(traded)
        return sorted(found, key=lambda position: position.symbol)

    @override
    def mark(self, positions: Collection[Position]) -> None:
        write_marks(self.session, positions)

    @override
    def holdings(self, account: str | None = None) -> Holdings:
        of = {"of_account": self.account if account is None else account}
        width = len(columns_of(Position))
        with no_collecting():
            rows = self.session.connection().execute(_holdings(), of).all()
            held_rows = [row[:width] for row in rows if row.kind is None]
            positions = entities_from(Position, held_rows)
        others = [row for row in rows if row.kind is not None]
        known = next((row for row in others if row.kind == _ACCOUNT), None)
        cash = [row for row in others if row is not known]
        return Holdings(
            positions=tuple(sorted(positions, key=lambda position: position.symbol)),
            cash=cash_totals((row.currency, CashFlowKind(row.kind), row.total) for row in cash),
            base_currency=None if known is None else known.currency,
            snapshot_at=None if known is None else known.updated_at,
            cash_flows=(
                sum(row.flows for row in cash),
                max((row.last_flow for row in cash), default=0),
            ),
        )

    def _positions(self, statement: Select[Any]) -> list[Position]:
        rows = self.session.connection().execute(statement).mappings()
        return [_position(row) for row in rows]

    def _locked(self, symbol: str) -> Position | None:
        found = (
            _positions_of(self.account).where(orm.positions.c.symbol == symbol).with_for_update()
        )
        return next(iter(self._positions(found)), None)

    def _of_orders(self, symbol: str, orders: Collection[OrderKey]) -> Iterator[Trade]:
        columns = orm.trades.c
        for venue in sorted({order.venue for order in orders}):
            ids = sorted(order.order_id for order in orders if order.venue == venue)
            for chunk in chunks(ids):
                statement = (
                    select(Trade)
                    .where(
                        columns.account == self.account,
                        columns.symbol == symbol,
                        columns.venue == venue,
                        columns.order_id.in_(chunk),
                    )
                    .execution_options(populate_existing=True)
                )
                # Sorted here: with ORDER BY id SQLite scans the account by id instead of the order's index.
                yield from sorted(self.session.scalars(statement), key=lambda trade: trade.id)

    def _write(self, position: Mapping[str, Any], version: int) -> bool:
        columns = orm.positions.c
        values = {name: position[name] for name in columns_of(Position) if name not in FIXED}
        statement = (
            update(orm.positions)
            .where(
                columns.account == bindparam("of_account"),
                columns.id == bindparam("of_id"),
                columns.version == bindparam("of_version"),
            )
            .values({name: bindparam(name) for name in values})
        )
        key = {"of_account": position["account"], "of_id": position["id"], "of_version": version}
        return self.session.connection().execute(statement, {**values, **key}).rowcount == 1

    def _insert(self, trades: list[Trade]) -> None:
        if not trades:
            return
        columns = orm.trades.c
        statement = insert_if_new(self.session, orm.trades).returning(columns.id, columns.sequence)
        rows = self.session.connection().execute(statement, [values_of(t) for t in trades])
        ids = {sequence: id_ for id_, sequence in rows}
        if len(ids) < len(trades):
            # One was recorded without the position's lock, by other means than a ledger.
            raise ConcurrentUpdate("a trade of this symbol was recorded at the same time")
        for trade in trades:
            trade.id = ids[trade.sequence]
            attach(self.session, trade)


def _position(row: RowMapping) -> Position:
    return as_stored(Position, {name: row[name] for name in columns_of(Position)})


def _positions_of(account: Any, *extra: Any) -> Select[Any]:
    return select(*orm.positions.c, *extra).where(orm.positions.c.account == account)


@cache
def _holdings() -> CompoundSelect[Any]:
    """Build the statement of `holdings`, which takes as long as to make 1,000 positions of its rows.

    One statement is one instant, whatever the isolation level.
    """
    flows = orm.cash_flows.c
    of: BindParameter[str] = bindparam("of_account")
    held = _positions_of(
        of,
        null().label("kind"),
        type_coerce(null(), ExactDecimal()).label("total"),
        null().label("flows"),
        null().label("last_flow"),
    ).where(orm.positions.c.sequence > 0)
    cash = (
        select(
            *(flows.currency if c.name == "currency" else null() for c in orm.positions.c),
            flows.kind,
            func.sum(flows.amount),
            func.count(),
            func.max(flows.id),
        )
        .where(flows.account == of)
        .group_by(flows.currency, flows.kind)
    )
    return union_all(held, cash, _account_row(of))


def _account_row(account: Any) -> Select[Any]:
    """Select the base currency and the time of the last snapshot, in the columns of positions."""
    taken = orm.portfolios.c
    last = (
        select(taken.timestamp)
        .where(taken.account == account, taken.source == BOOK)
        .order_by(taken.timestamp.desc(), taken.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    known = {"currency": orm.accounts.c.base_currency, "updated_at": last}
    columns = (known.get(column.name, null()) for column in orm.positions.c)
    return select(*columns, literal(_ACCOUNT), null(), null(), null()).where(
        orm.accounts.c.account == account
    )
