"""`DatabaseManager`: the book on a database."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from functools import partial
from typing import Concatenate, ParamSpec, Self, TypeVar
from weakref import WeakSet

from sqlalchemy import URL, Engine
from sqlalchemy.orm import Session
from typing_extensions import override

from tradebook.adapters import orm
from tradebook.adapters.engine.factory import engine_for
from tradebook.adapters.engine.pool import pool_status
from tradebook.adapters.health import health
from tradebook.adapters.migrations import upgrade as migrations
from tradebook.adapters.migrations.drift import Difference
from tradebook.adapters.replicas.written import written_token
from tradebook.adapters.runner.observers import SESSION, UNIT_OF_WORK, Observer
from tradebook.adapters.runner.runner import Runner
from tradebook.adapters.sessions.account_session import ad_hoc_session
from tradebook.adapters.unit_of_work import SqlAlchemyUnitOfWork
from tradebook.config import DatabaseConfig, DatabaseEnvironment
from tradebook.config.urls import SQLITE
from tradebook.domain.cash import account_name
from tradebook.domain.consistency import Consistency
from tradebook.domain.entity import DEFAULT_ACCOUNT, DEFAULT_BASE_CURRENCY
from tradebook.domain.errors import InvalidInput
from tradebook.domain.plain_values import is_instance, plain_text
from tradebook.domain.validation import Json, argument, boolean, optional_identifier, short_text
from tradebook.entrypoints.container import THREADS, Graph, new_container
from tradebook.operations.witnesses import Appending, open_witnesses
from tradebook.service_layer.book import Book
from tradebook.service_layer.call_context import CallContext
from tradebook.service_layer.call_context import context as call_context
from tradebook.service_layer.handlers.seals import Sealed
from tradebook.service_layer.instrumentation import ProgressCallback
from tradebook.service_layer.ports.health import Health, PoolStatus
from tradebook.service_layer.ports.paging import BATCH
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork
from tradebook.service_layer.verification.seal_check import SealCheck, seals_after
from tradebook.service_layer.verification.witness_check import (
    following,
    number_before,
    read_witness,
    with_witnesses,
)

P = ParamSpec("P")
R = TypeVar("R")

orm.start_mappers()


class Managed:
    """The common base of both managers: a configuration, an account, and a container of its own."""

    _parts = THREADS
    _container: Graph

    def __init__(
        self,
        config: DatabaseConfig | str | os.PathLike[str] | URL | None = None,
        account: str | None = None,
        *,
        base_currency: str | None = None,
        actor: str = "",
    ) -> None:
        """Check the configuration; the database is connected on first use."""
        if isinstance(config, DatabaseConfig) and is_instance(config, DatabaseConfig):
            self.config = config
        else:
            environment = _environment(config)
            self.config = environment.current
            account = environment.account if account is None else account
            base_currency = environment.base_currency if base_currency is None else base_currency
        # These raise now for a wrong URL, not at the first query or upgrade.
        self.config.for_reading()
        self.config.for_sessions()
        self._actor = argument("actor", short_text, actor)
        self._owner: Self | None = None
        self._shared: WeakSet[Self] = WeakSet()  # the books that `for_account` made
        self._currency = DEFAULT_BASE_CURRENCY
        name = DEFAULT_ACCOUNT if account is None else argument("account", account_name, account)
        self._wire(name, base_currency)

    def for_account(self, name: str, *, base_currency: str | None = None) -> Self:
        """Open the book of another account on the same engine and pool; see `Book.for_account`."""
        owner = self._owner or self
        made = copy(self)
        made._owner = owner
        made._wire(argument("name", account_name, name), base_currency)
        owner._shared.add(made)
        return made

    def _wire(self, account: str, named_currency: str | None) -> None:
        """Make the object graph for an account; the currency is None where the caller names none."""
        currency = argument("base_currency", optional_identifier, named_currency)
        self.account, self._currency = account, currency or self._currency
        self._container = new_container(
            self._parts,
            self.config,
            account,
            self._currency,
            self._actor,
            is_currency_named=currency is not None,
            owner=None if self._owner is None else self._owner._container,
        )
        self._runner = self._container.runner()

    def _forget(self) -> None:
        """Drop what this book, and each that shares its engine, keeps in memory of its database."""
        books: list[Managed] = [self] if self._owner is not None else [self, *self._shared]
        for book in books:
            book._container.position_cache().clear()

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
        """Add an observer of every call, statement and retry from now on, of all books on the engine.

        Args:
            observer: as `tradebook.operations.metrics` and `tradebook.operations.tracing` make one.
        """
        self._container.observers().append(observer)
        for engine in (self._owner or self)._engines():
            observer.observe_engine(engine)

    def pool_status(self) -> PoolStatus:
        """Return the state of the connection pool now."""
        return pool_status(next(iter(self._engines())))

    def _engines(self) -> Collection[Engine]:
        """Return the engine, and those for queries where these are others."""
        made = self._container.engine(), *self._container.readers()
        # Listeners and pools are those of the synchronous engine inside one of asyncio.
        return dict.fromkeys(getattr(engine, "sync_engine", engine) for engine in made)


class DatabaseManager(Managed, Book):
    """The book of one account on one database; cheap to make, and safe to share between threads.

    Every handler and query of the service layer is a method. Each call runs in a unit of work of its own, and
    is repeated as a whole after a conflict; `unit_of_work()` puts several calls into one transaction.

    Args:
        config: a `DatabaseConfig`, a URL: `sqlite:///book.db`, `sqlite://` (in memory) or
            `postgresql://user:password@host/book`, or the path of a SQLite file: `book.db`, a `Path`. By default the environment's variables are read, and
            without them the file `tradebook.db` in the working directory is used. A new and empty SQLite
            database gets its tables on first use; any other gets them by `upgrade()`.
        account: the tenant that owns the book. By default the variable TRADEBOOK_ACCOUNT, where variables are
            read, else `main`. `for_account` opens further ones on the same pool.
        base_currency: of the account, when its first use opens it: USD by default. Where one is named, here or by
            TRADEBOOK_BASE_CURRENCY, an account in another one is refused.
        actor: recorded in the events where no `tradebook.context` names another.

    Raises:
        InvalidInput: the configuration, the account or the currency is refused; on first use: the account's
            base currency is not the one named.
        SchemaNotReady: on first use: the database's schema is not the one of this version.
    """

    _runner: Runner

    def upgrade(self) -> None:
        """Migrate the database's schema to this version; an up-to-date schema stays as it is.

        By `direct_url`, where one is set: a pooler gives no session for it.
        """
        if self.config.direct_url is None:
            migrations.upgrade(self._container.engine())
            return
        with engine_for(self.config.for_sessions()) as engine:
            migrations.upgrade(engine)

    @override
    def seal(self, *, batch: int = BATCH, progress: ProgressCallback | None = None) -> Sealed:
        """Seal the recorded events, and append all seals to the witnesses that lack them.

        See `handlers.seal`, and `seal_witness` of `DatabaseConfig`.

        Raises:
            WitnessFailed: a witness cannot be reached, or contradicts the book. What was sealed stays
                sealed (`WitnessFailed.sealed`), and the next call appends what the witness lacks.
        """
        witnesses, appending = open_witnesses(self.config), Appending()
        sealed = super().seal(batch=batch, progress=progress)
        for witness in witnesses:
            with appending.to(witness):
                last = witness.last(self.account)
                entries = self._read_here(seals_after, number_before(last))
                witness.append(self.account, following(witness.name, last, entries))
                appending.done(witness, witness.last(self.account))
        return appending.outcome(sealed)

    @override
    def check_seals(
        self, kept: Mapping[str, Json] | None = None, *, progress: ProgressCallback | None = None
    ) -> SealCheck:
        """Check that nothing sealed was changed, removed or inserted since, and that witnesses agree.

        See `verification.seal_check.check_seals`, and `seal_witness` of `DatabaseConfig`. A witness that cannot
        be read is one of the `SealCheck.witnesses` with an error, and the book is not `sound`.
        """
        witnesses = open_witnesses(self.config)
        checked = super().check_seals(kept, progress=progress)
        if not witnesses:
            return checked
        readings = [read_witness(witness, self.account) for witness in witnesses]
        entries = self._read_here(seals_after, 0)
        return with_witnesses(checked, readings, entries, self.config.max_ahead)

    def _read_here(
        self,
        query: Callable[Concatenate[AbstractUnitOfWork, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Query the database itself: a standby may lack the last seals, and look cut short."""
        with call_context(consistency=Consistency.STRONG):
            return self.read(query, *args, **kwargs)

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
        everything, with the warning `UncommittedWork` unless `rollback` did so. `get_session()` is the opposite: a plain session that commits when its block ends.
        """
        only_reads = argument("read_only", boolean, read_only)
        by = self._runner.context(context)
        self._prepare()
        runner = self._runner
        route, new = runner.read_route() if only_reads else (None, runner.new_unit_of_work)
        observe = partial(runner.observed, UNIT_OF_WORK, by, route) if runner.observers else None
        made: SqlAlchemyUnitOfWork = new(context=by, observe=observe)
        return made

    @override
    def consistency_token(self) -> str:
        """Return a token of all that is committed, with which another process reads at least that.

        On the other side: `with tradebook.context(consistency_token=token): book.get_positions()`. It costs one
        query of the database itself. `""` on SQLite, and where the server does not say it.
        """
        if self.config.backend == SQLITE:
            return ""
        self._prepare()
        return written_token(self._container.own_statement_engine())

    def health(self) -> Health:
        """Return the state of the database: reachable, version, latency, schema; never raise for it."""
        return health(self._container.own_read_engine(), self.config)

    def check_schema(self) -> tuple[Difference, ...]:
        """Compare the tables with what the migrations and `tradebook db roles` make of them, changing nothing.

        Returns:
            Everything that differs: what alters or hides records, such as a trigger, a rule or a view in the place
            of a table, and what no longer protects them, such as a missing unique key.

        Raises:
            SchemaNotReady: the database has no tables yet, or those of another version.
            NotPermitted: on PostgreSQL, the role may not make temporary tables.
        """
        # 30 ms of every start otherwise: it needs the roles' declarations.
        from tradebook.operations.schema_check import check_schema

        return check_schema(self._container.engine())

    def close(self) -> None:
        """Close every connection; the manager stays usable, and connects again.

        A database in memory ends with its last connection. The connections of a book that `for_account` made
        are closed with the one that it was made from.
        """
        self._forget()
        if self._owner is not None:
            return
        self._container.schema_use().is_done = False
        for engine in self._engines():
            engine.dispose()

    def _prepare(self) -> None:
        if not self._runner.first_use.is_done:
            self._runner.first_use.prepare()


def _environment(config: object) -> DatabaseEnvironment:
    """Read the environment's variables for a URL, or for the database that they name."""
    if config is None:
        return DatabaseEnvironment()
    if isinstance(config, URL) and is_instance(config, URL):
        return DatabaseEnvironment(url=config.render_as_string(hide_password=False))
    if isinstance(config, str) and is_instance(config, str):
        return DatabaseEnvironment(url=plain_text(config))
    if isinstance(config, os.PathLike) and is_instance(config, os.PathLike):
        return DatabaseEnvironment(url=config)
    raise InvalidInput("config", type(config).__name__, "a DatabaseConfig, a URL, a path or None")
