"""Positions in the log, and the count of what was written, without a server."""

from __future__ import annotations

import time
from typing import Any

import pytest
from attrs import define, field
from sqlalchemy.exc import DBAPIError

from tradebook import InvalidInput
from tradebook.adapters.replicas import replica, written
from tradebook.adapters.replicas.replica import Replica, wait_statement
from tradebook.adapters.replicas.states import PrimaryState, Server
from tradebook.adapters.replicas.written import Written
from tradebook.domain.consistency import (
    Consistency,
    checked_token,
    consistency_of,
    position_of,
    token_of,
)

SERVER = Server(1, "now", "book")


def test_a_token_is_the_position_as_postgresql_writes_it() -> None:
    for token, position in (("0/0", 0), ("0/16B3748", 0x16B3748), ("FFFFFFFF/FFFFFFFF", 2**64 - 1)):
        assert position_of(token) == position
        assert token_of(position) == token
    assert checked_token("") == ""
    for wrong in ("16B3748", "0/", "0/123456789", "x/1", " 0/1"):
        with pytest.raises(InvalidInput, match="consistency_token"):
            checked_token(wrong)
    assert consistency_of("own-writes") is Consistency.OWN_WRITES


def test_the_position_is_asked_for_once_for_all_writes_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []

    def state(engine: Any) -> PrimaryState | None:
        asked.append(engine)
        return PrimaryState(100 * len(asked), SERVER) if engine else None

    monkeypatch.setattr(written, "primary_state", state)
    writes: Any = Written("engine")  # type: ignore[arg-type]
    assert (writes.position(), asked) == (0, [])
    for _ in range(3):
        writes.add()
    assert [writes.position(), writes.position()] == [100, 100]
    writes.add()
    assert writes.position() == 200
    assert len(asked) == 2
    silent: Any = Written(None)  # type: ignore[arg-type]
    silent.add()
    assert silent.position() is None


def test_a_write_during_the_question_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    writes: Any = Written("engine")  # type: ignore[arg-type]
    positions = iter([100, 200])

    def state(_engine: Any) -> PrimaryState:
        position = next(positions)
        if position == 100:
            writes.add()
        return PrimaryState(position, SERVER)

    monkeypatch.setattr(written, "primary_state", state)
    writes.add()
    assert [writes.position(), writes.position()] == [100, 200]


def test_a_server_that_can_waits_itself() -> None:
    statement = str(wait_statement(0x16B3748, 0.0004))
    assert statement == "WAIT FOR LSN '0/16B3748' WITH (TIMEOUT '1ms', NO_THROW)"


class Connection:
    """A connection of a server that answers from a list, and notes what it was sent."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.dialect = engine, engine

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_error: object) -> None:
        """Leave nothing behind."""

    def execute(self, statement: object) -> Connection:
        self.engine.sent.append(str(statement))
        if str(statement).startswith("WAIT"):
            self.engine.replayed = 200
        return self

    def one(self) -> tuple[object, ...]:
        if self.engine.error is not None:
            raise self.engine.error
        return (True, self.engine.replayed, 1, "there", "book")

    def scalar(self, statement: object) -> int:
        self.execute(statement)
        return self.engine.replayed


@define
class Engine:
    """A server for queries that has replayed up to a position."""

    replayed: int = 100
    server_version_info: tuple[int, ...] = (18, 1)
    error: Exception | None = None
    sent: list[str] = field(factory=list)

    def connect(self) -> Connection:
        return Connection(self)


class DriverError(Exception):
    """An error of a driver, with a SQLSTATE."""

    def __init__(self, state: str) -> None:
        super().__init__(state)
        self.pgcode = self.sqlstate = state


@pytest.fixture(autouse=True)
def no_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica.event, "listen", lambda *_: None)


def ready(engine: Engine) -> Replica:
    """Return the replica on an engine, once checked."""
    server = Replica("there", engine)  # type: ignore[arg-type]
    assert server.unfit(lambda: PrimaryState(100, SERVER), 60) is None
    return server


def test_a_server_of_version_19_is_told_to_wait() -> None:
    naps: list[float] = []
    engine = Engine(server_version_info=(19, 0))
    assert ready(engine).wait_for(150, 1, naps.append)
    assert naps == []
    assert [each.split()[0] for each in engine.sent[1:]] == ["SELECT", "WAIT", "SELECT"]


def test_an_older_server_is_asked_again_and_again() -> None:
    engine, naps = Engine(), list[float]()

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        engine.replayed += 20

    assert ready(engine).wait_for(150, 1, sleep)
    assert naps == [0.0005, 0.001, 0.002]


def test_a_server_that_was_late_is_not_waited_for_until_it_has_caught_up() -> None:
    engine, naps = Engine(), list[float]()
    server = ready(engine)
    assert not server.wait_for(150, 0.001, lambda s: naps.append(s) or time.sleep(s))  # type: ignore[func-returns-value]
    assert naps
    naps.clear()
    assert not server.wait_for(150, 1, naps.append)
    assert naps == []
    engine.replayed = 150
    assert server.wait_for(150, 1, naps.append)


@pytest.mark.parametrize("state", ["0A000", "42883", "42501"])
def test_a_server_that_does_not_say_how_far_it_is_serves_eventual_reads(state: str) -> None:
    engine = Engine(error=DBAPIError("SELECT", {}, DriverError(state)))
    server = ready(engine)
    assert server.replayed == 0
    assert not server.wait_for(1, 1, lambda _: pytest.fail("it waits in vain"))


def test_a_server_that_fails_is_left_alone_twice_as_long_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr(replica.time, "monotonic", lambda: now)
    engine = Engine(error=DBAPIError("SELECT", {}, DriverError("57P01")))
    server = Replica("there", engine)  # type: ignore[arg-type]
    tried = []
    for _ in range(64):
        before = len(engine.sent)
        assert server.unfit(lambda: None, 60) == "unreachable"
        tried.append(len(engine.sent) > before)
        now += 1
    assert [second for second, is_tried in enumerate(tried) if is_tried] == [0, 1, 3, 7, 15, 31, 61]
    engine.error = None
    now += 30
    assert server.unfit(lambda: None, 60) is None
