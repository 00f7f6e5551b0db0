"""`DatabaseManager`: the book on a database."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import URL

from tradebook.adapters import orm
from tradebook.adapters.engine import database_url, is_empty, without_secrets
from tradebook.domain.fields import DEFAULT_ACCOUNT, key, name
from tradebook.entrypoints.container import Container
from tradebook.service_layer.book import Book
from tradebook.service_layer.unit_of_work import (
    DEFAULT_BASE_CURRENCY,
    AbstractUnitOfWork,
    CallContext,
)

P = ParamSpec("P")
R = TypeVar("R")

orm.start_mappers()


class DatabaseManager(Book):
    """The book of one account on one database; safe to share between threads.

    Every handler and query of the service layer is a method, run in a unit of work of its own and
    tried again as a whole when another writer was first. `unit_of_work()` does several together.

    Args:
        url: `sqlite:///book.db`, `sqlite://` (in memory) or `postgresql://user:password@host/book`;
            the file `tradebook.db` in the working directory by default. An embedded SQLite database
            that is new and empty gets its tables by itself; others by `upgrade()`.
        account: the tenant whose book this is.
        base_currency: of the account, when its first use opens it.
        actor: who writes, for the events.

    Raises:
        InvalidInput: the URL, the account or the currency is refused. Connects only when first used.
    """

    def __init__(
        self,
        url: str | URL | None = None,
        *,
        account: str = DEFAULT_ACCOUNT,
        base_currency: str = DEFAULT_BASE_CURRENCY,
        actor: str = "",
    ) -> None:
        self._url = database_url(url)
        self._actor = key(actor)
        self.account = name(account)
        self._container = Container(
            url=self._url, account=self.account, base_currency=name(base_currency)
        )
        self._preparing = threading.Lock()
        self._is_ready = self._url.get_backend_name() != "sqlite"

    @property
    def url(self) -> str:
        """The database's URL, its passwords masked."""
        return without_secrets(self._url)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r}, account={self.account!r})"

    def upgrade(self) -> None:
        """Bring the database's schema to this version; does nothing when it is there already."""
        from tradebook.adapters import migrations  # Alembic: slow to import, seldom needed

        migrations.upgrade(self._container.engine())

    def unit_of_work(
        self, *, read_only: bool = False, context: CallContext | None = None
    ) -> AbstractUnitOfWork:
        """A unit of work: `with manager.unit_of_work() as uow: ...; uow.commit()`."""
        self._prepare()
        container = self._container
        new = container.reading_unit_of_work if read_only else container.unit_of_work
        return new(context=context or self._new_context())

    def run(
        self,
        handler: Callable[Concatenate[AbstractUnitOfWork, P], R],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Call `handler(uow, ...)` in a unit of work and commit it; all again on a conflict."""
        self._prepare()
        return self._container.runner().run(self._new_context(), handler, *args, **kwargs)

    def close(self) -> None:
        """Close every connection; the manager can still be used, and connects again."""
        self._container.engine().dispose()

    def _new_context(self) -> CallContext:
        return CallContext(actor=self._actor)

    def _prepare(self) -> None:
        """Give a new and empty embedded database its tables, once."""
        if self._is_ready:
            return
        with self._preparing:
            if not self._is_ready and is_empty(self._container.engine()):
                self.upgrade()
            self._is_ready = True
