"""Laws of position accounting: they hold to the last digit after any fills."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

from hypothesis import assume, example, given
from hypothesis import strategies as st

from tests.support import examples
from tradebook import Position, Settlement, Trade, TradeAction
from tradebook.domain.events import Effect
from tradebook.domain.limits import MAX_DECIMALS, MAX_DIGITS
from tradebook.domain.numbers import EXACT, ZERO, canonical, exact, number
from tradebook.domain.portfolio import Portfolio, PortfolioPosition, carried_value
from tradebook.domain.positions import INSTRUMENT
from tradebook.service_layer.handlers import TradeTerms
from tradebook.testing import strategies as book
from tradebook.testing.strategies.values import ordinary_quantities

law = examples.law(100)
NOW = datetime(2026, 3, 2, tzinfo=UTC)
ROUNDING = Decimal("1e-40")
"""Twice what the one rounding of a removed cost can be off."""
TURNED = {TradeAction.BUY: TradeAction.SELL, TradeAction.SELL: TradeAction.BUY}


def booked(fills: Sequence[TradeTerms]) -> tuple[Position, list[Trade]]:
    """The position that the fills lead to, and its trades."""
    position = Position(symbol=fills[0]["symbol"], created_at=NOW)
    trades: list[Trade] = [Trade(**terms) for terms in fills]  # type: ignore[misc]
    for trade in trades:
        position.apply(trade, NOW)
    return position, trades


def before_fees(position: Position) -> Decimal:
    """What the position did to cash by its prices alone."""
    return EXACT.add(position.cash_flow, position.fees)


@law
@given(book.fills(settlement=Settlement.CASH, foreign_fees=True))
def test_what_was_earned_is_what_cash_and_cost_say(fills: list[TradeTerms]) -> None:
    position, _ = booked(fills)

    with exact():
        assert position.realized_pnl - position.fees == position.cash_flow + position.cost_basis


@law
@given(book.fills(settlement=Settlement.MARGINED, foreign_fees=True))
def test_margined_positions_move_cash_by_what_they_earned(fills: list[TradeTerms]) -> None:
    position, _ = booked(fills)

    with exact():
        assert position.cash_flow == position.realized_pnl - position.fees


@law
@given(book.fills())
def test_trades_account_for_all_of_a_positions_pnl(fills: list[TradeTerms]) -> None:
    position, trades = booked(fills)

    with exact():
        assert sum((t.realized_pnl for t in trades), ZERO) == position.realized_pnl
        assert sum((t.fee for t in trades), ZERO) == position.fees
        assert sum((t.signed_quantity for t in trades), ZERO) == position.quantity
    assert [t.sequence for t in trades] == list(range(1, len(trades) + 1))


@law
@given(book.fills())
def test_a_short_is_a_long_in_the_mirror(fills: list[TradeTerms]) -> None:
    mirrored: Any = [{**terms, "action": TURNED[TradeAction(terms["action"])]} for terms in fills]

    position, trades = booked(fills)
    mirror, reflections = booked(mirrored)

    assert mirror.quantity == EXACT.minus(position.quantity)
    assert mirror.cost_basis == EXACT.minus(position.cost_basis)
    assert mirror.realized_pnl == EXACT.minus(position.realized_pnl)
    assert mirror.entry_price == position.entry_price
    assert mirror.fees == position.fees
    assert before_fees(mirror) == EXACT.minus(before_fees(position))
    assert [t.realized_pnl for t in reflections] == [EXACT.minus(t.realized_pnl) for t in trades]
    assert (mirror.status, mirror.opened_at) == (position.status, position.opened_at)


TINY: Any = {
    "symbol": "A",
    **dict.fromkeys(("quantity", "price", "multiplier"), Decimal("1e-40")),
}


@law
@example([{**TINY, "action": "BUY"}, {**TINY, "action": "SELL"}])  # a cost of 120 decimals
@given(book.fills(foreign_fees=True))
def test_a_flat_position_owes_nothing_and_an_open_one_has_an_entry(
    fills: list[TradeTerms],
) -> None:
    position, _ = booked(fills)

    assert (position.status == "OPEN") == bool(position.quantity)
    assert (position.entry_price is None) == (not position.quantity)
    assert position.quantity or not position.cost_basis
    assert (position.closed_at is None) == bool(position.quantity)


@law
@given(book.fills(min_size=2, foreign_fees=True))
def test_reducing_moves_the_entry_price_by_no_more_than_its_rounding(
    fills: list[TradeTerms],
) -> None:
    position = Position(symbol=fills[0]["symbol"], created_at=NOW)
    for terms in fills:
        before = position.entry_price
        happened = position.apply(Trade(**terms), NOW)  # type: ignore[misc]
        if happened.effect is not Effect.REDUCED:
            continue
        after = position.entry_price
        assert before is not None
        assert after is not None
        with exact():
            # Half a unit of the 40th decimal in the cost basis, and in each of the two quotients.
            held = abs(position.quantity * position.multiplier)
            moved = abs(after - before) * held
            assert moved <= Decimal("0.5e-40") + Decimal("1e-40") * held


@law
@given(book.fills(max_size=6), book.fills(max_size=6))
def test_what_opens_after_flat_is_as_a_new_position_and_keeps_the_totals(
    first: list[TradeTerms], second: list[TradeTerms]
) -> None:
    instrument = {name: first[0][name] for name in ("symbol", *INSTRUMENT) if name in first[0]}  # type: ignore[literal-required]
    again: Any = [{**terms, **instrument} for terms in second]
    flat = closed(first)

    both, _ = booked([*flat, *again])
    alone, earlier = booked(again)[0], booked(flat)[0]

    assert both.quantity == alone.quantity
    assert both.cost_basis == alone.cost_basis
    assert both.entry_price == alone.entry_price
    for total in ("realized_pnl", "fees", "cash_flow"):
        assert getattr(both, total) == EXACT.add(getattr(earlier, total), getattr(alone, total))


def closed(fills: list[TradeTerms]) -> list[TradeTerms]:
    """The fills, and one more that closes the position, where one fill can."""
    held = booked(fills)[0].quantity
    assume(len(held.as_tuple().digits) <= MAX_DIGITS)
    if not held:
        return fills
    action = TradeAction.SELL if held > 0 else TradeAction.BUY
    return [*fills, {**fills[-1], "action": action, "quantity": held.copy_abs()}]


@law
@given(book.fills())
def test_a_fee_moves_fees_and_cash_and_nothing_else(fills: list[TradeTerms]) -> None:
    free: Any = [{**terms, "fee": 0} for terms in fills]

    position, trades = booked(fills)
    without, free_trades = booked(free)

    assert (without.fees, without.cash_flow) == (0, before_fees(position))
    for unmoved in ("quantity", "cost_basis", "realized_pnl"):
        assert getattr(without, unmoved) == getattr(position, unmoved)
    assert [t.realized_pnl for t in free_trades] == [t.realized_pnl for t in trades]


@law
@given(book.fills(settlement=Settlement.CASH), st.data())
def test_a_fee_in_kind_is_what_arrives_less_at_the_same_price(
    fills: list[TradeTerms], data: st.DataObject
) -> None:
    position, _ = booked(fills)
    before = position.balance
    price, size = data.draw(ordinary_quantities()), data.draw(ordinary_quantities())
    fee = EXACT.multiply(size, data.draw(st.sampled_from([Decimal("0.001"), Decimal("-0.5")])))
    side = TradeAction.BUY if before.quantity >= 0 else TradeAction.SELL
    terms: Any = {**fills[0], "action": side, "quantity": size, "price": price}

    position.apply(Trade(**{**terms, "fee": fee, "fee_currency": position.asset}), NOW)

    after, multiplier = position.balance, position.multiplier
    d = size if side is TradeAction.BUY else size.copy_negate()
    with exact():
        unit_cash = price * multiplier
        assert after.quantity == before.quantity + d - fee
        assert after.cash_flow == before.cash_flow - d * unit_cash
        assert after.cost_basis == before.cost_basis + (d - fee) * unit_cash
        assert after.fees == before.fees + fee * unit_cash
    assert after.realized_pnl == before.realized_pnl
    assert position.other_fees == {}


@law
@given(book.fills(), st.data())
def test_a_fee_in_a_third_asset_moves_nothing_but_what_is_kept_of_it(
    fills: list[TradeTerms], data: st.DataObject
) -> None:
    fees = data.draw(st.lists(book.fees(), min_size=len(fills), max_size=len(fills)))
    names = st.sampled_from(["BNB", "FTT"])
    charged: Any = [
        {**terms, "fee": fee, "fee_currency": data.draw(names)}
        for terms, fee in zip(fills, fees, strict=True)
    ]
    free: Any = [{**terms, "fee": 0} for terms in fills]

    position, _ = booked(charged)

    assert position.balance == booked(free)[0].balance
    with exact():
        for name in ("BNB", "FTT"):
            paid = sum((t["fee"] for t in charged if t["fee_currency"] == name), ZERO)
            assert Decimal(position.other_fees.get(name, "0")) == paid


@law
@given(book.fills(), st.data())
def test_a_fill_in_parts_at_the_same_price_is_the_fill(
    fills: list[TradeTerms], data: st.DataObject
) -> None:
    parts = [part for terms in fills for part in data.draw(split(terms))]

    whole, _ = booked(fills)
    position, _ = booked(parts)

    for same in ("quantity", "fees", "opened_at", "closed_at", "status"):
        assert getattr(position, same) == getattr(whole, same)
    with exact():
        moved = position.cost_basis - whole.cost_basis
        assert abs(moved) <= ROUNDING * len(parts)
        assert position.realized_pnl - whole.realized_pnl == moved  # what one has, the other lacks
        if whole.settlement is Settlement.CASH:
            assert position.cash_flow == whole.cash_flow
    if not whole.quantity:
        assert position.balance == whole.balance


@st.composite
def split(draw: st.DrawFn, terms: TradeTerms) -> list[TradeTerms]:
    """A fill in up to three parts; the first one pays the fee."""
    quantity = number(terms["quantity"])
    last_place = int(quantity.normalize(EXACT).as_tuple().exponent)
    unit = Decimal(1).scaleb(max(last_place, -MAX_DECIMALS))
    units = int(EXACT.divide_int(quantity, unit))
    cuts = sorted({0, *draw(st.lists(st.integers(0, units - 1), max_size=2))})
    ends = [*(EXACT.multiply(unit, Decimal(cut)) for cut in cuts), quantity]
    sizes = [EXACT.subtract(end, start) for start, end in pairwise(ends)]
    return [
        {**terms, "quantity": size, "fee": 0 if place else terms.get("fee", 0)}
        for place, size in enumerate(sizes)
    ]


@law
@given(
    book.fills(),
    st.sampled_from(["price", "quantity", "multiplier"]),
    st.integers(1, 10**6).map(lambda thousandths: Decimal(thousandths).scaleb(-3)),
)
def test_pnl_is_as_many_times_what_it_was_as_prices_quantities_or_the_multiplier_are(
    fills: list[TradeTerms], scaled: str, k: Decimal
) -> None:
    small: Any = [{**terms, scaled: shortened(terms[scaled])} for terms in fills]  # type: ignore[literal-required]
    large: Any = [{**terms, scaled: EXACT.multiply(terms[scaled], k)} for terms in small]

    position, trades = booked(small)
    times_k, _ = booked(large)

    with exact():
        allowed = ROUNDING * (k + 1) * len(trades)
        for pnl in ("realized_pnl", "cost_basis"):
            assert abs(getattr(times_k, pnl) - k * getattr(position, pnl)) <= allowed
        if position.settlement is Settlement.CASH:
            assert before_fees(times_k) == k * before_fees(position)
        if not position.quantity:
            assert times_k.realized_pnl == k * position.realized_pnl
        assert times_k.quantity == position.quantity * (k if scaled == "quantity" else 1)
    assert times_k.fees == position.fees


def shortened(value: Decimal) -> Decimal:
    """A number with room for further digits; not 0 unless it was."""
    digits = value.as_tuple().digits[:15]
    return canonical(Decimal((value.is_signed(), digits, -min(len(digits), 6))))


@law
@given(book.fills(foreign_fees=True))
def test_amounts_are_canonical(fills: list[TradeTerms]) -> None:
    position, trades = booked(fills)

    for value in (
        position.quantity,
        position.cost_basis,
        position.realized_pnl,
        position.fees,
        position.cash_flow,
        position.market_value,
        position.unrealized_pnl,
        *(trade.realized_pnl for trade in trades),
    ):
        assert value is not None
        assert value.as_tuple() == canonical(value).as_tuple()


@law
@given(book.fills(foreign_fees=True), book.prices())
def test_a_mark_moves_only_what_is_unrealized(fills: list[TradeTerms], price: Decimal) -> None:
    position, _ = booked(fills)
    before = position.balance

    position.mark(price, datetime.max.replace(tzinfo=UTC))

    assert position.balance == before
    assert position.net_pnl is not None
    with exact():
        value = position.quantity * price * position.multiplier
        assert position.market_value == value
        assert position.net_pnl == (
            position.realized_pnl + value - position.cost_basis - position.fees
        )


@law
@given(book.snapshots())
def test_snapshots_obey_their_identities(
    snapshot: tuple[Portfolio, list[PortfolioPosition]],
) -> None:
    portfolio, rows = snapshot
    rates = {portfolio.currency: "1", **portfolio.rates}

    def total(amounts: list[tuple[Decimal, str]]) -> Decimal:
        return sum((a * Decimal(rates[currency]) for a, currency in amounts if a), ZERO)

    with exact():
        assert portfolio.total_value == portfolio.cash_balance + portfolio.positions_value
        assert portfolio.total_value == (
            portfolio.external_flows
            + portfolio.income
            + portfolio.realized_pnl
            + portfolio.unrealized_pnl
            - portfolio.fees
        )
        assert portfolio.positions_value == total(
            [
                (carried_value(r.settlement, r.market_value, r.unrealized_pnl), r.currency)
                for r in rows
            ]
        )
        assert portfolio.net_exposure == total([(r.market_value, r.currency) for r in rows])
        assert portfolio.gross_exposure == total([(abs(r.market_value), r.currency) for r in rows])
        assert portfolio.gross_exposure >= abs(portfolio.net_exposure)
