"""Which server a read goes to: a standby that has what the read needs, or the database itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import Final

from attrs import frozen
from sqlalchemy import Engine

from tradebook.adapters.replicas.replica import Replica
from tradebook.adapters.replicas.states import PrimaryState, primary_state
from tradebook.adapters.replicas.written import Written
from tradebook.domain.consistency import Consistency, position_of
from tradebook.service_layer.call_context import current_consistency, current_token
from tradebook.service_layer.instrumentation import current_call

PRIMARY: Final = "primary"
"""The name of the database itself among the servers that reads go to."""


@frozen
class Route:
    """Where a read goes.

    Attributes:
        index: of the replica, from 0; None for the database itself.
        server: its name.
        reason: why: the consistency that was asked for, or what kept the read from a standby.
        waited: seconds that the read waited for the standby.
    """

    index: int | None
    server: str
    reason: str
    waited: float = 0.0


class ReadRouter:
    """Chooses a server for each read; shared by all books on one engine.

    Args:
        primary: the engine of the database itself; sends each statement as a transaction of its own.
        replicas: the servers for queries.
        default: what a read has to see, where `tradebook.context` says nothing else.
        wait: seconds that a read waits for a standby, at most.
        max_lag: seconds that a standby may lag behind.
    """

    def __init__(
        self,
        primary: Engine,
        replicas: Sequence[Replica],
        default: Consistency,
        wait: float,
        max_lag: float,
    ) -> None:
        """Begin with nothing written and nothing checked."""
        self.written = Written(primary)
        self.replicas = replicas
        self._primary = primary
        self._default = default
        self._wait = wait
        self._max_lag = max_lag
        self._turns = count()

    def choose(
        self, sleep: Callable[[float], object] = time.sleep, *, checks: bool = False
    ) -> Route:
        """Choose a server for a read, after waiting for a standby where that is needed.

        Args:
            sleep: waits for some seconds.
            checks: whether the standby is checked in any case, because the read cannot be done again elsewhere.
        """
        route = self._choose(sleep, checks)
        _note(route)
        return route

    def failed(self, route: Route, error: BaseException) -> None:
        """Leave the server of a route alone for a while: the read goes to the database itself."""
        if route.index is not None:
            self.replicas[route.index].failed(error)
        _note(Route(None, PRIMARY, "failed", route.waited))

    def _choose(self, sleep: Callable[[float], object], checks: bool) -> Route:
        asked = current_consistency.get() or self._default
        if asked is Consistency.STRONG:
            return Route(None, PRIMARY, asked)
        needed = self._needed() if asked is Consistency.OWN_WRITES else 0
        if needed is None:
            return Route(None, PRIMARY, "no position")
        fit, reason = [], ""
        first = next(self._turns) % len(self.replicas)
        for index in (*range(first, len(self.replicas)), *range(first)):
            replica = self.replicas[index]
            unfit = replica.unfit(self._state, self._max_lag, now=checks)
            if unfit is not None:
                reason = unfit
            elif replica.replayed >= needed:
                return Route(index, replica.name, asked)
            else:
                fit.append(index)
        if not fit:
            return Route(None, PRIMARY, reason)
        began = time.monotonic()
        index = max(fit, key=lambda each: self.replicas[each].replayed)
        is_there = self.replicas[index].wait_for(needed, self._wait, sleep)
        waited = time.monotonic() - began
        if is_there:
            return Route(index, self.replicas[index].name, asked, waited)
        return Route(None, PRIMARY, "behind", waited)

    def _needed(self) -> int | None:
        written = self.written.position()
        token = current_token.get()
        return None if written is None else max(written, position_of(token) if token else 0)

    def _state(self) -> PrimaryState | None:
        return primary_state(self._primary)


def _note(route: Route) -> None:
    """Tell observers of the call where it reads."""
    call = current_call.get()
    if call is not None:
        call.reads_from(route.server, route.reason, route.waited)
