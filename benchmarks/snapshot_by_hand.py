"""A snapshot as it would be written without a library: values and totals, no event and no hashes of its rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime

import psycopg2
from psycopg2.extras import execute_values
from sqlalchemy import URL

from benchmarks.comparing import Way, repeated

_COPIED = "symbol, quantity, cost_basis, current_price, realized_pnl, fees, cash_flow, multiplier, sequence"
_POSITIONS = f"SELECT {_COPIED} FROM positions WHERE account = 'main' AND quantity <> 0"
_PORTFOLIO = """
INSERT INTO portfolios (account, created_at, updated_at, timestamp, currency, cash_balance, positions_value, total_value,
    gross_exposure, net_exposure, realized_pnl, unrealized_pnl, fees, external_flows, income, rates, closed_sequences, source)
VALUES ('main', %s, %s, %s, 'USD', %s, %s, %s, %s, %s, %s, %s, %s, 0, 0, '{}', '{}', 'external') RETURNING id
"""
_ROWS = f"""
INSERT INTO portfolio_positions ({_COPIED}, account, created_at, updated_at, portfolio_id, market_value, unrealized_pnl,
    currency, settlement)
VALUES %s
"""


@contextmanager
def snapshots_by_hand(url: URL) -> Iterator[Way]:
    """Take snapshots of a book whose positions are all in dollars."""
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with closing(psycopg2.connect(plain)) as connection, connection.cursor() as cursor:

        def take(_: int) -> None:
            cursor.execute(_POSITIONS)
            held, now = cursor.fetchall(), datetime.now(UTC)
            valued = [(row, row[1] * row[3] * row[7]) for row in held]
            value = sum(each for _, each in valued)
            gross = sum(abs(each) for _, each in valued)
            realized, fees, cash = (sum(row[place] for row in held) for place in (4, 5, 6))
            unrealized = sum(each - row[2] for row, each in valued)
            totals = (cash, value, cash + value, gross, value, realized, unrealized, fees)
            cursor.execute(_PORTFOLIO, (now, now, now, *totals))
            beside = ("main", now, now, cursor.fetchone()[0])
            rows = [(*row, *beside, each, each - row[2], "USD", "CASH") for row, each in valued]
            execute_values(cursor, _ROWS, rows, page_size=1000)
            connection.commit()

        yield repeated(take)
