"""Fills of Interactive Brokers, as `ib_async` gives them, as terms of the book; `sync` books what the book lacks.

The fields are those of IBKR's API, https://ibkrcampus.com/campus/ibkr-api-page/twsapi-doc/#exec-details. An execution id
ends with the number of its revision: `0001f4e8.5f2b.01.01` is corrected by `0001f4e8.5f2b.01.02`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final

from attrs import define, field

from tradebook.domain.errors import InvalidInput
from tradebook.domain.trades import Trade
from tradebook.service_layer.book import Book
from tradebook.service_layer.handlers import TradeTerms

VENUE: Final = "ibkr"
_ACTIONS: Final = {"BOT": "BUY", "SLD": "SELL"}
_NAMED_BY_CONTRACT: Final = ("OPT", "FUT", "FOP", "WAR")
_MARGINED: Final = ("FUT", "CFD")
_UNSET: Final = 1e300
"""IBKR writes the largest float where it has no number."""


def terms(fill: Any) -> TradeTerms:
    """Return the terms of one fill.

    Stocks are recorded under their symbol, derivatives under their local symbol, such as `AAPL  261218C00250000`, a
    currency pair as `EUR/USD`. Futures and CFDs are MARGINED. The fee is the commission, in its own currency.

    Args:
        fill: an `ib_async.Fill` with its commission report.

    Raises:
        InvalidInput: naming a field that the book cannot express.
    """
    contract, execution = fill.contract, fill.execution
    if execution.side not in _ACTIONS:
        raise InvalidInput("side", execution.side, "BOT or SLD")
    if not _is_reported(fill):
        raise InvalidInput(
            "commissionReport",
            None,
            f"the report of execution {execution.execId}: it comes after the fill",
        )
    prefix, _ = _revision(execution.execId)
    return TradeTerms(
        symbol=_symbol(contract),
        action=_ACTIONS[execution.side],
        quantity=execution.shares,
        price=execution.price,
        fee=fill.commissionReport.commission,
        fee_currency=fill.commissionReport.currency or None,
        currency=contract.currency,
        multiplier=contract.multiplier or 1,
        settlement="MARGINED" if contract.secType in _MARGINED else "CASH",
        asset=contract.symbol if contract.secType == "CASH" else None,
        executed_at=execution.time,
        order_id=str(execution.permId or execution.orderId),
        execution_id=prefix,
        venue=VENUE,
        strategy=execution.orderRef or None,
    )


@define
class Synced:
    """The result of `sync`.

    Attributes:
        booked: the number of fills that are new in the book.
        duplicates: the number of fills that were there.
        corrected: the number of fills that IBKR corrected, and the book now has as corrected.
        waiting: execution ids of fills whose commission is not known yet: call `sync` again.
        passed_over: what the book has no form for, in words.
    """

    booked: int = 0
    duplicates: int = 0
    corrected: int = 0
    waiting: list[str] = field(factory=list)
    passed_over: list[str] = field(factory=list)


def sync(book: Book, fills: Iterable[Any]) -> Synced:
    """Book the fills that the book lacks, and correct those that IBKR has corrected since.

    The API gives the fills of the current day, by `ib.fills()` or `ib.reqExecutions()`; for earlier ones import a
    statement. Each fill is booked by itself, so that a call that was cut off, or made again, books nothing twice.

    Args:
        book: where to record.
        fills: of `ib_async`, in any order.

    Raises:
        TradebookError: a fill contradicts what is recorded, such as a busted trade.
    """
    done = Synced()
    newest: dict[str, Any] = {}
    for fill in fills:
        prefix, revision = _revision(fill.execution.execId)
        known = newest.get(prefix)
        if known is None or revision > _revision(known.execution.execId)[1]:
            newest[prefix] = fill
    for prefix, fill in sorted(newest.items(), key=lambda item: item[1].execution.time):
        if fill.contract.secType == "BAG":
            done.passed_over.append(
                f"{fill.execution.execId}: a combination, whose legs are fills of their own"
            )
        elif not _is_reported(fill):
            done.waiting.append(fill.execution.execId)
        else:
            _record(book, done, prefix, fill)
    return done


def _record(book: Book, done: Synced, prefix: str, fill: Any) -> None:
    given = terms(fill)
    order = str(given["order_id"])
    recorded = [
        trade
        for trade in book.get_all(Trade, 100, order_id=order, venue=VENUE, status="EXECUTED")
        if trade.execution_id == prefix
    ]
    if not recorded:
        booked = book.record_trades([given])
        done.booked += booked.booked
        done.duplicates += booked.duplicates
        return
    changed: dict[str, Any] = {
        name: given[name] for name in ("action", "quantity", "price", "fee", "executed_at")
    }
    before = recorded[0].id
    counts = book.correct_trade(
        trade_id=before, **changed, reason=f"IBKR corrected it: {fill.execution.execId}"
    )
    if counts.id == before:
        done.duplicates += 1
    else:
        done.corrected += 1


def _is_reported(fill: Any) -> bool:
    report = fill.commissionReport
    return bool(report.execId) and math.isfinite(report.commission) and report.commission < _UNSET


def _symbol(contract: Any) -> str:
    if contract.secType == "CASH":
        return f"{contract.symbol}/{contract.currency}"
    name = contract.localSymbol if contract.secType in _NAMED_BY_CONTRACT else contract.symbol
    return str(name or contract.symbol).strip()


def _revision(execution_id: str) -> tuple[str, int]:
    """Split an execution id into the part that stays and the number of the revision."""
    prefix, dot, last = execution_id.rpartition(".")
    return (prefix, int(last)) if dot and last.isdigit() else (execution_id, 0)
