"""`explain` of a trade in a symbol of many trades, next to reading one trade.

`python -m benchmarks --only lineage`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing

from sqlalchemy import URL

from benchmarks.bulk import fills
from benchmarks.comparing import TIME, Way, measure, repeated
from benchmarks.results import Goal, Result, Settings
from tests.support.lineage_story import tell
from tests.support.servers import create_database, postgresql_server
from tradebook import DatabaseManager, Trade

_READ = "reading one trade"
_ALONE = "explain, without a decision"
_WHOLE = "explain, with three decisions"


def results(settings: Settings) -> Iterator[Result]:
    """Explanations of trades in a symbol of many, on SQLite and on PostgreSQL."""
    trades = settings.size(500, 100_000, 1_000_000)
    with tempfile.TemporaryDirectory() as folder:
        yield explained(f"sqlite:///{folder}/book.db", "SQLite", trades, settings)
    with postgresql_server() as server:
        url = create_database(server, "lineage")
        yield explained(url, "PostgreSQL", trades, settings)


def explained(url: str | URL, where: str, trades: int, settings: Settings) -> Result:
    """A trade from the middle, and one of three decisions with signals, inputs, actions and a verdict, in turns."""
    with closing(DatabaseManager(url)) as manager:
        manager.upgrade()
        manager.import_trades({**fill, "symbol": "AAPL"} for fill in fills(trades, 1))
        ids = tell(manager)
        [middle] = (t.id for t in manager.get_order(f"order-{trades // 2}").fills)  # type: ignore[union-attr]
        assert manager.explain(trade=middle).nodes("decision") == []
        assert len(manager.explain(trade=ids["sale"]).nodes("parent")) == 2
        ways: dict[str, Way] = {
            _READ: repeated(lambda _: manager.get(Trade, middle)),
            _ALONE: repeated(lambda _: manager.explain(trade=middle)),
            _WHOLE: repeated(lambda _: manager.explain(trade=ids["sale"])),
        }
        times = measure(ways, settings.rounds, max(1, settings.calls // 4))
    goals = dict.fromkeys((_ALONE, _WHOLE), Goal(15, at_most=True))
    return times.result(
        f"explain a trade in a symbol of {trades:,} trades, {where}", goals, ratio=TIME
    )
