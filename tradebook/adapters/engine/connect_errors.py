"""Failures to connect, explained: what to check, for every reason that has an advice of its own.

libpq gives its reasons as text only; asyncpg raises types of errors of its own and of the standard library. One
table serves both: by SQLSTATE where there is one, otherwise by words.
"""

from __future__ import annotations

import re
import traceback
from typing import Any, Final

from sqlalchemy import Dialect, Engine, event

from tradebook.config import DatabaseConfig, Secret
from tradebook.domain.errors import DatabaseUnavailable

_PASSING: Final = {
    "sqlstate=53300|too many (clients|connections)|connection slots": (
        "the server has no connection left: lower pool_size, or raise its max_connections"
    ),
    "session is read-only|target attribute": (
        "none of the hosts takes writes: promote a standby, or wait until it is"
    ),
    "sqlstate=57P03|starting up|shutting down|in recovery": (
        "the server is starting or stopping: try again"
    ),
}
"""Failures of a server that has too much to do, restarts or fails over."""

_LASTING: Final = {
    r'sqlstate=3D000|database ".*" does not exist': (
        "there is no database {database}: create it with `createdb -h {host} -p {port} {database}` and "
        "run `tradebook db upgrade`, or check TRADEBOOK_DB_NAME"
    ),
    "does not support ssl|rejected ssl": (
        "the server offers no TLS, and sslmode={sslmode} requires it: set `ssl = on` at the server, or "
        "TRADEBOOK_DB_SSLMODE=prefer to do without"
    ),
    "unsupported startup parameter": (
        "a connection pooler stands between, which takes no timeouts with the start of a connection: set "
        "TRADEBOOK_DB_POOLER=transaction, or =session where it gives each client a connection of the server for itself"
    ),
    "no pg_hba.conf entry": (
        "the server's pg_hba.conf admits no such connection; where it requires TLS, set "
        "TRADEBOOK_DB_SSLMODE=require (sslmode is {sslmode})"
    ),
    # Before the general advice on TLS, whose words these errors contain too.
    r"client certificate|certificate authentication|alert .*(certificate|unknown ca)"
    r"|certified .*closed in the middle": (
        "the server did not accept the client's certificate: check TRADEBOOK_DB_SSLCERT and "
        "TRADEBOOK_DB_SSLKEY, a certificate for {user} that has not expired, of an authority that the "
        "server trusts"
    ),
    r"sqlstate=28(P01|000)|password|authentication|\brole\b": (
        "the server refused {user}: check TRADEBOOK_DB_USER and TRADEBOOK_DB_PASSWORD "
        "(or TRADEBOOK_DB_PASSWORD_FILE)"
    ),
    r"\bssl\b|sslerror|certificate|hostname|^tcp.*filenotfound": (
        "TLS failed with sslmode={sslmode}: check TRADEBOOK_DB_SSLROOTCERT, the certificate of the "
        "authority that signed the server's, and that the server's names TRADEBOOK_DB_HOST and has not "
        "expired"
    ),
    "connection option|keyword argument|clientconfiguration": "check the parameters of the URL",
}
"""Failures that last until a configuration changes: the first call of a manager raises them at once."""

_ADVICE: Final = {
    **_PASSING,
    **_LASTING,
    "translate host name|getaddrinfo|gaierror|name resolution|not known|no address": (
        "no host is known as {host}: check TRADEBOOK_DB_HOST"
    ),
    "timeout|timed out": (
        "nothing answered in time: check TRADEBOOK_DB_HOST and TRADEBOOK_DB_PORT, and the network between"
    ),
    "": "is the server running there? check TRADEBOOK_DB_HOST and TRADEBOOK_DB_PORT",
}
"""Patterns of failure texts, each with its remedy; the first match counts."""


def sqlstate(error: BaseException | None) -> str | None:
    """Return the SQLSTATE of a driver's error; None where it has none."""
    # psycopg2 names it pgcode, asyncpg sqlstate.
    return getattr(error, "pgcode", None) or getattr(error, "sqlstate", None)


def explain_failures(engine: Engine, config: DatabaseConfig) -> None:
    """Raise every failure of `engine` to connect as a `DatabaseUnavailable` that says what to check."""

    def connect(dialect: Dialect, _record: object, args: Any, options: Any) -> Any:
        if not config.renews_password:
            return _connect(dialect, args, options, config)
        secret = config.secret()
        try:
            return _connect(dialect, args, _with_password(options, dialect, secret), config)
        except DatabaseUnavailable as error:
            # The password may have been rotated since it was read: read it again, and retry with another.
            changed = config.secret() if _is_wrong_password(error) else secret
            if changed == secret:
                raise
        return _connect(dialect, args, _with_password(options, dialect, changed), config)

    event.listen(engine, "do_connect", connect)


def _connect(dialect: Dialect, args: Any, options: Any, config: DatabaseConfig) -> Any:
    try:
        return dialect.connect(*args, **options)
    except BaseException as error:
        _clear_frames(error)
        if not isinstance(error, Exception):
            raise
        raise _unavailable(error, config) from error


def _with_password(options: Any, dialect: Dialect, secret: Secret | None) -> dict[str, Any]:
    # asyncpg refuses a subclass of str, but accepts a function.
    return {**options, "password": secret.__str__ if dialect.is_async else secret}


def _is_wrong_password(error: DatabaseUnavailable) -> bool:
    # psycopg2 has no SQLSTATE before there is a connection.
    cause = error.__cause__
    wrong = "password authentication failed" in str(cause)
    return wrong or getattr(cause, "sqlstate", None) == "28P01"


def _clear_frames(error: BaseException | None) -> None:
    """Clear the local variables of an error's frames: the drivers' hold the password, and logs may show them."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        traceback.clear_frames(error.__traceback__)
        seen.append(error)
        error = error.__cause__ or error.__context__


def _unavailable(error: Exception, config: DatabaseConfig) -> DatabaseUnavailable:
    reason = " ".join(str(error).split()) or "no answer"
    if config.backend == "sqlite":
        return DatabaseUnavailable(
            f"cannot open {config.path}: {reason}; check the path and its permissions"
        )
    pattern = _pattern(error, config)
    advice = _ADVICE[pattern].format(
        host=config.host,
        port=config.port,
        database=config.database,
        sslmode=config.sslmode or "prefer",
        user="the default user" if config.username is None else f"user {config.username!r}",
    )
    made = DatabaseUnavailable(f"cannot connect to {config.host}:{config.port}: {reason}; {advice}")
    # A server that goes down in the middle of a TLS handshake is not misconfigured.
    made.is_lasting = pattern in _LASTING and not re.search(r"SYSCALL|\beof\b", reason)
    return made


def _pattern(error: Exception, config: DatabaseConfig) -> str:
    """Return the pattern of `_ADVICE` that an error matches."""
    # The names of its classes too: a TimeoutError of asyncpg has no text. The last three are Exception,
    # BaseException and object.
    kinds = " ".join(kind.__name__ for kind in type(error).__mro__[:-3])
    # A missing file is a certificate on TCP, and the socket itself otherwise.
    way = "socket" if str(config.host).startswith("/") else "tcp"
    way += " certified" if config.sslcert is not None else ""
    # Without the host, whose name may contain any word of the table.
    text = f"{way} {error} {kinds}".replace(str(config.host), "")
    text += f" sqlstate={getattr(error, 'sqlstate', None)}"
    return next(p for p in _ADVICE if re.search(p, text, re.IGNORECASE | re.DOTALL))
