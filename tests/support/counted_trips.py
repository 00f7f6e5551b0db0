"""A front before a PostgreSQL server that counts the round trips of its clients."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from sqlalchemy import URL

from tests.support.cut_connections import REQUEST, CuttingFront


class CountingFront(CuttingFront):
    """Passes connections on to a server, and counts how often a client sends after the server had answered.

    With one connection in use that is the number of round trips, BEGIN and COMMIT included.
    """

    def __init__(self, server: URL) -> None:
        super().__init__(server)
        self.trips = 0
        self._last = ""

    def _passed(self, way: str, sender: socket.socket, receiver: socket.socket) -> Iterator[bytes]:
        for data in super()._passed(way, sender, receiver):
            self.trips += way == REQUEST != self._last
            self._last = way
            yield data
