"""A book in memory for the unit tests of trading bots, with the behaviour of one on a database.

It commits and rolls back, checks versions, unique keys and references, and returns copies.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from datetime import datetime, timedelta
from typing import Any, Final, Self, TypeVar

from attrs import frozen
from typing_extensions import override

from tradebook.config.bounds import seconds_ahead
from tradebook.domain.cash import account_name, check_base_currency
from tradebook.domain.entity import DEFAULT_ACCOUNT, DEFAULT_BASE_CURRENCY
from tradebook.domain.errors import BookBusy, ConcurrentUpdate, InvalidInput, StaleRecord
from tradebook.domain.limits import MAX_SECONDS_AHEAD
from tradebook.domain.plain_values import function, is_instance
from tradebook.domain.validation import (
    argument,
    boolean,
    optional_identifier,
    short_text,
    utc_now,
)
from tradebook.service_layer.book import Book
from tradebook.service_layer.call_context import CallContext, call_context
from tradebook.service_layer.unit_of_work import (
    REPOSITORIES,
    AbstractUnitOfWork,
    warn_uncommitted,
)
from tradebook.testing._fake_records import FakeRepository
from tradebook.testing._fake_repositories import REPOSITORY_CLASSES, FakeLedger
from tradebook.testing._fake_session import FakeSession
from tradebook.testing.fake_store import FakeStore

R = TypeVar("R")

MAX_ATTEMPTS: Final = 20


class FakeUnitOfWork(AbstractUnitOfWork):
    """A transaction on a `FakeStore`: a snapshot of the store at its start, and its own changes.

    There are no locks in memory: of two units of work that change one record, the first to commit wins
    and the other's `commit` raises `ConcurrentUpdate`.

    Args:
        store: to share with other units of work; a new one by default.
        account: the account of all records that are read and written.
        base_currency: for an account that is opened inside.
        context: the time, ids and names of the call.
        read_only: whether writing is refused.
        is_currency_named: whether an account with another base currency is refused.
    """

    def __init__(
        self,
        store: FakeStore | None = None,
        account: str = DEFAULT_ACCOUNT,
        base_currency: str = DEFAULT_BASE_CURRENCY,
        context: CallContext | None = None,
        *,
        read_only: bool = False,
        is_currency_named: bool = False,
    ) -> None:
        """Prepare the unit of work; entering it takes the snapshot."""
        super().__init__(account, base_currency, context, is_currency_named=is_currency_named)
        self.store = FakeStore() if store is None else store
        self._read_only = read_only

    @override
    def __enter__(self) -> Self:
        session = FakeSession(self.store, self.account, read_only=self._read_only)
        self._session = session
        for kind, name in REPOSITORIES.items():
            setattr(self, name, REPOSITORY_CLASSES.get(kind, FakeRepository)(session, kind))
        self.ledger = FakeLedger(session, self.account, self.now())
        opened = self.accounts.current() if self.is_currency_named else None
        if opened is not None:
            check_base_currency(self.account, opened.base_currency, self.base_currency)
        return self

    @override
    def __exit__(self, exc_type: object, *_: object) -> None:
        if self.end() and exc_type is None:
            warn_uncommitted(frames=1)

    def end(self) -> bool:
        """Discard what was not committed, and return whether there was anything."""
        has_changes = self._session.has_changes
        self._session.close()
        return has_changes

    def require_visible(self, *, any_account: bool = False) -> None:
        """Do nothing: memory has no row-level security."""

    def require_intact(self) -> None:
        """Do nothing: memory has no file that could be damaged."""

    @override
    def commit(self) -> None:
        try:
            self.record_all(self._session.unrecorded())
            self._session.commit()
        except ConcurrentUpdate:
            self.rollback()
            raise

    @override
    def rollback(self) -> None:
        self._session.rollback()


@frozen
class _FakeRunner:
    book: FakeBook

    def run(self, handler: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
        """Call a handler and commit; repeat the whole call on a conflict."""
        context = self.book.new_context()
        for _ in range(MAX_ATTEMPTS):
            try:
                with self.book.unit_of_work(context=context) as uow:
                    result = handler(uow, *args, **kwargs)
                    uow.commit()
                    return result
            except StaleRecord:
                raise
            except ConcurrentUpdate as error:
                conflict = error
        raise BookBusy(f"other writers were first {MAX_ATTEMPTS} times", MAX_ATTEMPTS) from conflict

    def read(self, query: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
        """Call a query in a read-only unit of work."""
        with self.book.unit_of_work(read_only=True) as uow:
            return query(uow, *args, **kwargs)


class FakeBook(Book):
    """A book in memory, with every method that `DatabaseManager` has for bots.

    Args:
        account: the account of the book.
        base_currency: of the account, when its first use opens it: USD by default. Where one is named, an
            account in another one is refused.
        actor: the actor of events outside any `tradebook.context`.
        clock: returns the time of a call; a test may pass its own.
        store: to share with other books, as accounts share a database; a new one by default.
        max_seconds_ahead: seconds by which times may be ahead of the clock, as in `DatabaseConfig`.
    """

    def __init__(
        self,
        *,
        account: str = DEFAULT_ACCOUNT,
        base_currency: str | None = None,
        actor: str = "",
        clock: Callable[[], datetime] = utc_now,
        store: FakeStore | None = None,
        max_seconds_ahead: int = MAX_SECONDS_AHEAD,
    ) -> None:
        """Open an empty book, or one on the records of `store`."""
        if store is not None and not is_instance(store, FakeStore):
            raise InvalidInput("store", store, "a FakeStore")
        self.store = FakeStore() if store is None else store
        self._actor = argument("actor", short_text, actor)
        self._clock = argument("clock", function, clock)
        most = argument("max_seconds_ahead", seconds_ahead, max_seconds_ahead)
        self._max_ahead = timedelta(seconds=most)
        self.base_currency = DEFAULT_BASE_CURRENCY
        self._open(argument("account", account_name, account), base_currency)

    def for_account(self, name: str, *, base_currency: str | None = None) -> Self:
        """Open the book of another account on the same store; see `Book.for_account`."""
        made = copy(self)
        made._open(argument("name", account_name, name), base_currency)
        return made

    def _open(self, account: str, named_currency: str | None) -> None:
        currency = argument("base_currency", optional_identifier, named_currency)
        self.account = account
        self.base_currency = currency or self.base_currency
        self._is_currency_named = currency is not None
        self._runner = _FakeRunner(self)

    def unit_of_work(
        self, *, read_only: bool = False, context: CallContext | None = None
    ) -> FakeUnitOfWork:
        """Open a unit of work: `with book.unit_of_work() as uow: ...; uow.commit()`."""
        only_reads = argument("read_only", boolean, read_only)
        context = self.new_context(context)
        made = FakeUnitOfWork(
            self.store,
            self.account,
            self.base_currency,
            context,
            read_only=only_reads,
            is_currency_named=self._is_currency_named,
        )
        made.max_ahead = self._max_ahead
        return made

    def close(self) -> None:
        """Do nothing; a bot may close its book as it would one on a database."""

    def new_context(self, given: CallContext | None = None) -> CallContext:
        """Return the context of a call: the given one, else the time now, with the book's actor."""
        context = CallContext(at=self._clock()) if given is None else call_context(given)
        return context.with_default_actor(self._actor)
