"""What the instruments take: both managers, whose package stands above this one."""

from __future__ import annotations

from typing import Protocol

from tradebook.adapters.watching import Watcher
from tradebook.config import DatabaseConfig
from tradebook.service_layer.health import PoolStatus


class Watchable(Protocol):
    """A manager that can be watched."""

    config: DatabaseConfig

    def watch(self, watcher: Watcher) -> None:
        """Let `watcher` know of every call from now on."""

    def pool_status(self) -> PoolStatus:
        """What the pool of connections is doing now."""
