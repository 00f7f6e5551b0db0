"""What a careful engineer would write without a library: the same work in the same schema.

Lock and read the position, insert the trade, update the position, insert one event, commit. The fold
is the library's own, so that what is compared is the storage.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg2
from sqlalchemy import URL

from tradebook.domain.accounting import Balance
from tradebook.domain.numbers import plain
from tradebook.domain.trades import Trade

LOCK = (
    "SELECT id, quantity, cost_basis, realized_pnl, fees, cash_flow, sequence, version "
    "FROM positions WHERE account = %s AND symbol = %s"
)
TRADE_COLUMNS = (
    "account, created_at, updated_at, symbol, venue, action, quantity, price, fee, currency, "
    "fee_currency, multiplier, settlement, executed_at, order_id, execution_id, strategy, details, "
    "status, sequence, booked_at, realized_pnl, revision"
)
TRADE = (
    f"INSERT INTO trades ({TRADE_COLUMNS}) VALUES ({', '.join(['%s'] * 23)}) "
    "ON CONFLICT DO NOTHING RETURNING id"
)
POSITION = (
    "UPDATE positions SET quantity = %s, cost_basis = %s, realized_pnl = %s, fees = %s, "
    "cash_flow = %s, sequence = %s, version = %s, updated_at = %s, status = %s "
    "WHERE account = %s AND id = %s AND version = %s"
)
EVENT = (
    "INSERT INTO events (account, created_at, updated_at, event_type, entity, entity_id, payload, "
    "actor, correlation_id, occurred_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
)

Execute = Callable[[str, tuple[Any, ...]], Any]


def book(execute: Execute, lock: str, number: Callable[[Decimal], Any], trade: Trade) -> None:
    """Book one trade with four statements; the caller begins and commits."""
    row = execute(lock, (trade.account, trade.symbol)).fetchone()
    id_, sequence, version = row[0], row[6] + 1, row[7]
    before = Balance(*(Decimal(value) for value in row[1:6]))
    after = before.after(trade)
    now, realized = trade.executed_at.isoformat(), after.realized_pnl - before.realized_pnl
    values = (trade.account, now, now, trade.symbol, "", trade.action, number(trade.quantity))
    values += (number(trade.price), number(trade.fee), "USD", "USD", number(Decimal(1)), "CASH")
    values += (now, trade.order_id, "", "", "{}", "EXECUTED", sequence, now, number(realized), 0)
    [trade_id] = execute(TRADE, values).fetchone()
    totals = (after.quantity, after.cost_basis, after.realized_pnl, after.fees, after.cash_flow)
    status = "OPEN" if after.quantity else "CLOSED"
    changed = (*map(number, totals), sequence, version + 1, now, status)
    execute(POSITION, (*changed, trade.account, id_, version))
    payload = json.dumps({"price": plain(trade.price), "quantity": plain(trade.quantity)})
    execute(
        EVENT,
        (trade.account, now, now, "TradeRecorded", "Trade", trade_id, payload, "", "", now),
    )


class Psycopg2:
    """Hand-written on psycopg2."""

    def __init__(self, url: URL) -> None:
        plain_url = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self.connection = psycopg2.connect(plain_url)
        self.cursor = self.connection.cursor()

    def record(self, trade: Trade) -> None:
        book(self._execute, LOCK + " FOR UPDATE", lambda value: value, trade)
        self.connection.commit()

    def _execute(self, statement: str, values: tuple[Any, ...]) -> Any:
        self.cursor.execute(statement, values)
        return self.cursor

    def close(self) -> None:
        self.connection.close()


class Sqlite3:
    """Hand-written on sqlite3, as durable: WAL, synchronous=FULL."""

    def __init__(self, path: str) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("PRAGMA synchronous=FULL")
        self.connection.execute("PRAGMA foreign_keys=ON")

    def record(self, trade: Trade) -> None:
        self.connection.execute("BEGIN IMMEDIATE")
        book(self._execute, LOCK, plain, trade)
        self.connection.execute("COMMIT")

    def _execute(self, statement: str, values: tuple[Any, ...]) -> Any:
        return self.connection.execute(statement.replace("%s", "?"), values)

    def close(self) -> None:
        self.connection.close()


def new_trade(account: str, symbol: str, order_id: str, price: int) -> Trade:
    """A trade as the benchmarks book it."""
    return Trade(
        account=account,
        symbol=symbol,
        action="BUY",
        quantity=1,
        price=price,
        order_id=order_id,
        executed_at=datetime.now(UTC),
    )
