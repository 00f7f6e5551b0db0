"""The wiring: every provider resolves, once for each manager, however many threads ask."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from dependency_injector import containers, providers

from tradebook import DatabaseConfig, DatabaseManager, InvalidInput
from tradebook.entrypoints.container import ASYNCIO, THREADS, Parts, new_container


def wired(parts: Parts = THREADS) -> containers.DynamicContainer:
    return new_container(parts, DatabaseConfig.from_url("sqlite://"), "main", "USD", "")


@pytest.mark.parametrize("parts", [THREADS, ASYNCIO])
def test_every_provider_resolves(parts: Parts) -> None:
    container = wired(parts)
    resolved = {name: provider() for name, provider in container.providers.items()}
    assert set(resolved) >= {"engine", "runner", "unit_of_work", "read_unit_of_work", "observers"}
    assert resolved.pop("router") is None  # no reads go to another server
    assert all(value is not None for value in resolved.values())
    assert resolved["unit_of_work"] is not container.unit_of_work()
    if parts is ASYNCIO:
        asyncio.run(resolved["engine"].dispose())
    else:
        resolved["engine"].dispose()


def test_one_engine_however_many_threads_ask_first() -> None:
    container = wired()
    with ThreadPoolExecutor(8) as threads:
        engines = set(threads.map(lambda _: id(container.engine()), range(64)))
    assert len(engines) == 1
    singles = [p for p in container.providers.values() if type(p) is providers.Singleton]
    assert singles == []


def test_managers_share_nothing() -> None:
    with DatabaseManager("sqlite://") as one, DatabaseManager("sqlite://") as other:
        one.record_trade(symbol="X", action="BUY", quantity=1, price=1)
        assert other.get_positions() == []


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://nobody:secret@nowhere.invalid/book",
        "postgresql://nowhere.invalid/book?user=nobody&password=secret&sslpassword=secret",
    ],
)
def test_a_manager_connects_only_when_first_used_and_shows_no_password(url: str) -> None:
    with DatabaseManager(url) as manager:
        assert "secret" not in repr(manager)
        assert "secret" not in manager.url


@pytest.mark.parametrize("url", ["mysql://x/y", "not a url", "redis://"])
def test_a_url_of_another_kind_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(InvalidInput, match="database"):
        DatabaseManager(url)
