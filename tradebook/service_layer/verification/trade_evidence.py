"""Comparison of trades with the events that booked, corrected and busted them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from tradebook.domain.events import BOOKINGS, BUSTS, CREATIONS, Event, RecordCreated
from tradebook.domain.evidence import statement_of
from tradebook.domain.numbers import plain
from tradebook.domain.trades import BOOKED, BUST, Trade, TradeStatus, evidence
from tradebook.service_layer.verification.findings import CHANGED, INSERTED, Finding, changed
from tradebook.service_layer.verification.record_check import key_of


def trade_findings(trade: Trade, events: Collection[Event]) -> Iterator[Finding]:
    """Yield the differences between a stored trade and its events of booking and busting, by id."""
    bookings = [event for event in events if event.event_type in BOOKINGS]
    busts = [event for event in events if event.event_type in BUSTS]
    is_busted = trade.status is TradeStatus.BUSTED
    yield from _counted(trade, bookings, trade.status in BOOKED, "booked")
    yield from _counted(trade, busts, is_busted, "busted")
    if bookings and trade.status in BOOKED:
        yield from _compared(trade, bookings[0], evidence(vars(trade), bookings[0].occurred_at))
    if busts and is_busted:
        names = ("symbol", "order_id", "execution_id", "revision", *BUST)
        wanted = {name: getattr(trade, name) for name in names}
        yield from _compared(trade, busts[0], wanted, _said_of_bust(busts[0]))
    if not is_busted and trade.status in BOOKED and bookings:
        never = {"busted_at": None, "busted_by": "", "bust_reason": None, "bust_sequence": None}
        said = {name: (value, _as_json(getattr(trade, name))) for name, value in never.items()}
        if wrong := {name: pair for name, pair in said.items() if pair[0] != pair[1]}:
            yield changed(Trade.__name__, key_of(trade), wrong, bookings[0])
    if bookings and trade.status in BOOKED:
        yield from _dated(trade, "updated_at", trade.busted_at or trade.booked_at, events)


def creation_findings(trade: Trade, events: Iterable[Event]) -> Iterator[Finding]:
    """Yield a finding where a booked trade was not made at the time of the event that first recorded it.

    Args:
        trade: a booked trade.
        events: all of its events, by id.
    """
    for event in events:
        if event.event_type in CREATIONS:
            stated = statement_of(Trade, [event])
            said = stated and stated.fields.get("created_at")
            if event.event_type != RecordCreated.__name__ or said is not None:
                at = event.occurred_at if said is None else datetime.fromisoformat(str(said))
                yield from _dated(trade, "created_at", at, [event])
            return


def _dated(
    trade: Trade, field: str, at: datetime | None, events: Iterable[Event]
) -> Iterator[Finding]:
    found = getattr(trade, field)
    if found != at:
        differing = {field: (_as_json(at), _as_json(found))}
        yield changed(Trade.__name__, key_of(trade), differing, [*events][-1])


def _counted(trade: Trade, said: list[Event], wanted: bool, verb: str) -> Iterator[Finding]:
    if wanted and not said:
        what = INSERTED if verb == "booked" else CHANGED
        yield Finding("Trade", key_of(trade), what, f"no event says that it was {verb}")
    elif said and not wanted:
        detail = f"it is {trade.status}, and event {said[0].id} says that it was {verb}"
        yield Finding("Trade", key_of(trade), CHANGED, detail, event=said[0].id)
    for event in said[1:]:
        detail = f"it says that trade {trade.id} was {verb}, as event {said[0].id} does"
        yield Finding("Event", str(event.id), INSERTED, detail, event=event.id)


def _compared(
    trade: Trade, event: Event, wanted: Mapping[str, Any], said: Mapping[str, Any] | None = None
) -> Iterator[Finding]:
    says = event.payload if said is None else said
    found = {name: _as_json(value) for name, value in wanted.items()}
    wrong = {n: (says.get(n), value) for n, value in found.items() if says.get(n) != value}
    if wrong:
        yield changed("Trade", key_of(trade), wrong, event)


def _as_json(value: Any) -> Any:
    """Convert a value as `json_object` does, without its checks: the value comes from the database."""
    if isinstance(value, Decimal):
        return plain(value)
    return value.isoformat() if isinstance(value, datetime) else value


def _said_of_bust(event: Event) -> dict[str, Any]:
    changes = event.payload.get("changes") or {}
    after = {name: changes[name][1] for name in BUST if name in changes}
    return {"busted_by": "", **event.payload, **after}
