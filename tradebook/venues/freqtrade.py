"""Orders of freqtrade as terms of the book, and `sync`, which records what the book lacks as the bot trades.

The objects are those that a strategy's callbacks get, `Trade` and `Order` of
https://www.freqtrade.io/en/stable/trade-object/. `tradebook import --from freqtrade` reads the same from the bot's database,
under the same ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC
from typing import Any

from attrs import define

from tradebook.domain.numbers import EXACT
from tradebook.domain.trades import Trade
from tradebook.service_layer.book import Book
from tradebook.service_layer.handlers import TradeTerms
from tradebook.venues.ccxt import market_terms
from tradebook.venues.cells import exact_number, twenty_places


def terms(trade: Any, order: Any) -> TradeTerms:
    """Return the terms of one order that was filled; freqtrade adds its fills up.

    The fee is what the exchange took from the asset (`ft_fee_base`), else freqtrade's rate of the notional, in the
    currency of the price.

    Args:
        trade: of freqtrade, which the order belongs to.
        order: of freqtrade, closed, or cancelled with a part filled.

    Raises:
        InvalidInput: the market is an inverse contract.
    """
    market = market_terms(trade.pair)
    is_entry = order.ft_order_side == trade.entry_side
    quantity, price = exact_number(order.filled), exact_number(order.safe_price)
    if order.ft_fee_base:
        fee, paid_in = exact_number(order.ft_fee_base), trade.pair.partition("/")[0]
    else:
        rate = exact_number((trade.fee_open if is_entry else trade.fee_close) or 0)
        notional = EXACT.multiply(quantity, price)
        fee = twenty_places(EXACT.multiply(notional, rate))
        paid_in = None
    details = {
        "freqtrade_trade": str(trade.id),
        "enter_tag": trade.enter_tag,
        "exit_reason": trade.exit_reason,
        "order_tag": order.ft_order_tag,
        "order_type": order.order_type,
        "leverage": str(trade.leverage),
    }
    return TradeTerms(
        symbol=market["symbol"],
        action=trade.entry_side if is_entry else trade.exit_side,
        quantity=quantity,
        price=price,
        fee=fee,
        fee_currency=paid_in,
        currency=market["currency"],
        settlement=market["settlement"],
        executed_at=_time(order),
        order_id=order.order_id,
        venue=trade.exchange,
        strategy=trade.strategy,
        details={name: value for name, value in details.items() if value},
    )


def funding_terms(trade: Any, order: Any) -> dict[str, Any] | None:
    """Return the funding that freqtrade assigned to an order as arguments of `record_cash_flow`; None without any."""
    if not order.funding_fee:
        return None
    return {
        "kind": "FUNDING",
        "amount": exact_number(order.funding_fee),
        "currency": market_terms(trade.pair)["currency"],
        "symbol": trade.pair,
        "occurred_at": _time(order),
        "reference": f"freqtrade:{trade.exchange}:{trade.pair}:{order.order_id}:funding",
    }


@define
class Synced:
    """The result of `sync`.

    Attributes:
        booked: the number of orders that are new in the book.
        duplicates: the number of orders that were there.
        cash_flows: the number of funding payments of the new orders.
    """

    booked: int = 0
    duplicates: int = 0
    cash_flows: int = 0


def sync(book: Book, trades: Iterable[Any]) -> Synced:
    """Record the filled orders that the book lacks, each with its funding.

    An order that is recorded stays as it is: freqtrade may count another rate for it later.

    Args:
        book: where to record.
        trades: of freqtrade, with their orders, open or closed.

    Raises:
        InvalidInput: a market is an inverse contract.
    """
    done = Synced()
    for trade, order in sorted(_filled(trades), key=lambda each: _time(each[1])):
        if book.get_all(Trade, 1, symbol=trade.pair, venue=trade.exchange, order_id=order.order_id):
            done.duplicates += 1
            continue
        if (flow := funding_terms(trade, order)) is not None:
            book.record_cash_flow(flow.pop("kind"), flow.pop("amount"), **flow)
            done.cash_flows += 1
        book.record_trade(**terms(trade, order))
        done.booked += 1
    return done


def _filled(trades: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    for trade in trades:
        for order in trade.orders:
            if order.filled and not order.ft_is_open:
                yield trade, order


def _time(order: Any) -> Any:
    filled = order.order_filled_date or order.order_update_date or order.order_date
    return filled.replace(tzinfo=UTC)
