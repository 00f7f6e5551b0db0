"""Fills of NautilusTrader as terms of the book, as an actor gets them.

The objects are `OrderFilled` and `Instrument` of https://nautilustrader.io/docs/latest/api_reference/model/.
`tradebook import --from nautilus` reads the same fills from a report, under the same ids.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tradebook.domain.errors import InvalidInput
from tradebook.service_layer.handlers import TradeTerms

_BEGIN: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MARGINED: Final = ("SWAP", "FUTURE", "FORWARD", "CFD")
"""Classes of instruments whose notional is not paid."""
_COMBINED: Final = ("FUTURES_SPREAD", "OPTION_SPREAD")


def terms(fill: Any, instrument: Any) -> TradeTerms:
    """Return the terms of one fill.

    Its symbol is the instrument's without the venue, its `execution_id` the trade id, its `order_id` the venue's, its time
    cut to microseconds. Swaps, futures, forwards and CFDs are MARGINED, with the multiplier of the instrument; what is
    bought on a spot market is its base currency. The fee is the commission, in its own currency.

    Args:
        fill: an `OrderFilled`.
        instrument: of the fill: `cache.instrument(fill.instrument_id)`.

    Raises:
        InvalidInput: the book cannot express the instrument: it is none, a combination, or settles in another
            currency than its price is in.
    """
    name = str(fill.instrument_id)
    if instrument is None:
        raise InvalidInput("instrument", None, f"the instrument {name}, which the cache has not")
    kind = instrument.instrument_class.name
    quote, settlement = instrument.quote_currency.code, instrument.get_settlement_currency().code
    if kind in _COMBINED:
        raise InvalidInput("instrument", name, "no combination: its legs are fills of their own")
    if instrument.is_inverse or settlement != quote:
        raise InvalidInput("instrument", name, f"one that settles in {quote}, as it is priced")
    base = instrument.get_base_currency()
    return TradeTerms(
        symbol=fill.instrument_id.symbol.value,
        action=fill.order_side.name,
        quantity=fill.last_qty.as_decimal(),
        price=fill.last_px.as_decimal(),
        fee=fill.commission.as_decimal(),
        fee_currency=fill.commission.currency.code,
        currency=quote,
        multiplier=instrument.multiplier.as_decimal(),
        settlement="MARGINED" if kind in _MARGINED else "CASH",
        asset=base.code if base is not None and kind == "SPOT" else None,
        executed_at=_BEGIN + timedelta(microseconds=fill.ts_event // 1000),
        order_id=fill.venue_order_id.value,
        execution_id=fill.trade_id.value,
        venue=fill.instrument_id.venue.value,
        strategy=fill.strategy_id.value,
        details={
            "client_order_id": fill.client_order_id.value,
            "position_id": str(fill.position_id),
            "trader_id": fill.trader_id.value,
        },
    )
