"""The first use of one account's book, where an engine is shared or a base currency was named."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from attrs import define, field, frozen
from sqlalchemy import Connection, Engine, select
from sqlalchemy.ext.asyncio import AsyncEngine

from tradebook.adapters.errors import translated_errors
from tradebook.adapters.orm import accounts
from tradebook.adapters.repositories.row_security import require_visible
from tradebook.adapters.runner.first_use import AsyncFirstUse, FirstUse
from tradebook.config import DatabaseConfig
from tradebook.domain.cash import check_base_currency
from tradebook.domain.errors import DatabaseUnavailable


@frozen
class AccountCheck:
    """The check of an account before its first use by a book.

    Attributes:
        account: its name.
        named_currency: the base currency that the caller names, if any.
        must_be_visible: whether row-level security must not hide the account from the role.
    """

    account: str
    named_currency: str | None
    must_be_visible: bool

    def __call__(self, connection: Connection) -> None:
        """Check the account.

        Raises:
            NotPermitted: row-level security hides it.
            InvalidInput: it was opened in another base currency than the one named.
        """
        if self.must_be_visible:
            require_visible(connection, self.account)
        if self.named_currency is not None:
            opened = select(accounts.c.base_currency).where(accounts.c.account == self.account)
            check_base_currency(self.account, connection.scalar(opened), self.named_currency)


@define
class AccountUse:
    """The first use of an account: after the check of the schema, which books on one engine share.

    Attributes:
        schema: the check of the schema.
        check: the check of the account.
        readers: returns the engines for queries, where these are others: their roles may see other accounts.
    """

    schema: FirstUse
    check: AccountCheck
    readers: Callable[[], Sequence[Engine]]
    _is_checked: bool = field(default=False, init=False)

    @property
    def config(self) -> DatabaseConfig:
        """The configuration of the database."""
        return self.schema.config

    @property
    def is_done(self) -> bool:
        """True after both checks, until the engine is closed."""
        return self._is_checked and self.schema.is_done

    def prepare(self) -> None:
        """Check the schema, unless it was checked, and the account."""
        self.schema.prepare()
        with translated_errors(), self.schema.read_engine().connect() as connection:
            self.check(connection)
        for reader in self.readers():
            # A standby that is away fails no query, and must not keep anything from being booked.
            with suppress(DatabaseUnavailable), translated_errors(), reader.connect() as connection:
                self.check(connection)
        self._is_checked = True


@define
class AsyncAccountUse:
    """`AccountUse` for asyncio."""

    schema: AsyncFirstUse
    check: AccountCheck
    readers: Callable[[], Sequence[AsyncEngine]]
    _is_checked: bool = field(default=False, init=False)

    @property
    def config(self) -> DatabaseConfig:
        """The configuration of the database."""
        return self.schema.config

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop in which both checks were done."""
        return self.schema.loop if self._is_checked else None

    async def prepare(self) -> None:
        """Check the schema, unless it was checked, and the account."""
        await self.schema.prepare()
        with translated_errors():
            async with self.schema.read_engine().connect() as connection:
                await connection.run_sync(self.check)
        for reader in self.readers():
            with suppress(DatabaseUnavailable), translated_errors():
                async with reader.connect() as connection:
                    await connection.run_sync(self.check)
        self._is_checked = True
