"""Books with many trades, made by the server itself, and as right as if every one had been recorded.

Over and over each symbol is bought twice at 100 and sold once at 101 and once at 102, so that what is realized
is known without a fold. `verify` proves such a book.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime

import psycopg2
from sqlalchemy import URL

from benchmarks.one_trade import symbols
from tradebook import DatabaseManager

PREFIX = "S"
FIRST = datetime(2020, 1, 1, tzinfo=UTC)

_TRADES = """
INSERT INTO trades (account, created_at, updated_at, symbol, venue, action, quantity, price, fee, currency,
    fee_currency, multiplier, settlement, executed_at, order_id, execution_id, strategy, details, status, sequence,
    booked_at, realized_pnl, revision)
SELECT 'main', now(), now(), '{prefix}' || number, '', CASE step WHEN 0 THEN 'BUY' ELSE 'SELL' END,
    CASE step WHEN 0 THEN 2 ELSE 1 END, 100 + step, 0, 'USD', 'USD', 1, 'CASH',
    timestamptz '{first}' + interval '1 second' * (sequence * {symbols} + number),
    'filled-' || sequence, '', '', '{{}}', 'EXECUTED', sequence, now(), step, 0
FROM generate_series(2, {each}) AS sequence, generate_series(0, {symbols} - 1) AS number,
    LATERAL (SELECT (sequence - 1) % 3 AS step) AS steps
"""
_EVENTS = """
INSERT INTO events (account, created_at, updated_at, event_type, entity, entity_id, payload, actor, correlation_id,
    occurred_at)
SELECT account, created_at, updated_at, 'TradeRecorded', 'Trade', id, jsonb_build_object('symbol', symbol,
    'order_id', order_id, 'execution_id', '', 'action', action, 'quantity', quantity::text, 'price', price::text,
    'fee', '0', 'currency', 'USD', 'executed_at', executed_at, 'sequence', sequence, 'realized_pnl',
    realized_pnl::text, 'effect', 'INCREASED', 'quantity_before', '1', 'quantity_after', '2'), '', '', executed_at
FROM trades WHERE sequence > 1
"""
_POSITIONS = """
UPDATE positions SET quantity = {quantity}, cost_basis = 100 * {quantity}, realized_pnl = {realized},
    cash_flow = {realized} - 100 * {quantity}, sequence = {each}, version = version + {each} - 1,
    updated_at = newest.booked_at, opened_at = opening.executed_at,
    current_price = newest.price, marked_at = newest.executed_at
FROM trades AS opening, trades AS newest
WHERE opening.account = positions.account AND opening.symbol = positions.symbol AND opening.sequence = {opening}
    AND newest.account = positions.account AND newest.symbol = positions.symbol AND newest.sequence = {each}
"""


@contextmanager
def filled(url: URL, trades: int, many: int = 500) -> Iterator[DatabaseManager]:
    """A book of at least so many trades over so many symbols, every position open."""
    each = max(1, trades // many)
    each += each % 3 == 0  # its positions would be closed
    with DatabaseManager(url) as manager:
        manager.upgrade()
        for symbol in symbols(PREFIX, many):
            manager.record_trade(
                symbol=symbol,
                action="BUY",
                quantity=2,
                price=100,
                order_id="filled-1",
                executed_at=FIRST,
            )
        _fill(url, each, many)
        manager.close()  # it forgets the positions as they were
        yield manager


def _fill(url: URL, each: int, many: int) -> None:
    rounds, left = divmod(each, 3)
    values = {
        "prefix": PREFIX,
        "first": FIRST.isoformat(),
        "symbols": many,
        "each": each,
        "quantity": (0, 2, 1)[left],
        "realized": 3 * rounds + (left == 2),
        "opening": 3 * rounds + 1,
    }
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with closing(psycopg2.connect(plain)) as connection, connection.cursor() as cursor:
        if each > 1:
            for statement in (_TRADES, _EVENTS, _POSITIONS):
                cursor.execute(statement.format_map(values))
        connection.commit()
        connection.autocommit = True
        cursor.execute("VACUUM ANALYZE")  # what the server does by itself, later
        cursor.execute("CHECKPOINT")
