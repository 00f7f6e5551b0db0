"""Attribution of a position without a mark, which no call of a book makes."""

from __future__ import annotations

import pytest

from tradebook import InvalidTransition, Position
from tradebook.service_layer.explanations.attribution.period import unit_value


def test_what_is_open_without_a_mark_cannot_be_valued() -> None:
    with pytest.raises(InvalidTransition, match="AAPL has no current price; mark it first"):
        unit_value(Position(symbol="AAPL"), is_needed=True)


def test_a_flat_position_needs_no_mark() -> None:
    assert unit_value(Position(symbol="AAPL"), is_needed=False) == 0
    assert unit_value(Position(symbol="ES", multiplier=50, current_price=3), is_needed=True) == 150
