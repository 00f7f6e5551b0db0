"""`db`: the database itself."""

from __future__ import annotations

import typer

from tradebook.entrypoints.cli import roles

app = typer.Typer(no_args_is_help=True, help="Run the database: its roles.")
app.command("roles")(roles.roles)
