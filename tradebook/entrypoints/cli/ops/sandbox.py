"""`sandbox`: a PostgreSQL server in a folder, to try things out."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from tradebook.entrypoints.cli.common import without
from tradebook.entrypoints.cli.messages import confirm, say
from tradebook.entrypoints.cli.options import CommandContext, Yes
from tradebook.operations.server.programs import find_program, run_interactive
from tradebook.operations.server.sandbox import Sandbox, remove_sandbox, start_sandbox

app = typer.Typer(no_args_is_help=True)

Folder: TypeAlias = Annotated[
    Path, typer.Argument(metavar="[DIRECTORY]", help="The server's folder.", show_default=True)
]
Export: TypeAlias = Annotated[
    bool, typer.Option("--export", help="Print only the line that makes a shell use it.")
]
_FOLDER = Path("tradebook-sandbox")


@app.callback()
@without(
    database="a sandbox is named by its folder", account="a sandbox is a server for every account"
)
def sandbox() -> None:
    """Run a real PostgreSQL 18 in a folder, to try things out; needs no installation.

    It listens on a socket in the folder, generates a password, and keeps what it
    acknowledged (checksums, fsync). Works as root too: the server then runs as a
    user of its own. Needs tradebook's extra `sandbox`.

      eval "$(tradebook sandbox start --export)"    this shell's book is there now
      tradebook demo --database "$TRADEBOOK_DATABASE_URL"
      tradebook sandbox psql                        open a shell on its tables
      tradebook sandbox stop                        its data stays
    """


@app.command()
def start(
    context: CommandContext,
    directory: Folder = _FOLDER,
    port: Annotated[
        int | None,
        typer.Option(
            min=1024,
            max=65_535,
            help="Listen on this port of 127.0.0.1 too, not only on the socket.",
        ),
    ] = None,
    tables: Annotated[
        bool, typer.Option("--tables/--no-tables", help="Create the book's tables.")
    ] = True,
    export: Export = False,
) -> None:
    """Start the server; create it if the folder has none, leave it alone if it runs.

    tradebook sandbox start
    tradebook sandbox start /var/tmp/book --port 5433
    eval "$(tradebook sandbox start --export)"
    """
    server, started = start_sandbox(directory, port, tables=tables)
    _show(context, server, "started" if started else "running already", export=export)


@app.command()
def status(context: CommandContext, directory: Folder = _FOLDER, export: Export = False) -> None:
    """Show whether the server runs, and its URL; exits with 1 if it does not run.

    tradebook sandbox status || tradebook sandbox start
    """
    server = Sandbox.from_folder(directory)
    state = "running" if server.is_running else "stopped"
    _show(context, server, state, export=export)
    if state == "stopped":
        raise typer.Exit(1)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
@without(as_json="psql has output formats of its own, such as --csv")
def psql(context: CommandContext) -> None:
    """Open PostgreSQL's own shell on the server; a folder comes first, all else goes to psql.

    tradebook sandbox psql
    tradebook sandbox psql -c "SELECT count(*) FROM trades"
    tradebook sandbox psql /var/tmp/book
    """
    options = list(context.args)
    named = options and not options[0].startswith("-")
    server = Sandbox.from_folder(Path(options.pop(0)) if named else _FOLDER)
    if context.quiet:
        options.append("--quiet")  # psql has the same option, with the same meaning
    path = find_program("psql", server.version)
    raise typer.Exit(run_interactive([path, *options], server.config))


@app.command()
def stop(
    context: CommandContext,
    directory: Folder = _FOLDER,
    remove: Annotated[
        bool, typer.Option("--remove", help="Then remove the folder with all its data.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Stop the server; its data stays unless --remove is given.

    tradebook sandbox stop
    tradebook sandbox stop /var/tmp/book --remove --yes
    """
    server = Sandbox.from_folder(directory)
    if not remove:
        state = "stopped" if server.stop() else "stopped already"
        _show(context, server, state, export=False)
        return
    confirm(f"Remove {server.home} and all its data?", yes=yes, otherwise="nothing was removed")
    remove_sandbox(directory)
    document = {"directory": str(server.home), "state": "removed"}
    context.answer(document, f"removed: {server.home}")


def _show(context: CommandContext, server: Sandbox, state: str, *, export: bool) -> None:
    # Programs other than SQLAlchemy, such as psql, accept no driver in a URL.
    url = str(server.config.url).replace("+psycopg2", "", 1)
    if export:
        say(f"export TRADEBOOK_DATABASE_URL={shlex.quote(url)}")
        return
    log = os.path.relpath(server.server.log)
    lines = [f"{state}: {server.config.safe_url}", f"its log: {log}"]
    if not state.startswith("stopped"):
        command = f"tradebook sandbox status {shlex.quote(str(server.home))} --export"
        lines.append(f'to use it here: eval "$({command})"')
    context.answer({"directory": str(server.home), "state": state, "url": url}, *lines)
