"""`metadata` and `col`: what applications build their own queries and throw-away databases on."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal

import pytest
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session, joinedload

from tradebook import AgentDecision, InvalidInput, Position, Signal, Trade, col, metadata


def test_metadata_makes_a_throw_away_database_on_a_plain_engine() -> None:
    engine = create_engine("sqlite:///:memory:")
    metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Trade(symbol="AAPL", action="BUY", quantity=100, price=150.00))
        session.commit()
        [trade] = session.scalars(select(Trade).where(col(Trade.symbol) == "AAPL"))
        assert (trade.price, trade.account) == (150, "main")
        assert session.query(Trade).filter(col(Trade.symbol) == "MSFT").all() == []
    engine.dispose()


def test_importing_metadata_maps_the_entities() -> None:
    script = "from tradebook import Trade, metadata; print(Trade.symbol, len(metadata.tables))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["Trade.symbol", str(len(metadata.tables))]


def test_col_is_the_mapped_attribute_itself() -> None:
    assert col(Trade.symbol) is Trade.symbol
    assert col(AgentDecision.signals) is AgentDecision.signals


def test_col_compares_orders_and_loads() -> None:
    statement = (
        select(AgentDecision)
        .where(col(AgentDecision.confidence) > Decimal("0.5"), col(AgentDecision.agent) == "bot")
        .order_by(col(AgentDecision.decided_at).desc())
        .options(joinedload(col(AgentDecision.signals)))
    )
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    with Session(engine) as session:
        signal = Signal(symbol="X", action="BUY")
        session.add(AgentDecision(agent="bot", symbol="X", action="BUY", signals=[signal]))
        session.commit()
        assert str(statement).count("JOIN") == 2
    engine.dispose()


@pytest.mark.parametrize("given", ["symbol", Position.entry_price, None, Trade, 5])
def test_col_refuses_what_is_no_mapped_field(given: object) -> None:
    with pytest.raises(InvalidInput, match=r"a mapped field such as Trade\.symbol") as refused:
        col(given)
    assert refused.value.field == "attribute"
