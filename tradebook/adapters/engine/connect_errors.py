"""What goes wrong before there is a connection, in words that say what to look at.

libpq gives its reasons as text only, asyncpg as types of errors of its own and of the standard library: one
table serves both, by SQLSTATE where there is one, otherwise by words.
"""

from __future__ import annotations

import re
import traceback
from typing import Any, Final

from sqlalchemy import Dialect, Engine, event

from tradebook.config import DatabaseConfig, Secret
from tradebook.domain.errors import DatabaseUnavailable

_ADVICE: Final = (
    (
        "3D000",
        r'database ".*" does not exist',
        "there is no database {database}: create it with `createdb -h {host} -p {port} {database}` "
        "and run `tradebook db upgrade`, or check TRADEBOOK_DB_NAME",
    ),
    (
        "53300",
        "too many (clients|connections)|connection slots",
        "the server has no connection left: lower pool_size, or raise its max_connections",
    ),
    (
        "",
        "does not support ssl|rejected ssl",
        "the server offers no TLS, and sslmode={sslmode} asks for it: set `ssl = on` at the server, or "
        "TRADEBOOK_DB_SSLMODE=prefer to do without",
    ),
    (
        "",
        "no pg_hba.conf entry",
        "the server's pg_hba.conf lets no such connection in; where it asks for TLS, set "
        "TRADEBOOK_DB_SSLMODE=require (sslmode is {sslmode})",
    ),
    (
        "",
        "client certificate|certificate authentication|alert .*(certificate|unknown ca)|"
        "certified .*closed in the middle",
        "the server did not believe the client: check TRADEBOOK_DB_SSLCERT and TRADEBOOK_DB_SSLKEY, a "
        "certificate for {user} that has not expired, of an authority that the server trusts",
    ),
    (
        "28P01 28000",
        r"password|authentication|\brole\b",
        "the server refused {user}: check TRADEBOOK_DB_USER and TRADEBOOK_DB_PASSWORD "
        "(or TRADEBOOK_DB_PASSWORD_FILE)",
    ),
    (
        "",
        "session is read-only|target attribute",
        "none of the hosts takes writes: promote a standby, or wait until it is",
    ),
    (
        "57P03",
        "starting up|shutting down|in recovery",
        "the server is starting or stopping: try again",
    ),
    (
        "",
        r"\bssl\b|sslerror|certificate|hostname|^tcp.*filenotfound",
        "TLS failed with sslmode={sslmode}: check TRADEBOOK_DB_SSLROOTCERT, the certificate of the "
        "authority that signed the server's, and that the server's names TRADEBOOK_DB_HOST and has not "
        "expired",
    ),
    (
        "",
        "translate host name|getaddrinfo|gaierror|name resolution|not known|no address",
        "no host is known as {host}: check TRADEBOOK_DB_HOST",
    ),
    (
        "",
        "timeout|timed out",
        "nothing answered in time: check TRADEBOOK_DB_HOST and TRADEBOOK_DB_PORT, and what stands "
        "between",
    ),
    (
        "",
        "connection option|keyword argument|clientconfiguration",
        "check the parameters of the URL",
    ),
    (
        "",
        "",
        "is the server running there? check TRADEBOOK_DB_HOST and TRADEBOOK_DB_PORT",
    ),
)
"""SQLSTATEs, words of the reason, and what to do; the first that fits."""


def explain_failures(engine: Engine, config: DatabaseConfig) -> None:
    """Make every failure of `engine` to connect a `DatabaseUnavailable` that helps."""

    def connect(dialect: Dialect, _record: object, args: Any, options: Any) -> Any:
        if not config.renews_password:
            return _connected(dialect, args, options, config)
        secret = config.secret()
        try:
            return _connected(dialect, args, _with_password(options, dialect, secret), config)
        except DatabaseUnavailable as error:
            changed = config.secret() if _is_wrong_password(error) else secret
            if changed == secret:
                raise
        return _connected(dialect, args, _with_password(options, dialect, changed), config)

    event.listen(engine, "do_connect", connect)


def _connected(dialect: Dialect, args: Any, options: Any, config: DatabaseConfig) -> Any:
    try:
        return dialect.connect(*args, **options)
    except BaseException as error:
        _forget_values(error)
        if not isinstance(error, Exception):
            raise
        raise DatabaseUnavailable(_explained(error, config)) from error


def _with_password(options: Any, dialect: Dialect, secret: Secret | None) -> dict[str, Any]:
    """asyncpg takes no kind of str, but calls."""
    return {**options, "password": secret.__str__ if dialect.is_async else secret}


def _is_wrong_password(error: DatabaseUnavailable) -> bool:
    """psycopg2 has no SQLSTATE before there is a connection."""
    cause = error.__cause__
    wrong = "password authentication failed" in str(cause)
    return wrong or getattr(cause, "sqlstate", None) == "28P01"


def _forget_values(error: BaseException | None) -> None:
    """The drivers' frames hold the password, and a log may write them out."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        traceback.clear_frames(error.__traceback__)
        seen.append(error)
        error = error.__cause__ or error.__context__


def _explained(error: Exception, config: DatabaseConfig) -> str:
    reason = " ".join(str(error).split()) or "no answer"
    if config.backend == "sqlite":
        return f"cannot open {config.path}: {reason}; check the path and its permissions"
    return f"cannot connect to {config.host}:{config.port}: {reason}; {_advice(error, config)}"


def _advice(error: Exception, config: DatabaseConfig) -> str:
    state = getattr(error, "sqlstate", None) or "none"
    kinds = " ".join(kind.__name__ for kind in type(error).__mro__[:-3])  # for "TimeoutError"
    way = "socket" if str(config.host).startswith("/") else "tcp"  # where a file is for TLS
    way += " certified" if config.sslcert is not None else ""
    text = f"{way} {error} {kinds}".replace(str(config.host), "")  # any word can be in its name
    advice = next(
        advice
        for states, words, advice in _ADVICE
        if state in states or re.search(words, text, re.IGNORECASE | re.DOTALL)
    )
    return advice.format(
        host=config.host,
        port=config.port,
        database=config.database,
        sslmode=config.sslmode or "prefer",
        user="the default user" if config.username is None else f"user {config.username!r}",
    )
