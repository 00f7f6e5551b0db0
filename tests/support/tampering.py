"""Raw SQL past every guard, as somebody with the database's password could write it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update

from tradebook import DatabaseManager, Event, Seal
from tradebook.adapters import orm
from tradebook.domain.seals import FIRST, Digests

ORDER: dict[str, Any] = {"symbol": "AAPL", "action": "BUY", "quantity": 2}


def a_day(book: Any) -> None:
    """Some of everything that leaves events, sealed in batches of 4, all but the last trade."""
    book.record_cash_flow("DEPOSIT", 1000, reference="wire-1")
    for number in range(6):
        details = {"note": number, "ratio": 1.5} if number else {}
        book.record_trade(**ORDER, price=10 + number, order_id=f"o-{number}", details=details)
    book.record_trade(**ORDER, price=9, order_id="filled", status="PENDING", strategy="s")
    book.execute_trade(order_id="filled", price="8.5", fee=1)
    book.record_trade(**ORDER, price=9, order_id="open", status="PENDING")
    book.correct_trade(order_id="o-1", price=20, reason="misread")
    book.bust_trade(order_id="o-2", reason="not ours")
    alert = book.raise_alert("drawdown", "WARNING", message="down")
    book.resolve_alert(alert.id, "hedged")
    book.seal(batch=4)
    book.record_trade(**ORDER, price=30, order_id="unsealed")


def rows(book: DatabaseManager, table: str, **where: object) -> list[dict[str, Any]]:
    """The rows of the account, by id."""
    target = orm.metadata.tables[table]
    with book.unit_of_work(read_only=True) as uow:
        found = select(target).where(*_conditions(book, table, where)).order_by(target.c.id)
        return [dict(row) for row in uow.session.execute(found).mappings()]


def change(book: DatabaseManager, table: str, values: Mapping[str, Any], **where: object) -> None:
    """Change rows of the account."""
    target = orm.metadata.tables[table]
    statement = update(target).where(*_conditions(book, table, where))
    placed = {name: bindparam(f"new_{name}", type_=target.c[name].type) for name in values}
    new = {f"new_{name}": value for name, value in values.items()}
    _write(book, statement.values(placed), new)


def remove(book: DatabaseManager, table: str, **where: object) -> None:
    """Delete rows of the account."""
    target = orm.metadata.tables[table]
    _write(book, delete(target).where(*_conditions(book, table, where)), None)


def forge(book: DatabaseManager, table: str, row: Mapping[str, Any], **changes: object) -> None:
    """Insert a row like another."""
    _write(book, insert(orm.metadata.tables[table]), {**row, **changes})


def swap(book: DatabaseManager, one: int, other: int) -> None:
    """Give two events each other's contents."""
    first, second = (rows(book, "events", id=id_)[0] for id_ in (one, other))
    for id_, row in ((one, second), (other, first)):
        change(book, "events", {name: row[name] for name in row.keys() - {"id", "account"}}, id=id_)


def reseal(book: DatabaseManager, up_to: int | None = None) -> None:
    """Write the seals anew, all or the first `up_to`, so that they fit the events as they are now."""
    last = FIRST
    for row in rows(book, "seals")[:up_to]:
        with book.unit_of_work(read_only=True) as uow:
            covered: list[Event] = uow.events.found([id_ for id_, _ in row["covered"]])
            prints = Digests.from_events(covered)
        kept = {name: value for name, value in row.items() if name != "seal_hash"}
        new = {"covered": prints.covered, "events_hash": prints.hash, "count": len(covered)}
        forged = Seal(**{**kept, **new, "previous_hash": last})
        last = forged.seal_hash
        change(book, "seals", {**new, "previous_hash": forged.previous_hash, "seal_hash": last},
               id=row["id"])  # fmt: skip


def _conditions(book: DatabaseManager, table: str, where: Mapping[str, object]) -> list[Any]:
    columns = orm.metadata.tables[table].c
    return [columns.account == book.account, *(columns[n] == v for n, v in where.items())]


def _write(book: DatabaseManager, statement: Any, values: Any) -> None:
    with book.unit_of_work() as uow:
        uow.session.connection().execute(statement, values)
        uow.commit()
