"""Comparison of trades with the events that booked, corrected and busted them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from attrs import frozen

from tradebook.domain.errors import shown
from tradebook.domain.events import BOOKINGS, BUSTS, Event
from tradebook.domain.numbers import plain
from tradebook.domain.trades import BOOKED, BUST, Trade, TradeStatus, evidence

CHANGED: Final = "changed"
REMOVED: Final = "removed"
INSERTED: Final = "inserted"


@frozen
class Finding:
    """One record that was tampered with.

    Attributes:
        entity: Event, Trade, Seal or Witness.
        key: an event's id, a seal's number, a trade's id and order, or a witness's setting.
        what: changed, removed or inserted.
        detail: the evidence.
    """

    entity: str
    key: str
    what: str
    detail: str

    def __str__(self) -> str:
        """Return the finding as one line of text."""
        return f"{self.entity} {self.key} was {self.what}: {self.detail}"


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


def called(trade: Trade) -> str:
    """Format a trade for a finding, such as `5 (order 'o-1' for AAPL)`."""
    return f"{trade.id} (order {trade.identity})"


def _counted(trade: Trade, said: list[Event], wanted: bool, verb: str) -> Iterator[Finding]:
    if wanted and not said:
        what = INSERTED if verb == "booked" else CHANGED
        yield Finding("Trade", called(trade), what, f"no event says that it was {verb}")
    elif said and not wanted:
        detail = f"it is {trade.status}, and event {said[0].id} says that it was {verb}"
        yield Finding("Trade", called(trade), CHANGED, detail)
    for event in said[1:]:
        detail = f"it says that trade {trade.id} was {verb}, as event {said[0].id} does"
        yield Finding("Event", str(event.id), INSERTED, detail)


def _compared(
    trade: Trade, event: Event, wanted: Mapping[str, Any], said: Mapping[str, Any] | None = None
) -> Iterator[Finding]:
    says = event.payload if said is None else said
    is_so = {name: _as_json(value) for name, value in wanted.items()}
    wrong = [name for name, value in is_so.items() if says.get(name) != value]
    if wrong:
        both = (f"{n} is {shown(is_so[n])}, not {shown(says.get(n))}" for n in wrong)
        detail = f"{', '.join(both)} as event {event.id} says"
        yield Finding("Trade", called(trade), CHANGED, detail)


def _as_json(value: Any) -> Any:
    """Convert a value as `json_object` does, without its checks: the value comes from the database."""
    if isinstance(value, Decimal):
        return plain(value)
    return value.isoformat() if isinstance(value, datetime) else value


def _said_of_bust(event: Event) -> dict[str, Any]:
    changes = event.payload.get("changes") or {}
    after = {name: changes[name][1] for name in BUST if name in changes}
    return {"busted_by": "", **event.payload, **after}
