"""`copy`: copy the book into another database."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from tradebook.entrypoints.cli.book.verification import show_verification
from tradebook.entrypoints.cli.common import without
from tradebook.entrypoints.cli.messages import counted, first_of, say
from tradebook.entrypoints.cli.ops.backup import ends_on_sigterm
from tradebook.entrypoints.cli.options import CommandContext
from tradebook.operations.copying import BookCopy, copy_book


@without(account="a copy holds every account")
def copy(
    context: CommandContext,
    source: Annotated[
        str | None,
        typer.Option("--from", metavar="URL", help="The book to copy; --database by default."),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option("--to", metavar="URL", help="An empty database; --database by default."),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Compare the tables, and leave out verify and the seals."),
    ] = False,
) -> None:
    """Copy the book into an empty database: SQLite to PostgreSQL, or any to any.

    Every account, with its ids, events and seals: all of it, or nothing if it
    is refused or interrupted. The tables are made where there are none. Before
    the copy is kept, every table is read back and compared with its original,
    by its rows and their SHA-256; then each account is proven in the copy, as
    `tradebook verify` and `tradebook audit check` do. Exits with 1 if one is
    not: then the original has the same differences.

      tradebook copy --from sqlite:///book.db --to postgresql://host/book
      tradebook copy --to sqlite:///laptop.db

    Of --from and --to, one left out is the database that --database or the
    environment names. Keep passwords out of the list of processes: in the
    environment, or as postgresql://user@host/book?password_file=FILE.
    Stop what writes to the original first: trades that are booked after the
    copy began are not in it.
    """
    if source is None and target is None:
        raise typer.BadParameter("say --from URL, --to URL or both", param_hint="--from")
    from_ = context.config(source, "--from")
    to = context.config(target, "--to")
    with ends_on_sigterm(), context.progress_bar("copying") as report:
        copied = copy_book(from_, to, prove=not quick, report=report)
    document = {
        "from": from_.safe_url,
        "to": to.safe_url,
        "tables": copied.tables,
        "accounts": [
            {
                "account": each.account,
                "proven": each.proven,
                "differences": each.verification.differences,
                "seals": each.seals.seals if each.seals else 0,
                "findings": each.seals.findings if each.seals else (),
            }
            for each in copied.accounts
        ],
        "proven": copied.proven and not quick,
        "seconds": round(copied.seconds, 3),
    }
    rows = {table.name: table.rows for table in copied.tables}
    line = (
        f"copied: {counted(rows['accounts'], 'account')}, {counted(rows['trades'], 'trade')}, "
        f"{counted(sum(rows.values()), 'row')} in all into {to.safe_url}; every table is equal to its original"
    )
    context.answer(document, line, then=partial(_say_proof, context, copied), ok=copied.proven)


def _say_proof(context: CommandContext, copied: BookCopy) -> None:
    for account in copied.accounts:
        if not account.verification.proven:
            say(f"account {account.account}, as in the original:")
            show_verification(context, account.verification)
        for line in first_of(account.seals.findings if account.seals else ()):
            say(f"account {account.account}, as in the original: {line.strip()}")
    if copied.accounts and copied.proven:
        say(f"proven: {counted(len(copied.accounts), 'account')} in {copied.seconds:.1f} s")
