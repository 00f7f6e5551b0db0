"""Strategies for the values of fields: exact decimals, text, times, JSON."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from operator import neg
from typing import Final, TypeAlias

from tradebook.domain.limits import MAX_DECIMALS, MAX_DIGITS
from tradebook.domain.numbers import EXACT, ONE, ZERO, canonical, number
from tradebook.domain.validation import Json
from tradebook.testing.strategies._hypothesis import st

Strategy: TypeAlias = st.SearchStrategy

CURRENCIES: Final = ("USD", "EUR", "JPY", "BTC")
_SYMBOLS: Final = ("AAPL", "MSFT", "BTC-USD", "ES", "CL", "7203.T")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNTIL: Final = datetime(2020, 1, 1, tzinfo=UTC) - _EPOCH
_TICK: Final = timedelta(microseconds=1)
_CHARACTERS: Final = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")


def decimals(
    *,
    digits: int = MAX_DIGITS,
    places: int = MAX_DECIMALS,
    signed: bool = True,
) -> Strategy[Decimal]:
    """Generate canonical decimals, up to the most digits and decimals that the book accepts.

    Args:
        digits: the most significant digits.
        places: the most decimals.
        signed: whether to generate numbers below 0.
    """
    most = 10**digits - 1
    long = st.integers(10 ** (digits - 1), most)  # `st.integers` alone draws mostly short ones
    whole = [st.integers(-most if signed else 0, most), long, *([long.map(neg)] if signed else [])]
    return st.builds(
        lambda whole, exponent: canonical(EXACT.scaleb(Decimal(whole), -exponent)),
        st.one_of(whole),
        st.integers(0, places),
    )


@cache
def float_decimals(*, signed: bool = True) -> Strategy[Decimal]:
    """Generate every finite float but 0 that the book accepts, as the Decimal of its shortest repr.

    Args:
        signed: whether to generate numbers below 0.
    """
    above_zero = st.floats(min_value=10.0**-MAX_DECIMALS, allow_infinity=False).map(number)
    return st.one_of(above_zero, above_zero.map(Decimal.copy_negate)) if signed else above_zero


@cache
def prices(*, ordinary: bool = False) -> Strategy[Decimal]:
    """Generate prices of one unit: mostly ordinary ones; also 0, negative ones and the longest accepted.

    Args:
        ordinary: whether to generate only prices as venues quote them: above 0, of at most 9 digits, in ticks of
            0.01 to 0.00000001.
    """
    if ordinary:
        ticks, places = st.integers(1, 10**9 - 1), st.integers(2, 8)
        return st.builds(lambda t, p: canonical(EXACT.scaleb(Decimal(t), -p)), ticks, places)
    usual = decimals(digits=7, places=4, signed=False)
    return st.one_of(usual, usual, usual, decimals(), float_decimals(), st.just(ZERO))


@cache
def ordinary_quantities() -> Strategy[Decimal]:
    """Generate quantities above 0 of at most 5 digits and 2 decimals."""
    return decimals(digits=5, places=2, signed=False).filter(bool)


@cache
def quantities() -> Strategy[Decimal]:
    """Generate quantities above 0: mostly ordinary ones; also the smallest and the longest accepted."""
    extreme = st.one_of(decimals(signed=False).filter(bool), float_decimals(signed=False))
    return st.one_of(ordinary_quantities(), ordinary_quantities(), extreme)


@cache
def fees() -> Strategy[Decimal]:
    """Generate fees: 0, ordinary ones, rebates (below 0), and the longest accepted."""
    ordinary = decimals(digits=4, places=2)
    return st.one_of(st.just(ZERO), ordinary, decimals(), float_decimals())


@cache
def multipliers() -> Strategy[Decimal]:
    """Generate contract multipliers, mostly 1."""
    usual = st.sampled_from([ONE, Decimal(100), Decimal(50), number("0.001")])
    return st.one_of(st.just(ONE), usual, decimals(signed=False).filter(bool))


@cache
def fractions() -> Strategy[Decimal]:
    """Generate numbers from 0 to 1, such as a confidence."""
    return st.builds(
        lambda whole, places: canonical(EXACT.scaleb(Decimal(whole % (10**places + 1)), -places)),
        st.integers(0, 10**MAX_DIGITS),
        st.integers(0, MAX_DECIMALS),
    )


def texts(*, max_size: int = 100) -> Strategy[str]:
    """Generate any text that every database stores, empty text included."""
    return st.text(_CHARACTERS, max_size=max_size)


def names(*, max_size: int = 30) -> Strategy[str]:
    """Generate identifiers: text that is not empty and has no blanks around it."""
    return texts(max_size=max_size).map(str.strip).filter(bool)


@cache
def symbols() -> Strategy[str]:
    """Generate symbols of instruments, mostly ordinary ones."""
    return st.one_of(st.sampled_from(_SYMBOLS), st.sampled_from(_SYMBOLS), names())


@cache
def currencies() -> Strategy[str]:
    """Generate one of a few currencies."""
    return st.sampled_from(CURRENCIES)


@cache
def instants() -> Strategy[datetime]:
    """Generate times in UTC, from 1970 to 2020, to the microsecond; a book refuses those of the future."""
    return st.integers(0, _UNTIL // _TICK).map(lambda ticks: _EPOCH + ticks * _TICK)


@cache
def json_values() -> Strategy[Json]:
    """Generate JSON values that every database returns unchanged."""
    leaves = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**20), 10**20),
        st.floats(-1e6, 1e6, allow_subnormal=False).map(lambda value: value + 0.0),  # no -0.0
        texts(max_size=20),
    )
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(texts(max_size=10), inner, max_size=3)
        ),
        max_leaves=6,
    )


@cache
def json_objects() -> Strategy[dict[str, Json]]:
    """Generate JSON objects, such as a trade's details."""
    return st.dictionaries(texts(max_size=10), json_values(), max_size=3)
