"""The write guard of every session: it refuses what only handlers may write, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
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
    exists,
    insert,
    literal,
    select,
    text,
    union,
    update,
)
from sqlalchemy.exc import NoResultFound, OperationalError
from sqlalchemy.orm import Session, aliased, registry, sessionmaker
from sqlalchemy.orm.attributes import set_attribute
from sqlalchemy.orm.exc import StaleDataError

from tests.support.direct_edits import (
    BOOKKEEPING,
    CHANGES,
    IN_SESSIONS,
    KIND_OF,
    MADE_BY_HANDLERS,
    NEW,
    NEW_STATES,
    NOON,
    REMOVALS,
    Edit,
    new_record,
    record_one_of_each,
    values_of_new,
)
from tradebook import (
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
from tradebook.domain.orders import become_fill
from tradebook.domain.trades import OrderKey

E = TypeVar("E", bound=Entity)


@frozen
class Hands:
    """A book with a record of each kind, and sessions on its database."""

    manager: DatabaseManager
    engine: Engine
    new_session: Callable[[], Session]
    ids: Mapping[str, int] = {}

    @property
    def account(self) -> str:
        return self.manager.account

    def one(self, session: Session, kind: type[E], **equal: object) -> E:
        """A record of the book."""
        columns = kind.__table__.c  # type: ignore[attr-defined]
        wanted = [columns[name] == value for name, value in equal.items()]
        statement = select(kind).where(columns.account == self.account, *wanted)
        return session.scalars(statement.limit(1)).one()

    def named(self, session: Session, record: str) -> Any:
        """Read a record of the table of direct edits."""
        return self.one(session, KIND_OF[record.split()[-1]], id=self.ids[record])

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
        pytest.param(("sqlite-memory", GuardedSession), marks=pytest.mark.full),
        ("sqlite-file", GuardedSession),
        pytest.param(("postgresql", GuardedSession), marks=pytest.mark.full),
        pytest.param(("sqlite-file", Session), marks=pytest.mark.full),
        ("postgresql", Session),
    ],
    ids=lambda param: f"{param[0]}-{param[1].__name__}",
)
def hands(request: pytest.FixtureRequest) -> Iterator[Hands]:
    """Sessions that the package makes, and sessions that an application makes without it."""
    names = {"sqlite-file": "sqlite_book", "postgresql": "postgresql_book"}
    database, kind = request.param
    name = names.get(database)
    url = request.getfixturevalue(name) if name else "sqlite://"
    with DatabaseManager(url, account=uuid4().hex) as manager:
        engine = own_engine(manager)
        yield Hands(manager, engine, sessionmaker(engine, class_=kind))


@pytest.fixture
def book(hands: Hands) -> Hands:
    return evolve(hands, ids=record_one_of_each(hands.manager))


def new_trade(book: Hands, **fields: Any) -> Trade:
    terms = {"symbol": "X", "action": "BUY", "quantity": 100, "price": 150.00, **fields}
    return Trade(account=book.account, **terms)


def edited(book: Hands, session: Session, edit: Edit) -> None:
    """Set one field of a record that is there, past the entity's own refusal where it has one."""
    entity = book.named(session, edit.record)
    if edit.field == "signals":
        session.refresh(entity, ["signals"])
    set_attribute(entity, edit.field, edit.value_in(book.ids))


def test_each_field_of_a_record_changes_or_is_refused_with_advice(book: Hands) -> None:
    before = book.rows()
    edits = [*CHANGES, *IN_SESSIONS]
    for edit in edits:
        if edit.advice is not None:

            def innocent_too(session: Session, edit: Edit = edit) -> None:
                book.named(session, "Alert").message = "innocent, and refused with the other"
                edited(book, session, edit)

            with pytest.raises((InvalidTransition, InvalidInput), match=edit.advice):
                book.work(innocent_too)
    assert book.rows() == before
    for edit in edits:
        if edit.advice is None:
            with book.new_session() as session:
                entity = book.named(session, edit.record)
                setattr(entity, edit.field, edit.value_in(book.ids))
                session.commit()
                assert getattr(entity, edit.field) == edit.value_in(book.ids), edit
    assert book.manager.verify().proven


def test_each_field_of_a_new_record_is_taken_or_refused_by_name(book: Hands) -> None:
    before = book.rows()
    numbered = [Edit(kind, "id", 10**9, "gives ids") for kind in KIND_OF]
    for edit in [*NEW, *NEW_STATES, *numbered]:
        if edit.advice is not None:
            refused = new_record(edit.kind, account=book.account, **{edit.field: edit.value})
            innocent = new_trade(book, order_id="innocent, and refused with the other")
            with pytest.raises(InvalidInput, match=edit.advice) as no:
                book.work(lambda session, both=(innocent, refused): session.add_all(both))
            named = {"resolved": "resolved_at"}.get(edit.field, edit.field)
            assert no.value.field == named or edit.record in MADE_BY_HANDLERS, edit
    assert book.rows() == before
    for kind, values in values_of_new(book.ids).items():
        if kind == "Account":  # it is there
            continue
        made = new_record(KIND_OF[kind], **{**values, "account": book.account})
        with book.new_session() as session:
            session.add(made)
            session.commit()
            for field in values.keys() - BOOKKEEPING.keys() - {"signals"}:
                assert getattr(made, field) == values[field], (kind, field)
    assert book.manager.verify().proven


def test_a_record_is_deleted_or_it_is_refused_with_what_to_do_instead(book: Hands) -> None:
    before = book.rows()
    for record, advice in REMOVALS.items():
        if advice is not None:
            with pytest.raises(InvalidTransition, match=advice):
                book.work(lambda session, r=record: session.delete(book.named(session, r)))
    assert book.rows() == before
    for record, advice in REMOVALS.items():
        if advice is None:
            book.work(lambda session, r=record: session.delete(book.named(session, r)))
            with book.new_session() as session, pytest.raises(NoResultFound):
                book.named(session, record)
    assert book.manager.verify().proven


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
        new_record(Portfolio, account=account),
        new_trade(book, status="CANCELLED"),
        new_trade(book, status="REJECTED"),
        AgentDecision(account=account, agent="a", symbol="X", action="BUY"),
        Alert(account=account, alert_type="a", severity="INFO"),
        Signal(account=account, symbol="X", action="BUY"),
        AgentAction(account=account, agent="a", action_type="t"),
        PerformanceMetric(account=account, name="n", value=1, period_start=NOON, period_end=NOON),
        CashFlow(account=account, kind="DEPOSIT", amount=5, reference="by hand"),
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


def evidence(book: Hands, session: Session) -> None:
    decision = book.named(session, "AgentDecision")
    session.refresh(decision, ["signals"])
    decision.signals = [Signal(account=book.account, symbol="X", action="SELL")]


STATES = {
    "execute": (change(Trade, "status", "EXECUTED", order_id="open"), "execute_trade"),
    "bust": (change(Trade, "status", "BUSTED", order_id="open"), "execute_trade"),
    "booked terms": (unfrozen, "bust_trade"),
    "other evidence": (evidence, "record_decision"),
    "strategy of a booked trade": (change(Trade, "strategy", "s", order_id="done"), "bust_trade"),
    "quantity": (change(Position, "quantity", 9), "record_trade"),
}
"""Changes that are refused for the value that the field had or gets."""


@pytest.mark.parametrize("name", STATES)
def test_a_state_that_only_a_handler_gives_is_refused(book: Hands, name: str) -> None:
    act, advice = STATES[name]
    before = book.rows()
    with pytest.raises(InvalidTransition, match=advice):
        book.work(lambda session: act(book, session))
    assert book.rows() == before


@pytest.mark.parametrize("name", ["execute", "strategy of a booked trade", "quantity"])
def test_it_is_refused_when_the_record_had_expired(book: Hands, name: str) -> None:
    act, advice = STATES[name]
    before = book.rows()
    with book.new_session() as session:
        mine = [select(kind).filter_by(account=book.account) for kind in (Trade, Position)]
        seen = [record for records in mine for record in session.scalars(records)]
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


def changed_in(place: str) -> Any:
    """Return a statement that changes every trade, in a place inside it."""
    changed = update(Trade).values(strategy="s").returning(Trade.id)
    ids = select(changed.cte().c.id)
    return {
        "CTE by itself": select(literal(1)).add_cte(changed.cte()),
        "CTE of an entity's query": select(Trade).add_cte(changed.cte()),
        "FROM": select(ids.subquery()),
        "subquery": select(Alert).where(Alert.id.in_(ids)),
        "exists": select(Alert).where(exists(ids)),
        "union": union(ids, select(Alert.id)),
        "statement of a query": select(Trade).from_statement(changed),
        "values of a table's statement": update(orm.alerts).values(symbol=ids.scalar_subquery()),
        "delete": select(literal(1)).add_cte(delete(Trade).cte()),
        "alias": select(literal(1)).add_cte(update(aliased(Trade)).values(strategy="s").cte()),
        "insert": select(literal(1)).add_cte(insert(Trade).values(account="a", strategy="s").cte()),
    }[place]


@pytest.mark.parametrize(
    "place",
    [
        *("CTE by itself", "CTE of an entity's query", "FROM", "subquery", "exists", "union"),
        *("insert", "statement of a query", "values of a table's statement", "delete", "alias"),
    ],
)
def test_a_statement_on_an_entity_is_refused_anywhere_in_another(
    postgresql_book: URL, place: str
) -> None:
    with DatabaseManager(postgresql_book, account=uuid4().hex) as manager:
        manager.record_trade(symbol="X", action="BUY", quantity=2, price=10)
        with manager.get_session() as session, pytest.raises(InvalidTransition, match="Trade rec"):
            session.execute(changed_in(place))
        with (
            manager.unit_of_work(read_only=True) as uow,
            pytest.raises(InvalidTransition, match="Trade rec"),
        ):
            uow.session.execute(changed_in(place))
        assert [trade.strategy for trade in manager.get_trades()] == [""]
        assert manager.verify().proven


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


@pytest.mark.filterwarnings("ignore::tradebook.UncommittedWork")
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
    monkeypatch.setattr(write_guard, "check_new", lambda entity, _: checked.append(entity))
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
    assert {decision.status for decision in manager.get_decisions()} == {"EXECUTED", "PROPOSED"}
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
        become_fill(order, filled)
        opened = {**page.opened, "version": page.opened["version"] + 1}
        stale = evolve(page, opened=opened)  # as if another writer had booked on it meanwhile
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
