"""Handlers of reconciliations: write the entries that make the book say what a venue says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, cast

from attrs import frozen

from tradebook.domain.errors import InvalidInput
from tradebook.domain.plain_values import is_instance, mapping
from tradebook.domain.statements import RECORDS, Mend
from tradebook.domain.validation import argument, long_text
from tradebook.service_layer.handlers._common import words
from tradebook.service_layer.handlers.booking import record_trade
from tradebook.service_layer.handlers.cash import bust_cash_flow, record_cash_flow
from tradebook.service_layer.handlers.corrections import bust_trade, correct_trade
from tradebook.service_layer.handlers.imports import begin_import, finish_import, part_of
from tradebook.service_layer.handlers.trade_terms import TradeTerms
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

_CHANGES: Final[dict[str, Any]] = {
    "bust_trade": bust_trade,
    "correct_trade": correct_trade,
    "bust_cash_flow": bust_cash_flow,
}


def _listed(value: Sequence[Mend]) -> Sequence[Mend]:
    if not isinstance(
        value, (list, tuple)
    ):  # an iterator would be used up when the call is tried again
        raise InvalidInput("", value, "a list, such as the `mends` of a ReconciledStatement")
    return value


@frozen
class Mended:
    """The result of `mend`.

    Attributes:
        recorded: the number of trades and cash flows that were recorded.
        corrected: the number of trades that were corrected.
        busted: the number of trades and cash flows that were busted.
        import_id: the `Import` that what was recorded belongs to; None where nothing was.
    """

    recorded: int
    corrected: int
    busted: int
    import_id: int | None = None


def mend(
    uow: AbstractUnitOfWork, mends: Sequence[Mend], *, reason: str, source: str = "reconciliation"
) -> Mended:
    """Write the entries that `reconcile_statement` proposes: all of them, or none.

    What is wrong is busted or corrected, with the reason, before what is missing is recorded. What is recorded is an
    `Import` of its own, whose source has the reason and which `undo_import` takes back; trades have the reason among
    their details, too.

    Args:
        uow: the unit of work.
        mends: those of a `ReconciledStatement`, or some of them.
        reason: kept with each entry; not blank.
        source: what the statement is, such as the name of its file.

    Raises:
        TradebookError: as the operation of a mend; then leave the unit of work without committing.
    """
    reason = argument("reason", words, reason)
    source = argument("source", long_text, source)
    given = argument("mends", _listed, mends)
    for each in given:
        if not is_instance(each, Mend) or each.operation not in (*_CHANGES, *RECORDS):
            raise InvalidInput("mends", each, "the mends of a ReconciledStatement")
    done: Counter[str] = Counter()
    for each in given:
        if each.operation in _CHANGES:
            arguments = argument("mends", mapping, each.arguments)
            _CHANGES[each.operation](uow, **arguments, reason=reason)
            done[each.operation] += 1
    records = [each for each in given if each.operation in RECORDS]
    import_id = _record(uow, records, reason, f"{source}: {reason}") if records else None
    busted = done["bust_trade"] + done["bust_cash_flow"]
    return Mended(len(records), done["correct_trade"], busted, import_id)


def _record(uow: AbstractUnitOfWork, mends: list[Mend], reason: str, source: str) -> int:
    imported = begin_import(uow, source)
    with part_of(uow, imported):
        for each in mends:
            if each.operation == "record_trade":
                details = {**(each.arguments.get("details") or {}), "reason": reason}
                record_trade(uow, **cast("TradeTerms", {**each.arguments, "details": details}))
            else:
                record_cash_flow(uow, **each.arguments)
    finish_import(uow, imported.id, booked=len(mends), duplicates=0)
    return imported.id
