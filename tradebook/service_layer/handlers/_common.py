"""Steps that several handlers share: opening the account, and confirming a repeated reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias, TypeVar

from tradebook.domain.cash import Account, CashFlow, check_base_currency
from tradebook.domain.domain_event import DomainEvent
from tradebook.domain.edit_rules import check_time
from tradebook.domain.entity import Entity, differences
from tradebook.domain.errors import (
    DuplicateRecord,
    InvalidInput,
    InvalidTransition,
    shown,
)
from tradebook.domain.validation import long_text
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork


def open_account(uow: AbstractUnitOfWork) -> Account:
    """Return the account of the unit of work; open it with the base currency if it is not open yet.

    Raises:
        InvalidInput: the unit of work names another base currency than the account's.
    """
    account = uow.accounts.current() or add_account(
        uow,
        Account(account=uow.account, base_currency=uow.base_currency, created_at=uow.now()),
    )
    _check_named_currency(uow, account.base_currency)
    return account


def present_currency(uow: AbstractUnitOfWork) -> str:
    """Return the base currency of the account, or the one that its first use would open it with."""
    account = uow.accounts.current()
    return uow.base_currency if account is None else account.base_currency


def account_currency(uow: AbstractUnitOfWork, known: str | None) -> str:
    """Return the account's base currency, `known` where it was read; open the account where it is None.

    Raises:
        InvalidInput: the unit of work names another one.
    """
    if known is None:
        return open_account(uow).base_currency
    _check_named_currency(uow, known)
    return known


def _check_named_currency(uow: AbstractUnitOfWork, opened: str) -> None:
    named = uow.base_currency if uow.is_currency_named else None
    check_base_currency(uow.account, opened, named)


def add_account(uow: AbstractUnitOfWork, account: Account) -> Account:
    """Open an account, unless it is open already, and return the recorded one."""
    opened = uow.accounts.add(account)
    if opened is account:
        uow.record(account.opened(), account)
    return opened


E = TypeVar("E", bound=Entity)
Happened: TypeAlias = tuple[DomainEvent, Entity]
"""A domain event and the record that it is of."""


def confirm(recorded: E, given: E, terms: Mapping[str, Any], identity: str) -> E:
    """Return the record of a reference; raise DuplicateRecord where a term that is given now differs."""
    differing = differences(recorded, given, terms.keys())
    if differing:
        raise DuplicateRecord(type(recorded).__name__, repr(identity), differing)
    return recorded


def record_once(uow: AbstractUnitOfWork, recorded: E, new: E, terms: Mapping[str, Any]) -> E:
    """Return the recorded entity: the new one, with its event, or one with the same reference and terms."""
    if recorded is not new:
        return confirm(recorded, new, terms, str(getattr(new, "reference", None)))
    uow.record(new.recorded(), new)  # type: ignore[attr-defined]
    return new


def require_counting(uow: AbstractUnitOfWork, flow: CashFlow) -> None:
    """Raise InvalidTransition for a recorded cash flow that was busted: its reference is spent."""
    for entry in uow.cash_flows.page(limit=1, reference=flow.reversal_reference, busts_id=flow.id):
        raise InvalidTransition(
            f"cash flow {flow.reference!r} was busted at {entry.created_at}: "
            f"{shown(entry.bust_reason)}; record what counts under another reference"
        )


def words(reason: str) -> str:
    """Check the reason of a correction: long text that is not blank."""
    checked = long_text(reason)
    if not checked.strip():
        raise InvalidInput("", reason, "some words: they are kept on record")
    return checked


def dated(uow: AbstractUnitOfWork, entity: E) -> E:
    """Return a new record; refuse one whose time is too far ahead of the clock."""
    check_time(entity, uow.now(), uow.max_ahead)
    return entity


def given(**values: object) -> dict[str, Any]:
    """Return the values that were given, by name; None stands for one that was not."""
    return {name: value for name, value in values.items() if value is not None}


def given_terms(arguments: Mapping[str, Any], *required: str) -> dict[str, Any]:
    """Return the terms among a handler's arguments: the required ones, and others that are not None."""
    return {
        name: value
        for name, value in arguments.items()
        if name != "uow" and (value is not None or name in required)
    }
