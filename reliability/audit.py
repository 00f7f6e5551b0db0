"""Tampering is always found, and sealing while everybody books never raises a false alarm."""

from __future__ import annotations

import random
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import URL

from reliability.scenario import Figures, Scenario, rounds_for
from tests.support.servers import create_database, postgresql_server
from tests.support.tampering import a_day, change, forge, remove, reseal, rows, swap
from tradebook import DatabaseManager, Event, Seal

Tamper = Callable[[DatabaseManager, random.Random], None]
_WRITERS: Final = 8
_TRADES: Final = 25
"""By each writer, in a round."""


@contextmanager
def _servers() -> Iterator[tuple[str, URL]]:
    """An embedded database and one on a server."""
    with TemporaryDirectory() as folder, postgresql_server() as server:
        url = create_database(server, f"audit{uuid4().hex}")
        with DatabaseManager(url) as manager:
            manager.upgrade()
        yield f"sqlite:///{Path(folder) / 'book.db'}", url


# Tampering


def _sealed_events(book: DatabaseManager) -> list[dict[str, Any]]:
    covered = {id_ for seal in book.iterate(Seal) for id_ in seal.ids}
    return [row for row in rows(book, "events") if row["id"] in covered]


def _booked(book: DatabaseManager) -> list[dict[str, Any]]:
    return [row for row in rows(book, "trades") if row["sequence"] is not None]


def _other(value: Any, chance: random.Random) -> Any:
    """Another value of the same kind."""
    if isinstance(value, Decimal | int):
        return value + chance.randint(1_000, 9_999)  # of a sequence, one that is not taken
    if isinstance(value, dict):
        return {**value, "forged": chance.random()}
    if isinstance(value, list):
        return value[1:]
    if hasattr(value, "tzinfo"):
        return value + timedelta(microseconds=chance.choice([1, -1, 10**9]))
    return value + "x"


def _alter(table: str, columns: list[str], found: Callable[[DatabaseManager], Any]) -> Tamper:
    def alter(book: DatabaseManager, chance: random.Random) -> None:
        row, column = chance.choice(found(book)), chance.choice(columns)
        change(book, table, {column: _other(row[column], chance)}, id=row["id"])

    return alter


def _lose(table: str, found: Callable[[DatabaseManager], Any]) -> Tamper:
    def lose(book: DatabaseManager, chance: random.Random) -> None:
        remove(book, table, id=chance.choice(found(book))["id"])
        book.rebuild()  # positions are made to fit

    return lose


def _insert_event(book: DatabaseManager, chance: random.Random) -> None:
    row = chance.choice(_sealed_events(book))
    forge(book, "events", row, id=-row["id"], actor="forger")


def _insert_trade(book: DatabaseManager, chance: random.Random) -> None:
    row = chance.choice(_booked(book))
    new = {"id": row["id"] + 10**9, "order_id": "forged", "sequence": 10**6}
    unique = {"corrects_id": None, "bust_sequence": row["bust_sequence"] and 10**6 + 1}
    forge(book, "trades", row, **new, **unique)


def _swap_events(book: DatabaseManager, chance: random.Random) -> None:
    one, other = chance.sample(_sealed_events(book), 2)
    swap(book, one["id"], other["id"])


def _all_but_the_last_seal(book: DatabaseManager) -> list[dict[str, Any]]:
    return rows(book, "seals")[:-1]


def _rewrite(book: DatabaseManager, chance: random.Random) -> None:
    row = chance.choice(_sealed_events(book))
    change(book, "events", {"actor": "forger"}, id=row["id"])
    reseal(book)


def _cut(book: DatabaseManager, chance: random.Random) -> None:
    seals = rows(book, "seals")
    for seal in seals[chance.randrange(len(seals)) :]:
        remove(book, "seals", id=seal["id"])


_EVENT = ["payload", "actor", "correlation_id", "event_type", "entity_id", "occurred_at"]
_TRADE = ["price", "quantity", "fee", "details", "sequence", "executed_at", "strategy", "order_id"]
_SEAL = ["previous_hash", "events_hash", "seal_hash", "settled_id", "sealed_at", "covered"]
TAMPERINGS: Final[dict[str, Tamper]] = {
    "change an event": _alter("events", _EVENT, _sealed_events),
    "remove an event": _lose("events", _sealed_events),
    "insert an event": _insert_event,
    "swap two events": _swap_events,
    "change a trade": _alter("trades", _TRADE, _booked),
    "remove a trade": _lose("trades", lambda book: rows(book, "trades", order_id="o-5")),
    "insert a trade": _insert_trade,
    "change a seal": _alter("seals", _SEAL, lambda book: rows(book, "seals")),
    "remove a seal": _lose("seals", _all_but_the_last_seal),
    "rewrite the chain": _rewrite,
    "cut the chain": _cut,
}


def _tamper(seconds: float) -> Figures:
    figures = Figures()
    with _servers() as urls:
        for number in rounds_for(seconds):
            with DatabaseManager(urls[number % 2], uuid4().hex) as book:
                name = list(TAMPERINGS)[number // 2 % len(TAMPERINGS)]
                tamper_once(book, name, secrets.randbits(32))
            figures.rounds += 1
            figures.operations += 1
    return figures


def tamper_once(book: DatabaseManager, name: str, seed: int) -> None:
    """Tamper with a new book, in one of the ways; it must be found."""
    a_day(book)
    kept = book.export_seals()
    assert book.check_seals(kept).sound
    TAMPERINGS[name](book, random.Random(seed))
    again = f"TAMPERINGS[{name!r}](book, random.Random({seed})) on {book!r}"
    assert book.check_seals(kept).findings, f"not found: {again}"


# Sealing under load


def _load(seconds: float) -> Figures:
    figures = Figures()
    with _servers() as urls:
        for number in rounds_for(seconds):
            with DatabaseManager(urls[number % 2], uuid4().hex) as book:
                figures.add(seal_under_load(book))
    return figures


def seal_under_load(book: DatabaseManager) -> Figures:
    """Seal and check all the while that several writers book; returns what was sealed."""

    def work(writer: int) -> None:
        for number in range(_TRADES):
            terms: dict[str, Any] = {"action": "BUY", "quantity": 1, "price": number}
            book.record_trade(symbol=f"X{writer % 4}", order_id=f"{writer}-{number}", **terms)
            if number % 5 == 0:
                book.raise_alert("load", "INFO")

    kept = book.export_seals()
    with ThreadPoolExecutor(_WRITERS) as threads:
        writers = [threads.submit(work, writer) for writer in range(_WRITERS)]
        while not all(writer.done() for writer in writers):
            book.seal(batch=7)
            checked = book.check_seals(kept)
            assert checked.sound, f"a false alarm: {checked.findings[0]}"
            kept = book.export_seals()
        for writer in writers:
            writer.result()
    book.seal()
    assert book.check_seals(kept).sound
    return _counted(book)


def _counted(book: DatabaseManager) -> Figures:
    covered = Counter(id_ for seal in book.iterate(Seal) for id_ in seal.ids)
    events = {event.id for event in book.iterate(Event)}
    twice = sum(times - 1 for times in covered.values())
    return Figures(1, len(covered), 0, len(events - covered.keys()), twice)


SCENARIOS: Final = [
    Scenario(
        name="tampering",
        promise="What is changed, removed or inserted past the book is found",
        test="test_random_tampering_is_found",
        run=_tamper,
    ),
    Scenario(
        name="sealing",
        promise="Sealing while eight writers book covers every event once, with no false alarm",
        test="test_sealing_while_eight_threads_book_raises_no_false_alarm",
        run=_load,
    ),
]
