"""One trade through every peer, hand-written SQL and `record_trade`, in turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

from sqlalchemy import URL

from benchmarks.comparing import Way, measure, repeated
from benchmarks.fills import new_fill
from benchmarks.hand_written import Psycopg2
from benchmarks.one_trade import order_id, terms
from benchmarks.peers.outcomes import TOTALS, Peer
from benchmarks.peers.with_advanced_alchemy import AdvancedAlchemy
from benchmarks.peers.with_django import Django
from benchmarks.peers.with_peewee import Peewee
from benchmarks.peers.with_sqlalchemy import SqlAlchemy
from benchmarks.peers.with_sqlmodel import SqlModel
from benchmarks.results import Goal, Result, Settings
from tests.support.servers import create_database, postgresql_server
from tradebook import DatabaseManager, Trade
from tradebook.domain.positions import MARK

PEERS: dict[str, Callable[[URL], Peer]] = {
    "SQLAlchemy ORM": SqlAlchemy,
    "Django": Django,
    "peewee": Peewee,
    "SQLModel": SqlModel,
    "advanced-alchemy": AdvancedAlchemy,
}
HAND, OURS = "hand-written psycopg2", "tradebook record_trade"


def results(settings: Settings) -> Iterator[Result]:
    """One client, one symbol for each way; every way ends with the same position."""
    with postgresql_server() as server, ExitStack() as stack:
        url = create_database(server, "peers")
        manager = stack.enter_context(DatabaseManager(url))
        manager.upgrade()
        for name in (HAND, OURS, *PEERS):
            manager.record_trade(**terms(name, 1))
        hand = Psycopg2(url)
        stack.callback(hand.close)
        ways: dict[str, Way] = {
            HAND: repeated(lambda n: hand.record(new_fill("main", HAND, order_id(), n))),
            OURS: repeated(lambda n: manager.record_trade(**terms(OURS, n))),
        }
        peers = {name: peer(url) for name, peer in PEERS.items()}
        for name, peer in peers.items():
            stack.callback(peer.close)
            ways[name] = booking(name, peer)
        times = measure(ways, settings.rounds, settings.calls)
        check(manager, peers)
        best = times.fastest_of(PEERS)
        title = f"one trade, one client; the best of the other libraries is {best}"
        yield times.result(title, {OURS: Goal(2.5)}, base=best)


def booking(name: str, peer: Peer) -> Way:
    """Books fills of a symbol that is named after the peer."""

    def book(number: int) -> None:
        assert peer.record(new_fill("main", name, order_id(), number))

    return repeated(book)


def check(manager: DatabaseManager, peers: dict[str, Peer]) -> None:
    """Every way did all the work: the same totals, trades, events, no fill twice; and the book is proven."""
    for name, peer in peers.items():
        booked = manager.get_trades_by_symbol(name, limit=1)[0]
        again = new_fill("main", name, booked.order_id, 7)
        assert not peer.record(again), f"{name} books a fill twice"
    books = {name: book_of(manager, name) for name in (HAND, OURS, *peers)}
    assert all(book == books[HAND] for book in books.values()), books
    # Only ours keeps the mark of the newest trade.
    wrong = [each for each in manager.verify().differences if each.field not in MARK]
    assert not wrong, wrong[:5]


def book_of(manager: DatabaseManager, symbol: str) -> tuple[object, ...]:
    """Totals, how many trades, what the last events say: all but times, ids and names."""
    position = manager.get_position_by_symbol(symbol)
    assert position is not None
    totals = tuple(getattr(position, name) for name in (*TOTALS, "sequence", "version", "status"))
    told = []
    for trade in manager.get_trades_by_symbol(symbol, limit=20):
        [event] = manager.get_events(entity="Trade", entity_id=trade.id)
        own = {"symbol", "order_id", "executed_at"}
        said = {name: value for name, value in event.payload.items() if name not in own}
        told.append((event.event_type, sorted(said.items())))
    return totals, manager.count(Trade, symbol=symbol), told
