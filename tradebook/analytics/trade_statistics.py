"""Statistics of the P&L of trades. All are None where they are undefined; amounts are in the currency of the P&L."""

from __future__ import annotations

from decimal import Decimal

from tradebook.analytics.sequences import Numbers, deviation, figure, gain_to_loss, known, mean


@figure
def win_rate(pnls: Numbers, *, count_break_even: bool = True) -> Decimal | None:
    """Compute the fraction of trades that earned more than 0.

    Args:
        pnls: what each closing trade realized.
        count_break_even: whether a trade that earned 0 is one of all; libraries differ.
    """
    found = [each for each in known("pnls", pnls) if each or count_break_even]
    return Decimal(sum(each > 0 for each in found)) / len(found) if found else None


@figure
def average_win(pnls: Numbers) -> Decimal | None:
    """Compute the mean of what the trades earned that earned more than 0."""
    return mean([each for each in known("pnls", pnls) if each > 0])


@figure
def average_loss(pnls: Numbers) -> Decimal | None:
    """Compute the mean of what the trades earned that earned less than 0; it is negative."""
    return mean([each for each in known("pnls", pnls) if each < 0])


@figure
def profit_factor(pnls: Numbers) -> Decimal | None:
    """Divide the sum of all gains by that of all losses; None without a loss, where some libraries say infinity."""
    return gain_to_loss(known("pnls", pnls))


@figure
def expectancy(pnls: Numbers, *, count_break_even: bool = True) -> Decimal | None:
    """Compute the mean P&L of a trade.

    Args:
        pnls: what each closing trade realized.
        count_break_even: whether trades that earned 0 are among those that the sum is divided by.
    """
    return mean([each for each in known("pnls", pnls) if each or count_break_even])


@figure
def system_quality_number(pnls: Numbers) -> Decimal | None:
    """Compute the root of the number of trades, times their mean P&L, divided by their sample deviation.

    Source: V. K. Tharp, "Definitive Guide to Position Sizing", 2008. Some count at most 100 trades; here all count. None of
    fewer than two trades, or where all earned the same.
    """
    found = known("pnls", pnls)
    average, spread = mean(found), deviation(found, 1)
    return Decimal(len(found)).sqrt() * average / spread if spread and average is not None else None
