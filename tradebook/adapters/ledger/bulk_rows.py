"""Postings as rows of `trades` and `events`, straight from values: as text for COPY, as tuples for SQLite."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from json import dumps
from json.encoder import encode_basestring_ascii as quoted
from typing import Any, Final, NamedTuple

from attrs import define, field, frozen

from tradebook.adapters.engine.postgresql_copy import escaped
from tradebook.domain.canonical_json import digest
from tradebook.domain.events import TradeRecorded
from tradebook.domain.fills import Posting
from tradebook.domain.numbers import ONE, plain
from tradebook.domain.trades import Settlement, Trade, TradeStatus
from tradebook.domain.validation import Json

TRADE_COLUMNS: Final = (
    "account",
    "id",
    "created_at",
    "updated_at",
    "symbol",
    "venue",
    "action",
    "quantity",
    "price",
    "fee",
    "currency",
    "fee_currency",
    "multiplier",
    "settlement",
    "executed_at",
    "order_id",
    "execution_id",
    "strategy",
    "details",
    "status",
    "sequence",
    "booked_at",
    "realized_pnl",
    "revision",
)
EVENT_COLUMNS: Final = (
    "account",
    "created_at",
    "updated_at",
    "event_type",
    "entity",
    "entity_id",
    "payload",
    "actor",
    "correlation_id",
    "occurred_at",
)
_MOST: Final = 10_000
_EXECUTED, _RECORDED, _TRADE = str(TradeStatus.EXECUTED), TradeRecorded.__name__, Trade.__name__


class Call(NamedTuple):
    """What all rows of a unit of work have in common."""

    account: str
    at: datetime
    actor: str
    correlation_id: str


@frozen
class _Frame:
    """What the fills of a symbol have in common, as text.

    Attributes:
        multiplier: of the symbol.
        symbol, constants, strategy: fields of COPY's text format, each followed by a tab.
        payload: pieces of the event's JSON: up to the order id, and around the trade time.
    """

    multiplier: str
    symbol: str
    constants: str
    strategy: str
    payload: tuple[str, str, str]


@define
class Renderer:
    """Writes postings as rows; what they have in common it writes once.

    Args:
        call: the unit of work's.
    """

    call: Call
    _frames: dict[tuple[Any, ...], _Frame] = field(factory=dict, init=False)
    _quantities: dict[str, tuple[Decimal, str]] = field(factory=dict, init=False)

    def copy_lines(
        self, ids: Iterable[int], postings: Iterable[Posting]
    ) -> Iterator[tuple[str, str]]:
        """For each posting the lines of its trade and of its event, in COPY's text format."""
        call_at, at = self.call.at, self.call.at.isoformat()
        account, by = escaped(self.call.account), map(escaped, self.call[2:])
        event_start = f"{account}\t{at}\t{at}\t{_RECORDED}\t{_TRADE}\t"
        event_end = "\t" + "\t".join(by) + f"\t{at}\n"
        for id_, posting in zip(ids, postings, strict=True):
            name, terms, _, details, sequence, booked, realized, _, _, _ = posting
            action, quantity, price, fee, _, _, _, _, executed = terms
            frame, order_id, execution_id = self._frame(posting), name[2], name[3]
            executed_at, booked_at = executed.isoformat(), at
            if booked is not call_at:
                booked_at = booked.isoformat()
            numbers = f"{quantity:f}", f"{price:f}", f"{fee:f}", plain(realized)
            payload = self._payload(posting, frame, numbers, executed_at)
            if "\\" in payload:
                payload = payload.replace("\\", "\\\\")
            yield (
                f"{account}\t{id_}\t{at}\t{booked_at}\t{frame.symbol}{action.value}\t{numbers[0]}\t"
                f"{numbers[1]}\t{numbers[2]}\t{frame.constants}{executed_at}\t{escaped(order_id)}\t"
                f"{escaped(execution_id)}\t{frame.strategy}"
                f"{escaped(dumps(details)) if details else '{}'}\t{_EXECUTED}\t{sequence}\t{booked_at}\t"
                f"{numbers[3]}\t0\n",
                f"{event_start}{id_}\t{payload}{event_end}",
            )

    def sqlite_rows(
        self, ids: Iterable[int], postings: Iterable[Posting]
    ) -> Iterator[tuple[tuple[Any, ...], tuple[Any, ...]]]:
        """For each posting the values of its trade and of its event, as SQLite keeps them."""
        account, call_at, *by = self.call
        at = sqlite_time(call_at)
        for id_, posting in zip(ids, postings, strict=True):
            name, terms, strategy, details, sequence, booked, realized, _, _, _ = posting
            symbol, venue, order_id, execution_id = name
            action, quantity, price, fee, fee_currency, currency, _, settlement, executed = terms
            frame = self._frame(posting)
            booked_at = at if booked is call_at else sqlite_time(booked)
            numbers = f"{quantity:f}", f"{price:f}", f"{fee:f}", plain(realized)
            payload = self._payload(posting, frame, numbers, executed.isoformat())
            yield (
                (
                    *(account, id_, at, booked_at, symbol, venue, action.value, *numbers[:3]),
                    *(currency, fee_currency, frame.multiplier, settlement.value),
                    *(sqlite_time(executed), order_id, execution_id, strategy),
                    *(dumps(details) if details else "{}", _EXECUTED, sequence, booked_at),
                    *(numbers[3], 0),
                ),
                (account, at, at, _RECORDED, _TRADE, id_, payload, *by, at),
            )

    def _payload(
        self, posting: Posting, frame: _Frame, numbers: tuple[str, ...], executed_at: str
    ) -> str:
        """The particulars of a posting's `TradeRecorded`, as JSON."""
        (symbol, _, order_id, execution_id), terms, *_, done, before, after = posting
        start, middle, end = frame.payload
        if posting.details:
            end = f', "details": "{digest(posting.details).hex()}"{end}'
        known, quantity_before = self._quantities.get(symbol, (None, ""))
        if known is not before:
            quantity_before = plain(before)
        quantity_after = plain(after)
        self._quantities[symbol] = after, quantity_after
        return (
            f'{start}{quoted(order_id)}, "execution_id": {quoted(execution_id)}, '
            f'"action": "{terms[0].value}", "quantity": "{numbers[0]}", "price": "{numbers[1]}", '
            f'"fee": "{numbers[2]}"{middle}{executed_at}", "sequence": {posting.sequence}, '
            f'"realized_pnl": "{numbers[3]}"{end}, "effect": "{done.value}", '
            f'"quantity_before": "{quantity_before}", "quantity_after": "{quantity_after}"}}'
        )

    def _frame(self, posting: Posting) -> _Frame:
        name, terms, strategy, _, _, booked_at, _, _, _, _ = posting
        common = name[0], name[1], strategy, booked_at, terms[4:8]
        frame = self._frames.get(common)
        if frame is None:
            if len(self._frames) >= _MOST:
                self._frames.clear()
                self._quantities.clear()
            frame = self._frames[common] = self._new_frame(posting)
        return frame

    def _new_frame(self, posting: Posting) -> _Frame:
        (symbol, venue, _, _), terms, strategy = posting[:3]
        fee_currency, currency, multiplier, settlement = terms[4:8]
        return _Frame(
            multiplier=f"{multiplier:f}",
            symbol=_fields(symbol, venue),
            constants=_fields(currency, fee_currency, f"{multiplier:f}", settlement),
            strategy=_fields(strategy),
            payload=(
                f'{{"symbol": {quoted(symbol)}, "order_id": ',
                f', "currency": {quoted(currency)}, "executed_at": "',
                self._seldom_said(posting),
            ),
        )

    def _seldom_said(self, posting: Posting) -> str:
        """Of the evidence what mostly goes without saying, as `Trade.evidence` has it."""
        fee_currency, currency, multiplier, settlement = posting.terms[4:8]
        said: dict[str, Json] = {
            "venue": posting.name.venue or None,
            "fee_currency": None if fee_currency == currency else fee_currency,
            "multiplier": None if multiplier == ONE else plain(multiplier),
            "settlement": None if settlement is Settlement.CASH else settlement,
            "strategy": posting.strategy or None,
            "booked_at": None
            if posting.booked_at == self.call.at
            else posting.booked_at.isoformat(),
        }
        return "".join(f', "{key}": {dumps(value)}' for key, value in said.items() if value)


def _fields(*values: str) -> str:
    return "".join(f"{escaped(value)}\t" for value in values)


def sqlite_time(value: datetime) -> str:
    """A UTC time as SQLite keeps it: text that sorts by time."""
    return value.isoformat(" ", "microseconds")[:26]
