"""Explanations as values: as text, as flowcharts, frozen; and what fills did, from their events."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from attrs.exceptions import FrozenInstanceError

from tradebook import Explanation, InvalidInput, Trade, as_mermaid
from tradebook.domain.fill_results import Bust, fill_effect, is_refolded
from tradebook.service_layer.explanations.lineage.explanation import Amount, NodeKind, limited, note

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def node(
    title: str, *children: Explanation, kind: NodeKind = NodeKind.TRADE, **values: Any
) -> Explanation:
    return Explanation(kind=kind, title=title, children=children, **values)


TREE = node(
    "trade 1",
    node(
        "decision 2",
        node("signal 3", kind=NodeKind.SIGNAL, facts={"details": {"a": [1]}, "since": NOON}),
        kind=NodeKind.DECISION,
        facts={"reasoning": "up\n│ net 9 USD"},
    ),
    node("net 1.5 USD", kind=NodeKind.RESULT, amounts={"net_pnl": Amount(Decimal("1.50"), "USD")}),
    amounts={"quantity": Amount(Decimal("1E+2"), "AAPL"), "price": Amount(Decimal(1))},
    at=NOON,
)


def test_a_tree_is_printed_with_its_amounts_facts_and_branches() -> None:
    assert str(TREE) == (
        "trade 1  (2026-03-02 12:00:00 UTC)\n"
        "│   quantity 100 AAPL, price 1\n"
        "├── decision 2\n"
        "│   │   reasoning: up\\n│ net 9 USD\n"
        "│   └── signal 3\n"
        '│           details: {"a": [1]}; since: 2026-03-02 12:00:00 UTC\n'
        "└── net 1.5 USD\n"
        "        net P&L 1.5 USD"
    )


def test_a_tree_is_walked_in_the_order_in_which_it_is_printed() -> None:
    assert [each.title for each in TREE.walk()] == [
        "trade 1",
        "decision 2",
        "signal 3",
        "net 1.5 USD",
    ]
    assert [each.title for each in TREE.nodes("signal")] == ["signal 3"]


def test_a_tree_does_not_change_and_can_be_pickled() -> None:
    with pytest.raises(FrozenInstanceError):
        TREE.title = "other"  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(TREE)) == TREE


def test_a_flowchart_has_a_box_for_each_node_and_an_arrow_for_each_child() -> None:
    assert as_mermaid(TREE) == (
        "flowchart LR\n"
        '    n0["trade 1  (2026-03-02 12:00:00 UTC)<br/>quantity 100 AAPL, price 1"]\n'
        '    n1{{"decision 2"}}\n'
        '    n2(["signal 3"])\n'
        "    n1 --> n2\n"
        "    n0 --> n1\n"
        '    n3[["net 1.5 USD<br/>net P#38;L 1.5 USD"]]\n'
        "    n0 --> n3\n"
    )


def test_recorded_text_is_never_read_as_mermaid_or_html() -> None:
    hostile = '"]; click n0 "javascript:alert(1)" <b>`#quot;`\n%%{init}%%'
    [_, box] = as_mermaid(node(hostile)).splitlines()
    inside = box.removeprefix('    n0["').removesuffix('"]')
    assert not set(inside.replace("#", "")) & set('"<>`[]{}%\n')
    assert "#34;#93;#59; click n0" in inside
    assert len(as_mermaid(node("x" * 10_000))) < 200


def test_only_an_explanation_becomes_a_flowchart() -> None:
    with pytest.raises(InvalidInput, match="the result of explain"):
        as_mermaid("trade 1")  # type: ignore[arg-type]


def test_nodes_are_limited_with_a_note_on_the_rest() -> None:
    def titles(count: int, **options: Any) -> list[str]:
        return [
            each.title for each in limited(range(count), lambda n: note(str(n)), "nodes", **options)
        ]

    assert titles(20)[-1] == "19"
    assert titles(23)[20:] == ["and 3 more nodes"]
    assert titles(23, is_whole=False)[20:] == ["and more than 3 more nodes"]
    assert titles(2, is_whole=False) == ["0", "1", "and more nodes"]


def executed(**terms: Any) -> Trade:
    trade = Trade(**{"symbol": "A", "action": "SELL", "quantity": 3, "price": 10, **terms})
    trade.book(sequence=2, booked_at=NOON, realized_pnl=Decimal(6))
    return trade


STATED = {"effect": "REDUCED", "quantity_before": "5", "quantity_after": "2", "realized_pnl": "6"}


def test_an_effect_follows_from_the_event_and_the_trade() -> None:
    effect = fill_effect(executed(), STATED)
    assert effect is not None
    assert (effect.closed, effect.opened, effect.proceeds, effect.cost_removed) == (3, 0, 30, 24)


@pytest.mark.parametrize(
    "payload",
    [
        {**STATED, "realized_pnl": "7"},
        {**STATED, "quantity_before": "6"},
        {name: value for name, value in STATED.items() if name != "effect"},
        {name: value for name, value in STATED.items() if name != "quantity_after"},
        {},
    ],
)
def test_an_event_that_says_less_or_something_else_gives_no_effect(payload: dict[str, str]) -> None:
    assert fill_effect(executed(), payload) is None


def test_only_a_bust_of_an_earlier_trade_after_a_booking_folds_it_again() -> None:
    assert is_refolded(5, [Bust(3, 9)])
    assert not is_refolded(5, [Bust(3, 4), Bust(6, 9), Bust(5, 9)])
