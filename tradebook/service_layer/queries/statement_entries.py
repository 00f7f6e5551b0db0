"""The comparison of the trades and cash flows of a venue's statement with the book's."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, TypeAlias, TypeVar

from attrs import define

from tradebook.domain.cash import CashFlow, CashFlowKind, numbered_references
from tradebook.domain.errors import shown
from tradebook.domain.numbers import EXACT, ZERO, exact, plain, sums_by_name
from tradebook.domain.pairing import Match, pair_cash_flows, pair_trades
from tradebook.domain.statements import Discrepancy, DiscrepancyKind, Mend
from tradebook.domain.trades import Trade, TradeStatus
from tradebook.service_layer.ports.records import Repository
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork

_DAY: Final = timedelta(days=1)
_CORRECTED: Final = ("action", "quantity", "price", "fee", "fee_currency", "executed_at")
_CONSTANTS: Final = ("currency", "multiplier", "settlement", "asset")
_FLOW_TERMS: Final = ("kind", "amount", "currency", "occurred_at")

T = TypeVar("T", Trade, CashFlow)
Terms: TypeAlias = dict[str, Any]
Changes: TypeAlias = dict[str, tuple[Any, Any]]


@define
class EntryComparison:
    """The comparison of the entries of one statement with the book's.

    Attributes:
        uow: reads the book.
        tolerance: the largest difference of two numbers that is passed over.
        within: how far apart two times of one fill may be.
        start: the first instant of the period.
        end: the first instant after it.
        same_trades: the number of the venue's trades that were the same.
        same_flows: the number of its cash flows that were the same.
    """

    uow: AbstractUnitOfWork
    tolerance: Decimal
    within: timedelta
    start: datetime | None
    end: datetime | None
    same_trades: int = 0
    same_flows: int = 0

    def trades(self, stated: list[tuple[Trade, Terms]], venues: set[str]) -> Iterator[Discrepancy]:
        """Compare the trades of the period."""
        terms = {id(trade): each for trade, each in stated}
        near = list(self._near(self.uow.trades, status=TradeStatus.EXECUTED))
        pairing = pair_trades([trade for trade, _ in stated], near, self.within)
        # A record whose own time is far from the venue's is found by its order.
        elsewhere = self._of_orders(pairing.stated, {trade.id for trade in near})
        counting = [trade for trade in elsewhere if trade.status is TradeStatus.EXECUTED]
        late = pair_trades(pairing.stated, counting, self.within)
        for match in (*pairing.matches, *late.matches):
            found = self._compared(match, terms)
            if found is None:
                self.same_trades += len(match.stated)
            else:
                yield found
        busted = {_fill(each): each for each in self._busted(elsewhere)}
        for trade in late.stated:
            yield _missing_trade(trade, terms[id(trade)], busted.get(_fill(trade)))
        for trade in pairing.recorded:
            if self._is_within(trade.executed_at) and (
                not venues or trade.venue in venues or not trade.venue
            ):
                bust = Mend("bust_trade", {"trade_id": trade.id})
                yield _surplus(trade, trade.executed_at, _words(trade), bust)

    def cash_flows(
        self, stated: list[tuple[CashFlow, Terms]], kinds: Collection[CashFlowKind]
    ) -> Iterator[Discrepancy]:
        """Compare the cash flows of the period."""
        terms = {id(flow): each for flow, each in stated}
        near = list(self._near(self.uow.cash_flows))
        taken_back = {flow.busts_id for flow in near}
        recorded = [f for f in near if f.busts_id is None and f.id not in taken_back]
        pairing = pair_cash_flows([flow for flow, _ in stated], recorded, self.around)
        for match in pairing.matches:
            (flow,), (record,) = match.stated, match.recorded
            changes = self._changes(record, flow, _FLOW_TERMS, terms[id(flow)], self.around)
            if not changes:
                self.same_flows += 1
                continue
            bust = Mend("bust_cash_flow", {"cash_flow_id": record.id})
            yield Discrepancy(
                DiscrepancyKind.DIFFERENT,
                "CashFlow",
                flow.occurred_at,
                _flow_words(record),
                (record.id,),
                (terms[id(flow)],),
                changes,
                mends=(bust, self._record_flow(terms[id(flow)])),
            )
        for flow in pairing.stated:
            yield Discrepancy(
                DiscrepancyKind.MISSING,
                "CashFlow",
                flow.occurred_at,
                _flow_words(flow),
                terms=(terms[id(flow)],),
                mends=(self._record_flow(terms[id(flow)]),),
            )
        for flow in pairing.recorded:
            if self._is_within(flow.occurred_at) and (not kinds or flow.kind in kinds):
                bust = Mend("bust_cash_flow", {"cash_flow_id": flow.id})
                yield _surplus(flow, flow.occurred_at, _flow_words(flow), bust)

    def _near(self, records: Repository[T], **equal: Any) -> Iterator[T]:
        """Read the records of the period, and those around it, whose own times may be wrong."""
        if self.start is not None and self.end is not None:
            since, until = shifted(self.start, -self.around), shifted(self.end, self.around)
            yield from records.iterate(since=since, until=until, **equal)

    @property
    def around(self) -> timedelta:
        """How far apart two times may be where the clocks differ, or one of them is a day only."""
        return max(self.within, _DAY)

    def _of_orders(self, stated: Collection[Trade], known: Collection[int]) -> list[Trade]:
        """Return the booked trades of orders that are not among the known ones."""
        orders = {(trade.order_id, trade.symbol) for trade in stated}
        return [
            trade
            for order_id, symbol in sorted(orders)
            for trade in self.uow.trades.of_order(order_id)
            if trade.symbol == symbol and trade.id not in known
        ]

    def _busted(self, trades: Collection[Trade]) -> list[Trade]:
        """Return the busted ones, without those that the undo of an import busted: these may be booked anew."""
        busted = [trade for trade in trades if trade.status is TradeStatus.BUSTED]
        undone = self.uow.events.undone_of([trade.id for trade in busted])
        return [trade for trade in busted if trade.id not in undone]

    def _is_within(self, time: datetime) -> bool:
        return (self.start is None or self.start <= time) and (self.end is None or time < self.end)

    def _compared(self, match: Match[Trade], terms: Mapping[int, Terms]) -> Discrepancy | None:
        stated, recorded = match.stated, match.recorded
        given = tuple(terms[id(trade)] for trade in stated)
        if len(stated) == len(recorded) == 1:
            named = (*_CORRECTED, *_CONSTANTS)
            changes = self._changes(recorded[0], stated[0], named, given[0], self.within)
            mends, note = _correction(recorded[0], changes)
        else:
            changes = self._changes_of_order(match, given)
            mends, note = _replacement(match, given), "the fills of an order, compared as a whole"
        if not changes:
            return None
        ids = tuple(trade.id for trade in recorded)
        at, name = stated[0].executed_at, _words(recorded[0])
        return Discrepancy(
            DiscrepancyKind.DIFFERENT, "Trade", at, name, ids, given, changes, note, mends
        )

    def _changes(
        self,
        record: T,
        stated: T,
        names: Collection[str],
        given: Mapping[str, Any],
        within: timedelta,
    ) -> Changes:
        """Return (the book's, the venue's) value of the terms that the venue names, and that differ."""
        values = {
            name: (getattr(record, name), getattr(stated, name)) for name in names if name in given
        }
        return {name: pair for name, pair in values.items() if self._differ(*pair, within)}

    def _changes_of_order(
        self, match: Match[Trade], given: Collection[Mapping[str, Any]]
    ) -> Changes:
        changes: Changes = {}
        values = _value(match.recorded), _value(match.stated)
        if self._differ(*values):
            changes["value"] = values
        if all("fee" in terms for terms in given):
            ours, theirs = (_fees(trades) for trades in (match.recorded, match.stated))
            for currency in sorted(ours.keys() | theirs.keys()):
                pair = ours.get(currency, ZERO), theirs.get(currency, ZERO)
                if self._differ(*pair):
                    changes[f"fee in {currency}"] = pair
        return changes

    def _differ(self, ours: Any, theirs: Any, within: timedelta = timedelta(0)) -> bool:
        if isinstance(ours, Decimal):
            return EXACT.subtract(theirs, ours).copy_abs() > self.tolerance
        if isinstance(ours, datetime):
            return bool(abs(theirs - ours) > within)
        return bool(ours != theirs)

    def _record_flow(self, terms: Terms) -> Mend:
        """Propose to record a cash flow, under a reference that is not taken."""
        names = numbered_references(terms["reference"])
        free = next(name for name in names if not self.uow.cash_flows.count(reference=name))
        return Mend("record_cash_flow", {**terms, "reference": free})


def _fill(trade: Trade) -> tuple[str, str, str]:
    return trade.symbol, trade.order_id, trade.execution_id


def _missing_trade(trade: Trade, terms: Terms, busted: Trade | None) -> Discrepancy:
    at, name = trade.executed_at, _words(trade)
    if busted is None:
        mends = (Mend("record_trade", {**terms, "order_id": trade.order_id}),)
        return Discrepancy(DiscrepancyKind.MISSING, "Trade", at, name, terms=(terms,), mends=mends)
    note = f"it is booked as trade {busted.id}, which was busted: {shown(busted.bust_reason)}"
    return Discrepancy(
        DiscrepancyKind.MISSING, "Trade", at, name, (busted.id,), (terms,), note=note
    )


def _surplus(record: Trade | CashFlow, at: datetime, name: str, bust: Mend) -> Discrepancy:
    entity = type(record).__name__
    return Discrepancy(DiscrepancyKind.SURPLUS, entity, at, name, (record.id,), mends=(bust,))


def _correction(record: Trade, changes: Changes) -> tuple[tuple[Mend, ...], str]:
    constants = [name for name in changes if name in _CONSTANTS]
    if constants:
        return (), f"{', '.join(constants)}: the same for all trades of a symbol, and not corrected"
    terms = {name: theirs for name, (_, theirs) in changes.items()}
    return (Mend("correct_trade", {"trade_id": record.id, **terms}),), ""


def _replacement(match: Match[Trade], given: Collection[Terms]) -> tuple[Mend, ...]:
    busts = (Mend("bust_trade", {"trade_id": trade.id}) for trade in match.recorded)
    records = (
        Mend("record_trade", {**terms, "order_id": trade.order_id})
        for trade, terms in zip(match.stated, given, strict=True)
    )
    return (*busts, *records)


def _value(trades: Collection[Trade]) -> Decimal:
    with exact():
        return sum((trade.signed_quantity * trade.price for trade in trades), ZERO)


def _fees(trades: Collection[Trade]) -> dict[str, Decimal]:
    return sums_by_name((trade.fee, trade.fee_currency) for trade in trades)


def _words(trade: Trade) -> str:
    fill = f" execution {trade.execution_id!r}" if trade.execution_id else ""
    what = f"{trade.action} {plain(trade.quantity)} {trade.symbol} at {plain(trade.price)}"
    return f"{what}, order {trade.order_id!r}{fill}"


def _flow_words(flow: CashFlow) -> str:
    return f"{flow.kind} {plain(flow.amount)} {flow.currency}, {flow.reference!r}"


def shifted(time: datetime, by: timedelta) -> datetime:
    """Return a time some while later, or the time itself where that is beyond the calendar."""
    try:
        return time + by
    except OverflowError:
        return time
