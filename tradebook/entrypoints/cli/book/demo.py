"""`demo`: two agents that trade, in a module of its own because the demo is slow to import."""

from __future__ import annotations

from typing import Annotated, Final

from tradebook.demo import run_demo
from tradebook.entrypoints.cli.common import without
from tradebook.entrypoints.cli.options import CommandContext, option
from tradebook.entrypoints.cli.output import stdout

DEMO_DATABASE: Final = "sqlite:///demo.db"


@without(account="the demo's agents trade in the account main")
def demo(
    context: CommandContext,
    database: Annotated[
        str | None,
        option(
            "URL",
            "The demo's database; the environment never names it.",
            show_default=DEMO_DATABASE,
        ),
    ] = None,
) -> None:
    """Run two agents that trade real prices into a book of their own, and print a report.

    Leaves demo.db in the working directory to explore:

      tradebook demo
      tradebook positions --database sqlite:///demo.db
    """
    where = database or context.database or DEMO_DATABASE
    run_demo(where, stdout(), context.as_json, quiet=context.quiet)
