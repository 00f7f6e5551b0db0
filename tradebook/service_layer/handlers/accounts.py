"""Accounts are opened by the first thing that is booked in them."""

from __future__ import annotations

from tradebook.domain.cash import Account
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork


def open_account(uow: AbstractUnitOfWork) -> Account:
    """The account of the unit of work, opened with its base currency if it is not open yet."""
    current = uow.accounts.current()
    if current is not None:
        return current
    account = Account(account=uow.account, base_currency=uow.base_currency, created_at=uow.now())
    opened = uow.accounts.add(account)
    if opened is account:
        uow.record(account.opened(), account)
    return opened
