"""A front before a PostgreSQL server that cuts connections: at their COMMIT, or at any byte."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from sqlalchemy import URL

BEFORE, AFTER, HELD = "before", "after", "held"
CUTS: Final = (BEFORE, AFTER)
"""Before the server gets the COMMIT; or after it answered, and before the client has the answer."""

REQUEST, ANSWER = "request", "answer"
WAYS: Final = (REQUEST, ANSWER)
"""To the server; or back from it."""

_COMMIT: Final = re.compile(rb"Q....COMMIT;?\0", re.DOTALL)


class CuttingFront:
    """Passes connections on to a server, and cuts those that it was told to.

    Attributes:
        url: what connects to the server through this.
        cuts: how many connections it has cut.
        is_open: whether new connections are passed on; otherwise they are closed at once.
    """

    def __init__(self, server: URL) -> None:
        self.cuts = 0
        self.is_open = True
        folder, port = str(server.query["host"]), server.port or server.query.get("port", 5432)
        self._socket = f"{folder}/.s.PGSQL.{port}"
        self._listener = socket.create_server(("127.0.0.1", 0))
        mine = server.difference_update_query(["host", "port"])
        self.url = mine.set(host="127.0.0.1", port=self._listener.getsockname()[1])
        self._next: str | None = None
        self._bytes_left: dict[str, int] = {}
        self._held: Callable[[], None] | None = None
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> CuttingFront:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        _cut(self._listener)
        self.drop()
        for thread in self._threads:
            thread.join()

    def cut_next(self, moment: str) -> None:
        """Cut the next connection that commits, at BEFORE, AFTER or HELD."""
        self._next = moment

    def cut_at_byte(self, way: str, number: int) -> None:
        """Cut the connection that has the byte of this number from now on, on its way; those before it arrive."""
        self._bytes_left = {way: number}

    def drop(self) -> None:
        """Cut every connection that is open."""
        while self._open:
            _cut(self._open.pop())

    def release(self) -> None:
        """Let the server have the COMMIT of the connection that was cut at HELD."""
        assert self._held is not None
        self._held()
        self._held = None

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if not self.is_open:
                    _cut(client)
                    continue
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._socket)
                self._open += [client, server]
                self._start(self._pass_on, client, server)
                self._start(self._pass_back, server, client)

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        for data in self._passed(REQUEST, client, server):
            if self._next is not None and _COMMIT.fullmatch(data):
                moment, self._next = self._next, None
                self.cuts += 1
                self._cut_at(moment, data, client, server)
                return
            with contextlib.suppress(OSError):
                server.sendall(data)
        _cut(server)

    def _cut_at(
        self, moment: str, data: bytes, client: socket.socket, server: socket.socket
    ) -> None:
        if moment == BEFORE:
            _cut(server)
        _cut(client)
        if moment == AFTER:
            _send_last(server, data)
        elif moment == HELD:
            self._held = partial(_send_last, server, data)

    def _pass_back(self, server: socket.socket, client: socket.socket) -> None:
        for data in self._passed(ANSWER, server, client):
            with contextlib.suppress(OSError):
                client.sendall(data)
        _cut(client)

    def _passed(self, way: str, sender: socket.socket, receiver: socket.socket) -> Iterator[bytes]:
        """Give what arrives up to the byte to cut at; the receiver then gets that much and its end."""
        for data in _received(sender):
            if way not in self._bytes_left:
                yield data
                continue
            left = self._bytes_left[way]
            self._bytes_left[way] -= len(data)
            if left < len(data):
                self._bytes_left = {}
                self.cuts += 1
                yield data[:left]
                _cut(sender)
                return
            yield data

    def _start(self, work: Callable[..., None], *args: socket.socket) -> None:
        thread = threading.Thread(target=work, args=args)
        self._threads.append(thread)
        thread.start()


def _send_last(server: socket.socket, data: bytes) -> None:
    server.sendall(data)
    server.shutdown(socket.SHUT_WR)


def _received(connection: socket.socket) -> Iterator[bytes]:
    with contextlib.suppress(OSError):
        while data := connection.recv(65_536):
            yield data


def _cut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
