"""tradebook: the book of record for trading systems and AI trading agents.

The names below load when they are first used, but for the errors, which need the standard library only:
the domain needs neither SQLAlchemy nor a driver.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from tradebook.domain import errors as _errors
from tradebook.domain.errors import *  # noqa: F403  # `__all__` holds the exceptions only

if TYPE_CHECKING:
    # `X as X` exports a name to type checkers; a literal `__all__` would list all names once more.
    __version__: str
    from tradebook.adapters.orm import col as col
    from tradebook.adapters.orm import metadata as metadata
    from tradebook.config import DatabaseConfig as DatabaseConfig
    from tradebook.config import DatabaseEnvironment as DatabaseEnvironment
    from tradebook.domain import limits as limits
    from tradebook.domain.agents import ActionStatus as ActionStatus
    from tradebook.domain.agents import AgentAction as AgentAction
    from tradebook.domain.agents import AgentDecision as AgentDecision
    from tradebook.domain.agents import DecisionStatus as DecisionStatus
    from tradebook.domain.alerts import Alert as Alert
    from tradebook.domain.alerts import Severity as Severity
    from tradebook.domain.cash import Account as Account
    from tradebook.domain.cash import CashFlow as CashFlow
    from tradebook.domain.cash import CashFlowKind as CashFlowKind
    from tradebook.domain.events import Event as Event
    from tradebook.domain.numbers import exact as exact
    from tradebook.domain.performance import PerformanceMetric as PerformanceMetric
    from tradebook.domain.portfolio import Amendment as Amendment
    from tradebook.domain.portfolio import Portfolio as Portfolio
    from tradebook.domain.portfolio import PortfolioPosition as PortfolioPosition
    from tradebook.domain.portfolio import Snapshot as Snapshot
    from tradebook.domain.positions import Position as Position
    from tradebook.domain.positions import PositionStatus as PositionStatus
    from tradebook.domain.seals import Seal as Seal
    from tradebook.domain.signals import Signal as Signal
    from tradebook.domain.signals import SignalAction as SignalAction
    from tradebook.domain.trades import Settlement as Settlement
    from tradebook.domain.trades import Trade as Trade
    from tradebook.domain.trades import TradeAction as TradeAction
    from tradebook.domain.trades import TradeStatus as TradeStatus
    from tradebook.entrypoints.async_manager import AsyncDatabaseManager as AsyncDatabaseManager
    from tradebook.entrypoints.manager import DatabaseManager as DatabaseManager
    from tradebook.service_layer import handlers as handlers
    from tradebook.service_layer.async_book import AsyncBook as AsyncBook
    from tradebook.service_layer.book import Book as Book
    from tradebook.service_layer.call_context import CallContext as CallContext
    from tradebook.service_layer.call_context import context as context
    from tradebook.service_layer.ports.paging import Page as Page
    from tradebook.service_layer.ports.paging import Row as Row
    from tradebook.service_layer.queries.as_of import AsOf as AsOf
    from tradebook.service_layer.queries.as_of import Valuation as Valuation
    from tradebook.service_layer.unit_of_work import AbstractUnitOfWork as AbstractUnitOfWork
    from tradebook.service_layer.verification.seal_check import SealCheck as SealCheck

_HOMES = {
    "tradebook.domain": ("limits",),
    "tradebook.config": ("DatabaseConfig", "DatabaseEnvironment"),
    "tradebook.domain.agents": ("ActionStatus", "AgentAction", "AgentDecision", "DecisionStatus"),
    "tradebook.domain.alerts": ("Alert", "Severity"),
    "tradebook.domain.cash": ("Account", "CashFlow", "CashFlowKind"),
    "tradebook.domain.events": ("Event",),
    "tradebook.domain.numbers": ("exact",),
    "tradebook.service_layer.ports.paging": ("Page", "Row"),
    "tradebook.domain.performance": ("PerformanceMetric",),
    "tradebook.domain.portfolio": ("Amendment", "Portfolio", "PortfolioPosition", "Snapshot"),
    "tradebook.domain.positions": ("Position", "PositionStatus"),
    "tradebook.domain.seals": ("Seal",),
    "tradebook.domain.signals": ("Signal", "SignalAction"),
    "tradebook.domain.trades": ("Settlement", "Trade", "TradeAction", "TradeStatus"),
    "tradebook.adapters.orm": ("col", "metadata"),
    "tradebook.entrypoints.async_manager": ("AsyncDatabaseManager",),
    "tradebook.entrypoints.manager": ("DatabaseManager",),
    "tradebook.service_layer": ("handlers",),
    "tradebook.service_layer.queries.as_of": ("AsOf", "Valuation"),
    "tradebook.service_layer.async_book": ("AsyncBook",),
    "tradebook.service_layer.book": ("Book",),
    "tradebook.service_layer.call_context": ("context",),
    "tradebook.service_layer.verification.seal_check": ("SealCheck",),
    "tradebook.service_layer.unit_of_work": ("AbstractUnitOfWork", "CallContext"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def _public_names() -> list[str]:
    kinds = (kind for kind in vars(_errors).values() if isinstance(kind, type))
    raised = (kind.__name__ for kind in kinds if issubclass(kind, _errors.TradebookError))
    return sorted([*_HOME, *raised])


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version  # 28 ms that few need

        return version("tradebook")
    if (
        name == "__all__"
    ):  # as a variable, it would hide from mypy whatever it does not list literally
        return _public_names()
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(_HOME[name])
    value = getattr(module, name, None) or import_module(f"{_HOME[name]}.{name}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_public_names()})
