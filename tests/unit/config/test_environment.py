"""Which configuration the environment's variables choose, and what each value is said to come from."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from tradebook import DatabaseConfig, DatabaseEnvironment, InvalidInput
from tradebook.config import variables_help
from tradebook.config.variables import variable_of

SERVER = "postgresql://u:secret@server/book"


def environment(
    name: str | None = None, *, url: str | None = None, **variables: str
) -> DatabaseEnvironment:
    """One that sees these variables alone, without their TRADEBOOK_ in front."""
    environ = {v if v == "DATABASE_URL_" else f"TRADEBOOK_{v}": t for v, t in variables.items()}
    if "DATABASE_URL_" in environ:
        environ["DATABASE_URL"] = environ.pop("DATABASE_URL_")
    return DatabaseEnvironment(name, url=url, environ=environ)


def sources(chosen: DatabaseEnvironment) -> dict[str, str]:
    return {setting.field: setting.source for setting in chosen.explained()}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("development", {"backend": "postgresql", "host": "localhost", "echo": True}),
        ("testing", {"path": ":memory:", "echo": False}),
        ("production", {"host": "localhost", "sslmode": "require", "pool_pre_ping": True}),
        ("embedded", {"path": "tradebook.db", "pool_pre_ping": False}),
    ],
)
def test_every_environment_works_without_variables(name: str, expected: dict[str, object]) -> None:
    chosen = environment()
    assert chosen.current.path == "tradebook.db"

    chosen.set_environment(name)

    assert chosen.name == name
    assert {n: getattr(chosen.current, n) for n in expected} == expected
    assert environment(ENV=name).name == name
    assert repr(chosen) == f"DatabaseEnvironment({name!r})"


def test_current_is_one_object_until_another_environment_is_set() -> None:
    chosen = environment("testing")
    first = chosen.current
    assert chosen.current is first
    chosen.set_environment("testing")
    assert chosen.current is not first
    assert chosen.current.url != first.url


def test_an_unknown_environment_is_refused_with_a_list_and_changes_nothing() -> None:
    chosen = environment("testing")
    before = chosen.current
    with pytest.raises(InvalidInput, match="development, testing, production, embedded") as one:
        chosen.set_environment("prod")
    with pytest.raises(InvalidInput, match="TRADEBOOK_ENV: 'prod'"):
        environment(ENV="prod")
    assert one.value.field == "name"
    assert chosen.current is before


def test_one_variable_for_each_field() -> None:
    config = environment(
        DB_HOST="h",
        DB_PORT="7",
        DB_NAME="d",
        DB_USER="u",
        DB_PASSWORD="p",
        DB_POOL_SIZE="1",
        DB_MAX_OVERFLOW="2",
        DB_POOL_TIMEOUT="3.5",
        DB_POOL_RECYCLE="4",
        DB_POOL_PRE_PING="on",
        DB_SSLMODE="disable",
        DB_SSLROOTCERT="r",
        DB_SSLCERT="c",
        DB_SSLKEY="k",
        DB_APPLICATION_NAME="a",
        DB_STATEMENT_TIMEOUT="5",
        DB_LOCK_TIMEOUT="6",
        DB_ECHO="1",
    ).current
    assert config == DatabaseConfig(
        "h",
        7,
        "d",
        "u",
        "p",
        1,
        2,
        3.5,
        4,
        "disable",
        "r",
        "c",
        "k",
        "a",
        5,
        6,
        echo=True,
        pool_pre_ping=True,
    )
    assert environment(DB_PATH="x.db").current.path == "x.db"


@pytest.mark.parametrize("word", ["1", "true", "YES", "on"])
def test_words_for_yes(word: str) -> None:
    assert environment(DB_ECHO=word).current.echo is True


@pytest.mark.parametrize("word", ["0", "False", "no", "off", ""])
def test_words_for_no_and_an_empty_variable_counts_as_not_set(word: str) -> None:
    assert environment(DB_ECHO=word, DB_HOST="", ENV="").current.echo is False


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DB_PORT", "x"),
        ("DB_PORT", "70000"),
        ("DB_POOL_SIZE", "0"),
        ("DB_POOL_TIMEOUT", "soon"),
        ("DB_ECHO", "maybe"),
        ("DB_SSLMODE", "on"),
        ("DB_LOCK_TIMEOUT", "-1"),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_variable(variable: str, value: str) -> None:
    with pytest.raises(InvalidInput, match="expected") as refused:
        _ = environment(DB_HOST="h", **{variable: value}).current
    assert refused.value.field == f"TRADEBOOK_{variable}"
    assert value in str(refused.value)


def test_a_wrong_url_is_refused_by_the_name_of_its_variable_alone() -> None:
    with pytest.raises(InvalidInput) as unknown:
        _ = environment(DATABASE_URL="mysql://u:secret@h").current
    with pytest.raises(InvalidInput) as fallback:
        _ = environment(DATABASE_URL_="mysql://u:secret@h").current
    with pytest.raises(InvalidInput) as port:
        _ = environment(DATABASE_URL="postgresql://u:secret@h:0").current
    with pytest.raises(InvalidInput) as given:
        _ = environment(url="postgresql://u:secret@h:0").current

    assert unknown.value.field == "TRADEBOOK_DATABASE_URL"
    assert fallback.value.field == "DATABASE_URL"
    assert port.value.field == "port in TRADEBOOK_DATABASE_URL"
    assert given.value.field == "port"
    assert "secret" not in f"{unknown.value}{fallback.value}{port.value}"


def test_a_misspelt_variable_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InvalidInput, match="such as TRADEBOOK_DB_PASSWORD") as refused:
        environment(DB_PASWORD="secret")
    assert refused.value.field == "TRADEBOOK_DB_PASWORD"
    assert "secret" not in str(refused.value)


def test_a_password_may_be_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_bytes(b" p@ss\n\r\n")
    config = environment(DB_HOST="h", DB_PASSWORD_FILE=str(file)).current
    assert config.secret() == " p@ss\n"
    file.write_text("another")
    assert config.secret() == "another"
    assert ":another@" in config.url
    assert config.safe_url == "postgresql://:***@h:5432/tradebook"


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"\n"])
def test_a_file_without_a_password_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidInput, match="TRADEBOOK_DB_PASSWORD_FILE") as refused:
        _ = environment(DB_HOST="h", DB_PASSWORD_FILE=str(file)).current
    assert refused.value.value == str(file)


def test_two_passwords_are_refused() -> None:
    with pytest.raises(InvalidInput, match="TRADEBOOK_DB_PASSWORD is set"):
        _ = environment(DB_PASSWORD="p", DB_PASSWORD_FILE="/f").current


def test_two_places_are_refused() -> None:
    with pytest.raises(InvalidInput, match="TRADEBOOK_DB_HOST"):
        _ = environment(DB_PATH="x.db", DB_HOST="h").current


# What is stronger


def test_a_given_url_is_stronger_than_variables_and_these_than_a_preset() -> None:
    everything = {"DATABASE_URL": "postgresql://second/b", "DATABASE_URL_": "postgresql://last"}
    given = environment(url="postgresql://first", **everything).current
    second = environment(DB_HOST="third", **everything).current
    third = environment(DB_HOST="third", DATABASE_URL_="postgresql://last").current
    last = environment(DATABASE_URL_="postgresql://last").current

    assert [c.host for c in (given, second, third, last)] == ["first", "second", "third", "last"]
    assert environment("production", DB_SSLMODE="disable").current.sslmode == "disable"
    assert environment("development", DB_ECHO="no").current.echo is False


def test_what_a_url_leaves_out_comes_from_variables_then_the_preset_then_the_defaults() -> None:
    chosen = environment("production", url="postgresql://h", DB_USER="u", DB_PASSWORD="p")
    config = chosen.current

    assert (config.host, config.username, config.password) == ("h", "u", "p")
    assert (config.sslmode, config.port) == ("require", 5432)
    assert sources(chosen) == {
        **dict.fromkeys(sources(chosen), "default"),
        "host": "--database",
        "username": "TRADEBOOK_DB_USER",
        "password": "TRADEBOOK_DB_PASSWORD",
        "sslmode": "production preset",
        "pool_pre_ping": "production preset",
    }


@pytest.mark.parametrize("variable", ["DB_PATH", "DB_HOST", "DB_NAME"])
def test_the_url_of_other_tools_counts_only_where_nothing_of_ours_says_where(
    variable: str,
) -> None:
    other = environment(DATABASE_URL_=SERVER)
    assert other.current.host == "server"
    assert sources(other)["host"] == "DATABASE_URL"
    assert environment(DATABASE_URL_=SERVER, **{variable: "x"}).current.host != "server"
    assert environment(DATABASE_URL_=SERVER, DB_USER="u").current.host == "server"


def test_tests_never_touch_what_other_tools_or_stray_variables_name() -> None:
    assert environment("testing", DATABASE_URL_=SERVER).current.is_in_memory
    stray = environment("testing", DB_USER="u", DB_PASSWORD="p", DB_SSLMODE="on", DB_PORT="x")
    assert stray.current.is_in_memory
    assert environment("testing", DB_HOST="h").current.host == "h"


def test_variables_of_the_other_kind_of_database_are_ignored() -> None:
    file = environment(
        url="sqlite:///x.db",
        DB_HOST="h",
        DB_PORT="x",
        DB_SSLMODE="on",
        DB_PASSWORD_FILE="/nowhere",
        DB_LOCK_TIMEOUT="9",
    ).current
    assert (file.path, file.lock_timeout) == ("x.db", 9)
    assert environment(url=SERVER, DB_PATH="x.db").current.backend == "postgresql"
    assert environment("production", url="sqlite:///x.db").current.sslmode is None


def test_from_env_reads_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADEBOOK_DATABASE_URL", "sqlite:///mine.db")
    assert DatabaseConfig.from_env().path == "mine.db"
    assert DatabaseConfig.from_env({}).path == "tradebook.db"


def test_passwords_are_masked_where_the_configuration_is_explained() -> None:
    explained = environment(url=f"{SERVER}?sslpassword=secret").explained()
    assert "secret" not in repr(explained)
    assert next(s.value for s in explained if s.field == "password") == "***"


def test_every_variable_is_documented() -> None:
    text = variables_help()
    names = {f.name for f in attrs.fields(DatabaseConfig)} - {"parameters", "_memory"}
    listed = {line.partition(":")[0] for line in text.splitlines()}
    assert listed == {variable_of(name) for name in names} | {
        "TRADEBOOK_ENV",
        "TRADEBOOK_LOG",
        "TRADEBOOK_ACCOUNT",
        "TRADEBOOK_BASE_CURRENCY",
        "TRADEBOOK_DATABASE_URL",
        "TRADEBOOK_DATABASE_URL_FILE",
        "TRADEBOOK_DATABASE_READ_URL_FILE",
        "TRADEBOOK_DATABASE_DIRECT_URL_FILE",
        "DATABASE_URL",
    }


def test_a_url_may_be_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text(SERVER + "\n")
    config = environment(DATABASE_URL_FILE=str(file)).current
    assert (config.host, config.password) == ("server", "secret")
    for name, also in (("DATABASE_URL", "DATABASE_URL_FILE"), ("DATABASE_READ_URL",) * 2):
        given = {name: SERVER, f"{also.removesuffix('_FILE')}_FILE": str(file), "DB_HOST": "h"}
        with pytest.raises(InvalidInput, match=f"TRADEBOOK_{name} is set"):
            _ = environment(**given).current


def test_the_read_url_comes_from_a_variable_or_its_file(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("postgresql://standby/copy")
    for given in ({"DATABASE_READ_URL": file.read_text()}, {"DATABASE_READ_URL_FILE": str(file)}):
        config = environment(DB_HOST="primary", **given).current
        assert [each.host for each in config.for_reading()] == ["standby"]
        explained = environment(DB_HOST="primary", **given).explained()
        [shown] = [s for s in explained if s.field == "read_url"]
        assert (shown.value, shown.source) == ("***", "TRADEBOOK_DATABASE_READ_URL")


def test_a_read_url_is_not_that_of_another_database() -> None:
    given = {"DATABASE_READ_URL": "postgresql://standby/copy"}
    assert environment(url=SERVER, **given).current.read_url is None
    assert environment(url="sqlite:///x.db", **given).current.read_url is None
    assert environment(DATABASE_URL=SERVER, **given).current.read_url is not None


def test_a_password_of_a_stronger_source_is_not_joined_by_another(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("from the file")
    joined = environment(url=SERVER, DB_PASSWORD_FILE=str(file)).current
    assert joined.secret() == "secret"
    other = environment(url=f"postgresql://u@h/b?password_file={file}", DB_PASSWORD="x").current
    assert other.secret() == "from the file"
