"""What every peer has to do, and the fold that is the same for all of them.

Lock and read the position, insert the trade unless its identity is there, update the position, insert one event
with the same evidence, commit: four statements in one transaction, as few as each library allows. A trade that is there
already shows as a violated key, which costs nothing while there are none.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final, NamedTuple, Protocol

from benchmarks.fills import Fill, evidence
from tradebook.domain.accounting import Balance
from tradebook.domain.numbers import ONE

TOTALS: Final = ("quantity", "cost_basis", "realized_pnl", "fees", "cash_flow")


class Peer(Protocol):
    """A library's way of booking fills, on a connection of its own."""

    def record(self, fill: Fill) -> bool:
        """Book it; False when it is booked already."""

    def close(self) -> None:
        """Let go of the connection."""


class Outcome(NamedTuple):
    """The values that are written, by column: the event lacks the trade's id."""

    trade: dict[str, Any]
    position: dict[str, Any]
    event: dict[str, Any]


def outcome(fill: Fill, position: Any) -> Outcome:
    """What a fill makes of a position that was read: anything with its columns as attributes."""
    before = Balance(*(Decimal(getattr(position, name)) for name in TOTALS))
    moved = before.apply(fill)  # type: ignore[arg-type]  # all that the fold reads of a trade
    after, realized, sequence = moved.balance, moved.realized, position.sequence + 1
    record = {"account": fill.account, "created_at": fill.at, "updated_at": fill.at}
    trade = {
        **record,
        "symbol": fill.symbol,
        "venue": "",
        "action": fill.action,
        "quantity": fill.quantity,
        "price": fill.price,
        "fee": fill.fee,
        "currency": "USD",
        "fee_currency": "USD",
        "multiplier": ONE,
        "settlement": "CASH",
        "executed_at": fill.at,
        "order_id": fill.order_id,
        "execution_id": "",
        "strategy": "",
        "details": {},
        "status": "EXECUTED",
        "sequence": sequence,
        "booked_at": fill.at,
        "realized_pnl": realized,
        "revision": 0,
    }
    changed = {name: getattr(after, name) for name in TOTALS}
    status = "OPEN" if after.quantity else "CLOSED"
    changed |= {"sequence": sequence, "updated_at": fill.at, "status": status}
    event = {
        **record,
        "event_type": "TradeRecorded",
        "entity": "Trade",
        "payload": evidence(fill, sequence, before, moved),
        "actor": "",
        "correlation_id": "",
        "occurred_at": fill.at,
    }
    return Outcome(trade, changed, event)


def change(position: Any, values: dict[str, Any]) -> None:
    """Assign the new values, as an ORM wants it."""
    for name, value in values.items():
        setattr(position, name, value)
