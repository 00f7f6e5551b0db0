"""One cache of compiled statements for all engines of a test process.

SQLAlchemy has a cache in each engine, and each mapper has one whose key is the engine's dialect: tests, which make an
engine each, spent a third of their time on compiling the same statements anew.
"""

from __future__ import annotations

from typing import Any, Final
from weakref import WeakKeyDictionary

from sqlalchemy import Engine
from sqlalchemy.orm import Mapper
from sqlalchemy.util import LRUCache

from tradebook.adapters.types import DIALECTS_WITH_FINAL_VALUES

_SETTING: Final = (bool, int, str, tuple, type, type(None))
_CONNECTED: Final[WeakKeyDictionary[Any, tuple[object, ...]]] = WeakKeyDictionary()


class SharedStatements(LRUCache[Any, Any]):
    """Compiled statements, under the settings of the dialect that they are for."""

    def get(self, key: Any, default: Any = None) -> Any:
        """Find a statement that was compiled for a dialect with the same settings."""
        return super().get(_shared(key), default)

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(_shared(key), value)


def _shared(key: tuple[Any, ...]) -> tuple[Any, ...]:
    dialect, *rest = key
    settings = _CONNECTED.get(dialect)
    if settings is None:
        settings = settings_of(dialect)
        if hasattr(dialect, "default_isolation_level"):  # the last that a first connection tells it
            _CONNECTED[dialect] = settings
    return (settings, *rest)


def settings_of(dialect: Any) -> tuple[object, ...]:
    """All that makes a statement for one dialect differ from the same for another."""
    kind = type(dialect)
    settings = frozenset(
        (name, value)
        for name, value in vars(dialect).items()
        # What is memoized comes with the first statement, and follows from the others.
        if isinstance(value, _SETTING) and not hasattr(getattr(kind, name, None), "__get__")
    )
    json = (dialect._json_serializer, dialect._json_deserializer)
    return (kind, dialect in DIALECTS_WITH_FINAL_VALUES, json, settings)


def share_statements() -> None:
    """Let all engines, and all flushes of sessions, use one cache."""
    statements = SharedStatements(5000)
    # A property, since an engine sets its own.
    of_engines = property(lambda _engine: statements, lambda _engine, _own: None)
    Engine._compiled_cache = of_engines  # type: ignore[assignment]
    Mapper._compiled_cache = statements  # type: ignore[assignment, method-assign]
