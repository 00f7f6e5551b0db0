"""The messages of failed connections with both drivers, none of which shows a password."""

from __future__ import annotations

import logging
import os
import socket
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from sqlalchemy import text

from tests.support.guarded_servers import PASSWORD, TlsFront, guarded_server, make_certificate
from tests.support.queries import ask, ask_async
from tradebook import DatabaseConfig, DatabaseManager, DatabaseUnavailable
from tradebook.adapters.engine.factory import make_engine

Connect = Callable[[DatabaseConfig], Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for certificates."""
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def server() -> Iterator[DatabaseConfig]:
    """A server without TLS."""
    with guarded_server() as config:
        yield config


@pytest.fixture
def tls_server(server: DatabaseConfig, folder: Path) -> Iterator[TlsFront]:
    """The same server behind TLS, with a self-signed certificate."""
    with TlsFront(server, make_certificate(folder, "server")) as front:
        yield front


@pytest.fixture(autouse=True)
def _no_files_of_this_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the certificates and passwords of the user that runs the tests."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(name)


@pytest.fixture(params=[ask, ask_async], ids=["psycopg2", "asyncpg"])
def connect(request: pytest.FixtureRequest) -> Connect:
    return request.param


def shown(error: BaseException) -> str:
    """Return the output of a log that shows the local variables of every frame, except those of tests."""
    whole = traceback.TracebackException.from_exception(error, capture_locals=True)
    parts: list[str] = []
    each: traceback.TracebackException | None = whole
    while each is not None:
        parts += each.format_exception_only()
        parts += [str(frame.locals) for frame in each.stack if frame.filename != __file__]
        each = each.__cause__ or each.__context__
    return "\n".join(parts)


def refused(connect: Connect, config: DatabaseConfig, **changes: Any) -> str:
    """Connect in vain and return the message, after a check that no frame shows the password."""
    with pytest.raises(DatabaseUnavailable) as error:
        connect(attrs.evolve(config, **changes))
    assert "mutable_cparams" in shown(error.value)
    assert str(changes.get("password") or PASSWORD) not in shown(error.value)
    assert "s3cret" not in shown(error.value)
    assert error.value.__cause__ is not None
    return str(error.value)


def test_with_the_right_password_there_is_a_connection(
    connect: Connect, server: DatabaseConfig
) -> None:
    assert connect(server) == 1


def test_a_server_that_is_down_is_named_with_what_to_check(
    connect: Connect, server: DatabaseConfig
) -> None:
    message = refused(connect, server, port=1)
    assert message.startswith("cannot connect to localhost:1: ")
    assert message.endswith(
        "is the server running there? check TRADEBOOK_DB_HOST and TRADEBOOK_DB_PORT"
    )


def test_a_socket_that_is_not_there_is_named_too(connect: Connect, tmp_path: Path) -> None:
    config = DatabaseConfig(host=str(tmp_path), username="me", password=PASSWORD)
    message = refused(connect, config)
    assert str(tmp_path) in message
    assert "is the server running there?" in message


def test_an_unknown_host_is_named(connect: Connect, server: DatabaseConfig) -> None:
    message = refused(connect, server, host="nowhere.invalid")
    assert "no host is known as nowhere.invalid: check TRADEBOOK_DB_HOST" in message


@pytest.mark.parametrize(
    "changes",
    [
        {"password": "wrong-one"},
        {"password": None},
        {"password": ""},
        {"username": "stranger"},
    ],
    ids=["wrong", "none", "empty", "no such user"],
)
def test_a_refused_password_names_the_user_and_the_variables(
    connect: Connect, server: DatabaseConfig, changes: dict[str, Any]
) -> None:
    message = refused(connect, server, **changes)
    assert f"refused user '{changes.get('username', 'guarded')}'" in message
    assert "TRADEBOOK_DB_USER and TRADEBOOK_DB_PASSWORD" in message


@pytest.mark.parametrize("password", ["wrong-one", "s3cret-and-wrong", "p@ss:w/rd"])
def test_a_wrong_password_is_not_shown(
    connect: Connect, server: DatabaseConfig, password: str
) -> None:
    refused(connect, server, password=password)


def test_a_database_that_is_missing_is_named_with_how_to_make_it(
    connect: Connect, server: DatabaseConfig
) -> None:
    message = refused(connect, server, database="my role's book")
    assert "there is no database my role's book" in message
    assert "createdb" in message
    assert "TRADEBOOK_DB_NAME" in message


@pytest.mark.parametrize("sslmode", ["require", "verify-full"])
def test_a_server_without_tls_is_refused_where_tls_is_required(
    connect: Connect, server: DatabaseConfig, sslmode: str, folder: Path
) -> None:
    authority = None if sslmode == "require" else make_certificate(folder, "any")
    message = refused(connect, server, sslmode=sslmode, sslrootcert=authority)
    assert f"the server offers no TLS, and sslmode={sslmode} requires it" in message
    assert "TRADEBOOK_DB_SSLMODE" in message


@pytest.mark.parametrize("sslmode", ["require", "prefer", "disable"])
def test_tls_is_used_where_it_is_required(
    connect: Connect, tls_server: TlsFront, sslmode: str
) -> None:
    assert connect(attrs.evolve(tls_server.config, sslmode=sslmode)) == 1
    assert tls_server.encrypted == [sslmode != "disable"]


@pytest.mark.parametrize(
    ("sslmode", "host"), [("verify-full", "localhost"), ("verify-ca", "127.0.0.1")]
)
def test_a_certificate_that_is_known_is_verified(
    connect: Connect, tls_server: TlsFront, folder: Path, sslmode: str, host: str
) -> None:
    authority = folder / "server.crt"
    config = attrs.evolve(tls_server.config, sslmode=sslmode, host=host, sslrootcert=authority)
    assert connect(config) == 1
    assert tls_server.encrypted == [True]


@pytest.mark.parametrize("case", ["another authority", "another host", "no authority", "no file"])
def test_a_certificate_that_is_not_trusted_is_refused(
    connect: Connect, tls_server: TlsFront, folder: Path, case: str
) -> None:
    changes: dict[str, Any] = {
        "another authority": {"sslrootcert": make_certificate(folder, "other")},
        "another host": {"host": "127.0.0.1", "sslrootcert": folder / "server.crt"},
        "no authority": {},
        "no file": {"sslrootcert": folder / "nothing.crt"},
    }[case]
    message = refused(connect, tls_server.config, sslmode="verify-full", **changes)
    assert "TLS failed with sslmode=verify-full" in message
    assert "TRADEBOOK_DB_SSLROOTCERT" in message


def test_a_server_that_never_answers_is_given_up(connect: Connect, server: DatabaseConfig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        message = refused(
            connect,
            server,
            host="127.0.0.1",
            port=silent.getsockname()[1],
            parameters={"connect_timeout": "1"},
        )
    assert "nothing answered in time" in message


def test_a_server_without_a_free_connection_is_named_with_what_to_do(
    connect: Connect, server: DatabaseConfig
) -> None:
    engine = make_engine(server)
    with engine.begin() as connection:
        connection.execute(text("DROP ROLE IF EXISTS plain"))
        connection.execute(text("CREATE ROLE plain LOGIN PASSWORD 's3cret' CONNECTION LIMIT 0"))
    engine.dispose()
    message = refused(connect, server, username="plain", password="s3cret")
    assert "the server has no connection left" in message


@pytest.mark.parametrize("word", ["ssl.invalid", "password.invalid", "timeout.invalid"])
def test_a_word_in_the_hosts_name_does_not_mislead(
    connect: Connect, server: DatabaseConfig, word: str
) -> None:
    assert f"no host is known as {word}" in refused(connect, server, host=word)


def test_the_logs_show_no_password(
    connect: Connect, server: DatabaseConfig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="sqlalchemy")
    loud = attrs.evolve(server, echo=True)
    assert connect(loud) == 1
    with pytest.raises(DatabaseUnavailable):
        connect(attrs.evolve(loud, password="s3cret-and-wrong"))
    assert "Created new connection" in caplog.text
    assert "s3cret" not in caplog.text
    assert repr(make_engine(loud).url.password) == "'***'"


def test_an_error_after_connecting_shows_no_password_either(
    connect: Connect, server: DatabaseConfig
) -> None:
    with pytest.raises(Exception, match="nowhere") as error:
        connect(server, "SELECT 1 FROM nowhere")
    assert "s3cret" not in shown(error.value)


def test_a_password_of_a_key_is_not_shown(connect: Connect, server: DatabaseConfig) -> None:
    refused(connect, server, parameters={"sslpassword": "s3cret-key"}, port=1)


@pytest.mark.usefixtures("brief_outages")
def test_a_manager_raises_the_same(server: DatabaseConfig) -> None:
    with (
        DatabaseManager(attrs.evolve(server, port=1)) as manager,
        pytest.raises(DatabaseUnavailable, match="is the server running there"),
    ):
        manager.get_positions()


@pytest.mark.parametrize("ask_sqlite", [ask, ask_async], ids=["pysqlite", "aiosqlite"])
def test_a_file_that_cannot_be_opened_is_named(ask_sqlite: Connect, tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "book.db"
    with pytest.raises(DatabaseUnavailable) as error:
        ask_sqlite(DatabaseConfig(path=path))
    assert str(path) in str(error.value)
    assert "check the path and its permissions" in str(error.value)
