"""The command table, and what becomes of an error: a message and an exit code."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Annotated, Any, Final, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

import tradebook
from tradebook.domain.errors import TradebookError
from tradebook.entrypoints.cli.common import CommonOptions, accept_common_options
from tradebook.entrypoints.cli.messages import fail

_HELP = """The book of record for trading systems and AI trading agents.

Trades, positions with exact P&L, cash, portfolio snapshots and alerts, in
one database: the SQLite file tradebook.db in the working directory, unless
--database or a variable such as TRADEBOOK_DATABASE_URL names another; see
`tradebook config`. --database, --account, --json, --wide and --quiet may stand
before the command or after it; the last one given wins.
"""

_EXAMPLES = """Try it:

  tradebook demo                  two agents trade; then a report
  tradebook import trades.csv     book a file of trades
  tradebook positions             what is held, and what it earned
  tradebook portfolio --snapshot  what the account is worth now
  tradebook verify                prove all of it from the trades

`tradebook COMMAND --help` has more examples.

Exit codes: 0 done, 1 refused (nothing was changed) or a check failed, 2 used
wrongly, 130 interrupted by Ctrl-C.
"""


class Entry(NamedTuple):
    """A command: its `module:attribute` below this package, the first paragraph of its help, its heading."""

    where: str
    summary: str
    panel: str


_PANELS: Final = {
    "Read the book": {
        "trades = book.trades:app": "List the latest trades, newest first; add one, show an order's, take out or correct a wrong one.",
        "orders = book.orders:app": "List the open orders, the oldest first; show any order with its fills.",
        "positions = book.positions:positions": "Show what is held, what it cost and what it earned, by symbol.",
        "portfolio = book.portfolio:portfolio": "Show what the account held and was worth, or take a new snapshot of it.",
        "accounts = book.accounts:accounts": "List the accounts of the database: those that the role sees.",
        "cash = book.cash:app": "Show the cash balance in each currency, and the latest cash flows; add one, bust a wrong one.",
        "balances = book.balances:balances": "Show how much of each asset the account has, over all positions and cash.",
        "reconcile = book.reconciling:reconcile": "Compare the book with what a venue says, and mend it where it differs.",
        "prices = book.prices:app": "List the prices at which positions are marked; set them.",
        "signals = book.agents:signals_app": "List the signals, newest first; show one with all that it says.",
        "decisions = book.agents:decisions_app": "List the decisions of agents, newest first; show what led to one, and to what it led.",
        "actions = book.agents:actions_app": "List the single steps that agents took, newest first; show one.",
        "replay = book.replaying:replay": "Show all that a decision was made from, byte for byte, with its model's settings.",
        "look-ahead = book.replaying:look_ahead": "Check that decisions were made from what they could know.",
        "equity = book.equity:equity": "Show what the account was worth over time, as a chart and in numbers.",
        "attribution = book.attribution:attribution": "Show who earned what: P&L on a cost basis of its own, fees, income and costs of each group.",
        "agents = book.attribution:agents": "Show each agent: its decisions by status, its trades, what they earned and what it cost.",
        "explain = book.explain:explain": "Explain what led to a record, what it led to, and what it earned to the last digit.",
        "why = book.explain:why": "Explain why an order was sent: its decision, its fills, what these closed and earned.",
        "calibration = book.calibration:calibration": "Show how often agents were right, and whether their confidence said so.",
        "counterfactuals = book.calibration:counterfactuals": "Show what decisions that were never executed would have earned.",
        "alerts = book.alerts:app": "List the unresolved alerts; record how one was resolved.",
        "export = book.exporting:export": "Write records to a file, newest first, with every digit.",
        "verify = book.verification:verify": "Prove the book: fold every trade again and compare with all that is stored.",
        "audit = book.audit:app": "Prove that the audit trail and the terms of trades were not tampered with.",
        "config = ops.config:config": "Show the configuration in force, and where each value comes from.",
    },
    "Change the book": {
        "import = book.importing:import_trades": "Book the trades of a file in the order of their times: all of them, or none.",
        "imports = book.imports:app": "List the imports, newest first; show one, or take all of it back.",
        "venues = book.venues:venues": "List the venues and programs whose files `import --from` reads.",
        "rebuild = book.verification:rebuild": "Fold positions from their trades again, and repair those that are wrong.",
        "init = ops.db:init": "Create the tables, or bring them up to this version's schema.",
        "demo = book.demo:demo": "Run two agents that trade real prices into a book of their own, and print a report.",
    },
    "Run it in production": {
        "doctor = ops.doctor:doctor": "Check the database and the book in it: green, yellow or red, with the fix for each.",
        "db = ops.db:app": "Upgrade, downgrade and check the database's schema and roles.",
        "top = ops.top:top": "Watch the database live: connections, throughput, locks waited for, long transactions.",
        "metrics = ops.metrics:metrics": "Serve the database's metrics to Prometheus: trades, alerts, locks, dead rows, lag.",
        "backup = ops.backup_upkeep:app": "Back up the book while it is in use; an interrupted backup leaves nothing behind.",
        "restore = ops.restoring:restore": "Restore a backup, and prove the restored book.",
        "copy = ops.copying:copy": "Copy the book into an empty database: SQLite to PostgreSQL, or any to any.",
        "sandbox = ops.sandbox:app": "Run a real PostgreSQL 18 in a folder, to try things out; needs no installation.",
    },
}
"""For each heading of the help: the commands as `name = module:attribute`, and their summaries."""

COMMANDS: Final = {
    name: Entry(where, summary, panel)
    for panel, commands in _PANELS.items()
    for (name, where), summary in ((key.split(" = "), text) for key, text in commands.items())
}
"""Every command. Its module loads when the command runs, so that `--help` needs no database library."""


def load(name: str) -> Any:
    """Import the module of a command and return the command, with the common options."""
    module, attribute = COMMANDS[name].where.split(":")
    found = getattr(import_module(f"tradebook.entrypoints.cli.{module}"), attribute)
    parent = typer.Typer(context_settings=_SETTINGS)
    if isinstance(found, typer.Typer):
        parent.add_typer(found, name=name)
    else:
        parent.command(name)(found)
    command = get_group(parent).commands[name]
    options = import_module("tradebook.entrypoints.cli.options")
    accept_common_options(command, options.CommandContext)
    return command


class _Commands(TyperGroup):
    """The top of the command line.

    A refused operation ends in a message on stderr and exit code 1, never in a traceback.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        accept_common_options(self, CommonOptions)
        self.commands = {  # for the help only: a command's module is imported when it runs
            name: TyperCommand(name, help=entry.summary, rich_help_panel=entry.panel)
            for name, entry in COMMANDS.items()
        }

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and name and load(name), rest

    def invoke(self, ctx: Any) -> Any:
        try:
            if os.environ.get("TRADEBOOK_LOG"):
                logs = import_module("tradebook.operations.logs")
                logs.configure_from(os.environ)
            return super().invoke(ctx)
        except TradebookError as error:  # any other exception is a bug, and keeps its traceback
            raise fail(str(error)) from None


_SETTINGS: Final[dict[str, Any]] = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    cls=_Commands,
    help=_HELP,
    epilog=_EXAMPLES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings=_SETTINGS,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tradebook {tradebook.__version__}")
        raise typer.Exit


@app.callback()
def _tradebook(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Accept the options of the top level; the help text is the one given to `app`."""
