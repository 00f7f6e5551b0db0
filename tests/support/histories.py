"""Histories of several symbols in several currencies."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st

from tradebook.service_layer.handlers import TradeTerms
from tradebook.testing import strategies

RATES: Final = {"EUR": "1.1", "JPY": "0.0067", "BTC": "61234.5678"}


@st.composite
def histories(draw: st.DrawFn) -> list[TradeTerms]:
    """Fills of several symbols in several currencies, shuffled together."""
    return draw(
        shuffled(
            [draw(strategies.fills(symbol, foreign_fees=True, max_size=5)) for symbol in "ABC"]
        )
    )


@st.composite
def shuffled(draw: st.DrawFn, books: list[list[TradeTerms]]) -> list[TradeTerms]:
    """The fills of all symbols in one order, those of each symbol in their own."""
    places = draw(st.permutations([place for place, fills in enumerate(books) for _ in fills]))
    remaining = [iter(fills) for fills in books]
    return [next(remaining[place]) for place in places]
