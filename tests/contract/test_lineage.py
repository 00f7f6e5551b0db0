"""`explain` on every backend: the whole way from signals to P&L, exact and bounded, whatever became of it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

import tradebook
from tests.support.backends import within
from tests.support.lineage_story import at, tell
from tradebook import Explanation, InvalidInput, NotFound, Trade, as_mermaid, handlers
from tradebook.service_layer.book import Book
from tradebook.service_layer.explanations.lineage.explain import explain
from tradebook.service_layer.explanations.lineage.explanation import READ, SHOWN
from tradebook.service_layer.explanations.lineage.orders import why


def numbers(node: Explanation) -> dict[str, str]:
    """The amounts of a node, as text with their units."""
    return {name: str(amount) for name, amount in node.amounts.items()}


def kinds(node: Explanation) -> list[str]:
    return [child.kind for child in node.children]


def notes(node: Explanation) -> list[str]:
    return [each.title for each in node.nodes("note")]


def bought(
    book: Any, order_id: str, quantity: object = 10, price: object = 100, **terms: Any
) -> Trade:
    trade: Trade = book.record_trade(
        **{
            "symbol": "AAPL",
            "action": "BUY",
            "order_id": order_id,
            "quantity": quantity,
            "price": price,
            **terms,
        }
    )
    return trade


def sold(book: Any, order_id: str, quantity: object, price: object, **terms: Any) -> Trade:
    return bought(book, order_id, quantity, price, action="SELL", **terms)


def test_a_sale_is_explained_from_the_signals_to_its_net_profit(book: Book) -> None:
    ids = tell(book)
    tree = book.explain(trade=ids["sale"])
    assert (tree.kind, tree.id, tree.at) == ("trade", ids["sale"], at(9))
    assert numbers(tree) == {
        "quantity": "70 AAPL", "price": "11.1 USD", "realized_pnl": "75.6 USD", "fee": "0.35 USD",
    }  # fmt: skip
    assert kinds(tree) == ["decision", "order", "closed", "result"]
    decision, order, closed, result = tree.children
    assert numbers(closed) == {
        "quantity": "70 AAPL", "proceeds": "777 USD", "cost_removed": "701.4 USD", "realized_pnl": "75.6 USD",
    }  # fmt: skip
    assert closed.title == "closed 70 AAPL: position 100 to 30"
    assert numbers(result) == {
        "realized_pnl": "75.6 USD", "fees": "0.35 USD", "net_pnl": "75.25 USD",
    }  # fmt: skip
    assert numbers(order)["remaining"] == "0 AAPL"
    assert (decision.id, kinds(decision)) == (ids["out"], ["parent"])
    plan, idea = decision.nodes("parent")
    assert (plan.id, idea.id) == (ids["plan"], ids["idea"])
    assert kinds(plan) == [
        "parent",
        "signal",
        "input",
        "input",
        "action",
        "action",
        "cost",
        "verdict",
    ]
    assert [signal.id for signal in idea.nodes("signal")] == [ids["rsi"], ids["news"]]
    assert numbers(idea.children[0]) == {"strength": "0.8", "confidence": "0.7"}


def test_a_decision_tells_its_inputs_its_actions_its_cost_and_who_approved_it(book: Book) -> None:
    ids = tell(book)
    plan = book.explain(trade=ids["part"]).children[0]
    assert plan.facts.items() >= {
        "model": "m-2", "reasoning": "it goes up", "prompt_hash": "abc", "parameters": {"temperature": 0},
        "actions": 2, "unpriced_actions": 1, "input_tokens": 1200, "output_tokens": 300,
    }.items()  # fmt: skip
    assert numbers(plan) == {"quantity": "100", "confidence": "0.6", "cost": "0.5 USD"}
    close, text = plan.nodes("input")
    assert (close.facts["value"], close.facts["source"]) == ([9.8, 9.9], "bars.csv")
    assert (close.at, close.facts["available_at"]) == (at(3), at(3))
    recorded = next(
        each for each in book.get_inputs(decision_id=ids["plan"]) if each.name == "close"
    )
    assert (close.facts["digest"], close.facts["recorded_at"]) == (
        recorded.digest,
        recorded.recorded_at,
    )
    assert text.facts["value"] == "x" * 500
    assert "x" * 500 not in str(text)
    assert "x" * 100 + "... (500 characters)" in str(text)
    call, tool = plan.nodes("action")
    assert call.id == ids["call"]
    assert numbers(call) == {"duration": "1.5 s", "cost": "0.0125 USD"}
    assert tool.facts["cost"] == "unpriced"
    [cost] = plan.children[-2:-1]
    assert numbers(cost) == {"cost": "0.5125 USD"}
    [verdict] = [each for each in plan.children if each.kind == "verdict"]
    assert verdict.facts == {
        "status": "APPROVED", "actor": "risk officer", "reason": "within limits",
    }  # fmt: skip


def test_an_order_filled_in_parts_shows_all_fills_and_marks_the_one_explained(book: Book) -> None:
    ids = tell(book)
    _, order, opened, result = book.explain(trade=ids["rest"]).children
    assert (
        order.facts.items()
        >= {"order_id": "o-1", "status": "FILLED", "fees": {"USD": "0.5"}}.items()
    )
    assert numbers(order) == {
        "ordered": "100 AAPL", "filled": "100 AAPL", "remaining": "0 AAPL", "average_price": "10.02 USD",
    }  # fmt: skip
    assert [fill.id for fill in order.children] == [ids["part"], ids["rest"]]
    assert ["this trade" in fill.title for fill in order.children] == [False, True]
    assert (opened.kind, numbers(opened)) == ("opened", {"quantity": "40 AAPL", "cost": "402 USD"})
    assert numbers(result)["net_pnl"] == "-0.2 USD"


def test_a_decision_leads_to_orders_to_decisions_made_upon_it_and_to_what_all_of_them_earned(
    book: Book,
) -> None:
    ids = tell(book)
    tree = book.explain(decision=ids["plan"])
    assert [each.kind for each in tree.children if each.kind not in ("input", "action", "signal")] == [
        "parent", "cost", "verdict", "child", "order", "note", "result", "total",
    ]  # fmt: skip
    child = next(each for each in tree.children if each.kind == "child")
    assert (child.id, kinds(child)) == (ids["out"], ["order", "result"])
    assert numbers(child.children[-1])["net_pnl"] == "75.25 USD"
    order = next(each for each in tree.children if each.kind == "order")
    assert [fill.id for fill in order.children] == [ids["part"], ids["rest"]]
    own, together = tree.children[-2], tree.children[-1].children[0]
    assert numbers(own) == {"realized_pnl": "0 USD", "fees": "0.5 USD", "net_pnl": "-0.5 USD"}
    assert numbers(together) == {
        "realized_pnl": "75.6 USD",
        "fees": "0.85 USD",
        "net_pnl": "74.75 USD",
    }
    top = book.explain(decision=ids["idea"])
    assert [each.id for each in top.nodes("child")] == [ids["plan"], ids["out"]]
    assert numbers(top.children[-1].children[0])["net_pnl"] == "74.75 USD"


def test_a_decision_without_a_trade_earned_nothing(book: Book) -> None:
    made = book.record_decision("ann", "AAPL", "HOLD")
    tree = book.explain(decision=made.id)
    assert notes(tree) == ["no trade names it, nor a decision made upon it: it earned nothing"]
    assert tree.facts["cost"] == "unpriced"


def test_a_trade_without_a_decision_says_so(book: Book) -> None:
    with tradebook.context(actor="ann"):
        trade = bought(book, "alone", strategy="grid")
    tree = book.explain(trade=trade.id)
    assert notes(tree) == [
        "no decision: the trade names none. Its strategy is grid. ann recorded it."
    ]
    assert tree.facts["recorded_by"] == "ann"


def test_a_pending_and_a_cancelled_trade_say_that_nothing_was_booked(book: Book) -> None:
    order = bought(book, "open", price=5, status="PENDING")
    part = bought(book, "open", 4, 5, execution_id="1")
    tree = book.explain(trade=order.id)
    assert "it is PENDING: nothing of it was booked, so it earned nothing" in notes(tree)
    assert numbers(tree) == {"quantity": "6 AAPL", "price": "5 USD"}
    assert tree.nodes("result") == []
    book.cancel_trade(trade_id=order.id)
    shown = numbers(book.explain(trade=part.id).nodes("order")[0])
    assert (shown["ordered"], shown["filled"], shown["remaining"]) == (
        "10 AAPL",
        "4 AAPL",
        "0 AAPL",
    )


def test_a_flip_closes_all_and_opens_the_rest(book: Book) -> None:
    bought(book, "long", 10, 100, multiplier=2)
    trade = sold(book, "flip", 25, 90, multiplier=2)
    closed, opened, result = book.explain(trade=trade.id).children[-3:]
    assert numbers(closed) == {
        "quantity": "10 AAPL", "proceeds": "1800 USD", "cost_removed": "2000 USD", "realized_pnl": "-200 USD",
    }  # fmt: skip
    assert numbers(opened) == {"quantity": "15 AAPL", "cost": "-2700 USD"}
    assert numbers(result)["net_pnl"] == "-200 USD"
    back = bought(book, "back", 5, 80, multiplier=2)
    [closed] = book.explain(trade=back.id).nodes("closed")
    assert numbers(closed) == {
        "quantity": "5 AAPL", "proceeds": "-800 USD", "cost_removed": "-900 USD", "realized_pnl": "100 USD",
    }  # fmt: skip


def test_fees_in_the_asset_and_in_a_third_one_stand_in_their_own_currency(book: Book) -> None:
    trade = bought(
        book, "1", 2, 100, symbol="ETH/USDT", currency="USDT", fee="0.1", fee_currency="ETH"
    )
    tree = book.explain(trade=trade.id)
    [opened] = tree.nodes("opened")
    assert numbers(opened)["quantity"] == "1.9 ETH"
    assert [numbers(each) for each in tree.nodes("result")] == [
        {"realized_pnl": "0 USDT", "fees": "10 USDT", "net_pnl": "-10 USDT"}
    ]
    other = bought(
        book, "2", 1, 100, symbol="ETH/USDT", currency="USDT", fee="0.01", fee_currency="BNB"
    )
    assert [numbers(each)["net_pnl"] for each in book.explain(trade=other.id).nodes("result")] == [
        "-0.01 BNB", "0 USDT",
    ]  # fmt: skip


def test_a_busted_trade_and_its_correction_explain_each_other(book: Book) -> None:
    wrong = bought(book, "one", fee=1)
    with tradebook.context(actor="desk"):
        right = book.correct_trade(trade_id=wrong.id, price=90, reason="misread")
    tree = book.explain(trade=wrong.id)
    [bust] = tree.nodes("bust")
    assert (
        bust.title
        == f"busted: it counts no more, and earned nothing; trade {right.id}, its revision 1, counts instead"
    )
    assert (bust.facts["busted_by"], bust.facts["reason"]) == ("desk", "misread")
    assert tree.nodes("result") == []
    assert "realized_pnl" not in tree.amounts
    after = book.explain(trade=right.id)
    [correction] = after.nodes("correction")
    assert correction.title == f"revision 1: corrects trade {wrong.id}"
    assert correction.facts["corrected_by"] == "desk"
    assert correction.facts["reason"] == "misread"
    assert correction.facts["changes"] == {"price": ["100", "90"]}
    assert any("does not say what it opened and closed" in each for each in notes(after))
    assert numbers(after.children[-1])["net_pnl"] == "-1 USD"


def test_after_a_bust_the_profit_is_what_the_fold_gives_and_the_closing_is_not_told(
    book: Book,
) -> None:
    first = bought(book, "one", 10, 100)
    bought(book, "two", 10, 120)
    before = sold(book, "three", 5, 130)
    book.bust_trade(trade_id=first.id, reason="the venue took it back")
    later = sold(book, "four", 5, 130)
    tree = book.explain(trade=before.id)
    assert tree.nodes("closed") == []
    assert any("the position was folded again" in each for each in notes(tree))
    assert numbers(tree.children[-1])["realized_pnl"] == "50 USD"
    assert numbers(book.explain(trade=later.id).nodes("closed")[0])["cost_removed"] == "600 USD"


def test_an_opening_is_not_told_either_once_the_trade_before_it_is_gone(book: Book) -> None:
    first = bought(book, "one", 10, 100)
    second = bought(book, "two", 10, 120)
    assert book.explain(trade=second.id).nodes("opened")[0].title.endswith("position 10 to 20")
    book.bust_trade(trade_id=first.id, reason="the venue took it back")
    assert book.explain(trade=second.id).nodes("opened") == []


def test_a_busted_fill_adds_nothing_to_what_its_order_and_its_decision_earned(book: Book) -> None:
    made = book.record_decision("ann", "AAPL", "BUY")
    bought(book, "o", 1, 100, fee=1, execution_id="1", decision_id=made.id)
    wrong = bought(book, "o", 1, 100, fee=2, execution_id="2", decision_id=made.id)
    book.bust_trade(trade_id=wrong.id, reason="the venue took it back")
    for tree in (book.explain(decision=made.id), *book.read(why, "o")):
        assert numbers(tree.children[-1])["net_pnl"] == "-1 USD"
        assert [fill.id for fill in tree.nodes("fill")][-1] == wrong.id


def test_what_was_ordered_is_what_the_event_says_that_ended_the_order(book: Book) -> None:
    for order_id in ("over", "late"):
        bought(book, order_id, 10, 5, status="PENDING")
        bought(book, order_id, 4, 5, execution_id="1")
    over = bought(book, "over", 8, 5, execution_id="2")
    book.cancel_trade(order_id="late")
    late = bought(book, "late", 6, 5, execution_id="2")
    for trade in (over, late):
        order = book.get_order(trade.order_id)
        shown = book.explain(trade=trade.id).nodes("order")[0]
        assert order is not None
        assert shown.amounts["ordered"].value == order.ordered == 10
        assert shown.amounts["filled"].value == order.filled
    assert numbers(book.explain(trade=over.id).nodes("order")[0])["overfilled"] == "2 AAPL"


def test_a_bust_of_a_later_trade_leaves_a_closing_as_it_was(book: Book) -> None:
    bought(book, "one", 10, 100)
    sale = sold(book, "two", 5, 130)
    wrong = bought(book, "three", 10, 140)
    book.bust_trade(trade_id=wrong.id, reason="the venue took it back")
    assert numbers(book.explain(trade=sale.id).nodes("closed")[0])["cost_removed"] == "500 USD"


def test_a_trade_that_was_booked_against_a_verdict_says_so(book: Book) -> None:
    made = book.record_decision("ann", "AAPL", "BUY")
    book.decide(made.id, "REJECTED", reason="too large")
    trade = bought(book, "all the same", decision_id=made.id)
    said = f"decision {made.id} was REJECTED, and trade {trade.id} was booked all the same"
    assert said in notes(book.explain(trade=trade.id))
    assert said in notes(book.explain(decision=made.id))


def test_a_position_shows_its_totals_its_last_trades_and_their_agents(book: Book) -> None:
    ids = tell(book)
    for number in range(SHOWN):
        bought(book, f"more-{number}", 1, 12)
    tree = book.explain(position="AAPL")
    position = book.get_position_by_symbol("AAPL")
    assert position is not None
    assert numbers(tree)["quantity"] == "50 AAPL"
    shown = [child for child in tree.children if child.kind == "fill"]
    assert len(shown) == SHOWN
    assert "and 3 earlier entries in its ledger, each a trade or a bust" in notes(tree)
    result = tree.children[-1]
    assert {name: amount.value for name, amount in result.amounts.items()} == {
        "realized_pnl": position.realized_pnl,
        "unrealized_pnl": position.unrealized_pnl,
        "fees": position.fees,
        "net_pnl": position.net_pnl,
    }
    [agent] = tree.nodes("agent")
    assert agent.title == "no agent: 20 of these trades"
    assert ids["sale"] not in [child.id for child in shown]


def test_the_agents_of_a_position_have_what_their_trades_earned(book: Book) -> None:
    ids = tell(book)
    sold(book, "rest", 30, 12)
    tree = book.explain(position="AAPL")
    nobody, trader = tree.nodes("agent")
    assert (nobody.title, trader.title) == (
        "no agent: 1 of these trades",
        "trader: 3 of these trades",
    )
    assert numbers(trader.children[0])["net_pnl"] == "74.75 USD"
    assert numbers(nobody.children[0])["net_pnl"] == "59.4 USD"
    assert [d.id for d in tree.nodes("decision")] == [ids["out"], ids["plan"], ids["plan"]]
    assert numbers(tree.children[-1])["net_pnl"] == "134.15 USD"


def test_an_alert_shows_who_resolved_it_and_what_its_symbol_did_before(book: Book) -> None:
    ids = tell(book)
    for number in range(7):
        bought(book, f"late-{number}", 1, 12, executed_at=at(30))
    with tradebook.context(actor="watchdog"):
        alert = book.raise_alert("drawdown", "CRITICAL", "down", symbol="AAPL", timestamp=at(20))
    with tradebook.context(actor="ann"):
        book.resolve_alert(alert.id, "sold", resolved_by="ann")
    tree = book.explain(alert=alert.id)
    raised, resolved = tree.nodes("event")
    assert (raised.title, resolved.title) == ("AlertRaised by watchdog", "AlertResolved by ann")
    assert resolved.facts["resolution"] == "sold"
    assert [d.id for d in tree.nodes("decision")] == [ids["idea"], ids["plan"], ids["out"]]
    assert [t.id for t in tree.nodes("fill")] == [ids["part"], ids["rest"], ids["sale"]]
    [position] = tree.nodes("position")
    assert numbers(position)["quantity"] == "37 AAPL"
    assert tree.facts["resolved_by"] == "ann"


def test_an_alert_about_nothing_traded_says_so(book: Book) -> None:
    without = book.raise_alert("lag", "INFO")
    assert notes(book.explain(alert=without.id)) == [
        "it names no symbol, so no position, decision or trade is shown"
    ]
    untraded = book.raise_alert("lag", "INFO", symbol="MSFT", timestamp="0001-01-01T00:00:01")
    assert notes(book.explain(alert=untraded.id)) == [
        "no decision about MSFT in the day before it", "no trade of MSFT before it", "MSFT was never traded",
    ]  # fmt: skip


@pytest.mark.parametrize("count", [SHOWN, SHOWN + 1, READ, READ + 5])
def test_what_is_not_shown_is_counted(book: Book, count: int) -> None:
    inputs = [{"name": f"i-{number}", "value": number} for number in range(count)]
    made = book.record_decision("ann", "AAPL", "BUY", dated_inputs=inputs)  # type: ignore[arg-type]
    tree = book.explain(decision=made.id)
    assert len(tree.nodes("input")) == SHOWN
    said = [text for text in notes(tree) if text.endswith("inputs")]
    more = min(count, READ) - SHOWN
    than = "more than " if count > READ else ""
    assert said == ([f"and {than}{more} more inputs"] if more else [])


def test_why_explains_every_order_with_an_id(book: Book) -> None:
    ids = tell(book)
    [tree] = book.read(why, "o-1")
    assert (tree.kind, kinds(tree)) == ("order", ["decision", "fill", "fill", "result"])
    assert tree.children[0].id == ids["plan"]
    assert numbers(tree.children[-1]) == {
        "realized_pnl": "0 USD",
        "fees": "0.5 USD",
        "net_pnl": "-0.5 USD",
    }
    bought(book, "o-1", symbol="MSFT")
    assert [each.facts["symbol"] for each in book.read(why, "o-1")] == ["AAPL", "MSFT"]
    [one] = book.read(why, "o-1", symbol="MSFT", venue="")
    assert notes(one) == ["no decision: the order names none. tester recorded it."]
    with pytest.raises(NotFound, match="no order 'o-9'"):
        book.read(why, "o-9")


def test_what_was_written_in_the_same_unit_of_work_is_explained(book: Any) -> None:
    with book.unit_of_work() as uow:
        signal = within(uow, handlers.record_signal, "AAPL", "BUY")
        made = within(uow, handlers.record_decision, "ann", "AAPL", "BUY", signals=[signal.id])
        terms = {"symbol": "AAPL", "action": "BUY", "quantity": 1, "price": 2, "order_id": "new"}
        trade = within(uow, handlers.record_trade, **terms, decision_id=made.id)
        tree = within(uow, explain, trade=trade.id)
        position = within(uow, explain, position="AAPL")
        uow.rollback()
    assert [each.id for each in tree.nodes("signal")] == [signal.id]
    assert numbers(position)["quantity"] == "1 AAPL"


def test_what_is_not_there_or_not_one_record_is_refused(book: Book) -> None:
    tell(book)
    for record in ({"trade": 2**62}, {"decision": 2**62}, {"alert": 2**62}, {"position": "NONE"}):
        with pytest.raises(NotFound):
            book.explain(**record)  # type: ignore[arg-type]
    for wrong in ({}, {"trade": 1, "position": "AAPL"}, {"decision": 1, "alert": 1}):
        with pytest.raises(InvalidInput, match="one record is explained"):
            book.explain(**wrong)  # type: ignore[arg-type]


def test_a_tree_of_records_becomes_a_flowchart(book: Book) -> None:
    ids = tell(book)
    tree = book.explain(trade=ids["sale"])
    lines = as_mermaid(tree).splitlines()
    assert lines[0] == "flowchart LR"
    assert len([line for line in lines if "-->" in line]) == len(list(tree.walk())) - 1
    assert sum(
        (amount.value for amount in tree.children[-1].amounts.values()), Decimal(0)
    ) == Decimal("151.2")
