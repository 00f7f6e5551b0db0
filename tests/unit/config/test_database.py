"""Configurations and their URLs, without a server."""

from __future__ import annotations

import copy
import logging
import os
import pickle
import string
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import make_url
from sqlalchemy.dialects.postgresql import asyncpg, psycopg2

from tradebook import DatabaseConfig, DatabaseManager, InvalidInput
from tradebook.config import DatabaseEnvironment, Secret

PASSWORD = "hunter2" + "secret"
AWFUL = "a@b:c/d%e#f?g&h i+j=k'l\"é漢🙂\\%41"
HINT = "percent-encoded"

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
hosts = st.one_of(
    st.text(string.ascii_letters + "-.", min_size=1),
    st.sampled_from(["::1", "fe80::1%eth0", "a,b", "bücher.example", "10.0.0.1"]),
    texts.map(lambda text: "/" + text).filter(lambda host: all(host.split(","))),
)
servers = st.builds(
    DatabaseConfig,
    host=hosts,
    port=st.integers(1, 65_535),
    database=texts,
    username=st.none() | texts,
    password=st.none() | texts,
    sslmode=st.none() | st.sampled_from(["disable", "require", "verify-full"]),
    sslrootcert=st.none() | texts,
    sslcert=st.none() | texts,
    sslkey=st.none() | texts,
    application_name=st.none() | texts,
    statement_timeout=st.none() | st.integers(0, 2**31 - 1),
    lock_timeout=st.none() | st.integers(0, 2**31 - 1),
    idle_in_transaction_session_timeout=st.none() | st.integers(0, 2**31 - 1),
    parameters=st.dictionaries(st.sampled_from(["sslpassword", "options", "passfile"]), texts),
)
files = st.builds(
    DatabaseConfig,
    path=texts,
    lock_timeout=st.none() | st.integers(0, 2**31 - 1),
    parameters=st.dictionaries(st.sampled_from(["mode", "uri", "nolock"]), texts),
)


@given(servers | files)
@example(DatabaseConfig(path="x", lock_timeout=2**31 - 1))
def test_a_url_is_read_back_as_the_configuration_it_came_from(config: DatabaseConfig) -> None:
    assert DatabaseConfig.from_url(config.url) == config
    assert DatabaseConfig.from_url(config.async_url) == config


def arguments(dialect: Any, url: str) -> dict[str, Any]:
    """What SQLAlchemy hands the driver."""
    found: dict[str, Any] = dialect.create_connect_args(make_url(url))[1]
    return found


@given(hosts, texts, texts, texts)
def test_what_is_configured_is_what_both_drivers_are_given(
    host: str, database: str, username: str, password: str
) -> None:
    config = DatabaseConfig(host, 5433, database, username, password)
    sync = arguments(psycopg2.dialect(), config.url)
    asynchronous = arguments(asyncpg.dialect(), config.async_url)

    assert (sync["user"], sync["password"], sync["dbname"]) == (username, password, database)
    assert asynchronous["user"] == username
    assert asynchronous["password"] == password
    assert asynchronous["database"] == database
    assert sync["host"] == config.host
    assert asynchronous["host"] in (config.host, str(config.host).split(","))


def test_special_characters_survive_in_both_urls() -> None:
    config = DatabaseConfig("localhost", 5432, AWFUL, AWFUL, AWFUL)
    for url in (make_url(config.url), make_url(config.async_url)):
        assert (url.username, url.password, url.database) == (AWFUL, AWFUL, AWFUL)


def test_a_url_is_complete() -> None:
    config = DatabaseConfig(
        host="db",
        sslmode="verify-full",
        sslrootcert="/ca one.pem",
        application_name="a bot",
        statement_timeout=5000,
        lock_timeout=100,
        parameters={"keepalives": "1", "target_session_attrs": "read-write"},
    )
    sync = arguments(psycopg2.dialect(), config.url)
    asynchronous = arguments(asyncpg.dialect(), config.async_url)

    assert sync["options"] == "-c statement_timeout=5000 -c lock_timeout=100"
    assert (sync["sslmode"], sync["sslrootcert"]) == ("verify-full", "/ca one.pem")
    assert (sync["application_name"], sync["keepalives"]) == ("a bot", "1")
    assert parse_qs(asynchronous["dsn"].partition("?")[2]) == {
        "sslmode": ["verify-full"],
        "sslrootcert": ["/ca one.pem"],
        "application_name": ["a bot"],
        "statement_timeout": ["5000"],
        "lock_timeout": ["100"],
        "target_session_attrs": ["read-write"],
    }


def test_a_url_holds_nothing_that_its_driver_would_refuse() -> None:
    config = DatabaseConfig.from_url("postgresql://h/d?connect_timeout=5")
    pooled = DatabaseConfig.from_url("postgresql+asyncpg://h/d?prepared_statement_cache_size=0")

    assert "timeout" not in arguments(asyncpg.dialect(), config.async_url)
    assert arguments(psycopg2.dialect(), config.url)["connect_timeout"] == "5"
    assert arguments(asyncpg.dialect(), pooled.async_url)["prepared_statement_cache_size"] == 0
    assert "prepared_statement_cache_size" not in pooled.url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:p@h:1/d", {"host": "h", "port": 1, "database": "d", "username": "u"}),
        ("postgres://h", {"host": "h", "port": 5432, "database": "tradebook"}),
        ("postgresql+psycopg2://", {"host": "localhost", "backend": "postgresql"}),
        ("postgresql:///?pool_size=5", {"backend": "postgresql", "pool_size": 5}),
        ("postgresql+asyncpg://[::1]/d?ssl=require", {"host": "::1", "sslmode": "require"}),
        ("postgresql://%2Frun%2Fpg/d", {"host": "/run/pg"}),
        ("postgresql:///d?host=/run/pg&port=7", {"host": "/run/pg", "port": 7}),
        ("postgresql:///?user=u&dbname=d&password=p", {"username": "u", "database": "d"}),
        ("postgresql://h:1/d?application_name=a@b", {"host": "h", "application_name": "a@b"}),
        ("postgresql://h/d?echo=on&pool_timeout=2.5", {"echo": True, "pool_timeout": 2.5}),
        ("postgresql://h/d?keepalives=1", {"parameters": {"keepalives": "1"}}),
        ("postgresql://h/d?options=-c%20a%3Db", {"parameters": {"options": "-c a=b"}}),
        (
            "postgresql://h/d?options=-c%20a%3Db%20-c%20lock_timeout%3D7",
            {"parameters": {"options": "-c a=b"}, "lock_timeout": 7},
        ),
        ("postgresql://h/d?application_name=", {"application_name": None}),
        ("sqlite:///rel.db", {"path": "rel.db", "backend": "sqlite", "host": None}),
        ("sqlite+pysqlite:////abs.db", {"path": "/abs.db"}),
        ("sqlite+aiosqlite:///a%3Fb.db", {"path": "a?b.db"}),
        ("sqlite://", {"path": ":memory:", "is_in_memory": True}),
        ("sqlite:///:memory:", {"path": ":memory:"}),
        ("sqlite:///x.db?timeout=1.5", {"lock_timeout": 1500, "parameters": {}}),
        (
            "sqlite:///file:x.db?mode=ro&uri=true",
            {"path": "file:x.db", "parameters": {"mode": "ro", "uri": "true"}},
        ),
    ],
)
def test_urls_that_people_write_are_understood(url: str, expected: dict[str, object]) -> None:
    config = DatabaseConfig.from_url(f" {url}\n")
    assert {name: getattr(config, name) for name in expected} == expected


@pytest.mark.parametrize(
    "url",
    [
        f"mysql://u:{PASSWORD}@h/d",
        f"postgresql+psycopg://u:{PASSWORD}@h/d",
        PASSWORD,
        f"sqlite://{PASSWORD}",
        f"postgresql://u:{PASSWORD}@h:99999/d",
        f"postgresql://u:{PASSWORD}@h/d?pool_size=many",
        f"postgresql://u:{PASSWORD}@h/d?sslmode=yes",
        "sqlite:///x.db?timeout=nan",
        "sqlite:///x.db?timeout=-1",
    ],
)
def test_another_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(InvalidInput, match="expected") as refused:
        DatabaseConfig.from_url(url)
    assert PASSWORD not in repr(refused.value) + str(refused.value)


@pytest.mark.parametrize("raw", ["@", "1/", "1?", "%", "%zz", "%ff"])
def test_a_raw_special_character_in_a_password_gets_a_hint(raw: str) -> None:
    with pytest.raises(InvalidInput, match=HINT) as refused:
        DatabaseConfig.from_url(f"postgresql://user:{raw}{PASSWORD}@host/book")
    assert PASSWORD not in str(refused.value)


def test_defaults_say_what_is_in_force() -> None:
    embedded, server = DatabaseConfig(), DatabaseConfig(username="u")

    assert (embedded.backend, embedded.path, embedded.host) == ("sqlite", "tradebook.db", None)
    assert (server.host, server.port, server.database) == ("localhost", 5432, "tradebook")
    assert (embedded.pool_size, embedded.max_overflow) == (10, 20)
    assert (embedded.pool_timeout, embedded.pool_recycle) == (30, 3600)


def test_a_path_may_be_a_path_object() -> None:
    assert DatabaseConfig(path=Path("a") / "b.db").path == os.path.join("a", "b.db")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("host", "postgresql://u:x@h"),
        ("host", 5),
        ("port", 0),
        ("port", 65_536),
        ("port", "5432"),
        ("port", True),
        ("database", "a\0b"),
        ("username", "\ud800"),
        ("username", ""),
        ("pool_size", 0),
        ("max_overflow", -1),
        ("pool_timeout", -1),
        ("pool_timeout", float("nan")),
        ("pool_timeout", float("inf")),
        ("pool_recycle", 0),
        ("statement_timeout", -1),
        ("lock_timeout", 2**31),
        ("sslmode", "on"),
        ("echo", "yes"),
        ("path", ""),
        ("parameters", "a=b"),
        ("parameters", {"sslmode": "require"}),
        ("parameters", {"dsn": "x"}),
        ("parameters", {"keepalives": 1}),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_field(field: str, value: object) -> None:
    with pytest.raises(InvalidInput, match="expected") as refused:
        DatabaseConfig(**{field: value})  # type: ignore[arg-type]
    assert refused.value.field == field


@pytest.mark.parametrize("field", ["host", "database", "username", "password", "sslmode"])
def test_a_file_has_nothing_of_a_server(field: str) -> None:
    with pytest.raises(InvalidInput, match="path") as refused:
        DatabaseConfig(path="book.db", **{field: "require"})  # type: ignore[arg-type]
    assert refused.value.field == field


# Secrets


@pytest.fixture
def secretive() -> DatabaseConfig:
    return DatabaseConfig(
        host="h", username="u", password=PASSWORD, parameters={"sslpassword": PASSWORD}
    )


def test_the_password_does_not_show(
    secretive: DatabaseConfig, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("test").warning("%s %r", secretive, secretive.url)
    shown = [
        repr(secretive),
        str(secretive),
        repr(attrs.asdict(secretive)),
        repr(secretive.url),
        repr(secretive.async_url),
        secretive.safe_url,
        caplog.text,
    ]
    assert all(PASSWORD not in text for text in shown)
    assert PASSWORD in str(secretive.url)
    assert make_url(secretive.async_url).password == PASSWORD


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://h/d?user=u&password={PASSWORD}&sslpassword={PASSWORD}",
        f"postgresql+asyncpg://u@h/d?dsn=postgresql:///%3Fsslpassword%3D{PASSWORD}",
        f"postgresql://h/d?SSLPassword={PASSWORD}",
    ],
)
def test_passwords_in_a_query_are_masked_too(url: str) -> None:
    config = DatabaseConfig.from_url(url)
    assert PASSWORD not in config.safe_url + repr(config) + repr(config.url)
    assert "***" in config.safe_url


def secret_environment(**variables: str) -> DatabaseConfig:
    return DatabaseEnvironment(environ={"TRADEBOOK_DB_PASSWORD": PASSWORD, **variables}).current


REFUSALS: dict[str, Callable[[], object]] = {
    "constructor": lambda: DatabaseConfig(password=PASSWORD, port=0),
    "password itself": lambda: DatabaseConfig(password=PASSWORD + "\0"),
    "unknown field": lambda: DatabaseConfig(pasword=PASSWORD),  # type: ignore[call-arg]
    "path and password": lambda: DatabaseConfig(path="x", password=PASSWORD),
    "url as host": lambda: DatabaseConfig(f"postgresql://u:{PASSWORD}@h/d"),
    "parameter": lambda: DatabaseConfig(host="h", parameters={"sslpassword": PASSWORD + "\0"}),
    "evolved": lambda: attrs.evolve(DatabaseConfig(host="h", password=PASSWORD), port=0),
    "url": lambda: DatabaseConfig.from_url(f"postgresql://u:{PASSWORD}@h:0/d"),
    "url of another kind": lambda: DatabaseConfig.from_url(f"mysql://u:{PASSWORD}@h:0/d"),
    "url not encoded": lambda: DatabaseConfig.from_url(f"postgresql://u:%ff{PASSWORD}@h/d"),
    "from_env": lambda: DatabaseConfig.from_env(
        {"TRADEBOOK_DB_PASSWORD": PASSWORD, "TRADEBOOK_DB_PORT": "x"}
    ),
    "url of the caller": lambda: DatabaseEnvironment(url=f"mysql://u:{PASSWORD}@h").current,
    "variable": lambda: secret_environment(TRADEBOOK_DB_PORT="x"),
    "url in a variable": lambda: DatabaseConfig.from_env(
        {"TRADEBOOK_DATABASE_URL": f"postgresql://u:{PASSWORD}@h:0"}
    ),
    "misspelt": lambda: DatabaseConfig.from_env({"TRADEBOOK_DB_PASWORD": PASSWORD}),
    "file too": lambda: secret_environment(TRADEBOOK_DB_PASSWORD_FILE="/run/secrets/x"),
    "environment": lambda: secret_environment(TRADEBOOK_ENV="prod"),
}


def everything_captured(error: BaseException | None) -> Iterator[str]:
    """All that a tracker of errors would send: messages and the locals of every frame of ours."""
    if error is None:
        return
    yield f"{error} {error!r} {vars(error)}"
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename != __file__:
            yield from (repr(value) for value in frame.f_locals.values())
    yield from everything_captured(error.__cause__)
    yield from everything_captured(error.__context__)


@pytest.mark.parametrize("name", REFUSALS)
def test_no_frame_of_a_traceback_knows_the_password(name: str) -> None:
    with pytest.raises((InvalidInput, TypeError)) as refused:
        REFUSALS[name]()
    captured = list(everything_captured(refused.value))
    formatted = traceback.TracebackException.from_exception(refused.value, capture_locals=True)
    assert all(PASSWORD not in text for text in captured)
    assert PASSWORD not in "".join(formatted.format())


@pytest.mark.parametrize(
    "config",
    [
        DatabaseConfig(path=":memory:"),
        DatabaseConfig(host="h", password=PASSWORD, parameters={"sslpassword": "s"}),
    ],
    ids=["memory", "server"],
)
def test_copies_are_equal_and_mean_the_same_database(config: DatabaseConfig) -> None:
    for twin in (copy.copy(config), copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert twin == config
        assert hash(twin) == hash(config)
        assert (twin.url, twin.async_url) == (config.url, config.async_url)
        assert PASSWORD not in repr(twin)


def test_a_secret_stays_one_when_pickled() -> None:
    secret = pickle.loads(pickle.dumps(Secret("value", "shown")))
    assert (repr(secret), str(secret)) == ("'shown'", "value")


def test_a_database_in_memory_has_one_name_and_another_config_another() -> None:
    one, other = DatabaseConfig(path=":memory:"), DatabaseConfig(path=":memory:")

    assert one.url.partition("///")[2] == one.async_url.partition("///")[2]
    assert one.url != other.url
    assert DatabaseConfig.from_url(one.url).url == one.url
    assert "vfs=memdb" in one.url


def test_queries_have_the_place_of_the_read_url_and_the_settings_of_the_rest() -> None:
    config = DatabaseConfig(
        host="primary",
        username="writer",
        password="w",
        sslmode="verify-full",
        sslrootcert="/ca.crt",
        pool_size=3,
        statement_timeout=500,
        read_url="postgresql://reader:r@standby:6432/copy?statement_timeout=9000",
    )
    [reading] = config.for_reading()
    assert reading == DatabaseConfig(
        host="standby",
        port=6432,
        database="copy",
        username="reader",
        password="r",
        sslmode="verify-full",
        sslrootcert="/ca.crt",
        pool_size=3,
        statement_timeout=9000,
        parameters={"connect_timeout": "3"},
    )
    [without_role] = attrs.evolve(config, read_url="postgresql://standby/copy").for_reading()
    assert (without_role.username, without_role.password) == (None, None)
    alone = attrs.evolve(config, read_url=None)
    assert alone.for_reading() == ()
    several = attrs.evolve(
        config, read_url=["postgresql://a/x", "postgresql://b/x?connect_timeout=9"]
    )
    assert [(c.host, c.parameters["connect_timeout"]) for c in several.for_reading()] == [
        ("a", "3"),
        ("b", "9"),
    ]
    assert (
        attrs.evolve(config, read_url="postgresql://a/x  postgresql://b/x").for_reading()[1].host
        == "b"
    )
    assert "r@standby" not in repr(config)


@pytest.mark.parametrize("read_url", ["sqlite:///copy.db", "mysql://u:p4ssword@h/x", "p4ssword"])
def test_a_read_url_of_no_server_is_refused_without_showing_it(read_url: str) -> None:
    config = DatabaseConfig(host="primary", read_url=read_url)
    for reads in (config.for_reading, lambda: DatabaseManager(config)):
        with pytest.raises(InvalidInput, match="read_url") as refused:
            reads()
        assert "p4ssword" not in str(refused.value)


def test_a_file_has_no_read_url() -> None:
    with pytest.raises(InvalidInput, match="read_url") as refused:
        DatabaseConfig(path="book.db", read_url="postgresql://u:p4ssword@h/x")
    assert "p4ssword" not in str(refused.value)


def test_a_password_is_given_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="password_file"):
        DatabaseConfig(host="h", password="p", password_file=tmp_path)


def test_a_function_is_called_for_each_url_and_shows_nothing() -> None:
    asked = iter(["one", "two"])
    config = DatabaseConfig(host="h", username="u", password=lambda: next(asked))
    assert config.renews_password
    assert config.safe_url == "postgresql://u:***@h:5432/tradebook"
    assert [str(config.url), str(config.url)] == [
        "postgresql+psycopg2://u:one@h:5432/tradebook",
        "postgresql+psycopg2://u:two@h:5432/tradebook",
    ]
