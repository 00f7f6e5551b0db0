"""`metrics`: the database's metrics, for Prometheus."""

from __future__ import annotations

import errno
import signal
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tradebook.domain.errors import InvalidInput
from tradebook.entrypoints.cli.common import without
from tradebook.entrypoints.cli.messages import say
from tradebook.entrypoints.cli.options import CommandContext, option
from tradebook.operations.activity import monitoring_engine
from tradebook.operations.metrics.database import database_registry, read_samples

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


PORT: Final = 9464


@without(account="the metrics cover every account")
def metrics(
    context: CommandContext,
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="The port to serve; 0 for any free one.")
    ] = PORT,
    address: Annotated[
        str, option("IP", "The address to serve; 0.0.0.0 for all of this machine's.")
    ] = "127.0.0.1",
    once: Annotated[
        bool, typer.Option("--once", help="Print the metrics on stdout, and end.")
    ] = False,
) -> None:
    """Serve the database's metrics to Prometheus: trades, alerts, locks, dead rows, lag.

    Runs beside the application, queries the database at each scrape, and
    changes nothing there. On PostgreSQL its role sees the sessions of others
    once it is granted pg_monitor. Pools, retries and statement times exist in
    the application only, which exports them itself:
    tradebook.operations.metrics.instrument(book).

      tradebook metrics --port 9464
      tradebook metrics --once | grep alerts
      tradebook metrics --json
    """
    with monitoring_engine(context.config(), "tradebook metrics") as engine:
        registry = database_registry(engine)  # names the extra where prometheus_client is missing
        if not (context.as_json or once):
            _serve(registry, address, port)
            return
        samples = [
            {
                "name": metric.name,
                "kind": metric.kind,
                "labels": dict(zip(metric.labels, labels, strict=True)),
                "value": value,
            }
            for metric, labels, value in read_samples(engine)  # raises where a scrape would not
        ]
        from prometheus_client import generate_latest

        context.answer({"metrics": samples}, generate_latest(registry).decode().rstrip())


def _serve(registry: CollectorRegistry, address: str, port: int) -> None:
    """Serve until the process is interrupted or terminated."""
    from prometheus_client import start_http_server

    try:
        server, thread = start_http_server(port, address, registry)
    except OSError as error:
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            expected = f"an address of this machine ({error})"
            raise InvalidInput("--address", address, expected) from None
        raise InvalidInput("--port", port, f"one that is free at {address} ({error})") from None
    ended = threading.Event()
    former = signal.signal(signal.SIGTERM, lambda *_: ended.set())
    try:
        with suppress(KeyboardInterrupt):
            say(f"serving http://{address}:{server.server_port}/metrics; Ctrl-C ends it")
            ended.wait()
    finally:
        signal.signal(signal.SIGTERM, former)
        server.shutdown()
        server.server_close()
        thread.join()
