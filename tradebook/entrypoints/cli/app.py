"""The commands put together, and what becomes of an error: a message and an exit code."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Annotated, Any, Final, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

from tradebook.domain.errors import TradebookError
from tradebook.entrypoints.cli.output import complain

_HELP = """The book of record for trading systems and AI trading agents.

Trades, positions with exact P&L, cash, portfolio snapshots and alerts, in
one database: the SQLite file tradebook.db in the working directory, unless
--database or a variable such as TRADEBOOK_DATABASE_URL names another; see
`tradebook config`. Commands take --database, --account and --json, after
their name.
"""

_EXAMPLES = """Try it:

  tradebook demo                  two agents trade; then a report
  tradebook import trades.csv     book a file of trades
  tradebook positions             what is held, and what it earned
  tradebook portfolio --snapshot  what the account is worth now
  tradebook verify                prove all of it from the trades

`tradebook COMMAND --help` has more examples.

Exit codes: 0 done, 1 refused (nothing was changed) or not well, 2 used
wrongly, 130 interrupted by Ctrl-C.
"""


class Entry(NamedTuple):
    """One line of the command table.

    Attributes:
        where: the module below this package and its attribute: a function, or a `Typer` group.
        panel: the heading of the help under which the command stands.
        summary: the first line of the command's help; a test compares the two.
    """

    where: str
    panel: str
    summary: str


_READ: Final = "What the book says"
_WRITE: Final = "What changes the book"
_OPERATE: Final = "What runs it in production"

COMMANDS: Final = {
    "import": Entry(
        "book.importing:import_trades",
        _WRITE,
        "Book a file of trades, in the order of its rows: all of it, or nothing.",
    ),
    "trades": Entry(
        "book.trades:app",
        _READ,
        "List the latest trades, newest first; `trades bust` and `trades correct` put one right.",
    ),
    "positions": Entry(
        "book.trades:positions",
        _READ,
        "Show what is held, what it cost and what it earned, by symbol.",
    ),
    "portfolio": Entry(
        "book.portfolio:portfolio",
        _READ,
        "Show what the account held and was worth, or take a new snapshot of it.",
    ),
    "cash": Entry(
        "book.portfolio:cash", _READ, "Show the cash in each currency, and the latest flows."
    ),
    "alerts": Entry(
        "book.alerts:app",
        _READ,
        "List the alerts that nobody dealt with yet; `alerts resolve` deals with one.",
    ),
    "export": Entry(
        "book.exporting:export", _READ, "Write records to a file, newest first, with every digit."
    ),
    "verify": Entry(
        "book.lifecycle:verify",
        _READ,
        "Prove the book: fold every trade again and compare with all that is stored.",
    ),
    "audit": Entry(
        "book.audit:app",
        _READ,
        "Prove that the audit trail, and the terms of trades, were not tampered with.",
    ),
    "rebuild": Entry(
        "book.corrections:rebuild",
        _WRITE,
        "Fold positions from their trades again, and put right what is wrong in them.",
    ),
    "init": Entry(
        "book.lifecycle:init", _WRITE, "Create the schema, or bring it up to this version."
    ),
    "config": Entry(
        "ops.config:config",
        _READ,
        "Show the configuration in force, and where each value comes from.",
    ),
    "doctor": Entry(
        "ops.doctor:doctor",
        _OPERATE,
        "Look at the database and the book in it: green, yellow or red, with the fix for each.",
    ),
    "demo": Entry(
        "book.lifecycle:demo",
        _WRITE,
        "Watch two agents trade real prices, all of it recorded; then a report.",
    ),
    "db": Entry(
        "ops.db:app",
        _OPERATE,
        "The database's schema: where it is, up, down, and whether it is what this version expects.",
    ),
    "top": Entry(
        "ops.top:top",
        _OPERATE,
        "Watch the database live: connections, throughput, who blocks whom, long transactions.",
    ),
    "metrics": Entry(
        "ops.metrics:metrics",
        _OPERATE,
        "Serve Prometheus what the database knows: trades, alerts, locks, dead rows, lag.",
    ),
    "backup": Entry(
        "ops.backup_upkeep:app",
        _OPERATE,
        "Back the book up while others write to it; interrupted, it leaves nothing.",
    ),
    "restore": Entry(
        "ops.restoring:restore", _OPERATE, "Restore a backup, and prove the book that comes out."
    ),
    "sandbox": Entry(
        "ops.sandbox:app",
        _OPERATE,
        "A real PostgreSQL 18 in a folder of yours, to try things out; needs no installation.",
    ),
}
"""Every command. Its module loads when the command runs, so that `--help` needs no database library."""


def load(name: str) -> Any:
    """Import the module of a command and return the command."""
    module, attribute = COMMANDS[name].where.split(":")
    found = getattr(import_module(f"tradebook.entrypoints.cli.{module}"), attribute)
    parent = typer.Typer(context_settings=_SETTINGS)
    if isinstance(found, typer.Typer):
        parent.add_typer(found, name=name)
    else:
        parent.command(name)(found)
    return get_group(parent).commands[name]


class _Commands(TyperGroup):
    """The top of the command line.

    A refused operation ends in a message on stderr and exit code 1, never in a traceback.
    """

    def list_commands(self, _ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        _, panel, summary = COMMANDS[cmd_name]
        return TyperCommand(cmd_name, help=summary, rich_help_panel=panel)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and name and load(name), rest

    def invoke(self, ctx: Any) -> Any:
        try:
            _log_as_asked()
            return super().invoke(ctx)
        except TradebookError as error:
            complain(str(error))
            raise typer.Exit(1) from None


def _log_as_asked() -> None:
    if os.environ.get("TRADEBOOK_LOG"):
        from tradebook.operations.logs import configure_from

        configure_from(os.environ)


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
        from tradebook import __version__

        typer.echo(f"tradebook {__version__}")
        raise typer.Exit


@app.callback()
def _tradebook(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Replaced by the help above."""
