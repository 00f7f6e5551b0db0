"""SQLModel: table models with typed fields, its own session and select."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import URL, BigInteger, DateTime, Identity
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import IntegrityError
from sqlmodel import Field, Session, SQLModel, create_engine, select

from benchmarks.fills import Fill
from benchmarks.peers.outcomes import change, outcome


def identity() -> Any:
    """A key that the database makes."""
    arguments = {"sa_type": BigInteger, "sa_column_args": [Identity()]}
    return Field(default=None, primary_key=True, **arguments)


def instant() -> Any:
    """A time with its zone."""
    return Field(sa_type=DateTime(timezone=True))


class Position(SQLModel, table=True):
    """A position."""

    __tablename__ = "positions"

    account: str = Field(primary_key=True)
    id: int | None = identity()
    updated_at: datetime = instant()
    symbol: str
    quantity: Decimal
    cost_basis: Decimal
    realized_pnl: Decimal
    fees: Decimal
    cash_flow: Decimal
    status: str
    sequence: int
    version: int


# SQLModel has no argument for it: the mapper's is set where SQLAlchemy documents it.
Position.__mapper__.version_id_col = Position.__table__.c.version  # type: ignore[attr-defined]
Position.__mapper__.version_id_generator = lambda version: (version or 0) + 1  # type: ignore[attr-defined]


class Trade(SQLModel, table=True):
    """A trade."""

    __tablename__ = "trades"

    account: str = Field(primary_key=True)
    id: int | None = identity()
    created_at: datetime = instant()
    updated_at: datetime = instant()
    symbol: str
    venue: str
    action: str
    quantity: Decimal
    price: Decimal
    fee: Decimal
    currency: str
    fee_currency: str
    multiplier: Decimal
    settlement: str
    executed_at: datetime = instant()
    order_id: str
    execution_id: str
    strategy: str
    details: dict[str, Any] = Field(sa_type=JSONB)
    status: str
    sequence: int
    booked_at: datetime = instant()
    realized_pnl: Decimal
    revision: int


class Event(SQLModel, table=True):
    """An event."""

    __tablename__ = "events"

    account: str = Field(primary_key=True)
    id: int | None = identity()
    created_at: datetime = instant()
    updated_at: datetime = instant()
    event_type: str
    entity: str
    entity_id: int
    payload: dict[str, Any] = Field(sa_type=JSONB)
    actor: str
    correlation_id: str
    occurred_at: datetime = instant()


class SqlModel:
    """A session for each fill."""

    def __init__(self, url: URL) -> None:
        self.engine = create_engine(url)

    def record(self, fill: Fill) -> bool:
        try:
            with Session(self.engine) as session:
                self._book(session, fill)
                session.commit()
        except IntegrityError:
            return False
        return True

    def _book(self, session: Session, fill: Fill) -> None:
        query = select(Position).where(
            Position.account == fill.account, Position.symbol == fill.symbol
        )
        position = session.exec(query.with_for_update()).one()
        booked = outcome(fill, position)
        trade = Trade(**booked.trade)
        session.add(trade)
        session.flush()  # gives it its id
        change(position, booked.position)
        session.add(Event(**booked.event, entity_id=trade.id))

    def close(self) -> None:
        self.engine.dispose()
