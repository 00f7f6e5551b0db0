"""What a careful engineer would write without a library: the same work in the same schema.

Lock and read the position, insert the trade, update the position, insert one event with the same evidence,
commit. The fold is the library's own, so that what is compared is everything around it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Generator, Iterable
from datetime import datetime
from decimal import Decimal
from itertools import count
from typing import Any

import asyncpg
import psycopg2
from sqlalchemy import URL

from benchmarks.fills import Fill, evidence
from tradebook.domain.accounting import Balance
from tradebook.domain.numbers import ONE, plain

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
    "WHERE account = %s AND symbol = %s AND id = %s AND version = %s"
)
EVENT = (
    "INSERT INTO events (account, created_at, updated_at, event_type, entity, entity_id, payload, "
    "actor, correlation_id, occurred_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
)

Step = tuple[str, tuple[Any, ...]]


def booking(
    fill: Fill, lock: str, number: Callable[[Decimal], Any], time: Callable[[datetime], Any]
) -> Generator[Step, Any, None]:
    """The four statements that book one fill; each is sent the row that it gave."""
    row = yield lock, (fill.account, fill.symbol)
    id_, sequence, version = row[0], row[6] + 1, row[7]
    before = Balance(*(Decimal(value) for value in row[1:6]))
    moved = before.apply(fill)  # type: ignore[arg-type]  # all that the fold reads of a trade
    after, now, realized = moved.balance, time(fill.at), moved.realized
    values = (fill.account, now, now, fill.symbol, "", fill.action, number(fill.quantity))
    values += (number(fill.price), number(fill.fee), "USD", "USD", number(ONE), "CASH", now)
    values += (fill.order_id, "", "", "{}", "EXECUTED", sequence, now, number(realized), 0)
    [trade_id] = yield TRADE, values
    totals = (after.quantity, after.cost_basis, after.realized_pnl, after.fees, after.cash_flow)
    status = "OPEN" if after.quantity else "CLOSED"
    changed = (*map(number, totals), sequence, version + 1, now, status)
    yield POSITION, (*changed, fill.account, fill.symbol, id_, version)
    payload = json.dumps(evidence(fill, sequence, before, moved))
    recorded = (fill.account, now, now, "TradeRecorded", "Trade", trade_id, payload, "", "", now)
    yield EVENT, recorded


def as_is(value: Any) -> Any:
    """What the driver takes as it is."""
    return value


def _plain_url(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


class Psycopg2:
    """Hand-written on psycopg2."""

    def __init__(self, url: URL) -> None:
        self.connection = psycopg2.connect(_plain_url(url))
        self.cursor = self.connection.cursor()

    def record(self, fill: Fill) -> None:
        steps = booking(fill, LOCK + " FOR UPDATE", as_is, as_is)
        step: Step | None = next(steps)
        while step is not None:
            self.cursor.execute(*step)
            row = self.cursor.fetchone() if self.cursor.description else None
            step = _after(steps, row)
        self.connection.commit()

    def close(self) -> None:
        self.connection.close()


NARROW = """
CREATE TABLE my_trades (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, symbol text NOT NULL, side text NOT NULL,
    quantity numeric NOT NULL, price numeric NOT NULL, fee numeric NOT NULL, realized numeric NOT NULL,
    order_id text NOT NULL UNIQUE, executed_at timestamptz NOT NULL);
CREATE INDEX my_trades_symbol ON my_trades (symbol, executed_at);
CREATE TABLE my_positions (symbol text PRIMARY KEY, quantity numeric NOT NULL, cost_basis numeric NOT NULL,
    realized_pnl numeric NOT NULL, fees numeric NOT NULL, cash_flow numeric NOT NULL);
CREATE TABLE my_events (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, trade_id bigint NOT NULL,
    payload jsonb NOT NULL, at timestamptz NOT NULL DEFAULT now())
"""
"""Three tables as a user would make for himself: one account, no venue, no evidence of what was there before."""


class NarrowPsycopg2:
    """Hand-written on psycopg2 and a narrow schema: four statements, the fold the library's own."""

    def __init__(self, url: URL, symbols: Iterable[str]) -> None:
        self.connection = psycopg2.connect(_plain_url(url))
        self.cursor = self.connection.cursor()
        self.cursor.execute(NARROW)
        for symbol in symbols:
            self.cursor.execute("INSERT INTO my_positions VALUES (%s, 0, 0, 0, 0, 0)", (symbol,))
        self.connection.commit()

    def record(self, fill: Fill) -> None:
        run = self.cursor.execute
        run(
            "SELECT quantity, cost_basis, realized_pnl, fees, cash_flow FROM my_positions "
            "WHERE symbol = %s FOR UPDATE",
            (fill.symbol,),
        )
        moved = Balance(*self.cursor.fetchone()).apply(fill)  # type: ignore[arg-type, misc]
        run(
            "INSERT INTO my_trades (symbol, side, quantity, price, fee, realized, order_id, executed_at) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s) RETURNING id",
            (
                *(fill.symbol, fill.action, fill.quantity, fill.price, fill.fee),
                *(moved.realized, fill.order_id, fill.at),
            ),
        )
        [trade_id] = self.cursor.fetchone()  # type: ignore[misc]
        run(
            "UPDATE my_positions SET quantity = %s, cost_basis = %s, realized_pnl = %s, fees = %s, "
            "cash_flow = %s WHERE symbol = %s",
            (*moved.balance, fill.symbol),
        )
        payload = {
            "symbol": fill.symbol,
            "quantity": plain(fill.quantity),
            "price": plain(fill.price),
        }
        run(
            "INSERT INTO my_events (trade_id, payload) VALUES (%s, %s)",
            (trade_id, json.dumps(payload)),
        )
        self.connection.commit()

    def close(self) -> None:
        self.connection.close()


class Asyncpg:
    """Hand-written on asyncpg, which prepares statements by itself."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection

    @classmethod
    async def connect(cls, url: URL) -> Asyncpg:
        return cls(await asyncpg.connect(_plain_url(url)))

    async def record(self, fill: Fill) -> None:
        async with self.connection.transaction():
            steps = booking(fill, LOCK + " FOR UPDATE", as_is, as_is)
            step: Step | None = next(steps)
            while step is not None:
                row = await self.connection.fetchrow(_numbered(step[0]), *step[1])
                step = _after(steps, row)

    async def close(self) -> None:
        await self.connection.close()


class Sqlite3:
    """Hand-written on sqlite3, as durable: WAL, synchronous=FULL."""

    def __init__(self, path: str, *, timeout: float = 5, any_thread: bool = False) -> None:
        self.connection = sqlite3.connect(
            path, timeout, isolation_level=None, check_same_thread=not any_thread
        )
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("PRAGMA synchronous=FULL")
        self.connection.execute("PRAGMA foreign_keys=ON")

    def record(self, fill: Fill) -> None:
        self.connection.execute("BEGIN IMMEDIATE")
        steps = booking(fill, LOCK, plain, datetime.isoformat)
        step: Step | None = next(steps)
        while step is not None:
            row = self.connection.execute(_marked(step[0]), step[1]).fetchone()
            step = _after(steps, row)
        self.connection.execute("COMMIT")

    def close(self) -> None:
        self.connection.close()


def _after(steps: Generator[Step, Any, None], row: Any) -> Step | None:
    try:
        return steps.send(row)
    except StopIteration:
        return None


_rewritten: dict[str, str] = {}


def _numbered(statement: str) -> str:
    """With the placeholders of asyncpg."""
    if statement not in _rewritten:
        numbers = count(1)
        parts = statement.split("%s")
        _rewritten[statement] = parts[0] + "".join(f"${next(numbers)}{p}" for p in parts[1:])
    return _rewritten[statement]


def _marked(statement: str) -> str:
    """With the placeholders of sqlite3."""
    return statement.replace("%s", "?")
