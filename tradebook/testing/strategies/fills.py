"""Strategies for executions, as the arguments of `record_trade`."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, cast

from tradebook.domain.numbers import EXACT, ZERO, canonical, number
from tradebook.domain.trades import Settlement, TradeAction
from tradebook.domain.validation import default_asset
from tradebook.service_layer.handlers import TradeTerms
from tradebook.testing.strategies._hypothesis import st
from tradebook.testing.strategies.values import (
    Strategy,
    currencies,
    fees,
    instants,
    json_objects,
    multipliers,
    names,
    ordinary_quantities,
    prices,
    quantities,
    symbols,
)


@st.composite
def trade_terms(
    draw: st.DrawFn, symbol: str | None = None, *, foreign_fees: bool = False
) -> TradeTerms:
    """Generate arguments of `record_trade`; optional ones are sometimes left out.

    Args:
        draw: passed by hypothesis.
        symbol: of the trade; any by default.
        foreign_fees: whether a fee may be in another currency than the price.
    """
    currency = draw(currencies())
    optional: dict[str, Strategy[Any]] = {
        "fee": fees(),
        "fee_currency": currencies() if foreign_fees else st.just(currency),
        "multiplier": multipliers(),
        "settlement": st.sampled_from(Settlement),
        "executed_at": instants(),
        "execution_id": names(),
        "venue": names(),
        "strategy": names(),
        "details": json_objects(),
    }
    terms = {
        "symbol": symbol or draw(symbols()),
        "action": draw(st.sampled_from(TradeAction)),
        "quantity": draw(quantities()),
        "price": draw(prices()),
        "currency": currency,
        "order_id": draw(names()),
        **draw(st.fixed_dictionaries({}, optional=optional)),
    }
    if terms.get("fee_currency") == default_asset(terms["symbol"]):
        del terms["fee_currency"]  # it could leave nothing of the quantity
    return cast("TradeTerms", terms)


@st.composite
def fills(
    draw: st.DrawFn,
    symbol: str | None = None,
    *,
    currency: str | None = None,
    settlement: Settlement | None = None,
    foreign_fees: bool = False,
    min_size: int = 1,
    max_size: int = 12,
) -> list[TradeTerms]:
    """Generate executions of one instrument in order of booking, each as arguments of `record_trade`.

    They open, add, reduce, close to flat and flip; prices may be 0 or negative, fees rebates. Order
    ids differ; trade times do not always go forward.

    Args:
        draw: passed by hypothesis.
        symbol: of all fills; any by default.
        currency: of all fills; any by default.
        settlement: of all fills; any by default.
        foreign_fees: whether some fees are in another of `CURRENCIES`, or in the asset that is traded where the
            settlement is CASH.
        min_size: the fewest fills.
        max_size: the most fills.
    """
    traded = symbol or draw(symbols())
    instrument = {
        "symbol": traded,
        "currency": currency or draw(currencies()),
        "multiplier": draw(multipliers()),
        "settlement": settlement or draw(st.sampled_from(Settlement)),
    }
    asset = default_asset(traded)
    is_paid = instrument["settlement"] is Settlement.CASH
    charged = [instrument["currency"]]
    if foreign_fees:
        charged = [*charged * 3, draw(currencies()), *[asset] * is_paid]
    # A position of quantities as far apart as 1e-40 and 1e308 takes several fills to close, so that lists
    # of nothing but extreme ones would hardly ever meet a position that closes and opens again.
    quantity = draw(st.sampled_from([ordinary_quantities(), quantities()]))
    held = ZERO
    recorded: list[TradeTerms] = []
    for place in range(draw(st.integers(min_size, max_size))):
        size = draw(_sizes(held, quantity))
        fee = draw(fees())
        fee_currency = draw(st.sampled_from(charged))
        if fee_currency == asset and is_paid:
            fee = fee if abs(fee) < abs(size) else ZERO
            held = EXACT.subtract(held, fee)
        held = canonical(EXACT.add(held, size))
        fill = {
            **instrument,
            "action": TradeAction.BUY if size > 0 else TradeAction.SELL,
            "quantity": size.copy_abs(),
            "price": draw(prices()),
            "fee": fee,
            "fee_currency": fee_currency,
            "executed_at": draw(instants()),
            "order_id": f"o-{place + 1}",
        }
        recorded.append(cast("TradeTerms", fill))
    return recorded


def _sizes(held: Decimal, quantity: Strategy[Decimal]) -> Strategy[Decimal]:
    """Draw the signed size of the next fill: any, one that closes the position, or one that flips it."""
    anything = st.one_of(quantity, quantity.map(Decimal.copy_negate))
    against = [held.copy_negate(), EXACT.multiply(held, Decimal(-2))]
    return st.one_of(anything, *(st.just(size) for size in against if _is_quantity(size)))


def _is_quantity(size: Decimal) -> bool:
    try:
        return bool(number(size))
    except ValueError:
        return False
