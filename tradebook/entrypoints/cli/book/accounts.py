"""`accounts`, and the views of `--account all`: positions and portfolio of all accounts together."""

from __future__ import annotations

from typing import Final

import typer

from tradebook.domain.cash import ALL_ACCOUNTS, Account
from tradebook.domain.portfolio import Portfolio
from tradebook.domain.positions import Position
from tradebook.entrypoints.cli.columns import select
from tradebook.entrypoints.cli.common import without
from tradebook.entrypoints.cli.filters import Choice
from tradebook.entrypoints.cli.messages import counted, say
from tradebook.entrypoints.cli.options import AsOf, CommandContext
from tradebook.entrypoints.cli.tables import totals_by_currency

POSITION_COLUMNS: Final = (
    "symbol quantity entry_price current_price marked_at market_value unrealized_pnl realized_pnl "
    "fees net_pnl cash_flow currency"
)
POSITION_SPARE: Final = (
    "unrealized_pnl entry_price market_value realized_pnl current_price fees cash_flow marked_at"
)
POSITION_AMOUNTS: Final = (
    *("market_value", "unrealized_pnl", "realized_pnl", "fees", "net_pnl", "cash_flow"),
)
_NO_ACCOUNT: Final = "no account is open; book a file of trades with: tradebook import FILE"


@without(account="it lists all of them")
def accounts(context: CommandContext) -> None:
    """List the accounts of the database: those that the role sees.

    An account is opened by its first trade, cash flow or snapshot, or by
    `tradebook init --account NAME --base-currency CURRENCY`.

      tradebook accounts
      tradebook positions --account all
    """
    with context.read_all_accounts() as manager:
        found = manager.get_accounts()
        url = manager.url
    context.answer_table(
        {"database": url, "accounts": found},
        f"{counted(len(found), 'account')} in {url}",
        select(Account, "account base_currency created_at"),
        found,
        empty=_NO_ACCOUNT,
    )


def show_all_positions(
    context: CommandContext, as_of: AsOf, choice: Choice, *, include_closed: bool
) -> None:
    """Show the positions of every account, with totals over all of them by currency."""
    if as_of.time is not None:
        raise typer.BadParameter(
            "goes with one account, not with --account all", param_hint="--as-of"
        )
    with context.read_all_accounts() as manager:
        found = manager.get_consolidated_positions(include_closed=include_closed)
    found = choice.chosen(found, Position, "positions")
    totals = totals_by_currency(found, POSITION_AMOUNTS)
    context.answer_table(
        {"account": ALL_ACCOUNTS, "positions": found, "totals": totals},
        f"{counted(len(found), 'position')} of all accounts",
        select(Position, f"account {POSITION_COLUMNS}", spare=POSITION_SPARE),
        found,
        totals,
        empty=f"no {'' if include_closed else 'open '}positions in any account",
    )


def show_all_portfolios(
    context: CommandContext, base_currency: str | None, rates: dict[str, str]
) -> None:
    """Show what each account is worth now, and all of them together, in one currency."""
    with context.read_all_accounts() as manager:
        found = manager.get_consolidated_portfolio(
            base_currency=base_currency or context.environment.base_currency, rates=rates
        )
    total = found.total
    names = (
        "account total_value cash_balance positions_value realized_pnl unrealized_pnl fees "
        "external_flows income"
    )
    context.answer_table(
        {
            "account": ALL_ACCOUNTS,
            "portfolio": total,
            "portfolios": found.portfolios,
            "positions": found.positions,
        },
        f"{counted(len(found.portfolios), 'account')} at {total.timestamp:%Y-%m-%d %H:%M:%S} UTC, "
        f"in {total.currency}",
        select(
            Portfolio,
            names,
            spare="positions_value cash_balance realized_pnl unrealized_pnl fees external_flows income",
        ),
        found.portfolios,
        [total],
        empty=_NO_ACCOUNT,
    )
    if not context.as_json:
        for currency, rate in total.rates.items():
            say(f"1 {currency} = {rate} {total.currency}")
