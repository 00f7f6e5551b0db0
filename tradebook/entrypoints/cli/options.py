"""The options that commands share, and the book that they name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer

if TYPE_CHECKING:
    from tradebook.entrypoints.manager import DatabaseManager

ACTOR: Final = "tradebook command"
"""Who writes, in the events of what the command line changed."""

Database: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="URL",
        help="Which database: sqlite:///book.db or postgresql://user:password@host/book. "
        "By default what the environment's variables say (see `tradebook config`), else the file "
        "tradebook.db in the working directory.",
        show_default=False,
    ),
]
AccountName: TypeAlias = Annotated[
    str, typer.Option("--account", metavar="NAME", help="Whose book it is.")
]
AsJson: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--json", help="One JSON document on stdout: decimals as text, times ISO 8601 in UTC."
    ),
]


@contextmanager
def opened(database: str | None, account: str) -> Iterator[DatabaseManager]:
    """The book that `--database` and `--account` name."""
    from tradebook.entrypoints.manager import DatabaseManager

    with DatabaseManager(database, account=account, actor=ACTOR) as manager:
        yield manager
