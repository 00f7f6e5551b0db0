"""Positions in the log, and the count of what was written, without a server."""

from __future__ import annotations

from typing import Any

import pytest

from tradebook import InvalidInput
from tradebook.adapters.replicas import written
from tradebook.adapters.replicas.replica import wait_statement
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
