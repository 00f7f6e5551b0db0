"""Cash flows: what they refuse, what they tell, and their exact sums."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tradebook import Account, CashFlow, InvalidInput
from tradebook.domain.cash import CashFlowKind, CashTotal, cash_totals
from tradebook.domain.events import AccountOpened, CashFlowRecorded


@pytest.mark.parametrize(("kind", "amount"), [("DEPOSIT", "-0.01"), ("WITHDRAWAL", "0.01")])
def test_the_sign_of_an_external_flow_is_that_of_its_kind(kind: str, amount: Any) -> None:
    with pytest.raises(InvalidInput) as refusal:
        CashFlow(kind=kind, amount=amount, reference="r")

    assert (refusal.value.field, refusal.value.value) == ("amount", Decimal(amount))
    assert refusal.value.expected.startswith(f"a {kind} ")


@pytest.mark.parametrize("kind", list(CashFlowKind)[2:])
def test_other_kinds_go_both_ways(kind: CashFlowKind) -> None:
    for amount in (1, -1):
        assert CashFlow(kind=kind, amount=amount, reference="r").amount == amount


def test_a_cash_flow_and_a_new_account_tell_what_happened() -> None:
    flow = CashFlow(kind="FEE", amount=-5, currency="EUR", reference="r")

    assert flow.recorded() == CashFlowRecorded(
        kind="FEE", amount=Decimal(-5), currency="EUR", reference="r"
    )
    assert Account(base_currency="CHF").opened() == AccountOpened(base_currency="CHF")


def test_flows_are_summed_exactly_by_currency_and_by_where_they_come_from() -> None:
    fine = Decimal("0.000000000000000001")

    assert cash_totals(
        [
            ("USD", CashFlowKind.DEPOSIT, Decimal(10) ** 30),
            ("USD", CashFlowKind.WITHDRAWAL, -fine),
            ("EUR", CashFlowKind.TRANSFER, Decimal("7.50")),
            ("USD", CashFlowKind.DIVIDEND, Decimal(3)),
            ("USD", CashFlowKind.TAX, Decimal(-1)),
        ]
    ) == (
        CashTotal("EUR", external=Decimal("7.5"), income=Decimal(0)),
        CashTotal("USD", external=Decimal("9" * 30 + "." + "9" * 18), income=Decimal(2)),
    )
    assert cash_totals([]) == ()
