"""What changes the book: plain functions `handler(uow, ...)` that compose inside one unit of work.

None commits: whoever opened the unit of work owns its boundary. Each leaves an event for what it
changed, except a mark. The names load when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tradebook.service_layer.handlers.agents import (
        decide,
        record_action,
        record_decision,
        record_signal,
    )
    from tradebook.service_layer.handlers.alerts import raise_alert, resolve_alert
    from tradebook.service_layer.handlers.booking import TradeTerms
    from tradebook.service_layer.handlers.cash import record_cash_flow
    from tradebook.service_layer.handlers.corrections import (
        Rebuilt,
        bust_trade,
        correct_trade,
        rebuild,
    )
    from tradebook.service_layer.handlers.importing import ImportedTrades, import_trades
    from tradebook.service_layer.handlers.performance import record_metric
    from tradebook.service_layer.handlers.portfolio import take_snapshot
    from tradebook.service_layer.handlers.positions import mark_prices, update_position
    from tradebook.service_layer.handlers.records import (
        bulk_create,
        bulk_update,
        create,
        delete,
        update,
    )
    from tradebook.service_layer.handlers.seals import Sealed, seal
    from tradebook.service_layer.handlers.trades import (
        RecordedTrades,
        cancel_trade,
        execute_trade,
        record_trade,
        record_trades,
        reject_trade,
    )

__all__ = [
    "ImportedTrades",
    "Rebuilt",
    "RecordedTrades",
    "Sealed",
    "TradeTerms",
    "bulk_create",
    "bulk_update",
    "bust_trade",
    "cancel_trade",
    "correct_trade",
    "create",
    "decide",
    "delete",
    "execute_trade",
    "import_trades",
    "mark_prices",
    "raise_alert",
    "rebuild",
    "record_action",
    "record_cash_flow",
    "record_decision",
    "record_metric",
    "record_signal",
    "record_trade",
    "record_trades",
    "reject_trade",
    "resolve_alert",
    "seal",
    "take_snapshot",
    "update",
    "update_position",
]

_HOMES = {
    "agents": (
        "decide",
        "record_action",
        "record_decision",
        "record_signal",
    ),
    "alerts": (
        "raise_alert",
        "resolve_alert",
    ),
    "booking": ("TradeTerms",),
    "cash": ("record_cash_flow",),
    "corrections": (
        "Rebuilt",
        "bust_trade",
        "correct_trade",
        "rebuild",
    ),
    "importing": (
        "ImportedTrades",
        "import_trades",
    ),
    "performance": ("record_metric",),
    "portfolio": ("take_snapshot",),
    "positions": (
        "mark_prices",
        "update_position",
    ),
    "records": (
        "bulk_create",
        "bulk_update",
        "create",
        "delete",
        "update",
    ),
    "seals": (
        "Sealed",
        "seal",
    ),
    "trades": (
        "RecordedTrades",
        "cancel_trade",
        "execute_trade",
        "record_trade",
        "record_trades",
        "reject_trade",
    ),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value
