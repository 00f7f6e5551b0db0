"""What the cash flows of a file would do to the book, with nothing written."""

from __future__ import annotations

import pickle
import sqlite3
from collections import Counter
from collections.abc import Collection
from contextlib import closing
from datetime import datetime
from decimal import Decimal
from typing import Any, cast

from attrs import define, field

from tradebook.domain.balances import AssetBalance
from tradebook.domain.cash import CashFlow
from tradebook.domain.numbers import EXACT, ZERO, canonical
from tradebook.entrypoints.cli.book.import_flows import flows_of, free_reference
from tradebook.entrypoints.cli.book.import_refusals import ROW_ERRORS, refused_row
from tradebook.entrypoints.cli.book.trade_files import BadRow, TradeFile
from tradebook.service_layer.handlers._common import (
    confirm,
    dated,
    present_currency,
    require_counting,
)
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork


@define
class FlowPreview:
    """What an import of cash flows would do.

    Attributes:
        kinds: the number of those that would be recorded, by kind.
        duplicates: the number of those that are recorded already, on the same terms.
        refused: the records that the book would refuse.
        amounts: the sum of what would be recorded, by currency.
        times: the earliest and the latest time of what would be recorded; empty where nothing would be.
    """

    kinds: Counter[str] = field(factory=Counter)
    duplicates: int = 0
    refused: list[BadRow] = field(factory=list)
    amounts: dict[str, Decimal] = field(factory=dict)
    times: list[datetime] = field(factory=list)

    def add(self, flow: CashFlow) -> None:
        """Count a cash flow that would be recorded."""
        self.kinds[flow.kind.value] += 1
        sum_ = self.amounts.get(flow.currency, ZERO)
        self.amounts[flow.currency] = EXACT.add(sum_, flow.amount)
        times = [*self.times, flow.occurred_at]
        self.times = [min(times), max(times)]

    def added_to(self, balances: Collection[AssetBalance]) -> list[AssetBalance]:
        """Return balances as they would be with the cash flows."""
        found = {each.asset: each for each in balances}
        for asset, amount in self.amounts.items():
            held = found.get(asset, AssetBalance(asset, ZERO, ZERO, ZERO))
            cash, balance = (
                canonical(EXACT.add(each, amount)) for each in (held.cash, held.balance)
            )
            found[asset] = AssetBalance(asset, held.positions, cash, balance)
        return [found[asset] for asset in sorted(found)]


def preview_flows(uow: AbstractUnitOfWork, file: TradeFile) -> FlowPreview:
    """Tell what booking the cash flows of a file would do, and write nothing."""
    preview = FlowPreview()
    currency = present_currency(uow)
    with closing(_Earlier()) as earlier:
        for row in flows_of(file):
            try:
                reference, is_known = free_reference(uow, row.terms["reference"])
                terms = {**row.terms, "reference": reference}
                own = {"account": uow.account, "created_at": uow.now()}
                defaults = {"currency": currency, "occurred_at": uow.now(), **own}
                flow = dated(uow, CashFlow(**{**defaults, **terms}))
                if is_known:
                    (recorded,) = uow.cash_flows.page(limit=1, reference=reference)
                    require_counting(uow, recorded)
                elif (first := earlier.keep(terms)) is not None:
                    recorded = CashFlow(**{**defaults, **first})
                else:
                    preview.add(flow)
                    continue
                confirm(recorded, flow, terms, reference)
                preview.duplicates += 1
            except ROW_ERRORS as error:
                preview.refused.append(refused_row(file, row, error))
    return preview


class _Earlier:
    """The terms of cash flows by reference, in a temporary database, so that memory does not grow with the file."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect("")
        self._connection.execute("PRAGMA journal_mode = OFF")
        self._connection.execute(
            "CREATE TABLE flow (reference TEXT PRIMARY KEY, terms BLOB) WITHOUT ROWID"
        )

    def keep(self, terms: dict[str, Any]) -> dict[str, Any] | None:
        """Return the terms that came first under a reference; keep these, and return None, where none came."""
        found = self._connection.execute(
            "SELECT terms FROM flow WHERE reference = ?", [terms["reference"]]
        ).fetchone()
        if found is not None:
            return cast("dict[str, Any]", pickle.loads(found[0]))  # noqa: S301  # our own, of this run
        self._connection.execute(
            "INSERT INTO flow VALUES (?, ?)", [terms["reference"], pickle.dumps(terms)]
        )
        return None

    def close(self) -> None:
        self._connection.close()
