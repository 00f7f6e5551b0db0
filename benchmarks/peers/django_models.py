"""The book's tables as models of Django."""

from __future__ import annotations

from django.db import models


def amount() -> models.DecimalField:
    """With as many digits as the book takes."""
    return models.DecimalField(max_digits=38, decimal_places=18)


class Record(models.Model):
    """What every record has."""

    id = models.BigAutoField(primary_key=True)
    account = models.TextField()
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        abstract = True


class Position(Record):
    """A position."""

    symbol = models.TextField()
    quantity = amount()
    cost_basis = amount()
    realized_pnl = amount()
    fees = amount()
    cash_flow = amount()
    status = models.TextField()
    sequence = models.BigIntegerField()
    version = models.BigIntegerField()

    class Meta:
        app_label = "book"
        db_table = "positions"
        managed = False


class Trade(Record):
    """A trade."""

    symbol = models.TextField()
    venue = models.TextField()
    action = models.TextField()
    quantity = amount()
    price = amount()
    fee = amount()
    currency = models.TextField()
    fee_currency = models.TextField()
    multiplier = amount()
    settlement = models.TextField()
    executed_at = models.DateTimeField()
    order_id = models.TextField()
    execution_id = models.TextField()
    strategy = models.TextField()
    details = models.JSONField()
    status = models.TextField()
    sequence = models.BigIntegerField()
    booked_at = models.DateTimeField()
    realized_pnl = amount()
    revision = models.BigIntegerField()

    class Meta:
        app_label = "book"
        db_table = "trades"
        managed = False


class Event(Record):
    """An event."""

    event_type = models.TextField()
    entity = models.TextField()
    entity_id = models.BigIntegerField()
    payload = models.JSONField()
    actor = models.TextField()
    correlation_id = models.TextField()
    occurred_at = models.DateTimeField()

    class Meta:
        app_label = "book"
        db_table = "events"
        managed = False
