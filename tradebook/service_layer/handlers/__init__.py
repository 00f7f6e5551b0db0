"""The handlers, which change the book: plain functions `handler(uow, ...)` that compose in one unit of work.

None commits: the caller that opened the unit of work does. Each records an event of its change, except for a mark.
"""

from __future__ import annotations

from tradebook.service_layer.handlers.agents import (
    decide,
    record_action,
    record_decision,
    record_inputs,
    record_signal,
)
from tradebook.service_layer.handlers.alerts import raise_alert, resolve_alert
from tradebook.service_layer.handlers.booking import RecordedTrades, record_trade, record_trades
from tradebook.service_layer.handlers.cash import bust_cash_flow, record_cash_flow
from tradebook.service_layer.handlers.corrections import (
    bust_trade,
    correct_trade,
)
from tradebook.service_layer.handlers.importing import ImportedTrades, import_trades
from tradebook.service_layer.handlers.imports import UndoneImport, undo_import
from tradebook.service_layer.handlers.portfolio import record_metric, take_snapshot
from tradebook.service_layer.handlers.positions import (
    MarkedPositions,
    mark_prices,
    update_position,
)
from tradebook.service_layer.handlers.rebuilding import Rebuilt, rebuild
from tradebook.service_layer.handlers.records import (
    bulk_create,
    bulk_update,
    create,
    delete,
    update,
)
from tradebook.service_layer.handlers.seals import Sealed, seal
from tradebook.service_layer.handlers.statements import Mended, mend
from tradebook.service_layer.handlers.trade_terms import TradeTerms
from tradebook.service_layer.handlers.trades import cancel_trade, execute_trade, reject_trade

__all__ = [
    "ImportedTrades",
    "MarkedPositions",
    "Mended",
    "Rebuilt",
    "RecordedTrades",
    "Sealed",
    "TradeTerms",
    "UndoneImport",
    "bulk_create",
    "bulk_update",
    "bust_cash_flow",
    "bust_trade",
    "cancel_trade",
    "correct_trade",
    "create",
    "decide",
    "delete",
    "execute_trade",
    "import_trades",
    "mark_prices",
    "mend",
    "raise_alert",
    "rebuild",
    "record_action",
    "record_cash_flow",
    "record_decision",
    "record_inputs",
    "record_metric",
    "record_signal",
    "record_trade",
    "record_trades",
    "reject_trade",
    "resolve_alert",
    "seal",
    "take_snapshot",
    "undo_import",
    "update",
    "update_position",
]


def __dir__() -> list[str]:
    return sorted(__all__)  # without submodules: for help and completion
