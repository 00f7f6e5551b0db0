"""Ad hoc sessions on one account: they commit at the end, leave events, and read and write no other account."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from attrs import frozen
from sqlalchemy import URL, Engine, create_engine, func, make_url, select, text
from sqlalchemy.exc import IntegrityError, InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, aliased, joinedload, sessionmaker
from sqlalchemy.orm.attributes import set_attribute

from tests.support.backends import each_backend
from tradebook import (
    AgentDecision,
    Alert,
    CashFlow,
    ConcurrentUpdate,
    ConstraintViolated,
    DatabaseManager,
    Event,
    InvalidInput,
    InvalidTransition,
    Position,
    PositionStatus,
    SchemaNotReady,
    Signal,
    Trade,
    TradeStatus,
    col,
)
from tradebook.adapters import orm
from tradebook.adapters.sessions.account_session import (
    AdHocSession,
    ad_hoc_session,
    async_ad_hoc_session,
)
from tradebook.adapters.unit_of_work import SqlAlchemyUnitOfWork
from tradebook.domain.errors import StaleRecord


@frozen
class Hands:
    """A book, sessions by hand on it, and on another account of the same database."""

    manager: DatabaseManager
    engine: Engine

    @property
    def account(self) -> str:
        return self.manager.account

    def session(self, account: str | None = None) -> AbstractContextManager[Session]:
        new = sessionmaker(self.engine, expire_on_commit=False, class_=AdHocSession)
        return ad_hoc_session(new, account or self.account, "ann")

    def events(self, event_type: str | None = None) -> list[Event]:
        with Session(self.engine) as session:
            found = session.scalars(
                select(Event).where(col(Event.account) == self.account).order_by(col(Event.id))
            ).all()
        return [e for e in found if event_type in (None, e.event_type)]


def engine_of(manager: DatabaseManager) -> Engine:
    with manager.unit_of_work() as uow:
        assert isinstance(uow, SqlAlchemyUnitOfWork)
        engine = uow.session.get_bind()
        assert isinstance(engine, Engine)
        return engine


@pytest.fixture(params=each_backend(["sqlite-memory", "sqlite-file", "postgresql"]))
def hands(request: pytest.FixtureRequest) -> Iterator[Hands]:
    names = {"sqlite-file": "sqlite_book", "postgresql": "postgresql_book"}
    name = names.get(request.param)
    url = request.getfixturevalue(name) if name else "sqlite://"
    with DatabaseManager(url, account=uuid4().hex) as manager:
        yield Hands(manager, engine_of(manager))


@pytest.fixture
def contended(postgresql_book: URL) -> Iterator[Hands]:
    """Where another writer can write while a session is open."""
    with DatabaseManager(postgresql_book, account=uuid4().hex) as manager:
        yield Hands(manager, engine_of(manager))


def new_trade(**fields: Any) -> Trade:
    return Trade(**{"symbol": "AAPL", "action": "BUY", "quantity": 100, "price": 150.00, **fields})


def new_alert(**fields: Any) -> Alert:
    return Alert(alert_type="a", severity="INFO", **fields)


# The boundary


def test_commits_at_the_end_and_gives_the_account(hands: Hands) -> None:
    with hands.session() as session:
        trade = new_trade()
        session.add(trade)
    assert trade.account == hands.account  # readable after the end
    [read] = hands.manager.get_trades_by_symbol("AAPL")
    assert (read.id, read.price, read.status) == (trade.id, 150, TradeStatus.PENDING)
    assert hands.manager.verify().proven


def test_rolls_back_on_an_error_which_comes_out_as_it_is(hands: Hands) -> None:
    def broken() -> None:
        with hands.session() as session:
            session.add(new_trade())
            session.flush()
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        broken()
    assert hands.manager.get_trades_by_symbol("AAPL") == []
    assert hands.events() == []


def test_returns_its_connection_after_success_and_after_failure(hands: Hands) -> None:
    with hands.session() as session:
        session.add(new_alert())
    with pytest.raises(ZeroDivisionError), hands.session() as session:
        _ = session.scalars(select(Alert)).all()[0].id / 0
    assert hands.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


def test_the_pair_commits_together_and_rolls_back_together(hands: Hands) -> None:
    with hands.session() as session:
        session.add_all([new_trade(order_id="o"), Position(symbol="AAPL")])
    hands.manager.execute_trade(order_id="o")
    assert hands.manager.verify().proven

    def again() -> None:
        with hands.session() as session:
            session.add_all([new_trade(order_id="p"), Position(symbol="AAPL")])

    with pytest.raises(ConstraintViolated, match="positions"):
        again()
    assert [t.order_id for t in hands.manager.get_trades_by_symbol("AAPL")] == ["o"]
    with hands.session() as session:
        position = session.query(Position).filter_by(symbol="AAPL").one()
        position.status = PositionStatus.OPEN
        assert position.status == "OPEN"
    assert hands.manager.verify().proven


def test_an_identity_that_is_taken_is_a_constraint_violated(hands: Hands) -> None:
    with hands.session() as session:
        session.add(new_trade(order_id="o"))

    def again() -> None:
        with hands.session() as session:
            session.add(new_trade(order_id="o"))

    with pytest.raises(ConstraintViolated):
        again()


def test_a_table_that_is_missing_is_a_tradebook_error() -> None:
    engine = create_engine("sqlite://")
    with (
        pytest.raises(SchemaNotReady),
        ad_hoc_session(sessionmaker(engine), "main", "ann") as session,
    ):
        session.scalars(select(Trade)).all()
    engine.dispose()


def test_the_guard_stands_here_too(hands: Hands) -> None:
    def booked() -> None:
        with hands.session() as session:
            session.add(new_trade(status="EXECUTED"))

    with pytest.raises(InvalidInput, match="record_trade"):
        booked()
    assert hands.manager.get_trades_by_symbol("AAPL") == []


def test_the_bulk_methods_are_refused(hands: Hands) -> None:
    with hands.session() as session:
        for bulk in (
            lambda: session.bulk_save_objects([new_trade()]),
            lambda: session.bulk_insert_mappings(Trade, []),
            lambda: session.bulk_update_mappings(Trade, []),
        ):
            with pytest.raises(InvalidTransition, match="bulk_create"):
                bulk()


# One account


def test_a_record_of_another_account_is_neither_added_nor_changed_nor_deleted(
    hands: Hands,
) -> None:
    other = f"other-{uuid4().hex}"
    with hands.session(other) as session:
        theirs = new_alert()
        session.add(theirs)

    def in_mine(act: Callable[[Session], object]) -> None:
        with hands.session() as session:
            act(session)

    def change(session: Session) -> None:
        session.add(theirs)
        theirs.message = "mine now"

    with pytest.raises(InvalidInput, match="account"):
        in_mine(lambda session: session.add(new_alert(account=other)))
    with pytest.raises(InvalidInput, match="account"):
        in_mine(lambda session: session.delete(theirs))
    with pytest.raises(InvalidInput, match="account"):
        in_mine(change)
    with hands.session(other) as session:
        [kept] = session.scalars(select(Alert))
        assert kept.message == ""
    assert hands.manager.get_alerts() == []


def test_queries_see_one_account(hands: Hands) -> None:
    other = f"other-{uuid4().hex}"
    with hands.session(other) as session:
        theirs = new_trade()
        session.add(theirs)
    with hands.session() as session:
        mine = new_trade()
        session.add(mine)
    with hands.session() as session:
        same = aliased(Trade)
        assert session.query(Trade).all() == list(session.scalars(select(Trade)))
        assert [t.id for t in session.query(Trade)] == [mine.id]
        assert session.query(Trade).count() == 1
        assert session.scalar(select(func.count()).select_from(Trade)) == 1
        assert session.scalars(select(col(Trade.account))).all() == [hands.account]
        assert [t.id for t in session.scalars(select(same))] == [mine.id]
        cutoff = datetime.now(UTC) - timedelta(days=1)
        asked = session.query(Trade).filter(
            col(Trade.symbol) == "AAPL", col(Trade.executed_at) >= cutoff
        )
        assert [t.id for t in asked] == [mine.id]
        assert session.get(Trade, (other, theirs.id)) is None
        assert session.get(Trade, theirs.id) is None
        tables = select(orm.trades.c.id).where(orm.trades.c.id.in_([mine.id, theirs.id]))
        assert len(session.execute(tables).all()) == 2
        assert session.scalar(text("SELECT 1")) == 1
        session.execute(orm.trades.update().where(orm.trades.c.id == mine.id).values(venue="v"))
    with hands.session() as session:
        assert session.get_one(Trade, (hands.account, mine.id)).id == mine.id
    with hands.session() as session:
        assert session.get_one(Trade, mine.id).id == mine.id


def test_a_plain_id_needs_a_session_by_hand(hands: Hands) -> None:
    with AdHocSession(hands.engine) as session, pytest.raises(InvalidRequestError, match="identif"):
        session.get(Trade, 1)


def test_signals_of_a_decision_load_in_one_query(hands: Hands) -> None:
    with hands.session() as session:
        signal = Signal(symbol="X", action="BUY")
        session.add(AgentDecision(agent="bot", symbol="X", action="BUY", signals=[signal]))
    with hands.session() as session:
        statement = select(AgentDecision).options(joinedload(col(AgentDecision.signals)))
        [decision] = session.scalars(statement).unique()
    assert [s.id for s in decision.signals] == [signal.id]
    created = {e.entity: e.entity_id for e in hands.events("RecordCreated")}
    assert created == {"Signal": signal.id, "AgentDecision": decision.id}


# Events


def test_a_record_added_leaves_an_event_with_its_values(hands: Hands) -> None:
    with hands.session() as session:
        trade = new_trade(price="150.25", details={"why": [1, None]})
        session.add(trade)
    [event] = hands.events()
    assert (event.event_type, event.entity, event.entity_id) == ("RecordCreated", "Trade", trade.id)
    assert (event.actor, event.account) == ("ann", hands.account)
    values = event.payload["values"]
    assert (values["symbol"], values["price"], values["status"]) == ("AAPL", "150.25", "PENDING")
    assert values["details"] == {"why": [1, None]}
    assert values["executed_at"] == trade.executed_at.isoformat()
    assert {"id", "account"}.isdisjoint(values)


def test_a_record_changed_leaves_an_event_with_both_values(hands: Hands) -> None:
    with hands.session() as session:
        trade = new_trade()
        session.add(trade)
        session.flush()
        trade.price, trade.strategy = Decimal("151.5"), "s"
        before = trade.updated_at
        session.flush()
        assert trade.updated_at > before
    [event] = hands.events("RecordUpdated")
    assert event.payload["changes"] == {"price": ["150", "151.5"], "strategy": ["", "s"]}
    assert (event.entity, event.entity_id, event.actor) == ("Trade", trade.id, "ann")


def test_the_time_of_change_is_strictly_increasing(hands: Hands) -> None:
    future = datetime.now(UTC) + timedelta(days=1)
    with hands.session() as session:
        alert = new_alert(created_at=future)
        session.add(alert)
        session.flush()
        alert.message, alert.updated_at = "text", datetime.now(UTC)
        session.flush()
        assert alert.updated_at == future + timedelta(microseconds=1)
    [event] = hands.events("RecordUpdated")
    assert event.payload["changes"] == {"message": ["", "text"]}


def test_a_record_deleted_leaves_an_event_with_its_values(hands: Hands) -> None:
    with hands.session() as session:
        alert = new_alert(message="was")
        session.add(alert)
    with hands.session() as session:
        session.delete(session.get_one(Alert, alert.id))
    [event] = hands.events("RecordDeleted")
    assert (event.entity, event.entity_id) == ("Alert", alert.id)
    assert event.payload["values"]["message"] == "was"
    assert hands.manager.get_alerts() == []


def test_marks_and_what_stays_as_it_was_leave_no_event(hands: Hands) -> None:
    hands.manager.record_trade(symbol="X", action="BUY", quantity=1, price=5)
    left = len(hands.events())
    with hands.session() as session:
        position = session.scalars(select(Position)).one()
        booked_at = position.updated_at
        position.current_price = Decimal(7)
        position.status = PositionStatus.OPEN
    assert position.updated_at == booked_at
    assert len(hands.events()) == left
    [read] = hands.manager.get_positions()
    assert (read.current_price, read.version) == (7, 1)
    assert hands.manager.verify().proven


def test_events_share_the_transaction(hands: Hands) -> None:
    with hands.session() as session:
        session.add(new_alert())
        session.flush()
        assert session.query(Event).count() == 1
        session.rollback()
    assert hands.events() == []


def test_a_flush_that_failed_leaves_nothing_to_the_next(hands: Hands) -> None:
    with hands.session() as session:
        session.add(new_alert(dedup_key="k"))
        session.commit()
        session.add(new_alert(dedup_key="k", message="refused"))
        with pytest.raises(IntegrityError):
            session.flush()
        session.rollback()
        session.add(new_alert(message="kept"))
    messages = [e.payload["values"]["message"] for e in hands.events("RecordCreated")]
    assert messages == ["", "kept"]


def test_a_decision_is_not_executed_by_hand(hands: Hands) -> None:
    decision = hands.manager.record_decision("bot", "X", "BUY")

    def become(status: str) -> None:
        with hands.session() as session:
            session.get_one(AgentDecision, decision.id).status = status  # type: ignore[assignment]

    with pytest.raises(InvalidTransition, match="booked trade"):
        become("EXECUTED")
    become("APPROVED")
    [event] = hands.events("RecordUpdated")
    assert event.payload["changes"] == {"status": ["PROPOSED", "APPROVED"]}


# Other writers


def test_a_change_that_another_writer_made_is_not_overwritten(contended: Hands) -> None:
    alert = contended.manager.raise_alert("a", "INFO", "text")

    def slow() -> None:
        with contended.session() as session:
            read = session.get_one(Alert, alert.id)
            with contended.session() as other:
                other.get_one(Alert, alert.id).message = "theirs"
            read.message = "mine"

    with pytest.raises(StaleRecord, match="another writer changed message"):
        slow()
    [kept] = contended.manager.get_alerts()
    assert kept.message == "theirs"


def test_a_change_of_what_another_writer_deleted_is_a_conflict(contended: Hands) -> None:
    alert = contended.manager.raise_alert("a", "INFO", "text")

    def slow() -> None:
        with contended.session() as session:
            read = session.get_one(Alert, alert.id)
            with contended.session() as other:
                other.delete(other.get_one(Alert, alert.id))
            read.message = "mine"

    with pytest.raises(ConcurrentUpdate):
        slow()


def test_a_change_after_a_rollback_knows_what_was(hands: Hands) -> None:
    with hands.session() as session:
        alert = new_alert(message="was")
        session.add(alert)
        session.commit()
        session.rollback()
        session.expire(alert)
        alert.message = "is"
    [event] = hands.events("RecordUpdated")
    assert event.payload["changes"] == {"message": ["was", "is"]}


def test_a_field_set_to_what_it_was_is_no_change(hands: Hands) -> None:
    with hands.session() as session:
        alert = new_alert(message="was")
        session.add(alert)
        session.commit()
        changed_at = alert.updated_at
        session.expire(alert)
        alert.message = "was"
        session.flush()
        assert alert.updated_at == changed_at
    assert hands.events("RecordUpdated") == []


# asyncio


@frozen
class AsyncHands:
    """Sessions by hand of asyncio, and the book that they work on."""

    url: URL
    manager: DatabaseManager
    account: str

    def run(self, work: Callable[[async_sessionmaker[AsyncSession]], Awaitable[None]]) -> None:
        async def all_of_it() -> None:
            async with self.sessions() as new:
                await work(new)

        asyncio.run(all_of_it())

    @asynccontextmanager
    async def sessions(self) -> AsyncIterator[async_sessionmaker[AsyncSession]]:
        engine = create_async_engine(self.url, pool_size=2, max_overflow=0)
        yield async_sessionmaker(engine, expire_on_commit=False, sync_session_class=AdHocSession)
        assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]
        await engine.dispose()

    def session(self, new: Callable[[], AsyncSession]) -> Any:
        return async_ad_hoc_session(new, self.account, "ann")


@pytest.fixture(params=["aiosqlite", "asyncpg"])
def async_hands(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AsyncHands]:
    on_sqlite = request.param == "aiosqlite"
    url = request.getfixturevalue("sqlite_book" if on_sqlite else "postgresql_book")
    driver = "sqlite+aiosqlite" if on_sqlite else "postgresql+asyncpg"
    with DatabaseManager(url, account=uuid4().hex) as manager:
        manager.upgrade()
        yield AsyncHands(make_url(url).set(drivername=driver), manager, manager.account)


def test_the_same_on_asyncio(async_hands: AsyncHands) -> None:
    async def work(new: async_sessionmaker[AsyncSession]) -> None:
        async with async_hands.session(new) as session:
            trade = new_trade()
            session.add_all([trade, Position(symbol="AAPL"), new_alert()])
        assert (trade.account, trade.price) == (async_hands.account, 150)
        async with async_hands.session(new) as session:
            found = await session.execute(select(Trade).where(col(Trade.symbol) == "AAPL"))
            [read] = found.scalars().all()
            read.strategy = "s"
            assert (await session.scalars(select(Position))).one().quantity == 0
        async with async_hands.session(new) as session:
            await session.delete(await session.get_one(Trade, trade.id))

    async_hands.run(work)
    assert async_hands.manager.get_trades_by_symbol("AAPL") == []
    assert async_hands.manager.verify().proven


def test_marks_on_asyncio(async_hands: AsyncHands) -> None:
    async_hands.manager.record_trade(symbol="X", action="BUY", quantity=1, price=5)

    async def work(new: async_sessionmaker[AsyncSession]) -> None:
        async with async_hands.session(new) as session:
            (await session.scalars(select(Position))).one().current_price = Decimal(7)

    async_hands.run(work)
    [position] = async_hands.manager.get_positions()
    assert (position.current_price, position.version) == (7, 1)


def test_refusals_and_errors_on_asyncio(async_hands: AsyncHands) -> None:
    async def add(new: async_sessionmaker[AsyncSession], *entities: Any) -> None:
        async with async_hands.session(new) as session:
            session.add_all(entities)

    async def work(new: async_sessionmaker[AsyncSession]) -> None:
        with pytest.raises(InvalidInput, match="record_trade"):
            await add(new, new_trade(status="EXECUTED"))
        await add(new, new_trade(order_id="o"))
        with pytest.raises(ConstraintViolated):
            await add(
                new, CashFlow(kind="DEPOSIT", amount=1, reference="r"), new_trade(order_id="o")
            )
        with pytest.raises(InvalidInput, match="account"):
            await add(new, new_trade(account="other"))

    async_hands.run(work)
    assert len(async_hands.manager.get_trades_by_symbol("AAPL")) == 1
    assert async_hands.manager.get_cash_flows() == []


def test_a_cancelled_session_leaves_nothing_and_returns_its_connection(
    async_hands: AsyncHands,
) -> None:
    async def work(new: async_sessionmaker[AsyncSession]) -> None:
        flushed = asyncio.Event()

        async def slow() -> None:
            async with async_hands.session(new) as session:
                session.add(new_alert())
                await session.flush()
                flushed.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(slow())
        await flushed.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with new() as session:
            await session.execute(text("SELECT 1"))

    async_hands.run(work)
    assert async_hands.manager.get_alerts() == []


@pytest.mark.parametrize("value", [Decimal("sNaN"), Decimal("NaN"), "x"])
@pytest.mark.parametrize("field", ["current_price", "marked_at"])
def test_values_put_past_the_converters_are_refused_by_name(
    hands: Hands, field: str, value: object
) -> None:
    hands.manager.record_trade(symbol="X", action="BUY", quantity=1, price=5)
    before = hands.manager.get_rows(Position)
    with pytest.raises(InvalidInput, match=field), hands.session() as session:
        set_attribute(session.scalars(select(Position)).one(), field, value)
    new = Position(symbol="Y", current_price=1)
    vars(new)[field] = value
    with pytest.raises(InvalidInput, match=field), hands.session() as session:
        session.add(new)
    assert hands.manager.get_rows(Position) == before
