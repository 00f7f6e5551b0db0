"""The guard of every session: what only handlers may do is refused, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar
from uuid import uuid4

import pytest
from attrs import evolve, frozen
from sqlalchemy import (
    URL,
    Column,
    Engine,
    Integer,
    Table,
    Text,
    create_engine,
    delete,
    event,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, registry, sessionmaker
from sqlalchemy.orm.exc import StaleDataError

from tradebook import (
    Account,
    AgentAction,
    AgentDecision,
    Alert,
    CashFlow,
    DatabaseManager,
    Event,
    InvalidInput,
    InvalidTransition,
    PerformanceMetric,
    Portfolio,
    PortfolioPosition,
    Position,
    PositionStatus,
    Signal,
    Trade,
    TradeStatus,
    handlers,
    metadata,
)
from tradebook.adapters import orm
from tradebook.adapters.sessions import write_guard
from tradebook.adapters.sessions.write_guard import GuardedSession
from tradebook.adapters.unit_of_work import SqlAlchemyUnitOfWork
from tradebook.domain.entity import Entity
from tradebook.domain.trades import OrderKey

E = TypeVar("E", bound=Entity)
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@frozen
class Hands:
    """A book with a record of each kind, and sessions on its database."""

    manager: DatabaseManager
    engine: Engine
    new_session: Callable[[], Session]

    @property
    def account(self) -> str:
        return self.manager.account

    def one(self, session: Session, kind: type[E], **equal: object) -> E:
        """A record of the book."""
        columns = kind.__table__.c  # type: ignore[attr-defined]
        wanted = [columns[name] == value for name, value in equal.items()]
        statement = select(kind).where(columns.account == self.account, *wanted)
        return session.scalars(statement.limit(1)).one()

    def work(self, act: Callable[[Session], object]) -> None:
        """Do something in a session, and commit it."""
        with self.new_session() as session:
            act(session)
            session.commit()

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """Everything that is stored of the account."""
        with self.engine.connect() as connection:
            return {
                table.name: sorted(
                    map(tuple, connection.execute(select(table).filter_by(account=self.account))),
                    key=repr,
                )
                for table in metadata.sorted_tables
            }


def own_engine(manager: DatabaseManager) -> Engine:
    with manager.unit_of_work() as uow:
        assert isinstance(uow, SqlAlchemyUnitOfWork)
        engine = uow.session.get_bind()
        assert isinstance(engine, Engine)
        return engine


@pytest.fixture(
    params=[
        ("sqlite-memory", GuardedSession),
        ("sqlite-file", GuardedSession),
        ("postgresql", GuardedSession),
        ("sqlite-file", Session),
        ("postgresql", Session),
    ],
    ids=lambda param: f"{param[0]}-{param[1].__name__}",
)
def hands(request: pytest.FixtureRequest) -> Iterator[Hands]:
    """Sessions that the package makes, and sessions that an application makes without it."""
    names = {"sqlite-file": "sqlite_url", "postgresql": "postgresql_book"}
    database, kind = request.param
    name = names.get(database)
    url = request.getfixturevalue(name) if name else "sqlite://"
    with DatabaseManager(url, account=uuid4().hex) as manager:
        engine = own_engine(manager)
        yield Hands(manager, engine, sessionmaker(engine, class_=kind))


@pytest.fixture
def book(hands: Hands) -> Hands:
    manager = hands.manager
    manager.record_cash_flow("DEPOSIT", 1000)
    signal = manager.record_signal("X", "BUY")
    decision = manager.record_decision("bot", "X", "BUY", signals=[signal.id])
    manager.record_trade(
        symbol="X", action="BUY", quantity=2, price=10, order_id="done", decision_id=decision.id
    )
    manager.record_trade(
        symbol="X", action="SELL", quantity=1, price=11, order_id="open", status="PENDING"
    )
    manager.record_action("bot", "think")
    manager.record_metric("sharpe", 1, period_start=NOON, period_end=NOON)
    manager.raise_alert("a", "INFO")
    manager.take_snapshot()
    return hands


def new_trade(book: Hands, **fields: Any) -> Trade:
    terms = {"symbol": "X", "action": "BUY", "quantity": 100, "price": 150.00, **fields}
    return Trade(account=book.account, **terms)


def new_snapshot(book: Hands, **fields: Any) -> Portfolio:
    return Portfolio(account=book.account, cash_balance=1, total_value=1, timestamp=NOON, **fields)


def new_row(book: Hands) -> PortfolioPosition:
    amounts = dict.fromkeys(
        [
            "quantity",
            "cost_basis",
            "current_price",
            "market_value",
            "unrealized_pnl",
            "realized_pnl",
            "fees",
            "cash_flow",
        ],
        1,
    )
    return PortfolioPosition(
        account=book.account,
        portfolio_id=book.manager.get_latest_portfolio().id,  # type: ignore[union-attr]
        symbol="Y",
        currency="USD",
        multiplier=1,
        settlement="CASH",
        sequence=1,
        **amounts,
    )


NEW: dict[str, tuple[Callable[[Hands], Entity], str, str]] = {
    "executed trade": (lambda b: new_trade(b, status="EXECUTED"), "status", "record_trade"),
    "busted trade": (lambda b: new_trade(b, status="BUSTED"), "status", "record_trade"),
    "trade with a sequence": (lambda b: new_trade(b, sequence=2), "sequence", "record_trade"),
    "booked trade": (lambda b: new_trade(b, booked_at=NOON), "booked_at", "record_trade"),
    "trade that earned": (lambda b: new_trade(b, realized_pnl=5), "realized_pnl", "record_trade"),
    "bust": (lambda b: new_trade(b, busted_at=NOON), "busted_at", "record_trade"),
    "bust reason": (lambda b: new_trade(b, bust_reason="?"), "bust_reason", "record_trade"),
    "revision": (lambda b: new_trade(b, revision=1), "revision", "record_trade"),
    "correction": (lambda b: new_trade(b, corrects_id=1), "corrects_id", "record_trade"),
    "trade with an id": (lambda b: new_trade(b, id=10**9), "id", "gives ids"),
    "book's snapshot": (lambda b: new_snapshot(b, source="book"), "source", "take_snapshot"),
    "row of a snapshot": (new_row, "portfolio_id", "take_snapshot"),
}
POSITION = {
    "quantity": 100,
    "cost_basis": 1,
    "realized_pnl": 1,
    "fees": 1,
    "cash_flow": 1,
    "sequence": 1,
    "version": 1,
    "status": "OPEN",
    "opened_at": NOON,
    "closed_at": NOON,
}


@pytest.mark.parametrize("name", NEW)
def test_a_new_record_that_only_a_handler_makes_is_refused(book: Hands, name: str) -> None:
    make, field, advice = NEW[name]
    before = book.rows()
    together = [new_trade(book, order_id="innocent, and refused with the other"), make(book)]
    with pytest.raises(InvalidInput, match=advice) as refused:
        book.work(lambda session: session.add_all(together))
    assert refused.value.field == field
    assert book.rows() == before


@pytest.mark.parametrize("field", POSITION)
def test_a_position_is_not_built_with_what_trades_make(hands: Hands, field: str) -> None:
    before = hands.rows()
    values: dict[str, Any] = {"account": hands.account, "symbol": "X", field: POSITION[field]}
    together = [new_trade(hands), Position(**values)]
    with pytest.raises(InvalidInput, match="record_trade") as no:
        hands.work(lambda session: session.add_all(together))
    assert no.value.field == field
    assert hands.rows() == before


def test_the_pair_of_a_pending_trade_and_a_flat_position_commits_and_trades_on(
    hands: Hands,
) -> None:
    with hands.new_session() as session:
        trade = new_trade(hands, order_id="o")
        session.add_all([trade, Position(account=hands.account, symbol="X", current_price=150)])
        session.commit()
        assert (trade.status, trade.sequence) == (TradeStatus.PENDING, None)
    assert hands.manager.verify().proven
    hands.manager.execute_trade(order_id="o")
    [position] = hands.manager.get_positions()
    assert (position.quantity, position.version) == (100, 1)
    assert hands.manager.verify().proven


def test_records_that_move_nothing_are_added_by_hand(book: Hands) -> None:
    account = book.account
    kept: list[Entity] = [
        new_snapshot(book),
        new_trade(book, status="CANCELLED"),
        new_trade(book, status="REJECTED"),
        AgentDecision(account=account, agent="a", symbol="X", action="BUY"),
        Alert(account=account, alert_type="a", severity="INFO"),
        Signal(account=account, symbol="X", action="BUY"),
        AgentAction(account=account, agent="a", action_type="t"),
        PerformanceMetric(account=account, name="n", value=1, period_start=NOON, period_end=NOON),
        CashFlow(account=account, kind="DEPOSIT", amount=5, reference="by hand"),
        Event(account=account, event_type="Noted", entity="Trade", entity_id=1, occurred_at=NOON),
    ]
    with book.new_session() as session:
        session.add_all(kept)
        session.commit()
        assert all(entity.id for entity in kept)
    assert book.manager.verify().proven
    book.manager.take_snapshot()
    assert book.manager.verify().proven


def change(kind: type[Entity], field: str, value: object, **equal: object) -> Any:
    def changed(book: Hands, session: Session) -> None:
        setattr(book.one(session, kind, **equal), field, value)

    return changed


def unfrozen(book: Hands, session: Session) -> None:
    trade = book.one(session, Trade, order_id="done")
    trade.status = TradeStatus.PENDING
    trade.price = Decimal(1)
    trade.status = TradeStatus.EXECUTED


def removal(kind: type[Entity], **equal: object) -> Any:
    return lambda book, session: session.delete(book.one(session, kind, **equal))


def evidence(book: Hands, session: Session) -> None:
    decision = book.one(session, AgentDecision)
    session.refresh(decision, ["signals"])
    decision.signals = [Signal(account=book.account, symbol="X", action="SELL")]


CHANGES = {
    "execute": (change(Trade, "status", "EXECUTED", order_id="open"), "execute_trade"),
    "bust": (change(Trade, "status", "BUSTED", order_id="open"), "execute_trade"),
    "sequence": (change(Trade, "sequence", 9, order_id="open"), "record_trade"),
    "earn": (change(Trade, "realized_pnl", 9, order_id="open"), "record_trade"),
    "revise": (change(Trade, "revision", 9, order_id="open"), "record_trade"),
    "who busted": (change(Trade, "busted_by", "me", order_id="open"), "record_trade"),
    "bust entry": (change(Trade, "bust_sequence", 9, order_id="open"), "record_trade"),
    "date": (change(Trade, "created_at", NOON, order_id="open"), "created_at cannot change"),
    "move": (change(Trade, "account", "other", order_id="open"), "account cannot change"),
    "booked status": (change(Trade, "status", "PENDING", order_id="done"), "bust_trade"),
    "booked strategy": (change(Trade, "strategy", "s", order_id="done"), "bust_trade"),
    "booked details": (change(Trade, "details", {"a": 1}, order_id="done"), "bust_trade"),
    "booked time": (change(Trade, "booked_at", NOON, order_id="done"), "bust_trade"),
    "booked terms": (unfrozen, "bust_trade"),
    "quantity": (change(Position, "quantity", 9), "record_trade"),
    "version": (change(Position, "version", 9), "record_trade"),
    "close": (change(Position, "status", "CLOSED"), "record_trade"),
    "symbol": (change(Position, "symbol", "Z"), "record_trade"),
    "booking time": (change(Position, "updated_at", NOON), "updated_at cannot change"),
    "event": (change(Event, "entity_id", 9), "audit trail"),
    "snapshot": (change(Portfolio, "created_at", NOON), "take_snapshot"),
    "snapshot row": (change(PortfolioPosition, "portfolio_id", 9), "take_snapshot"),
    "cash flow": (change(CashFlow, "created_at", NOON), "record_cash_flow"),
    "signal": (change(Signal, "created_at", NOON), "record_signal"),
    "account": (change(Account, "created_at", NOON), "base currency"),
    "metric": (change(PerformanceMetric, "updated_at", NOON), "record_metric"),
    "action": (change(AgentAction, "created_at", NOON), "record_action"),
    "evidence": (evidence, "record_decision"),
    "delete a booked trade": (removal(Trade, order_id="done"), "bust_trade"),
    "delete a position": (removal(Position), "record_trade"),
    "delete an account": (removal(Account), "base currency"),
    "delete an event": (removal(Event), "audit trail"),
    "delete a snapshot": (removal(Portfolio), "take_snapshot"),
    "delete a row of one": (removal(PortfolioPosition), "take_snapshot"),
    "delete a cash flow": (removal(CashFlow), "record_cash_flow"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_only_a_handler_changes_is_refused(book: Hands, name: str) -> None:
    act, advice = CHANGES[name]
    before = book.rows()

    def innocent_too(session: Session) -> None:
        book.one(session, Alert).message = "innocent, and refused with the other"
        act(book, session)

    with pytest.raises(InvalidTransition, match=advice):
        book.work(innocent_too)
    assert book.rows() == before
    assert book.manager.verify().proven


@pytest.mark.parametrize("name", ["execute", "booked strategy", "quantity"])
def test_it_is_refused_when_the_record_had_expired(book: Hands, name: str) -> None:
    act, advice = CHANGES[name]
    before = book.rows()
    with book.new_session() as session:
        seen = [*session.scalars(select(Trade)), *session.scalars(select(Position))]
        session.commit()
        assert seen
        act(book, session)
        with pytest.raises(InvalidTransition, match=advice):
            session.commit()
    assert book.rows() == before


def test_an_open_position_may_be_told_that_it_is_open(book: Hands) -> None:
    before = book.rows()
    with book.new_session() as session:
        position = book.one(session, Position)
        position.status = PositionStatus.OPEN
        assert position.status == "OPEN"
        session.commit()  # expires what was read
        position.status = PositionStatus.OPEN
        session.commit()
    assert book.rows() == before


def test_a_pending_trade_may_be_changed_cancelled_and_deleted(book: Hands) -> None:
    with book.new_session() as session:
        trade = book.one(session, Trade, order_id="open")
        trade.price, trade.strategy = Decimal(12), "s"
        session.commit()
        trade.status = TradeStatus.CANCELLED
        session.commit()
        trade.status = TradeStatus.PENDING
        with pytest.raises(InvalidTransition, match="stays CANCELLED"):
            session.commit()
        session.rollback()
        session.delete(trade)
        session.commit()
    assert [t.order_id for t in book.manager.get_trades_by_symbol("X")] == ["done"]
    assert book.manager.verify().proven


def test_a_mark_by_hand_is_taken_and_timed(book: Hands) -> None:
    [opened] = book.manager.get_positions()
    with book.new_session() as session:
        book.one(session, Position).current_price = Decimal(155)
        session.commit()
    [position] = book.manager.get_positions()
    assert position.current_price == 155
    assert opened.marked_at is not None
    assert position.marked_at is not None
    assert opened.marked_at < position.marked_at <= datetime.now(UTC)
    assert position.version == opened.version
    assert book.manager.verify().proven


def test_an_older_mark_by_hand_is_ignored(book: Hands) -> None:
    with book.new_session() as session:
        position = book.one(session, Position)
        position.current_price, position.marked_at = Decimal(1), NOON
        session.flush()
        assert position.current_price == 10
        session.commit()
    [position] = book.manager.get_positions()
    assert position.current_price == 10


def test_a_mark_is_not_taken_back(book: Hands) -> None:
    with pytest.raises(InvalidInput, match="current_price"):
        book.work(lambda session: change(Position, "current_price", None)(book, session))


@pytest.mark.parametrize("kind", [GuardedSession, Session])
def test_a_mark_by_hand_neither_fails_nor_disturbs_when_a_trade_is_booked_meanwhile(
    postgresql_book: URL, kind: type[Session]
) -> None:
    with DatabaseManager(postgresql_book, account=uuid4().hex) as manager:
        engine = own_engine(manager)
        manager.record_trade(symbol="X", action="BUY", quantity=2, price=10)
        with kind(engine) as session:
            position = session.scalars(select(Position).filter_by(account=manager.account)).one()
            manager.record_trade(symbol="X", action="BUY", quantity=1, price=10)
            position.current_price = Decimal(155)
            session.commit()
        [read] = manager.get_positions()
        assert (read.quantity, read.current_price, read.version) == (3, 155, 2)
        assert manager.verify().proven


def test_a_pending_trade_is_locked_before_it_is_checked(postgresql_book: URL) -> None:
    with DatabaseManager(postgresql_book, account=uuid4().hex) as manager:
        engine = own_engine(manager)
        trade = manager.record_trades([pending("o", 1)]).trades[0]

        def fill_it_now(*_: object) -> None:
            columns = orm.trades.c
            with engine.connect() as other:
                other.execute(text("SET lock_timeout = '50ms'"))
                with pytest.raises(OperationalError, match="lock timeout"):
                    other.execute(
                        update(orm.trades).where(columns.id == trade.id).values(venue="v")
                    )

        with GuardedSession(engine) as session:
            event.listen(session, "before_flush", fill_it_now)  # after the guard's
            session.scalars(select(Trade).filter_by(id=trade.id)).one().price = Decimal(2)
            session.commit()


def test_an_alert_is_resolved_with_its_time_or_not_at_all(book: Hands) -> None:
    with pytest.raises(InvalidInput, match="resolved_at"):
        book.work(lambda session: change(Alert, "resolved", True)(book, session))


def test_a_change_of_a_pending_trade_that_is_gone_fails(book: Hands) -> None:
    before = book.rows()
    with book.new_session() as session:
        trade = book.one(session, Trade, order_id="open")
        session.execute(delete(orm.trades).where(orm.trades.c.id == trade.id))
        trade.price = Decimal(12)
        with pytest.raises(StaleDataError):
            session.commit()
    assert book.rows() == before


@pytest.mark.parametrize("act", ["change", "delete"])
def test_a_pending_trade_that_was_filled_since_it_was_read_is_left_alone(
    postgresql_book: URL, act: str
) -> None:
    with DatabaseManager(postgresql_book, account=uuid4().hex) as manager:
        engine = own_engine(manager)
        manager.record_trade(
            symbol="X", action="BUY", quantity=2, price=10, order_id="o", status="PENDING"
        )
        with Session(engine) as session:
            trade = session.scalars(select(Trade).filter_by(account=manager.account)).one()
            manager.execute_trade(order_id="o")
            if act == "delete":
                session.delete(trade)
            else:
                trade.quantity = Decimal(3)
            with pytest.raises(InvalidTransition, match="bust_trade"):
                session.commit()
        assert manager.verify().proven
        [position] = manager.get_positions()
        assert position.quantity == 2


@pytest.mark.parametrize(
    "statement",
    [
        update(orm.trades).values(strategy="s"),
        delete(orm.events),
        insert(orm.alerts),
    ],
)
def test_a_statement_on_an_entity_is_refused_and_one_on_its_table_is_not(
    book: Hands, statement: Any
) -> None:
    kinds = {orm.trades: Trade, orm.events: Event, orm.alerts: Alert}
    kind = kinds[statement.table]
    on_entity = {"update": update, "delete": delete, "insert": insert}[statement.__visit_name__](
        kind
    )
    with GuardedSession(book.engine) as session:
        with pytest.raises(InvalidTransition, match=f"writes {kind.__name__} records"):
            session.execute(on_entity)
        if not statement.is_insert:
            session.execute(statement)


def test_a_query_that_updates_or_deletes_is_refused(book: Hands) -> None:
    before = book.rows()
    with GuardedSession(book.engine) as session:
        trades = session.query(Trade).filter(Trade.symbol == "X")
        with pytest.raises(InvalidTransition, match="call create, update or delete"):
            trades.update({"status": "EXECUTED"})
        with pytest.raises(InvalidTransition):
            trades.delete()
        session.execute(text("SELECT 1"))
        session.commit()
    assert book.rows() == before


def test_the_session_of_a_unit_of_work_is_guarded(book: Hands) -> None:
    before = book.rows()
    with book.manager.unit_of_work() as uow:
        assert isinstance(uow, SqlAlchemyUnitOfWork)
        uow.session.add(new_trade(book, status="EXECUTED"))
        with pytest.raises(InvalidInput, match="record_trade"):
            uow.commit()
    assert book.rows() == before


def test_the_guard_stands_once(hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    orm.start_mappers()
    checked: list[Entity] = []
    monkeypatch.setattr(write_guard, "check_new", checked.append)
    alert = Alert(account=hands.account, alert_type="a", severity="INFO")
    hands.work(lambda session: session.add(alert))
    assert checked == [alert]


def test_sessions_of_other_mappings_are_left_alone() -> None:
    class Note:
        pass

    own = registry()
    notes = Table("notes", own.metadata, Column("id", Integer, primary_key=True), Column("t", Text))
    own.map_imperatively(Note, notes)
    engine = create_engine("sqlite://")
    own.metadata.create_all(engine)
    with Session(engine) as session:
        note = Note()
        note.id, note.t = 5, "a"  # type: ignore[attr-defined]
        session.add(note)
        session.commit()
        note.t = "b"  # type: ignore[attr-defined]
        session.commit()
        session.execute(update(Note).values(t="c"))
        session.delete(note)
        session.commit()
    own.dispose()
    engine.dispose()


# The handlers' own path


def test_fills_take_over_orders_and_orders_end_through_handlers(book: Hands) -> None:
    manager = book.manager
    manager.execute_trade(order_id="open")
    manager.record_trade(
        symbol="X", action="BUY", quantity=1, price=1, order_id="c", status="PENDING"
    )
    manager.cancel_trade(order_id="c")
    [alert] = manager.get_unresolved_alerts()
    manager.resolve_alert(alert.id, "done")
    [decision] = manager.get_decisions()
    assert decision.status == "EXECUTED"
    assert manager.verify().proven


def pending(order_id: str, price: int) -> dict[str, Any]:
    return {**fill(order_id, price), "status": "PENDING"}


def fill(order_id: str, price: int) -> dict[str, Any]:
    return {"symbol": "X", "action": "BUY", "quantity": 1, "price": price, "order_id": order_id}


def test_a_batch_fills_one_order_and_submits_another(book: Hands) -> None:
    book.manager.record_trades([pending("first", 5)])
    book.manager.record_trades([fill("first", 5), pending("second", 6), fill("done too", 7)])
    statuses = {t.order_id: t.status for t in book.manager.get_trades_by_symbol("X")}
    assert (statuses["first"], statuses["second"]) == ("EXECUTED", "PENDING")
    assert book.manager.verify().proven


def test_an_order_added_by_hand_while_a_batch_is_booked_is_recognised(
    postgresql_book: URL,
) -> None:
    with DatabaseManager(postgresql_book, account=uuid4().hex) as manager:
        engine = own_engine(manager)
        manager.record_trades([pending("first", 5)])
        with manager.unit_of_work() as uow:
            opened = uow.ledger.open

            def open_then_add(symbol: str, orders: Any) -> Any:
                page = opened(symbol, orders)
                with Session(engine) as session:
                    session.add(Trade(account=manager.account, **pending("second", 6)))
                    session.commit()
                return page

            uow.ledger.open = open_then_add  # type: ignore[method-assign]
            recorded = handlers.record_trades(uow, [fill("first", 5), pending("second", 6)])  # type: ignore[list-item]
            assert recorded.booked == 1
            uow.commit()
        assert manager.verify().proven


def test_an_order_taken_over_on_a_stale_page_is_still_pending(hands: Hands) -> None:
    manager = hands.manager
    manager.record_trades([pending("first", 5)])
    with manager.unit_of_work() as uow:
        page = uow.ledger.open("X", {OrderKey("", "X", "first")})
        [order] = page.trades
        filled = Trade(account=hands.account, created_at=uow.now(), **fill("first", 5))
        happened = page.position.apply(filled, uow.now())
        order.become(filled)
        stale = evolve(page, version=page.version + 1)  # somebody booked on it meanwhile
        assert not uow.ledger.book(stale, [(order, uow.event(happened, order))])
        assert uow.trades.get(order.id).status == "PENDING"
        uow.commit()
    [trade] = manager.get_trades_by_symbol("X")
    assert (trade.status, trade.sequence) == ("PENDING", None)


def test_the_permission_of_the_ledger_is_for_its_trades_and_its_flush_alone(book: Hands) -> None:
    with book.new_session() as session:
        mine = book.one(session, Trade, order_id="open")
        with write_guard.permitted(session, [mine]):
            mine.strategy = "s"
            session.flush()
            book.one(session, Trade, order_id="done").strategy = "s"
            with pytest.raises(InvalidTransition):
                session.flush()
        assert "tradebook_permitted" not in session.info
        session.rollback()
        with pytest.raises(RuntimeError), write_guard.permitted(session, [mine]):
            raise RuntimeError
        assert "tradebook_permitted" not in session.info


def test_recording_a_trade_asks_the_database_no_more_than_before(book: Hands) -> None:
    asked: list[str] = []
    event.listen(
        book.engine,
        "before_cursor_execute",
        lambda c, cursor, statement, *rest: asked.append(statement),
    )
    book.manager.record_trade(**fill("plain", 5))
    assert not any(s.startswith("SELECT") for s in asked)
    assert len(asked) <= 4, asked
