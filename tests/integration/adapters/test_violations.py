"""Rows that the schema refuses, written past the entities: what is wrong is named, by every driver."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import insert, literal_column, null, text

from tradebook import ConstraintViolated, metadata

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ALERT: dict[str, Any] = {
    "account": "desk",
    "created_at": NOON,
    "updated_at": NOON,
    "timestamp": NOON,
    "alert_type": "drawdown",
    "severity": "INFO",
    "message": "down 5 %",
    "source": "",
    "resolved": False,
}
Execute = Callable[[Any, Any], None]


@pytest.fixture(params=["sqlite_book", "own_postgresql_book"])
def manager(new_manager: Callable[..., Any], request: pytest.FixtureRequest) -> Any:
    """A manager on a database of its own."""
    return new_manager(request.getfixturevalue(request.param), "desk")


def by_hand(manager: Any, statement: Any) -> None:
    with manager.get_session() as session:
        session.execute(statement)


def in_a_unit_of_work(manager: Any, statement: Any) -> None:
    with manager.unit_of_work() as uow:
        uow.session.execute(statement)
        uow.commit()


@pytest.fixture(params=[by_hand, in_a_unit_of_work])
def execute(request: pytest.FixtureRequest) -> Execute:
    return request.param


def alert(**changes: Any) -> Any:
    return insert(metadata.tables["alerts"]).values({**ALERT, **changes})


def sql(value: str) -> Any:
    """Text that no type of ours looks at."""
    return literal_column(f"'{value}'")


def violation(execute: Execute, manager: Any, statement: Any) -> ConstraintViolated:
    with pytest.raises(ConstraintViolated) as refused:
        execute(manager, statement)
    assert refused.value.__cause__ is not None
    assert manager.pool_status().checked_out == 0
    return refused.value


def is_on_a_server(manager: Any) -> bool:
    return manager.url.startswith("postgresql")


def test_a_value_that_is_missing_names_the_column(execute: Execute, manager: Any) -> None:
    execute(manager, alert())
    refused = violation(execute, manager, alert(message=null()))
    assert str(refused) == "alerts.message needs a value (NOT NULL)"
    assert (refused.table, refused.column, refused.constraint) == ("alerts", "message", None)
    assert len(manager.get_alerts()) == 1


def test_a_column_that_is_left_out_is_named(execute: Execute, manager: Any) -> None:
    left_out = {name: value for name, value in ALERT.items() if name != "alert_type"}
    statement = insert(metadata.tables["alerts"]).values(left_out)
    assert violation(execute, manager, statement).column == "alert_type"


def test_a_value_that_is_no_choice_names_column_and_check(execute: Execute, manager: Any) -> None:
    refused = violation(execute, manager, alert(severity=sql("LOUD")))
    assert str(refused) == "alerts.severity is refused by the check ck_alerts_severity"
    assert (refused.table, refused.column) == ("alerts", "severity")
    assert refused.constraint == "ck_alerts_severity"


def test_a_check_of_several_columns_names_the_table(execute: Execute, manager: Any) -> None:
    manager.record_trade(symbol="X", action="BUY", quantity=1, price=1)
    statement = text("UPDATE trades SET sequence = NULL")
    refused = violation(execute, manager, statement)
    assert str(refused) == "trades is refused by the check ck_trades_booked_has_sequence"
    assert (refused.table, refused.column) == ("trades", None)
    assert refused.constraint == "ck_trades_booked_has_sequence"


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("ck_trades_action_102139", "action"),
        ("ck_trades_fee_currency_2", "fee_currency"),  # and not `fee`
        ("ck_trades_fee_ck", "fee"),
    ],
)
def test_what_is_added_to_the_name_of_a_check_does_not_hide_its_column(
    execute: Execute, manager: Any, name: str, column: str
) -> None:
    by_hand(manager, text(f"CREATE TABLE decorated (x INT, CONSTRAINT {name} CHECK (x > 0))"))
    refused = violation(execute, manager, text("INSERT INTO decorated VALUES (0)"))
    table = "decorated" if is_on_a_server(manager) else "trades"  # SQLite names the check only
    assert (refused.table, refused.column, refused.constraint) == (table, column, name)
    assert str(refused) == f"{table}.{column} is refused by the check {name}"


def test_a_check_of_another_name_is_named(execute: Execute, manager: Any) -> None:
    by_hand(manager, text("CREATE TABLE others (x INT, CONSTRAINT positive CHECK (x > 0))"))
    refused = violation(execute, manager, text("INSERT INTO others VALUES (0)"))
    where = "others" if is_on_a_server(manager) else "a record"
    assert str(refused) == f"{where} is refused by the check positive"
    assert (refused.column, refused.constraint) == (None, "positive")


def test_an_identity_that_is_taken_names_the_table(execute: Execute, manager: Any) -> None:
    execute(manager, alert(dedup_key="k"))
    refused = violation(execute, manager, alert(dedup_key="k"))
    assert refused.table == "alerts"
    assert "alerts" in str(refused)
    if is_on_a_server(manager):
        assert refused.constraint == "uq_alerts_account_dedup_key"
        assert "uq_alerts_account_dedup_key" in str(refused)
    else:  # SQLite names the columns of the key
        assert "alerts.account, alerts.dedup_key" in str(refused)


def test_a_reference_to_nothing_is_refused(execute: Execute, manager: Any) -> None:
    manager.record_trade(symbol="X", action="BUY", quantity=1, price=1)
    refused = violation(execute, manager, text("UPDATE trades SET decision_id = 77"))
    if is_on_a_server(manager):
        assert refused.table == "trades"
        assert refused.constraint == "fk_trades_account_decision_id_agent_decisions"
        assert "fk_trades_account_decision_id_agent_decisions" in str(refused)
    else:  # SQLite says no more
        assert (refused.table, str(refused)) == (None, "FOREIGN KEY constraint failed")


def test_no_message_shows_the_types_of_a_driver(execute: Execute, manager: Any) -> None:
    refused = violation(execute, manager, alert(severity=sql("LOUD")))
    assert "<class" not in str(refused)
    assert "[SQL" not in str(refused)
