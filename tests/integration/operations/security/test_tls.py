"""TLS between real servers and clients: accepted certificates, and messages for rejected ones."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from attrs import frozen

from tests.support.queries import ask, ask_async
from tests.support.secured_servers import SecuredServer, secured_server, tls_programs
from tradebook import (
    AsyncDatabaseManager,
    DatabaseConfig,
    DatabaseManager,
    DatabaseUnavailable,
    TradebookError,
)
from tradebook.adapters.engine.factory import make_async_engine, make_engine

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="no wheel has a PostgreSQL with TLS for this system"
)

RULES = """
hostssl all certified localhost cert clientcert=verify-full
hostssl all all localhost scram-sha-256
"""
ENCRYPTION = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


@frozen
class Certificates:
    """Certificate files of an authority, of clients and of servers, valid and invalid."""

    folder: Path
    server: dict[str, bytes]

    def config(self, server: SecuredServer, **changes: Any) -> DatabaseConfig:
        """Options that trust the authority alone."""
        settings = {"sslmode": "verify-full", "sslrootcert": self.folder / "ca.crt"}
        return server.config("postgres", **{**settings, **changes})

    def client(self, name: str) -> dict[str, Path]:
        """Options with a client's certificate and key."""
        return {"sslcert": self.folder / f"{name}.crt", "sslkey": self.folder / f"{name}.key"}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")
    authority, stranger = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.crt")
    stranger.cert_pem.write_to_path(folder / "stranger.crt")
    yesterday = datetime.now(UTC) - timedelta(days=1)
    of_server = {
        "server": authority.issue_cert("localhost"),
        "expired": authority.issue_cert("localhost", not_after=yesterday),
    }
    of_clients = {
        "certified": authority.issue_cert(common_name="certified"),
        "other": authority.issue_cert(common_name="other"),
        "forged": stranger.issue_cert(common_name="certified"),
        "outdated": authority.issue_cert(common_name="certified", not_after=yesterday),
    }
    for name, certificate in of_clients.items():
        certificate.cert_chain_pems[0].write_to_path(folder / f"{name}.crt")
        key = folder / f"{name}.key"
        certificate.private_key_pem.write_to_path(key)
        key.chmod(0o600)
    files = {"ca.crt": authority.cert_pem.bytes()}
    for name, certificate in of_server.items():
        files[f"{name}.crt"] = certificate.cert_chain_pems[0].bytes()
        files[f"{name}.key"] = certificate.private_key_pem.bytes()
    return Certificates(folder, files)


@pytest.fixture(scope="module")
def server(certificates: Certificates) -> Iterator[SecuredServer]:
    """Start a server that accepts TLS connections only."""
    settings = {
        "ssl": "on",
        "ssl_cert_file": "server.crt",
        "ssl_key_file": "server.key",
        "ssl_ca_file": "ca.crt",
    }
    with secured_server(tls_programs(), settings, RULES, certificates.server) as server:
        server.execute("CREATE ROLE certified LOGIN")
        yield server


@pytest.fixture(autouse=True)
def _no_files_of_this_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))


Connect = Callable[[DatabaseConfig], Any]


@pytest.fixture(params=[ask, ask_async], ids=["psycopg2", "asyncpg"])
def connect(request: pytest.FixtureRequest) -> Connect:
    """Return whether the connection is encrypted."""
    return lambda config: request.param(config, ENCRYPTION)


def refused(connect: Connect, config: DatabaseConfig) -> str:
    with pytest.raises(DatabaseUnavailable) as error:
        connect(config)
    assert isinstance(error.value, TradebookError)
    return str(error.value)


def test_the_right_authority_and_the_right_name_are_believed(
    connect: Connect, server: SecuredServer, certificates: Certificates
) -> None:
    assert connect(certificates.config(server)) is True


def test_without_tls_the_server_takes_nobody(
    connect: Connect, server: SecuredServer, certificates: Certificates
) -> None:
    message = refused(connect, certificates.config(server, sslmode="disable"))
    assert "set TRADEBOOK_DB_SSLMODE=require" in message


@pytest.mark.parametrize("sslmode", ["verify-ca", "verify-full"])
def test_another_authority_is_not_believed(
    connect: Connect, server: SecuredServer, certificates: Certificates, sslmode: str
) -> None:
    stranger = certificates.folder / "stranger.crt"
    message = refused(connect, certificates.config(server, sslmode=sslmode, sslrootcert=stranger))
    assert f"TLS failed with sslmode={sslmode}: check TRADEBOOK_DB_SSLROOTCERT" in message


def test_another_name_is_not_believed_but_where_names_are_not_asked_for(
    connect: Connect, server: SecuredServer, certificates: Certificates
) -> None:
    elsewhere = certificates.config(server, host="127.0.0.1")
    message = refused(connect, elsewhere)
    assert "127.0.0.1" in message
    assert "that the server's names TRADEBOOK_DB_HOST" in message
    assert connect(certificates.config(server, host="127.0.0.1", sslmode="verify-ca")) is True


def test_an_expired_certificate_is_not_believed(
    connect: Connect, server: SecuredServer, certificates: Certificates
) -> None:
    with serving(server, "expired"):
        message = refused(connect, certificates.config(server))
        assert "TLS failed with sslmode=verify-full" in message
        assert "has not expired" in message
        assert connect(certificates.config(server, sslmode="require", sslrootcert=None)) is True
    assert connect(certificates.config(server)) is True


def test_a_manager_raises_the_same(server: SecuredServer, certificates: Certificates) -> None:
    config = certificates.config(server, sslrootcert=certificates.folder / "stranger.crt")

    async def call() -> None:
        async with AsyncDatabaseManager(config) as book:
            await book.get_positions()

    with DatabaseManager(config) as book:
        for ask_for_positions in (book.get_positions, lambda: asyncio.run(call())):
            with pytest.raises(DatabaseUnavailable, match="TRADEBOOK_DB_SSLROOTCERT"):
                ask_for_positions()


def test_a_client_is_known_by_its_certificate_alone(
    connect: Connect, server: SecuredServer, certificates: Certificates
) -> None:
    files = certificates.client("certified")
    config = certificates.config(server, username="certified", password=None, **files)
    assert connect(config) is True


@pytest.mark.parametrize("name", [None, "other", "forged", "outdated"])
def test_a_client_with_another_certificate_or_none_is_refused(
    connect: Connect, server: SecuredServer, certificates: Certificates, name: str | None
) -> None:
    files = {} if name is None else certificates.client(name)
    message = refused(connect, certificates.config(server, username="certified", **files))
    assert "TRADEBOOK_DB_SSLCERT" in message


@pytest.mark.parametrize("make", [make_engine, make_async_engine], ids=["psycopg2", "asyncpg"])
def test_a_client_certificate_can_be_replaced_while_the_program_runs(
    make: Callable[[DatabaseConfig], Any],
    server: SecuredServer,
    certificates: Certificates,
    tmp_path: Path,
) -> None:
    files = {"sslcert": tmp_path / "client.crt", "sslkey": tmp_path / "client.key"}
    engine = make(certificates.config(server, username="certified", **files))

    async def connected() -> None:
        try:
            async with engine.connect():
                pass
        finally:
            await engine.dispose()

    def connect() -> None:
        if make is make_engine:
            engine.connect().close()
        else:
            asyncio.run(connected())

    for name in ("outdated", "certified"):
        for field, path in certificates.client(name).items():
            files[field].write_bytes(path.read_bytes())
            files[field].chmod(0o600)
        if name == "outdated":
            with pytest.raises(DatabaseUnavailable, match="TRADEBOOK_DB_SSLCERT"):
                connect()
    connect()
    if make is make_engine:
        engine.dispose()


class serving:  # noqa: N801, a context
    """Let the server present another certificate within the block."""

    def __init__(self, server: SecuredServer, name: str) -> None:
        self.server, self.name = server, name

    def __enter__(self) -> None:
        self._show(self.name)

    def __exit__(self, *_: object) -> None:
        self._show("server")

    def _show(self, name: str) -> None:
        for setting, file in (("ssl_key_file", "key"), ("ssl_cert_file", "crt")):
            self.server.execute(f"ALTER SYSTEM SET {setting} = '{name}.{file}'")
        self.server.execute("SELECT pg_reload_conf()")
        while self.server.execute("SHOW ssl_cert_file") != [(f"{name}.crt",)]:
            pass  # the server reads the file asynchronously
