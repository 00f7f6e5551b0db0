"""`verify` finds every value that does not follow from the trades: each is spoilt once, by hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from sqlalchemy import bindparam, update

from tests.support.backends import in_full_runs
from tradebook import DatabaseManager, Settlement
from tradebook.adapters import orm
from tradebook.adapters.unit_of_work import SqlAlchemyUnitOfWork


@pytest.fixture(params=["sqlite", in_full_runs("postgresql")])
def manager(request: pytest.FixtureRequest) -> Iterator[DatabaseManager]:
    name = "sqlite_book" if request.param == "sqlite" else "postgresql_book"
    with DatabaseManager(request.getfixturevalue(name), account=uuid4().hex) as made:
        made.record_cash_flow("DEPOSIT", 1000)
        made.record_cash_flow("DEPOSIT", 10, currency="EUR")
        made.record_trade(symbol="GONE", action="BUY", quantity=1, price=5)
        made.record_trade(symbol="GONE", action="SELL", quantity=1, price=6)
        made.record_trade(symbol="KEPT", action="BUY", quantity=3, price="10.1", fee=1)
        made.take_snapshot(rates={"EUR": "1.1"})
        made.record_trade(symbol="KEPT", action="SELL", quantity=1, price=11)
        made.record_trade(symbol="SAP", action="BUY", quantity=2, price=9, currency="EUR")
        made.take_snapshot(rates={"EUR": "1.2"})
        assert made.verify().proven
        yield made


def spoil(
    manager: DatabaseManager, table: str, column: str, value: object, **where: object
) -> None:
    target = orm.metadata.tables[table]
    with manager.unit_of_work() as uow:
        assert isinstance(uow, SqlAlchemyUnitOfWork)
        conditions = [target.c[name] == wanted for name, wanted in where.items()]
        uow.session.execute(
            update(target)
            .where(target.c.account == manager.account, *conditions)
            .values({column: bindparam("spoilt", type_=target.c[column].type)}),
            {"spoilt": value},
        )
        uow.commit()


POSITION = [
    ("quantity", Decimal(7)),
    ("cost_basis", Decimal("20.3")),
    ("realized_pnl", Decimal("1e-18")),
    ("fees", Decimal(2)),
    ("cash_flow", Decimal(0)),
    ("sequence", 3),
    ("status", "CLOSED"),
    ("opened_at", None),
    ("currency", "EUR"),
    ("multiplier", Decimal(2)),
    ("settlement", Settlement.MARGINED),
    ("current_price", Decimal("10.1")),
    ("marked_at", datetime(2026, 1, 1, tzinfo=UTC)),
]


@pytest.mark.parametrize(("column", "value"), POSITION)
def test_a_spoilt_position_is_reported_with_both_values(
    manager: DatabaseManager, column: str, value: object
) -> None:
    spoil(manager, "positions", column, value, symbol="KEPT")
    found = manager.verify()
    assert not found.proven
    [difference] = [d for d in found.differences if (d.entity, d.field) == ("Position", column)]
    assert difference.key == "KEPT"
    assert difference.stored != difference.computed


def test_a_mark_that_does_not_follow_from_the_trades_is_repaired(manager: DatabaseManager) -> None:
    def stored() -> object:
        position = manager.get_position_by_symbol("KEPT")
        assert position is not None
        return position.last_mark

    right = stored()
    assert right[::2] == (11, "TRADE")  # type: ignore[index]
    spoil(manager, "positions", "mark_source", "QUOTE", symbol="KEPT")
    spoil(manager, "positions", "current_price", Decimal(12), symbol="KEPT")
    assert manager.verify().proven  # a quote as new as the trade
    spoil(manager, "positions", "marked_at", datetime(2026, 1, 1, tzinfo=UTC), symbol="KEPT")
    fields = {(d.key, d.field) for d in manager.verify().differences}
    assert fields == {("KEPT", name) for name in ("current_price", "marked_at", "mark_source")}
    assert manager.rebuild().positions == ("KEPT",)
    assert stored() == right
    assert manager.verify().proven


def test_a_mark_of_an_older_book_is_kept_until_a_newer_price(manager: DatabaseManager) -> None:
    old = datetime(2026, 1, 1, tzinfo=UTC)
    for column, value in {
        "mark_source": None,
        "marked_at": old,
        "current_price": Decimal(7),
    }.items():
        spoil(manager, "positions", column, value, symbol="KEPT")
    assert manager.verify().proven
    assert manager.rebuild().positions == ()
    bust = manager.record_trade(symbol="KEPT", action="BUY", quantity=1, price=12, executed_at=old)
    position = manager.get_position_by_symbol("KEPT")
    assert position is not None
    assert position.last_mark == (7, old, None)
    manager.bust_trade(trade_id=bust.id, reason="r")
    manager.record_trade(
        symbol="KEPT", action="BUY", quantity=1, price=13, executed_at=old + timedelta(1)
    )
    position = manager.get_position_by_symbol("KEPT")
    assert position is not None
    assert (position.current_price, position.mark_source) == (13, "TRADE")


TRADE = [("realized_pnl", Decimal(1)), ("price", Decimal(4)), ("quantity", Decimal(2))]


@pytest.mark.parametrize(("column", "value"), [*TRADE, ("fee", Decimal(2)), ("action", "SELL")])
def test_a_spoilt_trade_is_reported(manager: DatabaseManager, column: str, value: object) -> None:
    spoil(manager, "trades", column, value, symbol="KEPT", sequence=1)
    assert not manager.verify().proven


CONSTANTS = [("currency", "EUR"), ("multiplier", Decimal(2)), ("settlement", Settlement.MARGINED)]


@pytest.mark.parametrize(("column", "value"), [*CONSTANTS, ("realized_pnl", Decimal("1e-18"))])
def test_a_later_trade_that_is_not_of_its_symbol_is_named(
    manager: DatabaseManager, column: str, value: object
) -> None:
    [trade] = [t for t in manager.get_trades(symbol="KEPT") if t.sequence == 2]
    spoil(manager, "trades", column, value, symbol="KEPT", sequence=2)
    key = f"KEPT {trade.order_id}"
    found = {(d.entity, d.key, d.field) for d in manager.verify().differences}
    assert ("Trade", key, column) in found


def test_a_trade_missing_from_the_sequence_is_reported(manager: DatabaseManager) -> None:
    spoil(manager, "trades", "symbol", "STOLEN", symbol="KEPT", sequence=2)
    found = {(d.entity, d.field) for d in manager.verify().differences}
    assert ("Position", "sequence") in found
    assert ("Account", "booked trades") in found


def test_a_gap_in_the_sequence_is_reported_where_the_position_has_it_too(
    manager: DatabaseManager,
) -> None:
    spoil(manager, "trades", "sequence", 5, symbol="SAP", sequence=1)
    spoil(manager, "positions", "sequence", 5, symbol="SAP")
    spoil(manager, "portfolio_positions", "sequence", 5, symbol="SAP")
    [difference] = [d for d in manager.verify().differences if d.entity == "Trade"]
    assert difference.field == "sequence"
    assert (difference.stored, difference.computed) == ("5", "1")


PORTFOLIO = ["cash_balance", "positions_value", "total_value", "gross_exposure", "net_exposure"]
PORTFOLIO += ["realized_pnl", "unrealized_pnl", "fees", "external_flows", "income"]


@pytest.mark.parametrize("column", PORTFOLIO)
def test_a_spoilt_snapshot_is_reported(manager: DatabaseManager, column: str) -> None:
    latest = manager.get_latest_portfolio()
    assert latest is not None
    spoil(manager, "portfolios", column, Decimal("0.5"), id=latest.id)
    assert {d.entity for d in manager.verify().differences} == {"Portfolio"}


ROW = ["quantity", "cost_basis", "market_value", "unrealized_pnl", "realized_pnl", "fees"]


@pytest.mark.parametrize("column", [*ROW, "cash_flow", "current_price", "multiplier"])
def test_a_spoilt_position_of_a_snapshot_is_reported(manager: DatabaseManager, column: str) -> None:
    spoil(manager, "portfolio_positions", column, Decimal("0.5"), symbol="KEPT")
    assert "PortfolioPosition" in {d.entity for d in manager.verify().differences}


def test_a_snapshot_of_trades_that_are_not_there_is_reported(manager: DatabaseManager) -> None:
    spoil(manager, "portfolio_positions", "sequence", 99, symbol="KEPT")
    fields = {d.field for d in manager.verify().differences}
    assert "sequence of KEPT" in fields
    spoil(manager, "portfolios", "closed_sequences", {"GONE": 1})
    assert "quantity of GONE" in {d.field for d in manager.verify().differences}


def test_progress_is_told_up_to_the_last_trade(manager: DatabaseManager) -> None:
    told: list[tuple[int, int]] = []
    manager.verify(progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (5, 5)
    assert told == sorted(told)


@pytest.mark.parametrize(
    ("column", "value"),
    [("amount", Decimal(-9)), ("kind", "TAX"), ("symbol", "SAP"), ("busts_id", 10**9)],
)
def test_a_spoilt_reversal_of_a_cash_flow_is_reported(
    manager: DatabaseManager, column: str, value: object
) -> None:
    manager.record_cash_flow("DEPOSIT", 10, reference="wrong")
    reversal = manager.bust_cash_flow("wrong", reason="not ours")
    assert manager.verify().proven
    spoil(manager, "cash_flows", column, value, id=reversal.id)
    [difference] = manager.verify().differences
    assert (difference.entity, difference.key) == ("CashFlow", str(reversal.id))
    assert (difference.field, difference.stored) == (column, str(value))
