"""`cash`: the account's money and what moved it; new cash flows, and busts of wrong ones."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from tradebook.domain.cash import CashFlow, CashFlowKind
from tradebook.domain.numbers import plain
from tradebook.entrypoints.cli.book.entries import NUMBERS, recorded_now
from tradebook.entrypoints.cli.columns import select
from tradebook.entrypoints.cli.filters import Filters
from tradebook.entrypoints.cli.messages import counted
from tradebook.entrypoints.cli.options import (
    By,
    CommandContext,
    Reason,
    option,
    takes_option_sets,
    time_option,
)
from tradebook.service_layer.handlers import record_cash_flow
from tradebook.service_layer.queries.portfolio import CashBalance

app = typer.Typer(invoke_without_command=True)


@app.callback()
@takes_option_sets
def cash(context: CommandContext, filters: Filters) -> None:
    """Show the cash balance in each currency, and the latest cash flows; add one, bust a wrong one.

    The balance is external (deposits, withdrawals, transfers) + income
    (dividends, interest, funding and the like) + trading (what positions did
    to cash). It is not buying power. Options choose among the cash flows.

      tradebook cash --since 2024-05-01 --limit 100
      tradebook cash add DEPOSIT 1000 --reference wire-1
      tradebook cash bust wire-1 --reason "another account's"
    """
    with context.read_book() as manager:
        balances = manager.get_cash_balances()
        flows = filters.newest(context, manager, CashFlow, "cash flows")
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
        context.show_table(f"the latest {counted(len(flows), 'cash flow')}", columns, flows)


@app.command(context_settings=NUMBERS)
def add(
    context: CommandContext,
    kind: Annotated[str, typer.Argument(metavar="KIND", help=f"One of {', '.join(CashFlowKind)}.")],
    amount: Annotated[str, typer.Argument(help="Signed by its effect: a withdrawal is below 0.")],
    by: By,
    currency: Annotated[
        str | None, option("NAME", "Of the amount; the account's base currency by default.")
    ] = None,
    occurred_at: Annotated[
        datetime | None,
        typer.Option(
            "--at", metavar="TIME", help="When it moved; now by default.", parser=time_option
        ),
    ] = None,
    reference: Annotated[
        str | None, option("TEXT", "Records the entry once under it; made up by default.")
    ] = None,
    symbol: Annotated[str | None, option("SYMBOL", "The instrument that it came from.")] = None,
) -> None:
    """Record a deposit, withdrawal, dividend, fee or other cash that no trade moved.

    With --reference the command may be repeated: an entry that is recorded
    under it already changes nothing. Without one, every run records another.

      tradebook cash add DEPOSIT 1000 --reference wire-1
      tradebook cash add WITHDRAWAL -250.5 --currency EUR --at 2024-05-17
      tradebook cash add DIVIDEND 24.6 --symbol AAPL
    """
    terms = {"currency": currency, "occurred_at": occurred_at, "reference": reference}
    with context.open_book(by, may_lag=False) as manager:
        flow, is_new = manager.run(
            recorded_now, record_cash_flow, kind, amount, symbol=symbol, **terms
        )
        balances = manager.get_cash_balances()
    outcome = "is recorded" if is_new else "was recorded before; nothing was changed"
    context.answer(
        {
            "account": context.account,
            "cash_flow": flow,
            "recorded_before": not is_new,
            "balances": balances,
        },
        f"{flow.kind} of {plain(flow.amount)} {flow.currency}, reference {flow.reference}, {outcome}",
        *_balance(balances, flow.currency),
    )


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
        *_balance(balances, reversal.currency),
    )


def _balance(balances: list[CashBalance], currency: str) -> list[str]:
    return [f"{b.currency}: balance {plain(b.balance)}" for b in balances if b.currency == currency]
