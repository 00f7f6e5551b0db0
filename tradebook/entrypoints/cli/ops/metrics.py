"""`metrics`: what the database knows, for Prometheus."""

from __future__ import annotations

import errno
import signal
import socket
import threading
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tradebook.domain.errors import InvalidInput
from tradebook.entrypoints.cli.options import AsJson, Database, configured
from tradebook.entrypoints.cli.output import print_json, say
from tradebook.operations.activity import monitoring_engine

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


PORT: Final = 9464


def metrics(
    port: Annotated[
        int, typer.Option("--port", min=0, max=65_535, help="Where to serve; 0 for any free port.")
    ] = PORT,
    address: Annotated[
        str,
        typer.Option(
            "--address", metavar="IP", help="Of which network; 0.0.0.0 for all of the machine's."
        ),
    ] = "127.0.0.1",
    once: Annotated[
        bool, typer.Option("--once", help="Print them on stdout instead, and end.")
    ] = False,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Serve Prometheus what the database knows: trades, alerts, locks, dead rows, lag.

    It runs beside the application, asks the database at each scrape, and
    changes nothing there. On PostgreSQL its role sees what others do once it
    is granted pg_monitor. Pools, retries and the time of each statement are
    known in the application only, which exports them itself:
    tradebook.operations.metrics.instrument(book).

      tradebook metrics --port 9464
      tradebook metrics --once | grep alerts
      tradebook metrics --json
    """
    from tradebook.operations.metrics.database import database_registry, read_samples

    config = configured(database)
    with monitoring_engine(config, "tradebook metrics") as engine:
        registry = database_registry(engine)
        if as_json or once:
            samples = read_samples(engine)
            if as_json:
                print_json({"metrics": [_as_json(sample) for sample in samples]})
            else:
                _print(registry)
        else:
            _serve(registry, address, port)


def _as_json(sample: Any) -> dict[str, object]:
    metric, labels, value = sample
    named = dict(zip(metric.labels, labels, strict=True))
    return {"name": metric.name, "kind": metric.kind, "labels": named, "value": value}


def _print(registry: CollectorRegistry) -> None:
    from prometheus_client import generate_latest

    say(generate_latest(registry).decode().rstrip())


def _refusal(error: OSError, address: str, port: int) -> InvalidInput:
    """Which of the two was wrong."""

    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return InvalidInput("--address", address, f"an address of this machine ({error})")
    return InvalidInput("--port", port, f"one that is free at {address} ({error})")


def _serve(registry: CollectorRegistry, address: str, port: int) -> None:
    """Serve until somebody ends it."""
    from prometheus_client import start_http_server

    try:
        server, thread = start_http_server(port, address, registry)
    except OSError as error:
        raise _refusal(error, address, port) from None
    ended = threading.Event()
    former = signal.signal(signal.SIGTERM, lambda *_: ended.set())
    try:
        say(f"serving http://{address}:{server.server_port}/metrics; Ctrl-C ends it")
        ended.wait()
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, former)
        server.shutdown()
        server.server_close()
        thread.join()
