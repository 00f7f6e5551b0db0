"""Engines for each database, from one configuration. What only SQLite or asyncio needs is imported for it alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Engine, create_engine, make_url

from tradebook.adapters.connecting import explain_failures
from tradebook.adapters.driver_values import let_driver_make_values
from tradebook.adapters.pool import WatchedPool
from tradebook.adapters.transactions import attend_transactions
from tradebook.adapters.types import read_json
from tradebook.config import DatabaseConfig, Secret


def make_engine(config: DatabaseConfig, account: str = "") -> Engine:
    """An engine whose connections keep the book's promises; `account` is for its log. Connects when first used."""
    url, arguments = address(config, stable(config).url)
    engine = create_engine(url, poolclass=WatchedPool, connect_args=arguments, **options(config))
    return prepared(engine, config, account)


@contextmanager
def engine_for(config: DatabaseConfig) -> Iterator[Engine]:
    """An engine for one piece of work; its connections are closed at the end."""
    engine = make_engine(config)
    try:
        yield engine
    finally:
        engine.dispose()


def stable(config: DatabaseConfig) -> DatabaseConfig:
    """What stays as it is from one connection to the next."""
    return config.without_password() if config.renews_password else config


def address(config: DatabaseConfig, url: str) -> tuple[URL, dict[str, Any]]:
    """The URL, and what goes to the driver past it: values that show in no traceback's frames."""
    parsed = make_url(url)
    if config.backend == "sqlite":
        from tradebook.adapters import sqlite

        return parsed, sqlite.arguments(config)
    hidden: dict[str, Any] = {
        name: Secret(str(value))
        for name, value in parsed.query.items()
        if "password" in name or "password" in str(value)
    }
    if isinstance(config.password, str):
        hidden["password"] = config.password  # SQLAlchemy would make plain text of the URL's
        parsed = parsed.set(password=config.password)
    return parsed.difference_update_query(hidden), hidden


def options(config: DatabaseConfig) -> dict[str, Any]:
    """What `create_engine` takes besides."""
    reading = {"json_deserializer": read_json} if config.backend == "sqlite" else {}
    return {
        **reading,
        "pool_size": config.pool_size,
        "max_overflow": config.max_overflow,
        "pool_timeout": config.pool_timeout,
        "pool_recycle": config.pool_recycle,
        "pool_pre_ping": config.pool_pre_ping,
        "echo": config.echo,
    }


def prepared(engine: Engine, config: DatabaseConfig, account: str) -> Engine:
    """The engine, its connections and transactions attended to."""
    explain_failures(engine, config)
    attend_transactions(engine)
    if config.slow_query_seconds is not None:
        from tradebook.adapters.slow_queries import log_slow_queries  # seldom wanted

        log_slow_queries(engine, config, account)
    if engine.dialect.driver == "psycopg2":
        let_driver_make_values(engine)
    if config.backend == "sqlite":
        from tradebook.adapters import sqlite

        sqlite.prepare(engine, config)
    return engine
