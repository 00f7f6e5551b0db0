"""The comparison of the book with a venue's statement, entry by entry."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from tradebook.domain.balances import BalanceDifference, balances_of, differing, venue_balances
from tradebook.domain.cash import CashFlow, cash_flow_kind
from tradebook.domain.errors import InvalidInput, shown
from tradebook.domain.numbers import Number, non_negative, number
from tradebook.domain.plain_values import entries, is_instance, mapping, optional_mapping
from tradebook.domain.statements import (
    Discrepancy,
    PositionDifference,
    ReconciledStatement,
    VenueStatement,
)
from tradebook.domain.trades import Trade, TradeStatus
from tradebook.domain.validation import argument, identifier, utc
from tradebook.service_layer.handlers._common import given_terms
from tradebook.service_layer.handlers.trade_terms import Draft, entries_of
from tradebook.service_layer.queries.as_of import AsOf, holdings_as_of
from tradebook.service_layer.queries.statement_entries import EntryComparison, Terms, shifted
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

_TICK: Final = timedelta(microseconds=1)
_MINUTE: Final = timedelta(minutes=1)


def reconcile_statement(
    uow: AbstractUnitOfWork,
    statement: VenueStatement,
    *,
    tolerance: Number = 0,
    within: timedelta = _MINUTE,
) -> ReconciledStatement:
    """Compare the book with a venue's statement: each fill, each cash flow, and what was held at the end.

    A fill is found by its order and execution ids, by the execution id alone, by its order as a whole where one side
    has it in parts, or by symbol, side, quantity, price and time. A cash flow is found by its reference, or by kind,
    amount, currency and day. Of what is found the terms that the venue names have to be the same.

    Args:
        uow: a read-only unit of work, which has one consistent view.
        statement: what the venue says. All of its entries, and the book's of the period, are held in memory.
        tolerance: the largest difference of two numbers that is passed over: of quantities, prices, fees, amounts.
        within: how far apart the venue's and the book's time of a fill may be.

    Returns:
        What differs, with the calls that would mend it; `mend` makes them.

    Raises:
        InvalidInput: an entry of the statement is refused, with its index; or the statement ends before it starts.
    """
    if not is_instance(statement, VenueStatement):
        raise InvalidInput("statement", statement, "a VenueStatement")
    if not is_instance(within, timedelta) or within < timedelta(0):
        raise InvalidInput("within", within, "a timedelta of 0 or more")
    passed = argument("tolerance", non_negative, tolerance)
    trades = None if statement.trades is None else _stated_trades(uow, statement.trades)
    flows = None if statement.cash_flows is None else _stated_flows(uow, statement.cash_flows)
    times = [each.executed_at for each, _ in trades or ()]
    times += [each.occurred_at for each, _ in flows or ()]
    start = _time("start", statement.start, min(times, default=None))
    end = _time("end", statement.end, max(times, default=None), _TICK)
    if start is not None and end is not None and start >= end:
        raise InvalidInput("end", str(end), f"a time after the start of the statement, {start}")
    comparison = EntryComparison(uow, passed, within, start, end)
    found: list[Discrepancy] = []
    if trades is not None:
        found += comparison.trades(trades, _names("venues", statement.venues))
    if flows is not None:
        kinds = _names("flow_kinds", statement.flow_kinds)
        found += comparison.cash_flows(flows, {cash_flow_kind(each) for each in kinds})
    said = {
        "trades": trades,
        "cash flows": flows,
        "positions": statement.positions,
        "balances": statement.balances,
    }
    positions, balances = _at_the_end(uow, statement, end, passed)
    return ReconciledStatement(
        uow.account,
        start,
        end,
        comparison.same_trades,
        comparison.same_flows,
        tuple(sorted(found, key=lambda each: each.at)),
        positions,
        balances,
        tuple(name for name, part in said.items() if part is not None),
    )


def _time(
    name: str, given: datetime | str | None, known: datetime | None, more: timedelta = timedelta(0)
) -> datetime | None:
    if given is not None:
        return argument(name, utc, given)
    return None if known is None else known + more


def _names(name: str, given: Collection[str]) -> set[str]:
    if isinstance(given, str):  # its letters would be the names
        raise InvalidInput(name, given, "a list of names")
    return {argument(name, identifier, each) for each in argument(name, entries, given)}


def _stated_trades(
    uow: AbstractUnitOfWork, given: Collection[Mapping[str, Any]]
) -> list[tuple[Trade, Terms]]:
    """Return the trade of each of some terms, with these terms."""
    found = []
    terms = argument("trades", entries, given)
    for place, each in zip(entries_of(terms), terms, strict=True):
        with place:
            draft = Draft.from_terms(uow, each, place)  # type: ignore[arg-type]
            if draft.target is not TradeStatus.EXECUTED:
                raise InvalidInput("status", draft.target, "EXECUTED: a statement lists fills")
            found.append((draft.trade, dict(draft.terms)))
    return found


def _stated_flows(
    uow: AbstractUnitOfWork, given: Collection[Mapping[str, Any]]
) -> list[tuple[CashFlow, Terms]]:
    found = []
    for index, each in enumerate(argument("cash_flows", entries, given)):
        terms = given_terms(argument("cash_flows", mapping, each), "kind", "amount")
        terms.setdefault("reference", uow.new_id())
        defaults = {"currency": uow.base_currency, "occurred_at": uow.now()}
        try:
            made = {**defaults, **terms, "account": uow.account, "created_at": uow.now()}
            found.append((CashFlow(**made), terms))
        except TypeError as error:
            expected = f"the terms of record_cash_flow ({error})"
            raise InvalidInput(f"cash_flows[{index}]", shown(each), expected) from None
        except InvalidInput as error:
            error.locate("cash_flows", index, None)
            raise
    return found


def _at_the_end(
    uow: AbstractUnitOfWork,
    statement: VenueStatement,
    end: datetime | None,
    tolerance: Decimal,
) -> tuple[tuple[PositionDifference, ...], tuple[BalanceDifference, ...]]:
    """Compare what was held at the end of the period."""
    said = argument("positions", optional_mapping, statement.positions)
    quantities = {
        argument("positions", identifier, symbol): argument(f"positions.{symbol}", number, quantity)
        for symbol, quantity in said.items()
    }
    amounts = venue_balances(argument("balances", optional_mapping, statement.balances))
    if statement.positions is None and statement.balances is None:
        return (), ()
    last = uow.now() if end is None else shifted(end, -_TICK)
    held = holdings_as_of(uow, last, by=AsOf.EXECUTED)
    positions: list[PositionDifference] = []
    balances: list[BalanceDifference] = []
    if statement.positions is not None:
        # A position in a pair of currencies is among the balances.
        open_ones = (p for p in held.positions if p.symbol in quantities or p.asset not in amounts)
        book = {position.symbol: position.quantity for position in open_ones}
        positions += (
            PositionDifference(*each) for each in differing(book, quantities, book, tolerance)
        )
    if statement.balances is not None:
        all_assets = balances_of(held)
        book = {each.asset: each.balance for each in all_assets}
        in_cash = [each.asset for each in all_assets if each.cash]
        balances += (
            BalanceDifference(*each) for each in differing(book, amounts, in_cash, tolerance)
        )
    return tuple(positions), tuple(balances)
