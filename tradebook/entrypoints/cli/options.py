"""A command's context, and the options that several commands share."""

from __future__ import annotations

import getpass
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from functools import cached_property, wraps
from typing import Annotated, Any, Final, Literal, TypeAlias, get_type_hints

import typer
from attrs import define, evolve, fields, frozen, has
from sqlalchemy import Engine

from tradebook.adapters.runner.observers import LOST_CONNECTION, RetryAttempt
from tradebook.adapters.runner.retries import MAX_OUTAGE
from tradebook.config import DatabaseConfig, DatabaseEnvironment
from tradebook.config.urls import MEMORY
from tradebook.domain.cash import ALL_ACCOUNTS
from tradebook.domain.errors import InvalidInput, TradebookError
from tradebook.domain.validation import utc
from tradebook.entrypoints.cli import output
from tradebook.entrypoints.cli.common import CommonOptions
from tradebook.entrypoints.cli.messages import say
from tradebook.entrypoints.cli.tables import Column, Row, show
from tradebook.entrypoints.manager import DatabaseManager
from tradebook.operations.server.admin_connection import has_file, require_file
from tradebook.service_layer.instrumentation import CallRecord, ProgressCallback
from tradebook.service_layer.queries.accounts import account_exists, listed

ACTOR: Final = "tradebook command"
"""The actor in events of changes that the command line made, unless `--by` names one."""


VIEWS_OF_ALL: Final = "All accounts together are shown, and never changed, by: tradebook positions, tradebook portfolio"


class CommandContext(CommonOptions):
    """The context of a command: the common options, and the book that they name."""

    @cached_property
    def environment(self) -> DatabaseEnvironment:
        """The environment with the URL of `--database`, if given; warns of a password in it."""
        return self._environment(self.database, "--database")

    def config(self, url: str | None = None, option: str = "--database") -> DatabaseConfig:
        """Return the configuration of the database that an option, `--database` or the environment names."""
        return (self._environment(url, option) if url else self.environment).current

    def _environment(self, url: str | None, option: str) -> DatabaseEnvironment:
        if url and "***" in DatabaseConfig.from_url(url).safe_url:
            self.note(
                f"warning: other users see a password in {option} in the list of processes, and the shell's "
                "history keeps it; put it into a file named by TRADEBOOK_DB_PASSWORD_FILE, or the URL into "
                "TRADEBOOK_DATABASE_URL or a file named by TRADEBOOK_DATABASE_URL_FILE"
            )
        return DatabaseEnvironment(url=url)

    @property
    def is_for_all(self) -> bool:
        """True for `--account all`."""
        return self.account == ALL_ACCOUNTS

    @contextmanager
    def open_book(
        self,
        actor: str = ACTOR,
        *,
        may_lag: bool = True,
        base_currency: str | None = None,
        creates: bool = False,
        or_empty: bool = False,
    ) -> Iterator[DatabaseManager]:
        """Open the account's book, to read or change it.

        Args:
            actor: who changes it.
            may_lag: whether queries may go to a standby, which may lag behind.
            base_currency: of the account; by default the one that the environment names.
            creates: whether a SQLite file that does not exist is created.
            or_empty: whether it counts as an empty book, which is kept nowhere.

        Raises:
            TradebookError: for `--account all`.
            DatabaseUnavailable: there is no such file.
        """
        if self.is_for_all:
            raise TradebookError(
                f"`{self.command_path}` works on one account, not on all: name it with --account. {VIEWS_OF_ALL}"
            )
        config = self.config()
        if or_empty and not has_file(config):
            config = evolve(config, path=MEMORY)
        elif not creates:
            require_file(config)
        if not may_lag:
            config = evolve(config, read_url=None)
        currency = base_currency or self.environment.base_currency
        with DatabaseManager(
            config, self.account, base_currency=currency, actor=actor or ACTOR
        ) as manager:
            manager.watch(_OutageNote(self.note))
            yield manager

    @contextmanager
    def read_book(self, *, may_lag: bool = True) -> Iterator[DatabaseManager]:
        """Open the account's book, to read it.

        Raises:
            TradebookError: the account does not exist; the message names those that do. In a database without
                any account only one that was named is refused.
        """
        with self.open_book(may_lag=may_lag) as manager:
            if not manager.read(account_exists):
                names = [account.account for account in manager.get_accounts()]
                if names or self.named_account is not None:
                    raise TradebookError(
                        f"no account {self.account!r} in {manager.url}; accounts that exist: {listed(names)}"
                    )
            yield manager

    @contextmanager
    def read_all_accounts(self) -> Iterator[DatabaseManager]:
        """Open the database for queries across accounts; they name no account of their own."""
        config = self.config()
        require_file(config)
        with DatabaseManager(config) as manager:
            manager.watch(_OutageNote(self.note))
            yield manager

    def progress_bar(self, label: str) -> AbstractContextManager[ProgressCallback]:
        """Show a progress bar on stderr, unless the command runs with `--quiet` or `--json`."""
        return output.progress_bar(label, hidden=self.quiet or self.as_json)

    def answer(
        self,
        document: Mapping[str, object],
        *lines: str,
        then: Callable[[], None] | None = None,
        ok: bool = True,
    ) -> None:
        """Write the document with `--json`, else the lines and what `then` prints; exit with 1 if not ok."""
        if self.as_json:
            output.print_json(document)
        else:
            for line in lines:
                say(line)
            if then is not None:
                then()
        if not ok:
            raise typer.Exit(1)

    def answer_table(
        self,
        document: Mapping[str, object],
        title: str,
        columns: Sequence[Column],
        rows: Sequence[Row],
        totals: Sequence[Row] = (),
        *,
        empty: str,
    ) -> None:
        """Write the result: the document with `--json`, else a table, or a line if it has no rows."""
        if self.as_json:
            output.print_json(document)
        elif rows:
            self.show_table(title, columns, rows, totals)
        else:
            say(empty)

    def show_table(
        self,
        title: str,
        columns: Sequence[Column],
        rows: Sequence[Row],
        totals: Sequence[Row] = (),
    ) -> None:
        """Write a table for people, with every column and digit if the command runs with `--wide`."""
        show(output.stdout(), title, columns, rows, totals, wide=self.wide)


@define
class _OutageNote:
    """Says once that the server cannot be reached and is waited for."""

    note: Callable[[str], None]
    is_said: bool = False

    def observe_engine(self, engine: Engine) -> None:
        """Do nothing."""

    def observe_call(self, call: CallRecord) -> AbstractContextManager[object]:  # noqa: ARG002
        """Do nothing."""
        return nullcontext()

    def observe_retry(self, attempt: RetryAttempt) -> None:
        """Write the note before the first wait for a server."""
        if attempt.reason == LOST_CONNECTION and not self.is_said:
            self.is_said = True
            self.note(
                f"no connection to the server; trying again for {MAX_OUTAGE:.0f} s (Ctrl-C ends it)"
            )


def login_name() -> str:
    """Return the name of the user who runs the command; `""` where the system has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user id need not have a name
        return ""


def time_option(text: str) -> datetime:
    """Parse the ISO 8601 time that an option gives."""
    try:
        return utc(text)
    except InvalidInput:
        raise typer.BadParameter(
            f"{text!r}: write an ISO 8601 time such as 2024-05-17T14:30, in UTC unless it has an offset"
        ) from None


def name_value_pairs(
    given: list[str] | None, option: str, form: str, *, split: Callable[..., Any] = str.rpartition
) -> list[tuple[str, str]]:
    """Parse a repeated option `NAME=VALUE`; split at the last `=`, or with `str.partition` at the first."""
    pairs = []
    for text in given or []:
        name, _, value = (part.strip() for part in split(text, "="))
        if not (name and value):
            raise typer.BadParameter(f"{text!r}: write {form}", param_hint=option)
        pairs.append((name, value))
    return pairs


def named_values(
    given: list[str] | None, option: str, form: str, *, split: Callable[..., Any] = str.rpartition
) -> dict[str, str]:
    """Parse a repeated option as `name_value_pairs` does; refuse two values for one name."""
    values: dict[str, str] = {}
    for name, value in name_value_pairs(given, option, form, split=split):
        if values.setdefault(name, value) != value:
            raise typer.BadParameter(f"{name!r} is given twice", param_hint=option)
    return values


def option(metavar: str, help_text: str, **settings: Any) -> Any:
    """Declare an option that takes a value; its name follows from the parameter's name."""
    return typer.Option(metavar=metavar, help=help_text, **settings)


# Single options

Symbol: TypeAlias = Annotated[
    str | None, typer.Option("--symbol", metavar="SYMBOL", help="Only this symbol.")
]
OrderId: TypeAlias = Annotated[str, typer.Argument(help="The order's id.")]
OrderSymbol: TypeAlias = Annotated[
    str | None,
    typer.Option("--symbol", metavar="SYMBOL", help="Its symbol, if several orders have the id."),
]
OrderVenue: TypeAlias = Annotated[
    str | None,
    typer.Option("--venue", metavar="VENUE", help="Its venue, if several orders have the id."),
]
By: TypeAlias = Annotated[
    str,
    typer.Option(
        "--by",
        metavar="NAME",
        default_factory=login_name,
        show_default="your login name",
        help="The person who does it, for the record.",
    ),
]
Reason: TypeAlias = Annotated[str, option("TEXT", "The reason, which is kept on record.")]
Yes: TypeAlias = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]
DryRun: TypeAlias = Annotated[
    bool, typer.Option("--dry-run", help="Show what would be done, and change nothing.")
]


# Sets of options


def takes_option_sets(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of every option set among its parameters.

    typer makes one option of each parameter; an option set is an attrs class whose fields are options, so
    that commands which share them take one parameter, and a new option of the set is one edit. Every field
    has a default.
    """
    signature = inspect.signature(function, eval_str=True)
    sets: dict[str, Any] = {}
    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        alone = parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        if not has(parameter.annotation):
            parameters.append(alone)
            continue
        sets[name] = parameter.annotation
        hints = get_type_hints(sets[name], include_extras=True)
        parameters += [
            alone.replace(name=field.name, default=field.default, annotation=hints[field.name])
            for field in fields(sets[name])
        ]

    @wraps(function)
    def command(**given: Any) -> None:
        for name, option_set in sets.items():
            given[name] = option_set(**{f.name: given.pop(f.name) for f in fields(option_set)})
        function(**given)

    # typer takes the options from the signature, and calls the function with keywords.
    vars(command)["__signature__"] = signature.replace(parameters=parameters)
    return command


@frozen
class WhichTrade:
    """The options that name one trade."""

    order_id: Annotated[str | None, typer.Argument(help="The order's id.")] = None
    trade_id: Annotated[
        int | None, option("ID", "The trade's id in the book, instead of ORDER_ID.", min=1)
    ] = None
    execution_id: Annotated[
        str | None, option("ID", "The fill, for an order that has several.")
    ] = None

    def __attrs_post_init__(self) -> None:
        """Refuse none and both of ORDER_ID and `--trade-id`."""
        if (self.order_id is None) == (self.trade_id is None):
            raise typer.BadParameter("say which trade: either ORDER_ID or --trade-id ID")


@frozen
class AsOf:
    """The options that name a time in the past, by booking times or by trade times."""

    time: Annotated[
        datetime | None,
        typer.Option(
            "--as-of",
            metavar="TIME",
            parser=time_option,
            help="Show the book at a time in the past, such as 2024-05-17T16:00 (in UTC unless it has an "
            "offset; a date alone is its first moment).",
        ),
    ] = None
    given_by: Annotated[
        Literal["booked", "executed"] | None,
        typer.Option(
            "--by",
            case_sensitive=False,
            help="With --as-of: what the book held then (booked, the default), or what was true then by "
            "trade times (executed).",
        ),
    ] = None

    def __attrs_post_init__(self) -> None:
        """Refuse `--by` without `--as-of`, where it would have no effect."""
        if self.given_by is not None and self.time is None:
            raise typer.BadParameter("goes with --as-of", param_hint="--by")

    @property
    def by(self) -> str:
        """The times of the trades that count: `booked` or `executed`."""
        return self.given_by or "booked"

    def __str__(self) -> str:
        """Describe the time: `as of 2024-05-17 16:00:00 UTC, as the book said then`; `""` for now."""
        if self.time is None:
            return ""
        what = "by trade times" if self.by == "executed" else "as the book said then"
        return f"as of {self.time:%Y-%m-%d %H:%M:%S} UTC, {what}"


@frozen
class Period:
    """The options that name a period of time."""

    since: Annotated[datetime | None, option("TIME", "From then on.", parser=time_option)] = None
    until: Annotated[datetime | None, option("TIME", "Before then.", parser=time_option)] = None
