"""Statements that read the prices of a symbol in a period of time, from trades and from snapshots.

Each walks one index by time: those of trades that of (account, symbol, executed_at, id), those of snapshots that of
(account, timestamp, id) and from there the unique key of a snapshot's positions.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Select, bindparam, select, tuple_
from sqlalchemy.orm import Session

from tradebook.adapters import orm
from tradebook.domain.trades import TradeStatus
from tradebook.service_layer.ports.repositories import RecordedPrice

_TRADES: Final = orm.trades.c
_POSITIONS: Final = orm.portfolio_positions.c
_SNAPSHOTS: Final = orm.portfolios.c


# Building a statement takes SQLAlchemy as long as reading a short page.
@cache
def trade_prices(is_first: bool) -> Select[Any]:
    """Return the statement for the prices of executed trades; busted ones have none."""
    executed = _TRADES.status == TradeStatus.EXECUTED
    statement = select(_TRADES.executed_at, _TRADES.price, _TRADES.id).where(
        _TRADES.account == bindparam("of_account"), _TRADES.symbol == bindparam("of_symbol")
    )
    return _timed(statement, _TRADES.executed_at, _TRADES.id, executed, is_first=is_first)


@cache
def snapshot_prices(is_first: bool) -> Select[Any]:
    """Return the statement for the marks in snapshots."""
    of_snapshot = (_POSITIONS.account == _SNAPSHOTS.account) & (
        _POSITIONS.portfolio_id == _SNAPSHOTS.id
    )
    statement = (
        select(_SNAPSHOTS.timestamp, _POSITIONS.current_price, _SNAPSHOTS.id)
        .join(orm.portfolio_positions, of_snapshot)
        .where(
            _SNAPSHOTS.account == bindparam("of_account"),
            _POSITIONS.symbol == bindparam("of_symbol"),
        )
    )
    return _timed(statement, _SNAPSHOTS.timestamp, _SNAPSHOTS.id, is_first=is_first)


def _timed(
    statement: Select[Any],
    time: Column[datetime],
    id_: Column[int],
    *conditions: ColumnElement[bool],
    is_first: bool,
) -> Select[Any]:
    """Add the bounds of the period, or the end of the page before, and the order."""
    begins = time >= bindparam("start")
    if not is_first:
        begins = tuple_(time, id_) > tuple_(
            bindparam("after_at", type_=time.type), bindparam("after_id")
        )
    return (
        statement.where(begins, time <= bindparam("end"), *conditions)
        .order_by(time, id_)
        .limit(bindparam("at_most"))
    )


def page(
    session: Session,
    statement: Callable[[bool], Select[Any]],
    account: str,
    symbol: str,
    start: datetime,
    end: datetime,
    after: RecordedPrice | None,
    limit: int,
) -> list[RecordedPrice]:
    """Read a page of prices with one of the statements above: the first, or the one that follows `after`."""
    session.flush()  # a Core statement does not flush by itself
    values = {"of_account": account, "of_symbol": symbol, "end": end, "at_most": limit}
    if after is None:
        values["start"] = start
    else:
        values |= {"after_at": after.at, "after_id": after.id}
    found = session.connection().execute(statement(after is None), values)
    return [*map(RecordedPrice._make, found)]
