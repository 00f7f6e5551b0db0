"""The environment's variables, read and documented by environ-config, and the presets they choose from."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final, TypeVar

import environ as settings
from attrs import frozen

from tradebook.config.secrets import HIDDEN, Secret, secret_from_file
from tradebook.config.urls import MEMORY, POSTGRESQL_ONLY, parts_of, read_text
from tradebook.domain.errors import DatabaseUnavailable, InvalidInput
from tradebook.domain.validation import argument, identifier

T = TypeVar("T")

EMBEDDED: Final = "embedded"
TESTING: Final = "testing"
PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "development": {"host": "localhost", "echo": True},
    TESTING: {"path": MEMORY},
    "production": {"host": "localhost", "sslmode": "require", "pool_pre_ping": True},
    EMBEDDED: {},
}
_PREFIX: Final = "TRADEBOOK_DB_"
_PLACES: Final = ("path", "host", "database")
"""Fields that locate a database."""
_OPTION: Final = "--database"
_PASSWORDS: Final = ("password", "password_file")
_NAMED_OTHERWISE: Final = {
    "env": "TRADEBOOK_ENV",
    "log": "TRADEBOOK_LOG",
    "account": "TRADEBOOK_ACCOUNT",
    "base_currency": "TRADEBOOK_BASE_CURRENCY",
    "max_seconds_ahead": "TRADEBOOK_MAX_SECONDS_AHEAD",
    "seal_witness": "TRADEBOOK_SEAL_WITNESS",
    "fallback_url": "DATABASE_URL",
    "database": "TRADEBOOK_DB_NAME",
    "username": "TRADEBOOK_DB_USER",
    "database_url": "TRADEBOOK_DATABASE_URL",
    "database_url_file": "TRADEBOOK_DATABASE_URL_FILE",
    "read_url": "TRADEBOOK_DATABASE_READ_URL",
    "read_url_file": "TRADEBOOK_DATABASE_READ_URL_FILE",
    "direct_url": "TRADEBOOK_DATABASE_DIRECT_URL",
    "direct_url_file": "TRADEBOOK_DATABASE_DIRECT_URL_FILE",
}


def variable_of(field: str) -> str:
    """Return the name of the variable that sets a field of `DatabaseConfig`."""
    return _NAMED_OTHERWISE.get(field, _PREFIX + field.upper())


_HELP: Final = {
    "env": "The environment: development, testing, production or embedded.",
    "database_url": "sqlite:///book.db, book.db or postgresql://user:password@host/book.",
    "fallback_url": "The same, honoured last; never in testing.",
    "database_url_file": "A file that holds this URL.",
    "read_url": "Where queries go: a standby, another role (its password: ?password_file=...); several with blanks between.",
    "read_url_file": "A file that holds this URL.",
    "read_consistency": "What queries there see: eventual, own-writes or strong; own-writes.",
    "read_wait": "Milliseconds that a query waits for a standby; 100.",
    "read_max_lag": "Seconds that a standby may lag behind; 60.",
    "direct_url": "The server itself, behind a pooler: for migrations, backups, roles.",
    "direct_url_file": "A file that holds this URL.",
    "pooler": "What pooler is between: transaction, or session; told by itself where it can be.",
    "host": "The PostgreSQL server, or the folder of its unix socket.",
    "port": "Its port; 5432.",
    "database": "The database on it; tradebook.",
    "username": "The role.",
    "password": "Its password.",
    "password_file": "A file that holds the password: a mounted secret, read anew.",
    "path": "A SQLite file instead of a server; :memory: for one in memory.",
    "pool_size": "Connections that are kept; 10.",
    "max_overflow": "Further ones that may be opened for a while; 20.",
    "pool_timeout": "Seconds to wait for a free connection; 30.",
    "pool_recycle": "Seconds until a connection is replaced; 3600.",
    "pool_pre_ping": "Check connections before use: yes or no.",
    "processes": "Processes with such a pool, for `tradebook doctor`; 1.",
    "group_commit": "Share a transaction between trades recorded at the same time: yes or no.",
    "sslmode": "disable, allow, prefer, require, verify-ca or verify-full.",
    "sslrootcert": "The certificate file of the authority.",
    "sslcert": "The client's certificate file.",
    "sslkey": "The client's key file.",
    "application_name": "Shown in the server's connections.",
    "statement_timeout": "Milliseconds a statement may take.",
    "lock_timeout": "Milliseconds to wait for a lock; 10000, 0 for no limit.",
    "idle_in_transaction_session_timeout": "Milliseconds that a transaction may idle; 600000.",
    "echo": "Log every statement: yes or no.",
    "max_seconds_ahead": "Seconds that times may be ahead of the clock; 86400.",
    "seal_witness": "Where seals are kept besides the book: file, fsspec, git, RFC 3161.",
    "slow_query_seconds": "Log statements that take longer, with their plan.",
    "account": "The account, where none is named; main. The command takes all, too.",
    "base_currency": "The account's base currency: USD for a new one; another than it has is refused.",
    "log": "What the command logs to stderr: json or text.",
}
_VARIABLES: Final = {
    field: settings.var(default=None, name=variable_of(field), help=text)
    for field, text in _HELP.items()
}
Variables: Final[Any] = settings.config(prefix="TRADEBOOK", frozen=True)(
    type("Variables", (), _VARIABLES)
)
"""Every variable that is read, as text, by the field that it sets."""


def variables_help() -> str:
    """Describe every variable, one in a paragraph."""
    text: str = settings.generate_help(Variables, display_defaults=False)
    return text.replace(" (Optional)", "").replace(" (Required)", "")


def check_preset(name: str, *, called: str) -> str:
    """Return the name of a preset; refuse any other, naming the argument or variable `called` so."""
    if name not in PRESETS:
        raise InvalidInput(called, name, "one of " + ", ".join(PRESETS))
    return name


@frozen
class StatedFields:
    """The fields of a configuration that something states.

    Attributes:
        values: by field.
        sources: for each field the variable, preset or option that states it.
    """

    values: dict[str, Any]
    sources: dict[str, str]

    def build(self, config: Callable[..., T]) -> T:
        """Call `config` with the values; a refusal names the variable instead of the field."""
        try:
            return config(**self.values)
        except InvalidInput as error:
            source = self.sources.get(error.field, _OPTION)
            if source.startswith(_PREFIX):
                raise InvalidInput(source, error.value, error.expected) from None
            raise _in_url(error, source) from None


class Settings:
    """The variables of one environment, and a URL that is stronger than all of them.

    Args:
        environ: the variables.
        url: of the database.

    Raises:
        InvalidInput: a variable begins with `TRADEBOOK_DB_` and does not exist.
    """

    def __init__(
        self, environ: Mapping[str, str], url: str | os.PathLike[str] | None = None
    ) -> None:
        """Read the variables; empty ones count as not set."""
        self._url = Secret(url) if isinstance(url, str) else url
        given = {
            name: Secret(text) if name.endswith(("PASSWORD", "URL")) else text
            for name, text in environ.items()
            if text
        }
        known = sorted(map(variable_of, _HELP))
        for name in given:
            if name.startswith(_PREFIX) and name not in known:
                nearest = get_close_matches(name, known, n=1, cutoff=0)
                raise InvalidInput(name, HIDDEN, f"a variable that exists, such as {nearest[0]}")
        self._variables = settings.to_config(Variables, environ=given)

    @property
    def preset(self) -> str:
        """The preset that `TRADEBOOK_ENV` names; `embedded` without it."""
        return check_preset(self._variables.env or EMBEDDED, called="TRADEBOOK_ENV")

    def name(self, field: str) -> str | None:
        """Return the name in a variable: of an account or a currency; None where it is not set."""
        text: str | None = getattr(self._variables, field)
        return None if text is None else argument(variable_of(field), identifier, text)

    def resolve(self, preset: str) -> StatedFields:
        """Collect the fields that something states; stronger sources win.

        From strongest to weakest: the URL given, `TRADEBOOK_DATABASE_URL`, `TRADEBOOK_DB_*`, the preset.
        """
        stated = StatedFields({}, {})
        for source, layer in self._layers(preset, stated.values):
            # Fields of one layer belong together: none of them keeps out another.
            stronger = dict(stated.values)
            for field, (value, variable) in layer.items():
                if field not in stronger and _fits(field, stronger):
                    stated.values[field], stated.sources[field] = value, variable or source
        witness = variable_of("seal_witness")
        if stated.values.get("path") == MEMORY and stated.sources.get("seal_witness") == witness:
            # The seals of a test would be taken for those of the book.
            del stated.values["seal_witness"], stated.sources["seal_witness"]
        return stated

    def _layers(
        self, preset: str, stronger: Mapping[str, Any]
    ) -> Iterator[tuple[str, dict[str, tuple[Any, str]]]]:
        """Yield each source with its (value, variable) by field, the strongest first."""
        source, url = self._stated_url(preset)
        if url is not None:
            try:
                parts = parts_of(url)
            except InvalidInput as error:
                raise _in_url(error, source) from None
            yield source, {field: (value, "") for field, value in parts.items()}
        defaults = PRESETS[preset]
        kind = stronger or ({} if self._states_place() else defaults)
        yield "", dict(self._from_variables(kind))
        yield f"{preset} preset", {field: (value, "") for field, value in defaults.items()}

    def _states_place(self) -> bool:
        """Return whether a variable other than a URL locates the database."""
        return any(getattr(self._variables, field) is not None for field in _PLACES)

    def _stated_url(self, preset: str) -> tuple[str, str | os.PathLike[str] | None]:
        if self._url is not None:
            return _OPTION, self._url
        url = self._text("database_url")
        if url is not None:
            return variable_of("database_url"), url
        # DATABASE_URL is shared by many programs: it must not outweigh a variable of our own, nor let a test
        # run on the database of another program.
        if preset == TESTING or self._states_place():
            return "", None
        return variable_of("fallback_url"), self._variables.fallback_url

    def _from_variables(self, kind: Mapping[str, Any]) -> Iterator[tuple[str, tuple[Any, str]]]:
        """Yield (field, (value, variable)) for the fields that fit the kind of database."""
        for field in _FIELDS:
            text = self._text(field) if _fits(field, kind) else None
            if text is not None:
                name = variable_of(field)
                yield field, (read_text(field, text, called=name), name)

    def _text(self, field: str) -> str | None:
        """Return the text of a variable, or of the file that its `_FILE` twin names."""
        if field in ("read_url", "direct_url", "pooler") and self._url is not None:
            return None  # they belong to the database that the URL given replaces
        text: str | None = getattr(self._variables, field)
        file: str | None = getattr(self._variables, f"{field}_file", None)
        if file is None:
            return text
        name = variable_of(f"{field}_file")
        if text is not None:
            raise InvalidInput(name, file, f"nothing, where {variable_of(field)} is set")
        try:
            secret = secret_from_file(file)
        except DatabaseUnavailable as error:
            raise InvalidInput(name, file, f"a file that can be read ({error})") from None
        # `password_file` is a field: the file is read again for each connection, so a password may change.
        return None if field == "password" else secret


_URLS: Final = (
    *("fallback_url", "database_url", "database_url_file"),
    *("read_url_file", "direct_url_file"),
)
_OTHERS: Final = ("env", "log", "account", "base_currency")
_FIELDS: Final = tuple(field for field in _HELP if field not in (*_URLS, *_OTHERS))
"""The fields of `DatabaseConfig` that have a variable."""


def _fits(field: str, values: Mapping[str, Any]) -> bool:
    """Return whether a field belongs to the kind of database that stronger sources chose."""
    if field in _PASSWORDS and not values.keys().isdisjoint(_PASSWORDS):
        return False
    if "path" in values:
        return field not in POSTGRESQL_ONLY
    return field != "path" or not values.keys() & set(POSTGRESQL_ONLY)


def _in_url(error: InvalidInput, source: str) -> InvalidInput:
    """Return the refusal, naming the variable that held the URL."""
    if not source.endswith("DATABASE_URL"):
        return error
    field = source if error.value == HIDDEN else f"{error.field} in {source}"
    return InvalidInput(field, error.value, error.expected)
