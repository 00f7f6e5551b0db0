"""The book's tables as declarative models of SQLAlchemy, which reads their columns from the database."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import Engine, Table
from sqlalchemy.orm import DeclarativeBase


class Models(NamedTuple):
    """The classes that map the three tables."""

    position: Any
    trade: Any
    event: Any


def models_of(engine: Engine) -> Models:
    """Models with plain columns, and SQLAlchemy's own counter of versions."""

    class Base(DeclarativeBase):
        """The registry of these models alone."""

    def table(name: str) -> Table:
        return Table(name, Base.metadata, autoload_with=engine)

    class Position(Base):
        """A position."""

        __table__ = table("positions")
        __mapper_args__ = {"version_id_col": __table__.c.version}  # noqa: RUF012, as it is documented

    class Trade(Base):
        """A trade."""

        __table__ = table("trades")

    class Event(Base):
        """An event."""

        __table__ = table("events")

    return Models(Position, Trade, Event)
