"""`config`: the configuration in force, and the source of each value."""

from __future__ import annotations

from typing import Annotated

import typer

from tradebook.config import variables_help
from tradebook.config.environment import Setting
from tradebook.entrypoints.cli.columns import select
from tradebook.entrypoints.cli.common import without
from tradebook.entrypoints.cli.options import CommandContext


@without(account="it shows the account that the environment names")
def config(
    context: CommandContext,
    variables: Annotated[
        bool, typer.Option("--variables", help="List every variable that can be set.")
    ] = False,
) -> None:
    """Show the configuration in force, and where each value comes from.

    From strongest to weakest: --database, TRADEBOOK_DATABASE_URL, one variable
    for each field (TRADEBOOK_DB_HOST, ...), the environment that TRADEBOOK_ENV
    names, the defaults. Passwords are masked. Connects to nothing.

      tradebook config
      TRADEBOOK_ENV=production TRADEBOOK_DB_HOST=db.example.com tradebook config
      tradebook config --variables
    """
    if variables:
        text = variables_help()
        context.answer({"variables": text}, text)
        return
    environment = context.environment
    settings, url = environment.explained(), environment.current.safe_url
    context.answer_table(
        {"environment": environment.name, "url": url, "settings": settings},
        f"{environment.name}: {url}",
        select(Setting, "field value source"),
        [setting for setting in settings if setting.value],
        empty="",
    )
