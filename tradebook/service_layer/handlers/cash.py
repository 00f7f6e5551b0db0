"""Cash that no trade moved."""

from __future__ import annotations

from datetime import datetime

from tradebook.domain.cash import CashFlow, CashFlowKind
from tradebook.domain.numbers import Number
from tradebook.service_layer.handlers._common import confirm, given_terms, open_account
from tradebook.service_layer.unit_of_work import AbstractUnitOfWork


def record_cash_flow(
    uow: AbstractUnitOfWork,
    kind: CashFlowKind | str,
    amount: Number,
    *,
    currency: str | None = None,
    symbol: str | None = None,
    occurred_at: datetime | None = None,
    reference: str | None = None,
) -> CashFlow:
    """Record a deposit, withdrawal, dividend, fee or other cash that no trade moved.

    Args:
        uow: the unit of work.
        kind: see `CashFlowKind`.
        amount: signed by its effect on cash: a DEPOSIT is above 0, a WITHDRAWAL below.
        currency: of the amount; the account's base currency by default.
        symbol: the instrument that it came from.
        occurred_at: when, UTC; now by default.
        reference: the same entry again, with the same terms, changes nothing; made up when left out.

    Returns:
        The recorded cash flow: this one, or the one recorded before under the reference.

    Raises:
        DuplicateRecord: the reference is taken by an entry with other terms.
        InvalidInput: a value is refused.
    """
    required = {"kind": kind, "amount": amount}
    terms = required | given_terms(
        {
            "currency": currency,
            "symbol": symbol,
            "occurred_at": occurred_at,
            "reference": uow.new_id() if reference is None else reference,
        }
    )
    defaults = {"currency": uow.base_currency, "occurred_at": uow.now()}
    flow = CashFlow(**{**defaults, **terms}, account=uow.account, created_at=uow.now())
    account = open_account(uow)
    if currency is None and account.base_currency != flow.currency:
        terms["currency"] = account.base_currency
        flow = CashFlow(**{**defaults, **terms}, account=uow.account, created_at=uow.now())
    recorded = uow.cash_flows.add(flow)
    if recorded is not flow:
        return confirm(recorded, flow, terms, flow.reference)
    uow.record(flow.recorded(), flow)
    return flow
