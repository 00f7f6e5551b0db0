"""Queries across accounts: these, and no others, read more than the account of their unit of work.

Row-level security limits them to the accounts that the connected role sees. None of them writes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from tradebook.domain.cash import Account
from tradebook.domain.consolidation import ConsolidatedPortfolio, consolidate
from tradebook.domain.errors import InvalidInput
from tradebook.domain.numbers import Number
from tradebook.domain.plain_values import is_instance, optional_mapping
from tradebook.domain.portfolio import Holdings
from tradebook.domain.positions import Position
from tradebook.domain.validation import argument, boolean, identifier, optional_identifier
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork, single_statement

_SHOWN: Final = 10
"""The most names of accounts in a message."""


@single_statement
def get_accounts(uow: AbstractUnitOfWork) -> list[Account]:
    """Return every account that is open and visible to the role, sorted by name.

    An account is opened by its first trade, cash flow or snapshot, or by `tradebook init --base-currency`.

    Raises:
        NotPermitted: row-level security hides every account from the role.
    """
    found = uow.accounts.everywhere()
    if not found:
        uow.require_visible(any_account=True)
    return found


def get_consolidated_positions(
    uow: AbstractUnitOfWork,
    *,
    accounts: Collection[str] | None = None,
    include_closed: bool = False,
) -> list[Position]:
    """Return the positions of several accounts, sorted by account and symbol.

    Args:
        uow: a read-only unit of work, which has one consistent view.
        accounts: their names; every one that `get_accounts` returns by default.
        include_closed: whether positions without a quantity are returned too.

    Raises:
        InvalidInput: an account is named that is not open, or not visible to the role.
        NotPermitted: row-level security hides every account from the role.
    """
    with_closed = argument("include_closed", boolean, include_closed)
    return [
        position
        for holdings in _holdings(uow, accounts).values()
        for position in holdings.positions
        if with_closed or position.quantity
    ]


def get_consolidated_portfolio(
    uow: AbstractUnitOfWork,
    *,
    accounts: Collection[str] | None = None,
    base_currency: str | None = None,
    rates: Mapping[str, Number] | None = None,
) -> ConsolidatedPortfolio:
    """Value several accounts now, in one currency, each and all together; nothing is recorded.

    Args:
        uow: a read-only unit of work, which has one consistent view.
        accounts: their names; every one that `get_accounts` returns by default.
        base_currency: of the result; by default the base currency that all the accounts share.
        rates: for each other currency the value of one unit in the base currency, above 0.

    Raises:
        MissingRate: naming the currency that has no rate.
        InvalidInput: a rate is refused, the accounts have several base currencies and none is named, or an
            account is named that is not open, or not visible to the role.
        NotPermitted: row-level security hides every account from the role.
    """
    given = argument("base_currency", optional_identifier, base_currency)
    checked_rates = argument("rates", optional_mapping, rates)
    holdings = _holdings(uow, accounts)
    currencies = sorted({each.base_currency or uow.base_currency for each in holdings.values()})
    if given is None and len(currencies) > 1:
        raise InvalidInput(
            "base_currency",
            None,
            f"one currency for all: the accounts have {', '.join(currencies)}",
        )
    currency = given or next(iter(currencies), uow.base_currency)
    return consolidate(holdings, currency, checked_rates, uow.now())


def _holdings(uow: AbstractUnitOfWork, accounts: Collection[str] | None) -> dict[str, Holdings]:
    """Read the holdings of accounts, by name and sorted by it."""
    known = [account.account for account in get_accounts(uow)]
    wanted = known
    if accounts is not None:
        wanted = argument("accounts", _names, accounts)
        for name in wanted:
            if name not in known:
                raise InvalidInput("accounts", name, f"accounts that are open: {listed(known)}")
    return {name: uow.ledger.holdings(name) for name in wanted}


def _names(given: Collection[str]) -> list[str]:
    # No iterator, which would be empty on a retry.
    if not is_instance(given, Collection) or is_instance(given, str):
        raise InvalidInput("", given, "a list of names")
    return sorted({identifier(name) for name in given})


def listed(names: list[str]) -> str:
    """List names of accounts, the first ones of many."""
    if not names:
        return "none"
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest:,} more" if rest > 0 else "")


def account_exists(uow: AbstractUnitOfWork) -> bool:
    """Return whether the account of the unit of work is open, or has an event such as that of an alert.

    Raises:
        NotPermitted: row-level security hides the account from the role.
    """
    if uow.accounts.current() is not None or uow.events.page(limit=1):
        return True
    uow.require_visible()
    return False
