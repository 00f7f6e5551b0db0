"""`calibration` and `counterfactuals`, from the command line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.command_line import Command
from tradebook import DatabaseManager

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def desk(tradebook: Command) -> Command:
    """The command line on a book with decisions of two agents, and prices that rise each hour."""
    with DatabaseManager(tradebook.url) as book:
        book.upgrade()
        for number in range(4):
            book.record_trade(
                symbol="AAPL",
                action="BUY",
                quantity=1,
                price=100 + number,
                executed_at=NOON + number * HOUR,
            )
        terms = {"symbol": "AAPL", "decided_at": NOON, "quantity": 10}
        book.record_decision("ann", action="BUY", confidence="0.8", **terms)
        bad = book.record_decision("bob", action="SELL", confidence="0.6", **terms)
        book.decide(bad.id, "REJECTED")
        done = book.record_decision("ann", action="BUY", confidence="0.9", **terms)
        book.record_trade(
            symbol="AAPL",
            action="SELL",
            quantity=1,
            price=103,
            executed_at=NOON + HOUR / 2,
            decision_id=done.id,
        )
        book.record_decision("ann", action="HOLD", **terms)
    return tradebook


def test_the_tables_have_scores_terms_bins_agents_weeks_and_latency(desk: Command) -> None:
    said = desk("calibration", "--horizon", "1h", "--horizon", "2h").stdout
    assert said.startswith("4 decisions in account main, 1 of them HOLD; judged by later prices")
    for title in (
        *("Brier score and its terms", "confidence and what came of it", "by agent", "by week"),
        *("reliability", "resolution", "uncertainty", "2026-W10"),
        "from decision to first trade, of 1 decision: mean 1800 s, median 1800 s, at most 1800 s",
    ):
        assert title in said
    lines = [line.split() for line in said.splitlines()]
    assert ["1h", "3", "2", "0.66666667"] in lines
    assert ["2h", "ann", "2", "2", "1", "2", "0.025"] in lines  # (0.2^2 + 0.1^2) / 2


def test_json_has_every_digit_and_null_where_nothing_is_known(desk: Command) -> None:
    found = desk.json("calibration", "--horizon", "1h", "--agent", "ann", "--bins", "2")
    assert found["account"] == "main"
    [at] = found["calibration"]["horizons"]
    assert (found["calibration"]["decisions"], found["calibration"]["outcome"]) == (3, "price")
    assert (at["horizon"], at["scored"], at["hit_rate"], at["brier"]["score"]) == (
        "3600",
        2,
        "1",
        "0.025",
    )
    assert [(each["count"], each["observed"]) for each in at["bins"]] == [(0, None), (2, "1")]
    nothing = desk.json("calibration", "--horizon", "1h", "--agent", "unknown-agent")["calibration"]
    assert nothing["horizons"][0]["brier"] is None
    assert (
        "no such decisions of unknown-agent"
        in desk("calibration", "--horizon", "1h", "--agent", "unknown-agent").stdout
    )


def test_the_pnl_of_their_trades_judges_too(desk: Command) -> None:
    found = desk.json("calibration", "--horizon", "1d", "--outcome", "PNL")["calibration"]
    [at] = found["horizons"]
    assert (at["scored"], at["right"], at["no_trade"]) == (1, 1, 2)
    said = desk("calibration", "--horizon", "1d", "--outcome", "pnl").stdout
    assert "judged by the P&L of their trades" in said
    assert "no trade" in said


def test_prices_of_a_file_are_used(desk: Command, tmp_path: Path) -> None:
    file = tmp_path / "closes.csv"
    file.write_text("time,symbol,price\n2026-03-02T11:30Z,AAPL,9\n2026-03-02T12:30Z,AAPL,8\n")
    judged = ("--horizon", "1h", "--prices", str(file))
    [at] = desk.json("calibration", *judged)["calibration"]["horizons"]
    assert (at["scored"], at["right"]) == (3, 1)
    file.write_text("time,symbol,price\n2026-03-02T11:30Z,AAPL,nine\n")
    for command in ("calibration", "counterfactuals"):
        message = desk.refused(command, *judged)
        assert "line 2 of" in message
        assert "'nine'" in message


def test_what_was_never_executed_is_labelled(desk: Command) -> None:
    said = desk("counterfactuals", "--horizon", "1h").stdout
    assert said.startswith(
        "hypothetical P&L of 2 decisions never executed in account main, after 1h; no part of"
    )
    assert "hypothetical pnl" in said
    document = desk.json("counterfactuals", "--horizon", "1h")["counterfactuals"]
    assert (document["label"], document["hypothetical_total"], document["held"]) == (
        "hypothetical",
        "0",
        1,
    )
    amounts = {(r["status"], r["agent"]): r["hypothetical_pnl"] for r in document["rows"]}
    assert amounts == {("PROPOSED", "ann"): "10", ("REJECTED", "bob"): "-10"}
    empty = desk("counterfactuals", "--horizon", "1h", "--until", "2026-01-01").stdout
    assert "no decisions in account 'main' that were never executed" in empty


def test_a_total_of_several_currencies_takes_rates(desk: Command) -> None:
    with DatabaseManager(desk.url) as book:
        for price, at in ((5, NOON), (7, NOON + HOUR)):
            book.record_trade(
                symbol="SAP", action="BUY", quantity=1, price=price, currency="EUR", executed_at=at
            )
        book.record_decision("ann", "SAP", "BUY", quantity=1, decided_at=NOON)
    asked = ("counterfactuals", "--horizon", "1h")
    assert "hypothetical total" not in desk(*asked).stdout
    assert "hypothetical total: 3 USD" in desk(*asked, "--rate", "EUR=1.5").stdout
    assert "--rate EUR=NUMBER" in desk.refused(*asked, "--rate", "GBP=1.2")


@pytest.mark.parametrize("command", ["calibration", "counterfactuals"])
def test_a_bad_or_missing_horizon_is_refused(desk: Command, command: str) -> None:
    assert "horizon: 'soon'" in desk.refused(command, "--horizon", "soon")
    assert "--horizon" in desk.refused(command, exit_code=2)
    shown = desk(command, "--help").stdout
    assert f"tradebook {command} --horizon 1d" in shown
