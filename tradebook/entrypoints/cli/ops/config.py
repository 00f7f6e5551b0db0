"""`config`: which database is in force, and what says so."""

from __future__ import annotations

from typing import Annotated

import typer

from tradebook.config import DatabaseEnvironment, variables_help
from tradebook.entrypoints.cli.options import AsJson, Database, warn_of_password
from tradebook.entrypoints.cli.output import print_json, say, stdout
from tradebook.entrypoints.cli.tables import Column, Kind, show


def config(
    variables: Annotated[
        bool, typer.Option("--variables", help="List every variable that can be set.")
    ] = False,
    database: Database = None,
    as_json: AsJson = False,
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
        say(variables_help())
        return
    warn_of_password(database)
    environment = DatabaseEnvironment(url=database)
    settings, url = environment.explained(), environment.current.safe_url
    if as_json:
        print_json({"environment": environment.name, "url": url, "settings": settings})
        return

    show(
        stdout(),
        f"{environment.name}: {url}",
        [
            Column("field", "field", Kind.PROSE),
            Column("value", "value", Kind.PROSE),
            Column("from", "source", Kind.PROSE),
        ],
        [setting for setting in settings if setting.value],
    )
