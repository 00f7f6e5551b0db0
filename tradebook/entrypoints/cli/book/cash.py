"""`cash`: the account's money and what moved it; busts of wrong cash flows."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from tradebook.domain.cash import CashFlow
from tradebook.domain.numbers import plain
from tradebook.entrypoints.cli.columns import select
from tradebook.entrypoints.cli.messages import counted
from tradebook.entrypoints.cli.options import By, CommandContext, Reason, option
from tradebook.entrypoints.cli.output import stdout
from tradebook.entrypoints.cli.tables import show
from tradebook.service_layer.queries.portfolio import CashBalance

app = typer.Typer(invoke_without_command=True)


@app.callback()
def cash(
    context: CommandContext,
    limit: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="At most this many flows, the latest.")
    ] = 20,
) -> None:
    """Show the cash balance in each currency, and the latest cash flows; bust a wrong one.

    The balance is external (deposits, withdrawals, transfers) + income
    (dividends, interest, funding and the like) + trading (what positions did
    to cash). It is not buying power.

      tradebook cash --limit 100
      tradebook cash bust wire-1 --reason "another account's"
    """
    with context.read_book() as manager:
        balances = manager.get_cash_balances()
        with manager.unit_of_work(read_only=True) as uow:
            flows = list(islice(uow.cash_flows.iterate(batch=min(limit, 1000)), limit))
    context.answer_table(
        {"account": context.account, "balances": balances, "flows": flows},
        f"cash of account {context.account}",
        select(
            CashBalance, "currency external income trading balance", spare="external income trading"
        ),
        balances,
        empty=f"no cash moved in account {context.account!r}",
    )
    if flows and not context.as_json:
        names = "occurred_at kind amount currency symbol reference"
        columns = select(CashFlow, names, spare="symbol reference")
        show(stdout(), f"the latest {counted(len(flows), 'cash flow')}", columns, flows)


@app.command()
def bust(
    context: CommandContext,
    reason: Reason,
    by: By,
    reference: Annotated[str | None, typer.Argument(help="The cash flow's reference.")] = None,
    cash_flow_id: Annotated[
        int | None, option("ID", "The cash flow's id in the book, instead of REFERENCE.", min=1)
    ] = None,
) -> None:
    """Take back a cash flow: cash becomes as if it had never been recorded.

    The flow stays on record. Another entry, with the opposite amount and the
    reason, takes it back. Repeating the command changes nothing. Record what
    counts under another reference.

      tradebook cash bust wire-1 --reason "another account's"
      tradebook cash bust --cash-flow-id 8 --reason "recorded twice"
    """
    if (reference is None) == (cash_flow_id is None):
        raise typer.BadParameter("say which cash flow: either REFERENCE or --cash-flow-id ID")
    with context.open_book(by, may_lag=False) as manager:
        reversal = manager.bust_cash_flow(reference, cash_flow_id=cash_flow_id, reason=reason)
        balances = manager.get_cash_balances()
    context.answer(
        {"account": context.account, "reversal": reversal, "balances": balances},
        f"cash flow {reversal.busts_id} is busted: {reversal.kind} of {plain(reversal.amount)} "
        f"{reversal.currency} takes it back, because: {reversal.bust_reason}",
        *(
            f"{b.currency}: balance {plain(b.balance)}"
            for b in balances
            if b.currency == reversal.currency
        ),
    )
