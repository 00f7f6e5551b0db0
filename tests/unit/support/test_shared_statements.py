"""The tests' one cache of statements: shared by engines that are alike, and by no others."""

from __future__ import annotations

from sqlalchemy import Engine, create_engine, event, func, select

from tradebook import DatabaseConfig, Trade
from tradebook.adapters.engine.factory import make_engine


def compiled_for(engine: Engine) -> object:
    """The statement as it was compiled for an engine that is at work."""
    seen = []
    with engine.connect() as connection:
        event.listen(connection, "before_cursor_execute", lambda *given: seen.append(given[4]))
        connection.execute(select(func.length(Trade.__table__.name)).limit(0))  # type: ignore[attr-defined]
    engine.dispose()
    return seen[-1].compiled


def test_engines_with_the_same_settings_share_what_was_compiled() -> None:
    here, there = (make_engine(DatabaseConfig(path=":memory:")) for _ in range(2))
    assert here.dialect is not there.dialect
    assert compiled_for(here) is compiled_for(there)


def test_an_engine_with_other_settings_compiles_its_own() -> None:
    ours = make_engine(DatabaseConfig(path=":memory:"))
    assert compiled_for(ours) is not compiled_for(create_engine("sqlite://"))
