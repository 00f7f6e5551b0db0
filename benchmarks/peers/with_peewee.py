"""peewee: models, a locking `get`, `create`, `update().where()`, all in `atomic()`."""

from __future__ import annotations

from typing import Any

from peewee import (
    BigAutoField,
    BigIntegerField,
    DecimalField,
    IntegrityError,
    Model,
    PostgresqlDatabase,
    TextField,
)
from playhouse.postgres_ext import BinaryJSONField, DateTimeTZField
from sqlalchemy import URL

from benchmarks.fills import Fill
from benchmarks.peers.outcomes import outcome

database = PostgresqlDatabase(None)


class Record(Model):
    """What every record has."""

    id = BigAutoField()
    account = TextField()
    created_at = DateTimeTZField()
    updated_at = DateTimeTZField()

    class Meta:
        database = database
        legacy_table_names = False


class Position(Record):
    """A position."""

    symbol = TextField()
    quantity = DecimalField()
    cost_basis = DecimalField()
    realized_pnl = DecimalField()
    fees = DecimalField()
    cash_flow = DecimalField()
    status = TextField()
    sequence = BigIntegerField()
    version = BigIntegerField()

    class Meta:
        table_name = "positions"


class Trade(Record):
    """A trade."""

    symbol = TextField()
    venue = TextField()
    action = TextField()
    quantity = DecimalField()
    price = DecimalField()
    fee = DecimalField()
    currency = TextField()
    fee_currency = TextField()
    multiplier = DecimalField()
    settlement = TextField()
    executed_at = DateTimeTZField()
    order_id = TextField()
    execution_id = TextField()
    strategy = TextField()
    details = BinaryJSONField()
    status = TextField()
    sequence = BigIntegerField()
    booked_at = DateTimeTZField()
    realized_pnl = DecimalField()
    revision = BigIntegerField()

    class Meta:
        table_name = "trades"


class Event(Record):
    """An event."""

    event_type = TextField()
    entity = TextField()
    entity_id = BigIntegerField()
    payload = BinaryJSONField()
    actor = TextField()
    correlation_id = TextField()
    occurred_at = DateTimeTZField()

    class Meta:
        table_name = "events"


class Peewee:
    """One transaction for each fill, on the connection of this thread."""

    def __init__(self, url: URL) -> None:
        options: dict[str, Any] = dict(url.query)
        given = {"user": url.username, "password": url.password, "host": url.host, "port": url.port}
        options |= {name: value for name, value in given.items() if value is not None}
        database.init(url.database, **options)
        database.connect()

    def record(self, fill: Fill) -> bool:
        try:
            with database.atomic():
                self._book(fill)
        except IntegrityError:
            return False
        return True

    def _book(self, fill: Fill) -> None:
        here = (Position.account == fill.account) & (Position.symbol == fill.symbol)
        position = Position.select().where(here).for_update().get()
        booked = outcome(fill, position)
        trade = Trade.create(**booked.trade)
        unchanged = here & (Position.id == position.id) & (Position.version == position.version)
        changed = {**booked.position, "version": position.version + 1}
        assert Position.update(changed).where(unchanged).execute() == 1
        Event.create(**booked.event, entity_id=trade.id)

    def close(self) -> None:
        database.close()
