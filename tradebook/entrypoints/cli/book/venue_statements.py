"""Files of a venue as one statement of an account, which `reconcile` compares with the book."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from attrs import define, field

from tradebook.domain.numbers import sums_by_name
from tradebook.domain.statements import VenueStatement
from tradebook.entrypoints.cli.book.import_refusals import MAX_BAD
from tradebook.entrypoints.cli.book.trade_files import BadRow, Row
from tradebook.entrypoints.cli.book.venue_files import FlowRow, StatedRow, VenueFile
from tradebook.entrypoints.cli.messages import counted, first_of
from tradebook.service_layer.instrumentation import ProgressCallback
from tradebook.service_layer.ports.paging import BATCH
from tradebook.venues.errors import ImportRefused
from tradebook.venues.presets import COVERED, Preset

_TRADE, _CASH_FLOW, _POSITION, _BALANCE = COVERED


def read_statement(
    files: Sequence[VenueFile],
    report: ProgressCallback,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> VenueStatement:
    """Read the statement that files of one venue are together.

    Args:
        files: of one preset. What they say of the same symbol or asset is added up, as that of several accounts.
        report: called with (bytes read, bytes in all) of each file as it goes.
        since: the first instant of the period; by default what the files say.
        until: the first instant after it.

    Raises:
        ImportRefused: a file cannot be read, or has a wrong row.
    """
    found = _Statement()
    for file in files:
        found.read(file, report)
    trades = [each for each in found.trades if _is_within(each["executed_at"], since, until)]
    flows = [each for each in found.flows if _is_within(each["occurred_at"], since, until)]
    kinds = {str(flow["kind"]).upper() for flow in found.flows}
    return VenueStatement(
        start=since or min(found.starts, default=None),
        end=until or max(found.ends, default=None),
        trades=trades if found.trades or _TRADE in found.covered else None,
        cash_flows=flows if found.flows or _CASH_FLOW in found.covered else None,
        flow_kinds=() if _CASH_FLOW in found.covered else kinds,
        venues=_venues(files[0].preset) | {str(each.get("venue", "")) for each in trades} - {""},
        # Of another time than the end of the files nothing is known.
        positions=found.held(_POSITION, found.positions) if until is None else None,
        balances=found.held(_BALANCE, found.balances) if until is None else None,
    )


@define
class _Statement:
    trades: list[dict[str, Any]] = field(factory=list)
    flows: list[dict[str, Any]] = field(factory=list)
    positions: list[tuple[Decimal, str]] = field(factory=list)
    balances: list[tuple[Decimal, str]] = field(factory=list)
    starts: list[datetime] = field(factory=list)
    ends: list[datetime] = field(factory=list)
    covered: set[str] = field(factory=set)

    def read(self, file: VenueFile, report: ProgressCallback) -> None:
        """Add all that a file says."""
        bad: list[BadRow] = []
        for number, row in enumerate(file.entries(), 1):
            if number % BATCH == 0:
                report(file.text.position, file.text.size)
            if isinstance(row, BadRow):
                bad.append(row)
                if len(bad) == MAX_BAD:
                    break
            elif isinstance(row, Row):
                self.trades.append(dict(row.terms))
            elif isinstance(row, FlowRow):
                self.flows.append(row.terms)
            else:
                self._take(row)
        if bad:
            title = f"{file.name}: {counted(len(bad), 'bad row')}; nothing was compared"
            raise ImportRefused(title, *first_of(bad))

    def held(self, kind: str, amounts: list[tuple[Decimal, str]]) -> dict[str, Decimal] | None:
        """Return what is there of a kind at the end, by name; None where the files do not say it."""
        return sums_by_name(amounts) if amounts or kind in self.covered else None

    def _take(self, row: StatedRow) -> None:
        terms = row.terms
        if row.kind == _POSITION:
            self.positions.append((terms["quantity"], terms["symbol"]))
        elif row.kind == _BALANCE:
            self.balances.append((terms["amount"], terms["currency"]))
        elif row.kind == "period":
            self.starts.append(terms["start"])
            self.ends.append(terms["end"])
        else:
            self.covered.add(terms["entries"])


def _is_within(time: datetime, since: datetime | None, until: datetime | None) -> bool:
    return (since is None or since <= time) and (until is None or time < until)


def _venues(preset: Preset) -> set[str]:
    """Return the venues that a preset names in each of its trades."""
    entries = (entry for form in preset.forms for entry in form.entries)
    named = (entry.terms["venue"].value for entry in entries if "venue" in entry.terms)
    return {name for name in named if name}
