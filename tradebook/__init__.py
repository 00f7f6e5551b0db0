"""tradebook: the book of record for trading systems and AI trading agents.

The names below load when they are first used: the domain needs neither SQLAlchemy nor a driver.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    __version__: str
    from tradebook.adapters.orm import col, metadata
    from tradebook.config import DatabaseConfig, DatabaseEnvironment
    from tradebook.domain import limits
    from tradebook.domain.agents import ActionStatus, AgentAction, AgentDecision, DecisionStatus
    from tradebook.domain.alerts import Alert, Severity
    from tradebook.domain.attribution import Attribution, AttributionRow, AttributionTotal, GroupBy
    from tradebook.domain.cash import Account, CashFlow, CashFlowKind
    from tradebook.domain.consolidation import ConsolidatedPortfolio
    from tradebook.domain.decision_inputs import DecisionInput
    from tradebook.domain.errors import (
        BackupDamaged,
        BookBusy,
        CommitUnknown,
        ConcurrentUpdate,
        ConstraintViolated,
        DatabaseCorrupt,
        DatabaseFailure,
        DatabaseFull,
        DatabaseReadOnly,
        DatabaseUnavailable,
        DuplicateOrder,
        DuplicateRecord,
        ExtraNotInstalled,
        InstrumentMismatch,
        InvalidInput,
        InvalidTransition,
        MissingRate,
        NotFound,
        NotPermitted,
        OperationFailed,
        PoolExhausted,
        ProgramMissing,
        SchemaNotReady,
        StaleRecord,
        StatementCancelled,
        TradebookError,
        UncommittedWork,
        WitnessFailed,
        WouldOverwrite,
    )
    from tradebook.domain.events import Event
    from tradebook.domain.imports import Import, ImportSource, ImportStatus
    from tradebook.domain.numbers import exact
    from tradebook.domain.orders import Order, OrderStatus
    from tradebook.domain.performance import PerformanceMetric
    from tradebook.domain.portfolio import Amendment, Portfolio, PortfolioPosition, Snapshot
    from tradebook.domain.positions import MarkSource, Position, PositionStatus
    from tradebook.domain.seals import Seal
    from tradebook.domain.signals import Signal, SignalAction
    from tradebook.domain.statements import Mend, ReconciledStatement, VenueStatement
    from tradebook.domain.trades import Settlement, Trade, TradeAction, TradeStatus
    from tradebook.entrypoints.async_manager import AsyncDatabaseManager
    from tradebook.entrypoints.manager import DatabaseManager
    from tradebook.service_layer import handlers, queries
    from tradebook.service_layer.async_book import AsyncBook
    from tradebook.service_layer.book import Book
    from tradebook.service_layer.call_context import CallContext, context
    from tradebook.service_layer.decisions import AsyncDecisionBlock, DecisionBlock
    from tradebook.service_layer.explanations.lineage.explanation import Explanation
    from tradebook.service_layer.explanations.lineage.mermaid import as_mermaid
    from tradebook.service_layer.explanations.quality.calibration import Calibration
    from tradebook.service_layer.explanations.quality.counterfactuals import Counterfactuals
    from tradebook.service_layer.ports.paging import Page, Row
    from tradebook.service_layer.ports.prices import PricePoint, Prices
    from tradebook.service_layer.queries.as_of import AsOf, Valuation
    from tradebook.service_layer.unit_of_work import AbstractUnitOfWork
    from tradebook.service_layer.verification.seal_check import SealCheck

__all__ = [
    "AbstractUnitOfWork",
    "Account",
    "ActionStatus",
    "AgentAction",
    "AgentDecision",
    "Alert",
    "Amendment",
    "AsOf",
    "AsyncBook",
    "AsyncDatabaseManager",
    "AsyncDecisionBlock",
    "Attribution",
    "AttributionRow",
    "AttributionTotal",
    "BackupDamaged",
    "Book",
    "BookBusy",
    "Calibration",
    "CallContext",
    "CashFlow",
    "CashFlowKind",
    "CommitUnknown",
    "ConcurrentUpdate",
    "ConsolidatedPortfolio",
    "ConstraintViolated",
    "Counterfactuals",
    "DatabaseConfig",
    "DatabaseCorrupt",
    "DatabaseEnvironment",
    "DatabaseFailure",
    "DatabaseFull",
    "DatabaseManager",
    "DatabaseReadOnly",
    "DatabaseUnavailable",
    "DecisionBlock",
    "DecisionInput",
    "DecisionStatus",
    "DuplicateOrder",
    "DuplicateRecord",
    "Event",
    "Explanation",
    "ExtraNotInstalled",
    "GroupBy",
    "Import",
    "ImportSource",
    "ImportStatus",
    "InstrumentMismatch",
    "InvalidInput",
    "InvalidTransition",
    "MarkSource",
    "Mend",
    "MissingRate",
    "NotFound",
    "NotPermitted",
    "OperationFailed",
    "Order",
    "OrderStatus",
    "Page",
    "PerformanceMetric",
    "PoolExhausted",
    "Portfolio",
    "PortfolioPosition",
    "Position",
    "PositionStatus",
    "PricePoint",
    "Prices",
    "ProgramMissing",
    "ReconciledStatement",
    "Row",
    "SchemaNotReady",
    "Seal",
    "SealCheck",
    "Settlement",
    "Severity",
    "Signal",
    "SignalAction",
    "Snapshot",
    "StaleRecord",
    "StatementCancelled",
    "Trade",
    "TradeAction",
    "TradeStatus",
    "TradebookError",
    "UncommittedWork",
    "Valuation",
    "VenueStatement",
    "WitnessFailed",
    "WouldOverwrite",
    "as_mermaid",
    "col",
    "context",
    "exact",
    "handlers",
    "limits",
    "metadata",
    "queries",
]

_HOMES = {
    "tradebook.domain": ("limits",),
    "tradebook.config": ("DatabaseConfig", "DatabaseEnvironment"),
    "tradebook.domain.agents": ("ActionStatus", "AgentAction", "AgentDecision", "DecisionStatus"),
    "tradebook.domain.alerts": ("Alert", "Severity"),
    "tradebook.domain.attribution": (
        "Attribution",
        "AttributionRow",
        "AttributionTotal",
        "GroupBy",
    ),
    "tradebook.domain.cash": ("Account", "CashFlow", "CashFlowKind"),
    "tradebook.domain.decision_inputs": ("DecisionInput",),
    "tradebook.domain.errors": (
        "BackupDamaged",
        "BookBusy",
        "CommitUnknown",
        "ConcurrentUpdate",
        "ConstraintViolated",
        "DatabaseCorrupt",
        "DatabaseFailure",
        "DatabaseFull",
        "DatabaseReadOnly",
        "DatabaseUnavailable",
        "DuplicateOrder",
        "DuplicateRecord",
        "ExtraNotInstalled",
        "InstrumentMismatch",
        "InvalidInput",
        "InvalidTransition",
        "MissingRate",
        "NotFound",
        "OperationFailed",
        "NotPermitted",
        "PoolExhausted",
        "ProgramMissing",
        "SchemaNotReady",
        "StaleRecord",
        "StatementCancelled",
        "TradebookError",
        "UncommittedWork",
        "WitnessFailed",
        "WouldOverwrite",
    ),
    "tradebook.domain.events": ("Event",),
    "tradebook.domain.imports": ("Import", "ImportSource", "ImportStatus"),
    "tradebook.domain.numbers": ("exact",),
    "tradebook.service_layer.explanations.quality.calibration": ("Calibration",),
    "tradebook.service_layer.explanations.quality.counterfactuals": ("Counterfactuals",),
    "tradebook.service_layer.ports.paging": ("Page", "Row"),
    "tradebook.service_layer.ports.prices": ("PricePoint", "Prices"),
    "tradebook.domain.orders": ("Order", "OrderStatus"),
    "tradebook.domain.performance": ("PerformanceMetric",),
    "tradebook.domain.consolidation": ("ConsolidatedPortfolio",),
    "tradebook.domain.portfolio": ("Amendment", "Portfolio", "PortfolioPosition", "Snapshot"),
    "tradebook.domain.positions": ("MarkSource", "Position", "PositionStatus"),
    "tradebook.domain.seals": ("Seal",),
    "tradebook.domain.signals": ("Signal", "SignalAction"),
    "tradebook.domain.statements": ("Mend", "ReconciledStatement", "VenueStatement"),
    "tradebook.domain.trades": ("Settlement", "Trade", "TradeAction", "TradeStatus"),
    "tradebook.adapters.orm": ("col", "metadata"),
    "tradebook.entrypoints.async_manager": ("AsyncDatabaseManager",),
    "tradebook.entrypoints.manager": ("DatabaseManager",),
    "tradebook.service_layer": ("handlers", "queries"),
    "tradebook.service_layer.queries.as_of": ("AsOf", "Valuation"),
    "tradebook.service_layer.async_book": ("AsyncBook",),
    "tradebook.service_layer.book": ("Book",),
    "tradebook.service_layer.call_context": ("context",),
    "tradebook.service_layer.decisions": ("AsyncDecisionBlock", "DecisionBlock"),
    "tradebook.service_layer.explanations.lineage.explanation": ("Explanation",),
    "tradebook.service_layer.explanations.lineage.mermaid": ("as_mermaid",),
    "tradebook.service_layer.verification.seal_check": ("SealCheck",),
    "tradebook.service_layer.unit_of_work": ("AbstractUnitOfWork", "CallContext"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version  # 28 ms that few need

        return version("tradebook")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(_HOME[name])
    value = getattr(module, name, None) or import_module(f"{_HOME[name]}.{name}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    dunders = (name for name in globals() if name.startswith("__"))
    return sorted({"__version__", *dunders, *__all__})  # without what this file imports
