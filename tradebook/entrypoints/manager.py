"""`DatabaseManager`: the book on a database."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Concatenate, ParamSpec, TypeVar, Unpack

from sqlalchemy import URL
from sqlalchemy.orm import Session

from tradebook.adapters import orm
from tradebook.adapters.engine.pool import pool_status
from tradebook.adapters.health import health
from tradebook.adapters.migrations import upgrade as migrations
from tradebook.adapters.migrations.schema_state import EMPTY, SchemaState, read_schema_state
from tradebook.adapters.runner.watched_runner import (
    SESSION,
    UNIT_OF_WORK,
    Watcher,
    watched,
    watched_session,
)
from tradebook.adapters.sessions.account_session import ad_hoc_session
from tradebook.adapters.unit_of_work import SqlAlchemyUnitOfWork
from tradebook.config import DatabaseConfig, DatabaseEnvironment
from tradebook.domain.entity import DEFAULT_ACCOUNT
from tradebook.domain.errors import InvalidInput
from tradebook.domain.plain_values import function, is_instance, plain_text
from tradebook.domain.trades import Trade
from tradebook.domain.validation import argument, boolean, identifier, short_text
from tradebook.entrypoints.container import Container, let_watch
from tradebook.service_layer import handlers
from tradebook.service_layer.book import Book
from tradebook.service_layer.call_context import DEFAULT_BASE_CURRENCY, CallContext, caller
from tradebook.service_layer.handlers import TradeTerms
from tradebook.service_layer.instrumentation import Call
from tradebook.service_layer.ports.health import Health, PoolStatus
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

P = ParamSpec("P")
R = TypeVar("R")

orm.start_mappers()


class Managed:
    """What both managers are made from: a configuration, an account, and a container of their own."""

    _wiring: type[Container] = Container

    def __init__(
        self,
        config: DatabaseConfig | str | URL | None = None,
        account: str = DEFAULT_ACCOUNT,
        *,
        base_currency: str = DEFAULT_BASE_CURRENCY,
        actor: str = "",
    ) -> None:
        self.config = _configured(config)
        self.config.for_reading()  # what is wrong with it is said now, not at the first query
        self.account = argument("account", identifier, account)
        self._actor = argument("actor", short_text, actor)
        self._container = self._wiring(
            config=self.config,
            account=self.account,
            base_currency=argument("base_currency", identifier, base_currency),
        )
        self._watchers: tuple[Watcher, ...] = ()

    _is_async = False

    @property
    def url(self) -> str:
        """The database's URL, its passwords masked."""
        return self.config.safe_url

    @property
    def retries(self) -> int:
        """How many times a unit of work was done again so far: after conflicts and lost connections."""
        return self._container.retries().count

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r}, account={self.account!r})"

    def watch(self, watcher: Watcher) -> None:
        """Let `watcher` know of every call, statement and retry from now on; for `tradebook.operations`.

        A manager that nobody watches has none of the code that tells.
        """
        self._watchers = (*self._watchers, watcher)
        self._container.retries().listeners += (watcher.retried,)
        for engine in let_watch(self._container, self._watchers, self._is_async):
            watcher.attend(engine)

    def _watched_call(self, name: str, context: CallContext) -> Call:
        return Call(name, self.account, context.actor, context.correlation_id)

    def _new_context(self, given: CallContext | None = None) -> CallContext:
        context = CallContext.of(given)
        if context is not None:
            return context.or_by(self._actor)
        return CallContext(actor=caller().actor or self._actor)

    def _lacks_tables(self, state: SchemaState) -> bool:
        """Whether it is an embedded database that is new; another's schema must be the right one."""
        if state.name == EMPTY and self.config.backend == "sqlite":
            return True
        state.require()
        return False


class DatabaseManager(Managed, Book):
    """The book of one account on one database; cheap to make, and safe to share between threads.

    Every handler and query of the service layer is a method, run in a unit of work of its own and
    tried again as a whole when another writer was first. `unit_of_work()` does several together.

    Args:
        config: a `DatabaseConfig`, or a URL: `sqlite:///book.db`, `sqlite://` (in memory) or
            `postgresql://user:password@host/book`; what the environment's variables say by default, and
            the file `tradebook.db` in the working directory where they say nothing. An embedded SQLite
            database that is new and empty gets its tables by itself; others by `upgrade()`.
        account: the tenant whose book this is.
        base_currency: of the account, when its first use opens it.
        actor: who writes, for the events, where no `tradebook.context` says so.

    Raises:
        InvalidInput: the configuration, the account or the currency is refused. Connects only when
            first used; then it raises SchemaNotReady where the schema is not the one that it needs.
    """

    def __init__(
        self,
        config: DatabaseConfig | str | URL | None = None,
        account: str = DEFAULT_ACCOUNT,
        *,
        base_currency: str = DEFAULT_BASE_CURRENCY,
        actor: str = "",
    ) -> None:
        super().__init__(config, account, base_currency=base_currency, actor=actor)
        self._preparing = threading.Lock()
        self._is_ready = False

    def upgrade(self) -> None:
        """Bring the database's schema to this version; does nothing when it is there already."""

        migrations.upgrade(self._container.engine())

    def get_session(self) -> AbstractContextManager[Session]:
        """A SQLAlchemy session for work by hand: `with manager.get_session() as session: ...`.

        It commits when the block ends, rolls back on an error, and always returns its connection. It
        reads and writes entities of this account only; what only handlers may do is refused by name, and all else
        leaves an event. `unit_of_work()` is the other way round: it offers the repositories, and
        discards whatever was not committed.
        """

        self._prepare()
        by = self._new_context()
        new_session = self._container.ad_hoc_sessions()
        session = ad_hoc_session(new_session, self.account, by.actor, by.correlation_id)
        if not self._watchers:
            return session
        return watched_session(self._watched_call(SESSION, by), self._watchers, session)

    def unit_of_work(
        self, *, read_only: bool = False, context: CallContext | None = None
    ) -> SqlAlchemyUnitOfWork:
        """The repositories in one transaction: `with manager.unit_of_work() as uow: ...; uow.commit()`.

        Handlers compose in it; leaving it without `commit` discards everything. `get_session()` is the
        other way round: a plain session that commits at its end.
        """
        only_reads = argument("read_only", boolean, read_only)
        by = self._new_context(context)
        self._prepare()
        container = self._container
        new = container.read_unit_of_work if only_reads else container.unit_of_work
        uow = new(context=by)
        if self._watchers:
            uow.surround(lambda: watched(self._watched_call(UNIT_OF_WORK, by), self._watchers))
        return uow

    def run(
        self,
        handler: Callable[Concatenate[AbstractUnitOfWork, P], R],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Call `handler(uow, ...)` in a unit of work and commit it; all again on a conflict.

        All again, too, on a new connection where the connection was lost. Lost at COMMIT, the database is
        asked first whether it was done.
        """
        argument("handler", function, handler)
        self._prepare()
        return self._container.runner().run(self._new_context(), handler, *args, **kwargs)

    def record_trade(self, /, **terms: Unpack[TradeTerms]) -> Trade:
        """Record one execution; see `handlers.record_trade`. A new fill takes a single statement where it can."""
        self._prepare()
        runner = self._container.trade_runner()
        return runner.run(self._new_context(), handlers.record_trade, **terms)

    def read(
        self,
        query: Callable[Concatenate[AbstractUnitOfWork, P], R],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Call `query(uow, ...)` on one consistent view; again where the connection was lost."""
        argument("query", function, query)
        self._prepare()
        runner = self._container.read_runner()
        return runner.read(self._new_context(), query, *args, **kwargs)

    def look_up(
        self,
        query: Callable[Concatenate[AbstractUnitOfWork, P], R],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Call `query(uow, ...)`, which is one statement, without a transaction around it."""
        argument("query", function, query)
        self._prepare()
        runner = self._container.statement_runner()
        return runner.read(self._new_context(), query, *args, **kwargs)

    def health(self) -> Health:
        """How the database is: reachable, its version, its latency, its schema. Never raises for that."""

        return health(self._container.own_read_engine(), self.config)

    def pool_status(self) -> PoolStatus:
        """What the pool of connections is doing now."""
        return pool_status(self._container.engine())

    def close(self) -> None:
        """Close every connection; the manager can still be used, and connects again.

        A database in memory ends with its last connection.
        """
        self._is_ready = False
        self._container.position_cache().clear()
        self._container.reader().dispose()
        self._container.engine().dispose()

    def _prepare(self) -> None:
        """On first use: give a new and empty embedded database its tables, refuse another's schema."""
        if self._is_ready:
            return
        with self._preparing:
            if not self._is_ready:
                if self._lacks_tables(read_schema_state(self._container.own_read_engine())):
                    self.upgrade()
                self._is_ready = True


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
