"""Django: models of existing tables, `select_for_update`, `create`, `filter().update()`, all in `atomic()`."""

from __future__ import annotations

from typing import Any

import django
from django.conf import settings
from sqlalchemy import URL

from benchmarks.fills import Fill
from benchmarks.peers.outcomes import outcome


class Django:
    """One transaction for each fill, on the connection of this thread."""

    def __init__(self, url: URL) -> None:
        settings.configure(DATABASES={"default": _database(url)}, USE_TZ=True)
        django.setup()
        # Models can be defined once the settings stand, no earlier.
        from benchmarks.peers import django_models

        self.models = django_models

    def record(self, fill: Fill) -> bool:
        from django.db import IntegrityError, transaction

        try:
            with transaction.atomic():
                self._book(fill)
        except IntegrityError:
            return False
        return True

    def _book(self, fill: Fill) -> None:
        positions = self.models.Position.objects.filter(account=fill.account, symbol=fill.symbol)
        position = positions.select_for_update().get()
        booked = outcome(fill, position)
        trade = self.models.Trade.objects.create(**booked.trade)
        changed = {**booked.position, "version": position.version + 1}
        unchanged = positions.filter(id=position.id, version=position.version)
        assert unchanged.update(**changed) == 1
        self.models.Event.objects.create(**booked.event, entity_id=trade.id)

    def close(self) -> None:
        from django.db import connection

        connection.close()


def _database(url: URL) -> dict[str, Any]:
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": url.database,
        "USER": url.username or "",
        "PASSWORD": url.password or "",
        "HOST": url.host or url.query.get("host", ""),
        "PORT": url.port or url.query.get("port", ""),
    }
