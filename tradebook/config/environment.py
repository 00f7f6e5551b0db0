"""The environment's variables, read and documented by environ-config, and the presets they choose from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

import environ as settings
from attrs import AttrsInstance, fields, frozen

from tradebook.config.database import MEMORY, POSTGRESQL_ONLY, DatabaseConfig
from tradebook.config.secrets import GIVEN, Secret, quiet, secret_in
from tradebook.config.urls import parts_of, read_text
from tradebook.domain.errors import DatabaseUnavailable, InvalidInput

EMBEDDED: Final = "embedded"
TESTING: Final = "testing"
PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "development": {"host": "localhost", "echo": True},
    TESTING: {"path": MEMORY},
    "production": {"host": "localhost", "sslmode": "require", "pool_pre_ping": True},
    EMBEDDED: {},
}
_PREFIX: Final = "TRADEBOOK_DB_"
_WHERE: Final = ("path", "host", "database")
_OPTION: Final = "--database"
_PASSWORDS: Final = ("password", "password_file")
_NAMED_OTHERWISE: Final = {
    "database": "TRADEBOOK_DB_NAME",
    "username": "TRADEBOOK_DB_USER",
    "database_url": "TRADEBOOK_DATABASE_URL",
    "database_url_file": "TRADEBOOK_DATABASE_URL_FILE",
    "read_url": "TRADEBOOK_DATABASE_READ_URL",
    "read_url_file": "TRADEBOOK_DATABASE_READ_URL_FILE",
}


def _variable(field: str, help: str) -> Any:
    return settings.var(default=None, name=variable_of(field), help=help)


def variable_of(field: str) -> str:
    """The name of the variable that sets a field."""
    return _NAMED_OTHERWISE.get(field, _PREFIX + field.upper())


@settings.config(prefix="TRADEBOOK", frozen=True)
class Variables:
    """Every variable that is read, as text."""

    env = settings.var(
        default=None, help="The environment: development, testing, production or embedded."
    )
    database_url = settings.var(
        default=None, help="sqlite:///book.db or postgresql://user:password@host/book."
    )
    fallback_url = settings.var(
        default=None, name="DATABASE_URL", help="The same, honoured last; never in testing."
    )
    database_url_file = _variable("database_url_file", "A file that holds this URL.")
    read_url = _variable(
        "read_url", "Where queries go: a standby, another role (its password: ?password_file=...)."
    )
    read_url_file = _variable("read_url_file", "A file that holds this URL.")
    host = _variable("host", "The PostgreSQL server, or the folder of its unix socket.")
    port = _variable("port", "Its port; 5432.")
    database = _variable("database", "The database on it; tradebook.")
    username = _variable("username", "The role.")
    password = _variable("password", "Its password.")
    password_file = _variable(
        "password_file", "A file that holds the password: a mounted secret, read anew."
    )
    path = _variable("path", "A SQLite file instead of a server; :memory: for one in memory.")
    pool_size = _variable("pool_size", "Connections that are kept; 10.")
    max_overflow = _variable("max_overflow", "Further ones that may be opened for a while; 20.")
    pool_timeout = _variable("pool_timeout", "Seconds to wait for a free connection; 30.")
    pool_recycle = _variable("pool_recycle", "Seconds until a connection is replaced; 3600.")
    pool_pre_ping = _variable("pool_pre_ping", "Check connections before use: yes or no.")
    sslmode = _variable("sslmode", "disable, allow, prefer, require, verify-ca or verify-full.")
    sslrootcert = _variable("sslrootcert", "The certificate file of the authority.")
    sslcert = _variable("sslcert", "The client's certificate file.")
    sslkey = _variable("sslkey", "The client's key file.")
    application_name = _variable("application_name", "Shown in the server's connections.")
    statement_timeout = _variable("statement_timeout", "Milliseconds a statement may take.")
    lock_timeout = _variable("lock_timeout", "Milliseconds to wait for a lock.")
    echo = _variable("echo", "Log every statement: yes or no.")
    slow_query_seconds = _variable(
        "slow_query_seconds", "Log statements that take longer, with their plan."
    )
    log = settings.var(default=None, help="What the command logs to stderr: json or text.")


def variables_help() -> str:
    """What every variable means, one a paragraph."""
    text: str = settings.generate_help(Variables, display_defaults=False)
    return text.replace(" (Optional)", "").replace(" (Required)", "")


@frozen
class Setting:
    """One field of the configuration in force.

    Attributes:
        field: its name in `DatabaseConfig`.
        value: as text; passwords masked.
        source: the variable, preset or option that it comes from, or `default`.
    """

    field: str
    value: str
    source: str


class DatabaseEnvironment:
    """Chooses the configuration: `development`, `testing`, `production` or `embedded`.

    From strongest to weakest: `url`, `TRADEBOOK_DATABASE_URL`, `TRADEBOOK_DB_*`, the preset, the
    defaults. `DATABASE_URL` counts where nothing else says where the database is, and never in testing.

    Args:
        name: of the environment; `TRADEBOOK_ENV` says when left out, else it is `embedded`.
        url: of the database, stronger than every variable.
        environ: the variables.

    Raises:
        InvalidInput: naming the variable, its value and what is accepted.
    """

    @quiet
    def __init__(
        self,
        name: str | None = None,
        *,
        url: str | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._current: DatabaseConfig | None = None
        self._url = None if url is None else Secret(url)
        given = {name: _kept(name, text) for name, text in environ.items() if text}
        _refuse_misspelt(given)
        self._variables: Variables = settings.to_config(Variables, environ=given)
        if name is None and self._variables.env is not None:
            self._choose(self._variables.env, called="TRADEBOOK_ENV")
        else:
            self.set_environment(name or EMBEDDED)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    @property
    @quiet
    def current(self) -> DatabaseConfig:
        """The configuration in force; the same object until another environment is set."""
        if self._current is None:
            values, sources = self._resolved()
            self._current = _config(values, sources)
        return self._current

    def set_environment(self, name: str) -> None:
        """Choose the environment by name.

        Raises:
            InvalidInput: there is no such environment; lists those that there are.
        """
        self._choose(name, called="name")

    @quiet
    def explained(self) -> list[Setting]:
        """Every field in force, with where it comes from."""
        config, (_, sources) = self.current, self._resolved()
        return [
            Setting(f.name, _readable(getattr(config, f.name)), sources.get(f.name, "default"))
            for f in fields(DatabaseConfig)
            if f.repr
        ]

    def _choose(self, name: str, *, called: str) -> None:
        if name not in PRESETS:
            raise InvalidInput(called, name, "one of " + ", ".join(PRESETS))
        self.name = name
        self._current = None

    def _resolved(self) -> tuple[dict[str, Any], dict[str, str]]:
        """The value of each field that something states, and what states it."""
        values: dict[str, Any] = {}
        sources: dict[str, str] = {}
        for source, stated in self._layers(values):
            stronger = dict(values)
            for field, (value, said_by) in stated.items():
                if field not in stronger and _fits(field, stronger):
                    values[field], sources[field] = value, said_by or source
        return values, sources

    def _layers(
        self, stronger: Mapping[str, Any]
    ) -> Iterator[tuple[str, dict[str, tuple[Any, str]]]]:
        source, url = self._stated_url()
        if url is not None:
            parts = _parts_of(url, source)
            yield source, {field: (value, "") for field, value in parts.items()}
        where = stronger or ({} if self._says_where() else PRESETS[self.name])
        yield "", dict(self._from_variables(where))
        preset = f"{self.name} preset"
        yield preset, {field: (value, "") for field, value in PRESETS[self.name].items()}

    def _says_where(self) -> bool:
        """Whether a variable other than a URL says where the database is."""
        return any(getattr(self._variables, field) is not None for field in _WHERE)

    def _stated_url(self) -> tuple[str, str | None]:
        if self._url is not None:
            return _OPTION, self._url
        url = self._said("database_url")
        if url is not None:
            return "TRADEBOOK_DATABASE_URL", url
        if self.name == TESTING or self._says_where():
            return "", None
        return "DATABASE_URL", self._variables.fallback_url

    def _from_variables(self, where: Mapping[str, Any]) -> Iterator[tuple[str, tuple[Any, str]]]:
        """What the variables state, of the kind of database that this is."""
        for f in fields(DatabaseConfig):
            text = self._said(f.name) if _fits(f.name, where) else None
            if text is not None:
                name = variable_of(f.name)
                yield f.name, (read_text(f.name, text, called=name), name)

    def _said(self, field: str) -> str | None:
        """What a variable says, or the file that its `_FILE` names."""
        if field == "read_url" and self._url is not None:
            return None  # that of another database
        text: str | None = getattr(self._variables, field, None)
        file: str | None = getattr(self._variables, f"{field}_file", None)
        if file is None:
            return text
        name = variable_of(f"{field}_file")
        if text is not None:
            raise InvalidInput(name, file, f"nothing, where {variable_of(field)} is set")
        try:
            secret = secret_in(file)
        except DatabaseUnavailable as error:
            raise InvalidInput(name, file, f"a file that can be read ({error})") from None
        return None if field == "password" else secret  # that file is read again later


def _fits(field: str, values: Mapping[str, Any]) -> bool:
    """Whether a field belongs to the kind of database that stronger sources have chosen."""
    if field in _PASSWORDS and not values.keys().isdisjoint(_PASSWORDS):
        return False
    if "path" in values:
        return field not in POSTGRESQL_ONLY
    return field != "path" or not values.keys() & set(POSTGRESQL_ONLY)


def _config(values: dict[str, Any], sources: Mapping[str, str]) -> DatabaseConfig:
    try:
        return DatabaseConfig(**values)
    except InvalidInput as error:
        source = sources.get(error.field, _OPTION)
        if source.startswith(_PREFIX):
            raise InvalidInput(source, error.value, error.expected) from None
        raise _in_url(error, source) from None


def _parts_of(url: str, source: str) -> dict[str, Any]:
    try:
        return parts_of(url)
    except InvalidInput as error:
        raise _in_url(error, source) from None


def _in_url(error: InvalidInput, source: str) -> InvalidInput:
    """The refusal, naming the variable that the URL came from."""
    if not source.endswith("DATABASE_URL"):
        return error
    field = source if error.value == GIVEN else f"{error.field} in {source}"
    return InvalidInput(field, error.value, error.expected)


def _kept(name: str, text: str) -> str:
    return Secret(text) if name.endswith(("PASSWORD", "URL")) else text


def _refuse_misspelt(given: Mapping[str, str]) -> None:
    known = {variable_of(f.name) for f in fields(cast("type[AttrsInstance]", Variables))}
    for name in given:
        if name.startswith(_PREFIX) and name not in known:
            from difflib import get_close_matches  # only for a refusal

            nearest = get_close_matches(name, sorted(known), n=1, cutoff=0)
            raise InvalidInput(name, GIVEN, f"a variable that exists, such as {nearest[0]}")


def _readable(value: object) -> str:
    if isinstance(value, Secret):
        return value.shown
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={_readable(text)}" for name, text in value.items())
    return "" if value is None else str(value)
