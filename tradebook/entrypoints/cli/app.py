"""The commands put together, and what becomes of an error: a message and an exit code."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tradebook.domain.errors import TradebookError
from tradebook.entrypoints.cli import (
    alerts,
    audit,
    backup_upkeep,
    book,
    config,
    corrections,
    db,
    doctor,
    exporting,
    importing,
    metrics,
    portfolio,
    restoring,
    sandbox,
    top,
    trades,
)
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


class _Commands(TyperGroup):
    """A refused operation ends in a message on stderr and exit code 1, never in a traceback."""

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


app = typer.Typer(
    cls=_Commands,
    help=_HELP,
    epilog=_EXAMPLES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
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


_READ = "What the book says"
_WRITE = "What changes the book"
_OPERATE = "What runs it in production"

app.command("import", rich_help_panel=_WRITE)(importing.import_trades)
app.add_typer(trades.app, name="trades", rich_help_panel=_READ)
app.command("positions", rich_help_panel=_READ)(trades.positions)
app.command("portfolio", rich_help_panel=_READ)(portfolio.portfolio)
app.command("cash", rich_help_panel=_READ)(portfolio.cash)
app.add_typer(alerts.app, name="alerts", rich_help_panel=_READ)
app.command("export", rich_help_panel=_READ)(exporting.export)
app.command("verify", rich_help_panel=_READ)(book.verify)
app.add_typer(audit.app, name="audit", rich_help_panel=_READ)
app.command("rebuild", rich_help_panel=_WRITE)(corrections.rebuild)
app.command("init", rich_help_panel=_WRITE)(book.init)
app.command("config", rich_help_panel=_READ)(config.config)
app.command("doctor", rich_help_panel=_OPERATE)(doctor.doctor)
app.command("demo", rich_help_panel=_WRITE)(book.demo)
app.add_typer(db.app, name="db", rich_help_panel=_OPERATE)
app.command("top", rich_help_panel=_OPERATE)(top.top)
app.command("metrics", rich_help_panel=_OPERATE)(metrics.metrics)
app.add_typer(backup_upkeep.app, name="backup", rich_help_panel=_OPERATE)
app.command("restore", rich_help_panel=_OPERATE)(restoring.restore)
app.add_typer(sandbox.app, name="sandbox", rich_help_panel=_OPERATE)
