"""The time-weighted return of an account: the return of what is held, whenever money was paid in or out.

The return between two external flows is the value before the second divided by the value after the first, less 1. Where the
value at a flow is not known, the whole piece around it is estimated by the modified Dietz method.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final

from attrs import field, frozen

from tradebook.analytics.sequences import real, rounded, working
from tradebook.domain.errors import InvalidInput
from tradebook.domain.numbers import Number
from tradebook.domain.validation import argument, utc

_MICROSECOND: Final = timedelta(microseconds=1)


@frozen(kw_only=True)
class Piece:
    """A part of a period, between two times at which the value is known.

    Attributes:
        start: UTC.
        end: UTC, after the start.
        value_after: the total value at the start, after the external flows at that time.
        value_before: the total value at the end, before the external flows at that time.
        flows: external flows in between, as (time, amount), positive when paid in; the value at these times is not known.
    """

    start: datetime = field(converter=utc)
    end: datetime = field(converter=utc)
    value_after: Number
    value_before: Number
    flows: Sequence[tuple[datetime, Number]] = ()


@frozen
class TimeWeightedReturn:
    """A time-weighted return.

    Attributes:
        total: the return of all pieces together, with 50 significant digits; 0.1 is 10 %.
        returns: that of each piece.
        approximate: the number of pieces that are estimated.
    """

    total: Decimal
    returns: tuple[Decimal, ...]
    approximate: int


def time_weighted_return(pieces: Sequence[Piece]) -> TimeWeightedReturn:
    """Compute the product of `1 + r` of all pieces, less 1.

    The product is exact and rounded once: a piece that is split at a flow whose value is known changes no digit of the
    total. The modified Dietz return of a piece is `(end - start - sum(F)) / (start + sum(w * F))`, where `w` is the fraction
    of the piece that is left at the time of the flow `F`, by the microsecond. Source: "Global Investment Performance
    Standards", CFA Institute, 2020.

    Args:
        pieces: one after the other; the product does not depend on the order.

    Raises:
        InvalidInput: a piece does not end after its start, a flow is not within its piece, or the value that a return is
            measured on is 0 or less, at the time that is named.
    """
    product, found = Fraction(1), []
    for place, piece in enumerate(pieces):
        ratio = _ratio(f"pieces[{place}]", piece)
        product *= ratio
        found.append(_rounded(ratio - 1))
    approximate = sum(bool(piece.flows) for piece in pieces)
    return TimeWeightedReturn(_rounded(product - 1), tuple(found), approximate)


def _ratio(name: str, piece: Piece) -> Fraction:
    length = (piece.end - piece.start) // _MICROSECOND
    if length <= 0:
        raise InvalidInput(name, piece.end.isoformat(), f"an end after {piece.start.isoformat()}")
    start = Fraction(argument(f"{name}.value_after", real, piece.value_after))
    end = Fraction(argument(f"{name}.value_before", real, piece.value_before))
    base, paid_in = start, Fraction(0)
    for at, amount in piece.flows:
        left = (piece.end - argument(f"{name}.flows", utc, at)) // _MICROSECOND
        if not 0 <= left <= length:
            raise InvalidInput(f"{name}.flows", str(at), "a time within the piece")
        flow = Fraction(argument(f"{name}.flows", real, amount))
        base += flow * left / length
        paid_in += flow
    if base <= 0:
        raise InvalidInput(
            name, str(_rounded(base)), f"a value above 0 at {piece.start.isoformat()}"
        )
    return 1 + (end - start - paid_in) / base


def _rounded(value: Fraction) -> Decimal:
    with working():
        return rounded(Decimal(value.numerator) / Decimal(value.denominator))
