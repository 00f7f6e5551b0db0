"""`sandbox`: a real PostgreSQL in a folder, to try things out."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from tradebook.entrypoints.cli.options import AsJson
from tradebook.entrypoints.cli.output import ask_first, print_json, say
from tradebook.operations.server.programs import find_program, run_interactive
from tradebook.operations.server.sandbox import Sandbox, remove_sandbox, start_sandbox

app = typer.Typer(
    no_args_is_help=True,
    help="""A real PostgreSQL 18 in a folder of yours, to try things out; needs no installation.

It listens on a socket in the folder, asks for a password that it makes, and keeps
what it acknowledged (checksums, fsync). Works as root too: the server then runs as
a user of its own. Needs the extra `sandbox` of tradebook.

  eval "$(tradebook sandbox start --export)"    this shell's book is there now
  tradebook demo --database "$TRADEBOOK_DATABASE_URL"
  tradebook sandbox psql                        look into its tables
  tradebook sandbox stop                        its data stays
""",
)

Folder: TypeAlias = Annotated[
    Path, typer.Argument(metavar="[DIRECTORY]", help="Where.", show_default=True)
]
Export: TypeAlias = Annotated[
    bool, typer.Option("--export", help="Print only what a shell evaluates to use it.")
]
_FOLDER = Path("tradebook-sandbox")


@app.command()
def start(
    directory: Folder = _FOLDER,
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            min=1024,
            max=65_535,
            help="Listen on 127.0.0.1 too, for programs that cannot use a socket.",
        ),
    ] = None,
    tables: Annotated[
        bool, typer.Option("--tables/--no-tables", help="Create the book's tables, too.")
    ] = True,
    export: Export = False,
    as_json: AsJson = False,
) -> None:
    """Start the server, made where there is none yet; one that runs is left alone.

    tradebook sandbox start
    tradebook sandbox start /var/tmp/book --port 5433
    eval "$(tradebook sandbox start --export)"
    """

    sandbox, started = start_sandbox(directory, port, tables=tables)
    _show(sandbox, "started" if started else "running already", export=export, as_json=as_json)


@app.command()
def status(directory: Folder = _FOLDER, export: Export = False, as_json: AsJson = False) -> None:
    """Say whether it runs, and where; exits with 1 when it does not.

    tradebook sandbox status || tradebook sandbox start
    """

    sandbox = Sandbox.from_folder(directory)
    running = sandbox.is_running
    _show(sandbox, "running" if running else "stopped", export=export, as_json=as_json)
    if not running:
        raise typer.Exit(1)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def psql(context: typer.Context) -> None:
    """Open PostgreSQL's own shell on it; a folder comes first, all else goes to psql.

    tradebook sandbox psql
    tradebook sandbox psql -c "SELECT count(*) FROM trades"
    tradebook sandbox psql /var/tmp/book
    """

    options = list(context.args)
    named = options and not options[0].startswith("-")
    sandbox = Sandbox.from_folder(Path(options.pop(0)) if named else _FOLDER)
    path = find_program("psql", sandbox.version)
    raise typer.Exit(run_interactive([path, *options], sandbox.config))


@app.command()
def stop(
    directory: Folder = _FOLDER,
    remove: Annotated[
        bool, typer.Option("--remove", help="Then remove the folder, and all its data.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove without asking.")] = False,
    as_json: AsJson = False,
) -> None:
    """Stop the server; its data stays unless --remove is given.

    tradebook sandbox stop
    tradebook sandbox stop /var/tmp/book --remove --yes
    """

    sandbox = Sandbox.from_folder(directory)
    if not remove:
        said = "stopped" if sandbox.stop() else "stopped already"
        _show(sandbox, said, export=False, as_json=as_json)
        return
    ask_first(f"Remove {sandbox.home} and all its data?", yes=yes, otherwise="nothing was removed")
    remove_sandbox(directory)
    if as_json:
        print_json({"directory": str(sandbox.home), "state": "removed"})
    else:
        say(f"removed: {sandbox.home}")


def _show(sandbox: Sandbox, state: str, *, export: bool, as_json: bool) -> None:
    url = str(sandbox.config.url).replace("+psycopg2", "", 1)
    if export:
        say(f"export TRADEBOOK_DATABASE_URL={shlex.quote(url)}")
    elif as_json:
        print_json({"directory": str(sandbox.home), "state": state, "url": url})
    else:
        say(f"{state}: {sandbox.config.safe_url}")
        say(f"its log: {os.path.relpath(sandbox.server.log)}")
        if state in ("started", "running", "running already"):
            command = f"tradebook sandbox status {shlex.quote(str(sandbox.home))} --export"
            say(f'to use it here: eval "$({command})"')
