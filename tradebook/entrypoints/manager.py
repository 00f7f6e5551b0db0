"""`DatabaseManager`: the book on a database."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial

from sqlalchemy import URL, Engine
from sqlalchemy.orm import Session

from tradebook.adapters import orm
from tradebook.adapters.engine.pool import pool_status
from tradebook.adapters.health import health
from tradebook.adapters.migrations import upgrade as migrations
from tradebook.adapters.runner.observers import SESSION, UNIT_OF_WORK, Observer
from tradebook.adapters.runner.runner import Runner
from tradebook.adapters.sessions.account_session import ad_hoc_session
from tradebook.adapters.unit_of_work import SqlAlchemyUnitOfWork
from tradebook.config import DatabaseConfig, DatabaseEnvironment
from tradebook.domain.entity import DEFAULT_ACCOUNT
from tradebook.domain.errors import InvalidInput
from tradebook.domain.plain_values import is_instance, plain_text
from tradebook.domain.validation import argument, boolean, identifier, short_text
from tradebook.entrypoints.container import THREADS, new_container
from tradebook.service_layer.book import Book
from tradebook.service_layer.call_context import DEFAULT_BASE_CURRENCY, CallContext
from tradebook.service_layer.ports.health import Health, PoolStatus

orm.start_mappers()


class Managed:
    """The common base of both managers: a configuration, an account, and a container of its own."""

    _parts = THREADS

    def __init__(
        self,
        config: DatabaseConfig | str | URL | None = None,
        account: str = DEFAULT_ACCOUNT,
        *,
        base_currency: str = DEFAULT_BASE_CURRENCY,
        actor: str = "",
    ) -> None:
        """Check the configuration; the database is connected on first use."""
        self.config = _configured(config)
        self.config.for_reading()  # raises now for a wrong read_url, not at the first query
        self.account = argument("account", identifier, account)
        actor = argument("actor", short_text, actor)
        currency = argument("base_currency", identifier, base_currency)
        self._container = new_container(self._parts, self.config, self.account, currency, actor)
        self._runner = self._container.runner()

    @property
    def url(self) -> str:
        """The database's URL, its passwords masked."""
        return self.config.safe_url

    @property
    def retries(self) -> int:
        """The number of repeated attempts so far, after conflicts and lost connections."""
        return int(self._container.retries().count)

    def __repr__(self) -> str:
        """Show the masked URL and the account."""
        if "_runner" not in vars(self):
            return f"<{type(self).__name__} whose constructor failed>"
        return f"{type(self).__name__}({self.url!r}, account={self.account!r})"

    def watch(self, observer: Observer) -> None:
        """Add an observer of every call, statement and retry from now on.

        Args:
            observer: as `tradebook.operations.metrics` and `tradebook.operations.tracing` make one.
        """
        self._container.observers().append(observer)
        for engine in self._engines():
            observer.observe_engine(engine)

    def pool_status(self) -> PoolStatus:
        """Return the state of the connection pool now."""
        return pool_status(next(iter(self._engines())))

    def _engines(self) -> Collection[Engine]:
        """Return the engine, and the one for queries where that is another."""
        made = self._container.engine(), self._container.reader()
        # Listeners and pools are those of the synchronous engine inside one of asyncio.
        return dict.fromkeys(getattr(engine, "sync_engine", engine) for engine in made)


class DatabaseManager(Managed, Book):
    """The book of one account on one database; cheap to make, and safe to share between threads.

    Every handler and query of the service layer is a method. Each call runs in a unit of work of its own, and
    is repeated as a whole after a conflict; `unit_of_work()` puts several calls into one transaction.

    Args:
        config: a `DatabaseConfig`, or a URL: `sqlite:///book.db`, `sqlite://` (in memory) or
            `postgresql://user:password@host/book`. By default the environment's variables are read, and
            without them the file `tradebook.db` in the working directory is used. A new and empty SQLite
            database gets its tables on first use; any other gets them by `upgrade()`.
        account: the tenant that owns the book.
        base_currency: of the account, when its first use opens it.
        actor: recorded in the events where no `tradebook.context` names another.

    Raises:
        InvalidInput: the configuration, the account or the currency is refused.
        SchemaNotReady: on first use: the database's schema is not the one of this version.
    """

    _runner: Runner

    def upgrade(self) -> None:
        """Migrate the database's schema to this version; an up-to-date schema stays as it is."""
        migrations.upgrade(self._container.engine())

    @contextmanager
    def get_session(self) -> Iterator[Session]:
        """Open a SQLAlchemy session for direct edits: `with manager.get_session() as session: ...`.

        It commits when the block ends, rolls back on an error, and always returns its connection. It reads
        and writes entities of this account only, refuses by name what only handlers may do, and records an
        event for each change. `unit_of_work()` is the opposite: it offers the repositories, and discards
        what was not committed.
        """
        self._prepare()
        by = self._runner.context()
        new_session = self._container.ad_hoc_sessions()
        session = ad_hoc_session(new_session, self.account, by.actor, by.correlation_id)
        with self._runner.observed(SESSION, by), session as opened:
            yield opened

    def unit_of_work(
        self, *, read_only: bool = False, context: CallContext | None = None
    ) -> SqlAlchemyUnitOfWork:
        """Make a unit of work: `with manager.unit_of_work() as uow: ...; uow.commit()`.

        Handlers and queries compose in it, in one transaction; leaving it without `commit` discards
        everything. `get_session()` is the opposite: a plain session that commits when its block ends.
        """
        only_reads = argument("read_only", boolean, read_only)
        by = self._runner.context(context)
        self._prepare()
        runner = self._runner
        new = runner.new_read_unit_of_work if only_reads else runner.new_unit_of_work
        observe = partial(runner.observed, UNIT_OF_WORK, by) if runner.observers else None
        made: SqlAlchemyUnitOfWork = new(context=by, observe=observe)
        return made

    def health(self) -> Health:
        """Return the state of the database: reachable, version, latency, schema; never raise for it."""
        return health(self._container.own_read_engine(), self.config)

    def close(self) -> None:
        """Close every connection; the manager stays usable, and connects again.

        A database in memory ends with its last connection.
        """
        self._runner.first_use.is_done = False
        self._container.position_cache().clear()
        for engine in self._engines():
            engine.dispose()

    def _prepare(self) -> None:
        if not self._runner.first_use.is_done:
            self._runner.first_use.prepare()


def _configured(config: DatabaseConfig | str | URL | None) -> DatabaseConfig:
    if isinstance(config, DatabaseConfig) and is_instance(config, DatabaseConfig):
        return config
    if isinstance(config, URL) and is_instance(config, URL):
        return DatabaseEnvironment(url=config.render_as_string(hide_password=False)).current
    if config is None:
        return DatabaseEnvironment().current
    if isinstance(config, str) and is_instance(config, str):
        return DatabaseEnvironment(url=plain_text(config)).current
    raise InvalidInput("config", type(config).__name__, "a DatabaseConfig, a URL or None")
