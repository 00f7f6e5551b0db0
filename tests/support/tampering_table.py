"""Every kind of tampering that the schema allows, made from it by a program, and what finds it.

`python -m tests.support.tampering_table` writes `docs/tampering.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from attrs import frozen
from sqlalchemy import BigInteger, Boolean, Integer, Table, delete, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from tradebook import DatabaseManager, ImportSource, Portfolio
from tradebook.adapters import orm
from tradebook.adapters.types import EnumText, ExactDecimal, Json, UtcDateTime
from tradebook.domain.errors import TradebookError
from tradebook.service_layer.verification.seal_check import check_seals
from tradebook.service_layer.verification.verify import verify

PAGE: Final = Path(__file__).parents[2] / "docs" / "tampering.md"
NOON: Final = datetime(2026, 3, 2, 12, tzinfo=UTC)
Row = dict[str, Any]


def fill(book: DatabaseManager) -> None:
    """Record some of everything in an account, all of it sealed."""
    book.record_cash_flow("DEPOSIT", 1000, reference="wire")
    book.record_cash_flow("DIVIDEND", 5, symbol="AAPL", reference="dividend")
    book.record_cash_flow("FEE", -3, reference="wrong")
    book.bust_cash_flow("wrong", reason="not ours")
    signal = book.record_signal("AAPL", "BUY", reference="s", details={"rsi": 20}, strategy="m")
    book.record_signal("AAPL", "SELL", reference="unused")
    terms = {"agent": "bot", "symbol": "AAPL", "action": "BUY"}
    decision = book.record_decision(
        **terms,
        signals=[signal.id],
        reference="d",
        reasoning="cheap " * 99,
        inputs={"a": 1},
        dated_inputs=[{"name": "close", "value": [1]}],
    )
    book.record_decision(**terms, reference="open")
    book.record_action("bot", "tool_call", input={"q": 1}, output=[2], decision_id=decision.id)
    trade = {"symbol": "AAPL", "action": "BUY", "quantity": 10}
    book.record_trade(**trade, price=10, order_id="booked", decision_id=decision.id, fee=1)
    book.record_trade(**trade, price=11, order_id="busted", details={"note": 1}, venue="XNYS")
    book.bust_trade(order_id="busted", reason="not ours")
    book.record_trade(**trade, price=9, order_id="filled", status="PENDING")
    book.execute_trade(order_id="filled", price=9)
    book.record_trade(**trade, price=9, order_id="pending", status="PENDING", strategy="m")
    book.record_trade(symbol="ETH/USDT", action="BUY", quantity=1, price=8, order_id="crypto",
                      currency="USDT", fee=1, fee_currency="BNB")  # fmt: skip
    book.mark_prices({"ETH/USDT": 9})
    book.take_snapshot(rates={"USDT": 1, "BNB": 2})
    book.create(Portfolio(cash_balance=Decimal(1), total_value=Decimal(1), timestamp=NOON))
    alert = book.raise_alert("drawdown", "WARNING", message="down", dedup_key="k", symbol="AAPL")
    book.resolve_alert(alert.id, "hedged")
    book.raise_alert("open", "INFO", message="look")
    book.record_metric("sharpe", 1, period_start=NOON, period_end=NOON, parameters={"n": 1})
    imported = [{**trade, "symbol": "MSFT", "price": 7, "order_id": "imported"}]
    book.import_trades(imported, source=ImportSource("f.csv", "d"))
    undone = book.import_trades([{**imported[0], "order_id": "undone"}], source="g.csv")
    assert undone.import_id is not None
    book.undo_import(undone.import_id, reason="not ours")
    book.seal(batch=7)


@frozen
class Tampering:
    """One kind of tampering with a row.

    Attributes:
        table: the name of the table.
        row: which row, in words; `""` where the table has one kind of rows.
        what: what is done to it.
        apply: does it, given a function that executes a statement.
    """

    table: str
    row: str
    what: str
    apply: Callable[[Callable[[Any], Any]], object]

    @property
    def name(self) -> tuple[str, str, str]:
        """The first three cells of its line in the table."""
        return self.table, self.row, self.what


ROWS: Final[Mapping[str, Mapping[str, Mapping[str, Any]]]] = {
    "trades": {
        "booked": {"order_id": "booked"},
        "busted": {"order_id": "busted"},
        "pending": {"order_id": "pending"},
    },
    "positions": {"mark of a trade": {"symbol": "AAPL"}, "quoted mark": {"symbol": "ETH/USDT"}},
    "portfolios": {"of the book": {"source": "book"}, "external": {"source": "external"}},
    "cash_flows": {"": {"reference": "dividend"}},
    "alerts": {"resolved": {"alert_type": "drawdown"}, "open": {"alert_type": "open"}},
    "agent_decisions": {"executed": {"reference": "d"}, "proposed": {"reference": "open"}},
    "events": {"": {"event_type": "AlertResolved"}},
    "seals": {"first": {"number": 1}, "last": {"number": 4}},
    "signals": {"": {"reference": "s"}},
    "imports": {"finished": {"source": "f.csv"}, "undone": {"source": "g.csv"}},
}
"""The rows that are tampered with, by table and by their kind; of other tables the first row."""


def tamperings(book: DatabaseManager, other: str) -> Iterator[Tampering]:
    """Yield every tampering with the rows of a book that `fill` filled.

    Args:
        book: the book.
        other: the name of another account, to which rows are moved.
    """
    for table in orm.metadata.sorted_tables:
        for kind, where in ROWS.get(table.name, {"": {}}).items():
            row = _row(book, table, where)
            yield from _of_row(table, kind, row, other)
    yield from _alike(book)


def _row(book: DatabaseManager, table: Table, where: Mapping[str, Any]) -> Row:
    wanted = [table.c.account == book.account, *(table.c[n] == v for n, v in where.items())]
    with book.unit_of_work(read_only=True) as uow:
        found = select(table).where(*wanted).order_by(*table.primary_key.columns).limit(1)
        return dict(uow.session.connection().execute(found).mappings().one())


def _of_row(table: Table, kind: str, row: Row, other: str) -> Iterator[Tampering]:
    key = [column == row[column.name] for column in table.primary_key.columns]
    for column in table.columns:
        changed = update(table).where(*key).values({column.name: _another(column, row, other)})
        what = "moved to another account" if column.name == "account" else f"{column.name} changed"
        yield Tampering(table.name, kind, what, _does(changed))
    yield Tampering(table.name, kind, "deleted", _does(delete(table).where(*key)))
    new = _like(table, row)
    if table.name == "events":
        among = insert(table).values({**new, "id": -row["id"]})
        yield Tampering(table.name, kind, "inserted among sealed ones", _does(among))
        del new["id"]  # the database gives the next one
        after = _does(insert(table).values(new))
        yield Tampering(table.name, kind, "inserted after the last seal", after)
    else:
        yield Tampering(table.name, kind, "inserted", _does(insert(table).values(new)))


def _does(*statements: Any) -> Callable[[Callable[[Any], Any]], object]:
    return lambda execute: [execute(statement) for statement in statements]


def _another(column: Any, row: Row, other: str) -> Any:
    """Another value for a column, of its type."""
    value, kind = row[column.name], column.type
    if column.name == "account":
        return other
    if isinstance(kind, Json):
        return {"tampered": 1}
    if isinstance(kind, ExactDecimal):
        return (value or Decimal(0)) + 1
    if isinstance(kind, UtcDateTime):
        return (value or NOON) - timedelta(seconds=1)
    if isinstance(kind, Boolean):
        return not value
    if isinstance(kind, EnumText):
        return next(m for m in kind.kind if m != value)
    if isinstance(kind, BigInteger | Integer):
        return (value or 0) + 1_000_000
    return f"{value or ''}x"


def _like(table: Table, row: Row) -> Row:
    """A new row like another, with identities of its own."""
    new = dict(row)
    if "id" in new:
        new["id"] += 1_000_000
    for name in ("reference", "order_id", "number", "sequence", "bust_sequence", "corrects_id"):
        if isinstance(new.get(name), int):
            new[name] += 1_000_000
        elif new.get(name) is not None:
            new[name] += "x"
    if table.name in ("positions", "portfolio_positions"):
        new["symbol"] += "x"
    if table.name == "decision_signals":
        new["signal_id"] += 1
    return new


def _alike(book: DatabaseManager) -> Iterator[Tampering]:
    """Yield changes of several fields or rows that agree with each other."""
    tables = orm.metadata.tables
    flows, snapshots, alerts = (tables[n] for n in ("cash_flows", "portfolios", "alerts"))
    events, trades, seals = (tables[n] for n in ("events", "trades", "seals"))
    mine = {
        table: table.c.account == book.account
        for table in (flows, snapshots, alerts, events, trades, seals)
    }
    deposit = _row(book, flows, {"reference": "wire"})
    dividend = _row(book, flows, {"reference": "dividend"})
    snapshot = _row(book, snapshots, {"source": "book"})
    booked, filled = (_row(book, trades, {"order_id": name}) for name in ("booked", "filled"))
    opened = _row(book, alerts, {"alert_type": "open"})
    more = Decimal(100)

    def set_(table: Table, row: Row, **values: Any) -> Any:
        return update(table).where(mine[table], table.c.id == row["id"]).values(values)

    cash = {
        name: snapshot[name] + more for name in ("external_flows", "cash_balance", "total_value")
    }
    yield Tampering("portfolios", "of the book", "deposits, cash and value changed alike",
                    _does(set_(snapshots, snapshot, **cash)))  # fmt: skip
    yield Tampering("cash_flows", "", "an amount and its snapshot changed alike", _does(
        set_(flows, deposit, amount=deposit["amount"] + more), set_(snapshots, snapshot, **cash)
    ))  # fmt: skip
    yield Tampering("cash_flows", "", "the amounts of two swapped", _does(
        set_(flows, deposit, amount=dividend["amount"]), set_(flows, dividend, amount=deposit["amount"])
    ))  # fmt: skip
    yield Tampering("cash_flows", "", "two deleted that add up to nothing", _does(
        delete(flows).where(mine[flows], flows.c.busts_id.is_not(None)),
        delete(flows).where(mine[flows], flows.c.reference == "wrong"),
    ))  # fmt: skip
    yield Tampering("alerts", "open", "resolved in silence", _does(
        set_(alerts, opened, resolved=True, resolved_at=NOON, resolution="fine", resolved_by="bob")
    ))  # fmt: skip
    yield Tampering("trades", "booked", "the terms of two swapped", _does(
        set_(trades, booked, price=filled["price"], fee=filled["fee"]),
        set_(trades, filled, price=booked["price"], fee=booked["fee"]),
    ))  # fmt: skip
    recorded = _row(book, events, {"event_type": "CashFlowRecorded"})
    payload = {**recorded["payload"], "amount": "1100"}
    payload["evidence"] = {**payload["evidence"]}
    payload["evidence"]["record"] = {**payload["evidence"]["record"], "amount": "1100"}
    yield Tampering("cash_flows", "", "an amount and its sealed event changed alike", _does(
        set_(flows, deposit, amount=Decimal(1100)), set_(events, recorded, payload=payload)
    ))  # fmt: skip
    yield Tampering("events", "", "deleted with its record", _does(
        delete(events).where(mine[events], events.c.entity == "PerformanceMetric"),
        delete(tables["performance_metrics"]).where(
            tables["performance_metrics"].c.account == book.account),
    ))  # fmt: skip
    yield Tampering("seals", "last", "all seals deleted", _does(delete(seals).where(mine[seals])))


@frozen
class Outcome:
    """What finds a tampering.

    Attributes:
        verify: whether `verify` does.
        audit_check: whether `audit check` does, with the seals that a witness or an exported file has.
        refused: whether the constraints of the database refuse it; `verify --schema` finds that they are gone.
    """

    verify: bool = False
    audit_check: bool = False
    refused: bool = False

    @property
    def is_found(self) -> bool:
        """Whether anything shows the tampering."""
        return self.verify or self.audit_check or self.refused


def outcome(book: DatabaseManager, tampering: Tampering, kept: Any) -> Outcome:
    """Tamper inside a transaction, look, and roll back."""
    with book.unit_of_work() as uow:
        connection = uow.session.connection()
        # As somebody can who does not care for foreign keys.
        is_sqlite = connection.dialect.name == "sqlite"
        keys = (
            "PRAGMA defer_foreign_keys = ON"
            if is_sqlite
            else "SET LOCAL session_replication_role = replica"
        )
        connection.execute(text(keys))
        try:
            with connection.begin_nested():
                tampering.apply(connection.execute)
        except IntegrityError:
            uow.rollback()
            return Outcome(refused=True)
        found = Outcome(
            verify=_finds(lambda: verify(uow).proven),
            audit_check=_finds(lambda: check_seals(uow, kept).sound),
        )
        uow.rollback()
    return found


def _finds(is_sound: Callable[[], bool]) -> bool:
    try:
        return not is_sound()
    except TradebookError:  # a value that cannot be read is named too
        return True


def outcomes(
    book: DatabaseManager, other: DatabaseManager, step: int = 1
) -> dict[tuple[str, str, str], Outcome | None]:
    """Fill a book, try each `step`th tampering with it, and return what finds each, by its name; None if not tried."""
    other.record_cash_flow("DEPOSIT", 1, reference="elsewhere")
    fill(book)
    assert verify_both(book)
    kept = book.export_seals()
    every = {each.name: each for each in tamperings(book, other.account)}
    found = {
        name: None if number % step else outcome(book, each, kept)
        for number, (name, each) in enumerate(every.items())
    }
    assert verify_both(book)  # each was rolled back
    return found


def verify_both(book: DatabaseManager) -> bool:
    """Return whether the book is proven and nothing in it was tampered with."""
    return book.verify().proven and book.check_seals().sound


def lines(found: Mapping[tuple[str, str, str], Outcome | None]) -> Iterator[str]:
    """Yield the lines of the page."""
    yield "# What finds each kind of tampering"
    yield ""
    yield f"{len(found)} kinds, made by a program from the tables of the book and tried on SQLite and PostgreSQL."
    yield "`audit check` is given the seals that a witness or an exported file has. Where the database refuses a"
    yield "change, `verify --schema` finds that its constraint is gone. [Audit](audit.md) says why nothing finds the"
    yield "few that have no mark. `python -m tests.support.tampering_table` writes this page; a test compares it."
    yield ""
    yield "| table | row | tampering | `verify` | `audit check` | the database |"
    yield "|---|---|---|---|---|---|"
    for name, each in found.items():
        yield line(name, each or Outcome())


def line(name: tuple[str, str, str], found: Outcome) -> str:
    """Return the line of one tampering."""
    cells = ("found" if is_so else "" for is_so in (found.verify, found.audit_check))
    return f"| {' | '.join((*name, *cells, 'refuses it' if found.refused else ''))} |"


def write_page(url: str) -> None:
    """Write the page, from a new database."""
    with DatabaseManager(url, "tampered") as book, DatabaseManager(url, "other") as other:
        page = "\n".join(lines(outcomes(book, other)))
    PAGE.write_text(f"{page}\n", encoding="utf-8")


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        write_page(f"sqlite:///{folder}/book.db")
