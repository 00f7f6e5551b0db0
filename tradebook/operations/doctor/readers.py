"""Checks of the servers that queries go to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from sqlalchemy import Engine

from tradebook.adapters.engine.factory import engine_for
from tradebook.adapters.replicas.states import FAILURES, primary_state, replica_state
from tradebook.config import DatabaseConfig
from tradebook.operations.doctor.checks import Finding, green, yellow

_CHECK: Final = "queries"
_OUT: Final = "or take it out of TRADEBOOK_DATABASE_READ_URL"


def readers(engine: Engine, configs: Sequence[DatabaseConfig]) -> Iterator[Finding]:
    """Check each server of `read_url`, with an engine of the database itself."""
    here = primary_state(engine) if configs else None
    for config in configs:
        name = f"{config.host}:{config.port}"
        try:
            with engine_for(config) as reader:
                state = replica_state(reader)
        except FAILURES as error:
            what = f"{name} does not answer ({error}): queries go to the database itself"
            yield yellow(_CHECK, what, f"start it, {_OUT}")
            continue
        if here is not None and here.has_promoted(state):
            what = f"{name} takes writes itself: it was promoted, and no query goes there"
            yield yellow(_CHECK, what, f"make it a standby again, {_OUT}")
        elif here is not None and here.server == state.server:
            yield green(_CHECK, f"{name} is the database itself")
        elif state.replayed is None or here is None:
            what = f"{name} does not say how far it is: it serves eventual reads only"
            yield yellow(_CHECK, what, f"use a standby by physical replication, {_OUT}")
        else:
            behind = max(0, here.position - state.replayed)
            yield green(_CHECK, f"{name} is a standby, {behind:,} bytes of the log behind")
