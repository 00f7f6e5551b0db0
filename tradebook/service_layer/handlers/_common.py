"""Steps that several handlers share: opening the account, and confirming a repeated reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from tradebook.domain.cash import Account
from tradebook.domain.entity import Entity, differences
from tradebook.domain.errors import DuplicateRecord
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork


def open_account(uow: AbstractUnitOfWork) -> Account:
    """Return the account of the unit of work; open it with the base currency if it is not open yet."""
    current = uow.accounts.current()
    if current is not None:
        return current
    account = Account(account=uow.account, base_currency=uow.base_currency, created_at=uow.now())
    opened = uow.accounts.add(account)
    if opened is account:
        uow.record(account.opened(), account)
    return opened


E = TypeVar("E", bound=Entity)


def confirm(recorded: E, given: E, terms: Mapping[str, Any], identity: str) -> E:
    """Return the record of a reference, if it agrees with every term that is given now.

    Raises:
        DuplicateRecord: naming the fields that differ.
    """
    differing = differences(recorded, given, terms.keys())
    if differing:
        raise DuplicateRecord(type(recorded).__name__, repr(identity), differing)
    return recorded


def record_once(uow: AbstractUnitOfWork, recorded: E, new: E, terms: Mapping[str, Any]) -> E:
    """Return the recorded entity: the new one, with its event, or one with the same reference and terms.

    Raises:
        DuplicateRecord: naming the terms that differ.
    """
    if recorded is not new:
        return confirm(recorded, new, terms, str(getattr(new, "reference", None)))
    uow.record(new.recorded(), new)  # type: ignore[attr-defined]
    return new


def given_terms(arguments: Mapping[str, Any], *required: str) -> dict[str, Any]:
    """Return the terms among a handler's arguments: the required ones, and others that are not None."""
    return {
        name: value
        for name, value in arguments.items()
        if name != "uow" and (value is not None or name in required)
    }
