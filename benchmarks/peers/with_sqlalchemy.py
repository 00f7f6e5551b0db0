"""SQLAlchemy's ORM, straightforward: a session, a locking select, `add`, `flush`, commit."""

from __future__ import annotations

from sqlalchemy import URL, create_engine, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from benchmarks.fills import Fill
from benchmarks.peers.outcomes import change, outcome
from benchmarks.peers.sqlalchemy_models import models_of


class SqlAlchemy:
    """A session for each fill."""

    def __init__(self, url: URL) -> None:
        self.engine = create_engine(url)
        self.models = models_of(self.engine)
        self.sessions = sessionmaker(self.engine, expire_on_commit=False)

    def record(self, fill: Fill) -> bool:
        try:
            with self.sessions.begin() as session:
                self._book(session, fill)
        except IntegrityError:
            return False
        return True

    def _book(self, session: Session, fill: Fill) -> None:
        kind = self.models.position
        query = select(kind).where(kind.account == fill.account, kind.symbol == fill.symbol)
        position = session.scalars(query.with_for_update()).one()
        booked = outcome(fill, position)
        trade = self.models.trade(**booked.trade)
        session.add(trade)
        session.flush()  # gives it its id
        change(position, booked.position)
        session.add(self.models.event(**booked.event, entity_id=trade.id))

    def close(self) -> None:
        self.engine.dispose()
