"""Bookings as rows of `trades` and `events`: lines of text for COPY, tuples for SQLite.

Bookings of one symbol share most of their values. These are rendered once, and kept by `SharedValues.key`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from datetime import datetime
from json import dumps
from typing import Any, Final, Generic, NamedTuple, TypeVar

from sqlalchemy import Dialect, Table

from tradebook.adapters.engine.postgresql_copy import escaped
from tradebook.adapters.orm import events, trades
from tradebook.adapters.repositories.bulk_insert import copy_text
from tradebook.adapters.types import bind_processor, sqlite_time
from tradebook.domain.events import TradeRecorded
from tradebook.domain.fills import (
    VARYING,
    Booking,
    SharedValues,
    payload_template,
    payload_values,
    texts_of,
)
from tradebook.domain.trades import TRADE_COLUMNS, Trade

_MAX_KEPT: Final = 10_000
Row = TypeVar("Row")
Shared = TypeVar("Shared")


class BulkCall(NamedTuple):
    """The values that all rows of a unit of work share."""

    account: str
    at: datetime
    actor: str
    correlation_id: str


class BookingRows(ABC, Generic[Row, Shared]):
    """Renders the bookings of one call as rows.

    Attributes:
        trade_columns: the columns of a trade's row: what bookings share, then what differs.
        event_columns: the same of its event's.
    """

    def __init__(self, call: BulkCall, columns: tuple[str, ...] = TRADE_COLUMNS) -> None:
        """Prepare what all rows share."""
        self._at = call.at
        self._shared = SharedValues(columns)
        self._event = {
            "account": call.account,
            "created_at": call.at,
            "updated_at": call.at,
            "event_type": TradeRecorded.__name__,
            "entity": Trade.__name__,
            "actor": call.actor,
            "correlation_id": call.correlation_id,
            "occurred_at": call.at,
        }
        self._shared_columns = ("account", "created_at", *self._shared.columns)
        self.trade_columns = (*self._shared_columns, "id", *VARYING)
        self.event_columns = (*self._event, "entity_id", "payload")
        self._kept: dict[tuple[Any, ...], tuple[Shared, str]] = {}

    def rows(self, ids: Iterable[int], bookings: Iterable[Booking]) -> Iterator[tuple[Row, Row]]:
        """Render for each booking the rows of its trade, which gets the next id, and of its event."""
        at, key_of, kept = self._at, self._shared.key, self._kept
        for id_, booking in zip(ids, bookings, strict=True):
            key = key_of(booking, at)
            shared, template = kept.get(key) or self._render_once(key, booking)
            texts = texts_of(booking.trade)
            payload = template % payload_values(booking, at, texts)
            yield self._trade_row(shared, id_, booking.trade, texts), self._event_row(id_, payload)

    def _render_once(self, key: tuple[Any, ...], booking: Booking) -> tuple[Shared, str]:
        if len(self._kept) >= _MAX_KEPT:
            self._kept.clear()
        values = [booking.trade[name] for name in self._shared_columns]
        rendered = self._shared_row(values), payload_template(booking, self._at)
        self._kept[key] = rendered
        return rendered

    @abstractmethod
    def _shared_row(self, values: list[Any]) -> Shared:
        """Render the values that the rows of several trades share."""

    @abstractmethod
    def _trade_row(
        self, shared: Shared, id_: int, trade: dict[str, Any], texts: tuple[str, ...]
    ) -> Row:
        """Render a trade's row."""

    @abstractmethod
    def _event_row(self, id_: int, payload: str) -> Row:
        """Render an event's row."""


class CopyRows(BookingRows[str, str]):
    """Rows as lines of COPY's text format."""

    def __init__(self, call: BulkCall, columns: tuple[str, ...] = TRADE_COLUMNS) -> None:
        """Prepare what all rows share."""
        super().__init__(call, columns)
        self._at_text = call.at.isoformat()
        self._event_start = "".join(f"{copy_text(value)}\t" for value in self._event.values())

    def _shared_row(self, values: list[Any]) -> str:
        text = "".join(f"{copy_text(value)}\t" for value in values)
        return text.replace("%", "%%") + "\t".join(["%s"] * (1 + len(VARYING))) + "\n"

    def _trade_row(
        self, shared: str, id_: int, trade: dict[str, Any], texts: tuple[str, ...]
    ) -> str:
        booked_at, details = trade["booked_at"], trade["details"]
        booked_at = self._at_text if booked_at is self._at else booked_at.isoformat()
        return shared % (
            id_,
            booked_at,
            booked_at,
            escaped(dumps(details)) if details else "{}",
            copy_text(trade["decision_id"]),
            escaped(trade["order_id"]),
            escaped(trade["execution_id"]),
            *texts,
        )

    def _event_row(self, id_: int, payload: str) -> str:
        if "\\" in payload:  # JSON has no other character that COPY would have escaped
            payload = payload.replace("\\", "\\\\")
        return f"{self._event_start}{id_}\t{payload}\n"


class SqliteRows(BookingRows[tuple[Any, ...], tuple[Any, ...]]):
    """Rows as the parameters of an INSERT on SQLite."""

    def __init__(
        self, call: BulkCall, dialect: Dialect, columns: tuple[str, ...] = TRADE_COLUMNS
    ) -> None:
        """Prepare what all rows share."""
        super().__init__(call, columns)
        self._at_text = sqlite_time(call.at)
        self._dialect = dialect
        self._event_start = self._bound(events, self._event.items())

    def _shared_row(self, values: list[Any]) -> tuple[Any, ...]:
        return self._bound(trades, zip(self._shared_columns, values, strict=True))

    def _bound(self, table: Table, values: Iterable[tuple[str, Any]]) -> tuple[Any, ...]:
        processors = ((bind_processor(table.c[name], self._dialect), v) for name, v in values)
        return tuple(process(value) if process else value for process, value in processors)

    def _trade_row(
        self, shared: tuple[Any, ...], id_: int, trade: dict[str, Any], texts: tuple[str, ...]
    ) -> tuple[Any, ...]:
        booked_at, details = trade["booked_at"], trade["details"]
        booked_at = self._at_text if booked_at is self._at else sqlite_time(booked_at)
        action, quantity, price, fee, _, _, realized_pnl = texts
        return (
            *shared,
            id_,
            booked_at,
            booked_at,
            dumps(details) if details else "{}",
            trade["decision_id"],
            trade["order_id"],
            trade["execution_id"],
            action,
            quantity,
            price,
            fee,
            sqlite_time(trade["executed_at"]),
            trade["sequence"],
            realized_pnl,
        )

    def _event_row(self, id_: int, payload: str) -> tuple[Any, ...]:
        return (*self._event_start, id_, payload)


def insert_sql(table: Table, columns: Iterable[str]) -> str:
    """Return an INSERT with a placeholder for each column."""
    names = [table.c[name].name for name in columns]
    marks = ", ".join("?" * len(names))
    return f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608, names of ours
