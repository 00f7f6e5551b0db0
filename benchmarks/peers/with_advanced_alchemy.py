"""advanced-alchemy: a repository for each model, on one session; nothing is refreshed that nobody asks for."""

from __future__ import annotations

from advanced_alchemy.exceptions import IntegrityError
from advanced_alchemy.repository import SQLAlchemySyncRepository
from sqlalchemy import URL, create_engine
from sqlalchemy.orm import Session, sessionmaker

from benchmarks.fills import Fill
from benchmarks.peers.outcomes import change, outcome
from benchmarks.peers.sqlalchemy_models import models_of


class AdvancedAlchemy:
    """Repositories for each fill."""

    def __init__(self, url: URL) -> None:
        self.engine = create_engine(url)
        self.sessions = sessionmaker(self.engine, expire_on_commit=False)
        models = models_of(self.engine)

        class Positions(SQLAlchemySyncRepository[models.position]):  # type: ignore[name-defined]
            model_type = models.position

        class Trades(SQLAlchemySyncRepository[models.trade]):  # type: ignore[name-defined]
            model_type = models.trade

        class Events(SQLAlchemySyncRepository[models.event]):  # type: ignore[name-defined]
            model_type = models.event

        self.repositories = Positions, Trades, Events

    def record(self, fill: Fill) -> bool:
        try:
            with self.sessions.begin() as session:
                self._book(session, fill)
        except IntegrityError:
            return False
        return True

    def _book(self, session: Session, fill: Fill) -> None:
        of = [kind(session=session, auto_refresh=False) for kind in self.repositories]
        positions, trades, events = of
        position = positions.get_one(account=fill.account, symbol=fill.symbol, with_for_update=True)
        booked = outcome(fill, position)
        trade = trades.add(trades.model_type(**booked.trade))
        change(position, booked.position)  # `update` would read it once more
        events.add(events.model_type(**booked.event, entity_id=trade.id))

    def close(self) -> None:
        self.engine.dispose()
