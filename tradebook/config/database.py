"""`DatabaseConfig`: one database, its pool and its limits, and the URLs that drivers take."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from urllib.parse import quote, urlencode
from uuid import uuid4

from attrs import evolve, field, fields_dict, frozen

from tradebook.config import bounds, texts
from tradebook.config.secrets import (
    HIDDEN,
    Password,
    Secret,
    hide_init_traceback,
    hide_traceback,
    is_sendable,
    optional_password,
    secret_from_file,
    secret_from_function,
)
from tradebook.config.urls import MEMORY, POSTGRESQL, POSTGRESQL_ONLY, SQLITE, TLS, parts_of
from tradebook.config.variables import Settings
from tradebook.config.witnesses import witness_settings
from tradebook.domain.consistency import Consistency, consistency_of
from tradebook.domain.entity import named_fields
from tradebook.domain.errors import InvalidInput
from tradebook.domain.limits import MAX_SECONDS_AHEAD
from tradebook.domain.validation import boolean

DEFAULT_PATH: Final = "tradebook.db"
_DEFAULTS: Final[Mapping[str, Any]] = {"host": "localhost", "port": 5432, "database": "tradebook"}
_TIMEOUTS: Final = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
_PLACE: Final = ("host", "port", "database", "username", "password", "password_file")
_OTHER_PLACES: Final = ("read_url", "direct_url")

_ASYNCPG: Final = {
    "gsslib",
    "krbsrvname",
    "options",
    "passfile",
    "sslcrl",
    "sslnegotiation",
    "sslpassword",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "target_session_attrs",
}
"""Parameters of libpq that asyncpg reads from a DSN besides the server's own settings."""
_ASYNC_ONLY: Final = "prepared_statement_cache_size"
"""A parameter of SQLAlchemy for asyncpg, 0 behind PgBouncer; libpq refuses it."""
_HELD: Final = {"dbname", "dsn", "ssl", "timeout", "user"}
"""Parameters of a URL that stand for fields, under the names that drivers give them."""
_TIMEOUT_OPTION: Final = re.compile(rf"(?:^|\s+)-c\s*({'|'.join(_TIMEOUTS)})=([0-9]+)(?=\s|$)")


def _parameters(value: Mapping[str, str]) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise InvalidInput("", value, "a mapping of names to text")
    for name, text in value.items():
        is_free = isinstance(name, str) and name not in _HELD | fields_dict(DatabaseConfig).keys()
        if not is_free or not isinstance(text, str) or not is_sendable(name + text):
            raise InvalidInput(
                "", name, "names and texts that no field of DatabaseConfig stands for"
            )
    return {n: Secret(t) if _is_secret(n) else t for n, t in value.items() if t}


def _is_secret(name: str) -> bool:
    return "password" in name.lower()


_CONNECT_TIMEOUT: Final = "3"
"""Seconds in which a server for queries has to take a connection, unless its URL says otherwise."""


@hide_init_traceback
@frozen(field_transformer=named_fields)
class DatabaseConfig:
    """A database: PostgreSQL when anything of it is named, otherwise a SQLite file.

    Attributes:
        host: of the server, `localhost` by default; a folder (`/...`) of its unix socket.
        port: 5432 by default.
        database: on the server, `tradebook` by default.
        username, password: of the role; the password shows in no `repr`. A function is called for the
            password of each new connection: a vault's, or a token that expires.
        pool_size: connections that are kept.
        max_overflow: further ones that may be opened for a while.
        pool_timeout: seconds to wait for a free connection.
        pool_recycle: seconds after which a connection is replaced.
        sslmode: libpq's: disable, allow, prefer, require, verify-ca or verify-full.
        sslrootcert, sslcert, sslkey: files of the authority, of the client's certificate and its key.
        application_name: shown in the server's list of connections.
        statement_timeout: milliseconds that a statement may take; the server's default when none.
        lock_timeout: milliseconds to wait for a lock; on SQLite, for another writer. By default 10 seconds,
            unless the server, the database or the role has a limit of its own; 0 for no limit.
        idle_in_transaction_session_timeout: milliseconds after which the server ends a session that does
            nothing in a transaction, whose locks others wait for. By default 10 minutes, unless the server
            has a limit of its own; 0 for no limit. SQLite has none.
        echo: log every statement.
        pool_pre_ping: check a connection before it is used.
        slow_query_seconds: log statements that take longer, with their plan; none by default.
        max_seconds_ahead: seconds by which the time of a trade, mark, cash flow or other record may be ahead of
            this machine's clock; a day by default. The same for all programs on a book: `verify` uses it, too.
        path: the SQLite file; `:memory:` for one in memory, shared by all managers of this config.
            `tradebook.db` when nothing names a PostgreSQL server.
        password_file: a file that holds the password, read again for each new connection, and when the
            server refuses the password: it can be changed while the program runs.
        read_url: where queries go: a standby, another role; several in a list, or with blanks between them. `run`,
            and every read that decides what is written, stay with the database itself. Settings that the URL does
            not state are this one's; the server, the role and its password are the URL's alone.
        read_consistency: what reads there have to see: `eventual`, `own-writes` (by default) or `strong`; see
            `Consistency`. `tradebook.context` says it for some reads.
        read_wait: milliseconds that a read waits for a standby which lacks what the read has to see; then it goes to
            the database itself.
        read_max_lag: seconds that a standby may lag behind; reads pass over one that lags more.
        pooler: what stands between: `transaction`, a pooler such as PgBouncer that gives each transaction
            another connection of the server, so that nothing is kept on one; `session`, one that does not. Where
            it is not stated, most poolers are recognised; asyncpg then has to be told which it is.
        direct_url: the server itself, where a pooler stands between: for migrations, backups and roles, which
            need a session. The role and its password are the URL's alone.
        processes: how many processes use such a pool, for the doctor.
        group_commit: let trades that threads, or tasks, of one manager record at the same time share a transaction.
        seal_witness: where `seal` appends the seals too, so that whoever can write to the database cannot drop
            them in silence: paths and URLs, in a list or with commas between them; see docs/security.md.
        parameters: further parameters of the URL. asyncpg takes those that it supports; those that only
            libpq supports (`channel_binding`, `keepalives`, ...) are left out of `async_url`. So is
            `connect_timeout`: SQLAlchemy hands asyncpg text only, and asyncpg wants a number
            (`connect_args={"timeout": 5}`).

    Raises:
        InvalidInput: naming the field, the value and what is accepted.
    """

    host: str | None = field(default=None, converter=texts.host)
    port: int | None = field(default=None, converter=bounds.port)
    database: str | None = field(default=None, converter=texts.text)
    username: str | None = field(default=None, converter=texts.text)
    password: Password = field(default=None, converter=optional_password)
    pool_size: int = field(default=10, converter=bounds.pool_size)
    max_overflow: int = field(default=20, converter=bounds.overflow_size)
    pool_timeout: float = field(default=30, converter=bounds.seconds)
    pool_recycle: int = field(default=3600, converter=bounds.whole_seconds)
    sslmode: str | None = field(default=None, converter=texts.ssl_mode)
    sslrootcert: str | None = field(default=None, converter=texts.path)
    sslcert: str | None = field(default=None, converter=texts.path)
    sslkey: str | None = field(default=None, converter=texts.path)
    application_name: str | None = field(default=None, converter=texts.text)
    statement_timeout: int | None = field(default=None, converter=bounds.milliseconds)
    lock_timeout: int | None = field(default=None, converter=bounds.milliseconds)
    echo: bool = field(default=False, converter=boolean)
    pool_pre_ping: bool = field(default=False, converter=boolean)
    slow_query_seconds: float | None = field(
        default=None, converter=bounds.optional_seconds, kw_only=True
    )
    idle_in_transaction_session_timeout: int | None = field(
        default=None, converter=bounds.milliseconds, kw_only=True
    )
    max_seconds_ahead: int = field(
        default=MAX_SECONDS_AHEAD, converter=bounds.seconds_ahead, kw_only=True
    )
    path: str | os.PathLike[str] | None = field(default=None, converter=texts.path)
    parameters: Mapping[str, str] = field(factory=dict, converter=_parameters, hash=False)
    password_file: str | os.PathLike[str] | None = field(default=None, converter=texts.path)
    read_url: str | Sequence[str] | None = field(default=None, converter=texts.urls)
    direct_url: str | None = field(default=None, converter=texts.url, kw_only=True)
    pooler: str | None = field(default=None, converter=texts.pooler, kw_only=True)
    processes: int = field(default=1, converter=bounds.pool_size, kw_only=True)
    group_commit: bool = field(default=True, converter=boolean, kw_only=True)
    seal_witness: tuple[str, ...] = field(default=(), converter=witness_settings, kw_only=True)
    read_consistency: Consistency = field(
        default=Consistency.OWN_WRITES, converter=consistency_of, kw_only=True
    )
    read_wait: int = field(default=100, converter=bounds.wait, kw_only=True)
    read_max_lag: float = field(default=60, converter=bounds.seconds, kw_only=True)
    _memory: str = field(
        factory=lambda: f"tradebook-{uuid4().hex}",
        converter=texts.text,
        kw_only=True,
        repr=False,
        eq=False,
    )

    def __attrs_post_init__(self) -> None:
        """Refuse fields that exclude each other, and fill in the defaults of the kind of database."""
        self._take_timeouts()
        if self.password is not None and self.password_file is not None:
            raise InvalidInput("password_file", self.password_file, "nothing beside a password")
        given = [name for name in POSTGRESQL_ONLY if getattr(self, name) is not None]
        if self.path is not None and given:
            raise InvalidInput(
                given[0],
                HIDDEN if given[0] in ("password", *_OTHER_PLACES) else getattr(self, given[0]),
                "nothing: a SQLite file (path) has none; give either a path or a server",
            )
        defaults = _DEFAULTS if given else {"path": self.path or DEFAULT_PATH}
        for name, value in defaults.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)

    def _take_timeouts(self) -> None:
        """Move timeouts from libpq's `options` to their fields, since asyncpg takes no `options`."""
        options = self.parameters.get("options", "")
        for name, limit in _TIMEOUT_OPTION.findall(options):
            object.__setattr__(self, name, bounds.milliseconds(int(limit)))
        rest = _TIMEOUT_OPTION.sub("", options).strip()
        others = {n: text for n, text in self.parameters.items() if n != "options"}
        object.__setattr__(self, "parameters", {**others, "options": rest} if rest else others)

    @classmethod
    @hide_traceback
    def from_url(cls, url: str | os.PathLike[str]) -> DatabaseConfig:
        """Build a config from a URL; its query may name any other field (`?sslmode=require&pool_size=5`).

        Args:
            url: `sqlite:///book.db`, `sqlite://` (in memory), `postgresql://user:password@host/book`;
                the driver is filled in. Special characters are percent-encoded. Or the path of a SQLite
                file: a `Path`, or text with a slash or a usual ending, such as `book.db` or `./book`.

        Raises:
            InvalidInput: not such a URL, or a part of it is refused; the message shows no password.
        """
        return cls(**parts_of(url))

    @classmethod
    @hide_traceback
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> DatabaseConfig:
        """Build the config that the environment's variables state; see `tradebook config --variables`.

        Raises:
            InvalidInput: naming the variable, its value and what is accepted.
        """
        settings = Settings(environ)
        return settings.resolve(settings.preset).build(cls)

    @property
    def renews_password(self) -> bool:
        """True where the password is read anew for each connection."""
        return self.password_file is not None or callable(self.password)

    @hide_traceback
    def secret(self) -> Secret | None:
        """Return the present password, from the file or the function where one is configured.

        Raises:
            DatabaseUnavailable: the file cannot be read, or the function failed.
        """
        if self.password_file is not None:
            return secret_from_file(str(self.password_file))
        if callable(self.password):
            return secret_from_function(self.password)
        return None if self.password is None else Secret(self.password)

    @hide_traceback
    def for_reading(self) -> tuple[DatabaseConfig, ...]:
        """Return the config of each server of `read_url`; none where it is not set.

        Raises:
            InvalidInput: `read_url` is not the URL of a PostgreSQL database.
        """
        # A server that is away keeps the reads waiting until it is known.
        soon = {"connect_timeout": _CONNECT_TIMEOUT}
        urls = str(self.read_url or "").split()
        return tuple(self._at("read_url", url, parameters=soon) for url in urls)

    @hide_traceback
    def for_sessions(self) -> DatabaseConfig:
        """Return the config of `direct_url`, for what needs a session; this one where none is set.

        Raises:
            InvalidInput: `direct_url` is not the URL of a PostgreSQL database.
        """
        if self.direct_url is None:
            return self
        return self._at("direct_url", str(self.direct_url), pooler=None)

    def _at(self, place: str, url: str, **settings: Any) -> DatabaseConfig:
        """Return this config at the place of another URL."""
        try:
            parts = parts_of(url)
        except InvalidInput as error:
            raise InvalidInput(place, error.value, error.expected) from None
        if "path" in parts:
            raise InvalidInput(place, HIDDEN, "the URL of a PostgreSQL database")
        if "parameters" in settings:
            settings["parameters"] |= parts.pop("parameters", {})
        theirs: dict[str, Any] = dict.fromkeys((*_PLACE, *_OTHER_PLACES)) | settings | parts
        return evolve(self, **theirs)

    @property
    def timeouts(self) -> dict[str, int]:
        """The timeouts that are stated, in milliseconds."""
        stated = {name: getattr(self, name) for name in _TIMEOUTS}
        return {name: limit for name, limit in stated.items() if limit is not None}

    @property
    def max_ahead(self) -> timedelta:
        """`max_seconds_ahead` as a duration."""
        return timedelta(seconds=self.max_seconds_ahead)

    def without_password(self) -> DatabaseConfig:
        """Return this config without its password, for URLs whose password `secret()` supplies later."""
        return evolve(self, password=None, password_file=None)

    @property
    def backend(self) -> str:
        """`sqlite` or `postgresql`."""
        return SQLITE if self.path is not None else POSTGRESQL

    @property
    def is_in_memory(self) -> bool:
        """True for a database in memory, which ends with the last manager that uses it."""
        return self.path == MEMORY

    @property
    def url(self) -> str:
        """The complete URL for psycopg2 or SQLite's own driver; only `str()` shows its password."""
        return Secret(self._sync_url(), self._sync_url(mask=True))

    @property
    def async_url(self) -> str:
        """The complete URL for asyncpg or aiosqlite; only `str()` shows its password."""
        return Secret(self._async_url(), self._async_url(mask=True))

    @property
    def safe_url(self) -> str:
        """The URL for messages and logs: passwords masked, no driver."""
        if self.is_in_memory:
            return "sqlite://"
        url = self._sync_url(mask=True)
        return url.replace("+psycopg2", "", 1).replace("+pysqlite", "", 1)

    def _sync_url(self, *, mask: bool = False) -> str:
        if self.path is not None:
            return self._sqlite_url("pysqlite")
        query = {name: getattr(self, name) for name in (*TLS, "application_name")}
        # A pooler refuses them; they are set where a session or a transaction begins (adapters/engine/poolers.py).
        limits = {} if self.pooler else self.timeouts
        options = [f"-c {name}={limit}" for name, limit in limits.items()]
        others = {n: text for n, text in self.parameters.items() if n != _ASYNC_ONLY}
        if options:
            others["options"] = " ".join([others.get("options", ""), *options]).strip()
        return self._server_url("psycopg2", {**query, **others}, mask=mask)

    def _async_url(self, *, mask: bool = False) -> str:
        if self.path is not None:
            return self._sqlite_url("aiosqlite")
        settings = {name: getattr(self, name) for name in (*TLS, "application_name")}
        settings |= {} if self.pooler else self.timeouts
        settings |= {n: value for n, value in self.parameters.items() if n in _ASYNCPG}
        # SQLAlchemy hands asyncpg keyword arguments only; its `dsn` holds everything else.
        dsn = _encoded(settings, mask=mask)
        query = {"dsn": f"postgresql:///{dsn}"} if dsn else {}
        if _ASYNC_ONLY in self.parameters:
            query[_ASYNC_ONLY] = self.parameters[_ASYNC_ONLY]
        return self._server_url("asyncpg", query, mask=mask)

    def _server_url(self, driver: str, query: Mapping[str, Any], *, mask: bool) -> str:
        user = "" if self.username is None else quote(self.username, safe="")
        if self.password is not None or self.password_file is not None:
            user += ":" + ("***" if mask else quote(str(self.secret() or ""), safe=""))
        host = str(self.host)
        is_plain = re.fullmatch(r"[A-Za-z0-9.:_-]+", host) is not None
        where = f"[{host}]" if ":" in host else host
        place = f"{where}:{self.port}" if is_plain else ""
        ports = ",".join([str(self.port)] * len(host.split(",")))
        query = query if is_plain else {"host": host, "port": ports, **query}
        at = f"{user}@" if user else ""
        name = quote(str(self.database), safe="")
        return f"postgresql+{driver}://{at}{place}/{name}{_encoded(query, mask=mask)}"

    def _sqlite_url(self, driver: str) -> str:
        path, query = str(self.path), dict(self.parameters)
        if self.lock_timeout is not None:
            query["timeout"] = f"{self.lock_timeout // 1000}.{self.lock_timeout % 1000:03}"
        if self.is_in_memory:
            path, query = f"file:/{self._memory}", {**query, "vfs": "memdb", "uri": "true"}
        return f"sqlite+{driver}:///{quote(path, safe='/:')}{_encoded(query)}"


def _encoded(query: Mapping[str, Any], *, mask: bool = False) -> str:
    """Write the values that are not None as the query of a URL, with its question mark."""
    shown = {
        name: "***" if mask and _is_secret(name) else str(value)
        for name, value in query.items()
        if value is not None
    }
    return "?" + urlencode(shown, safe="*", quote_via=quote) if shown else ""
