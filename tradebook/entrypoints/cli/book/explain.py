"""`explain` and `why`: where a trade, a position, a decision, an alert or an order came from, and what it earned."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any, Final, TypeAlias

import typer
from rich.text import Text
from rich.tree import Tree

from tradebook.domain.errors import NotFound, TradebookError
from tradebook.domain.limits import MAX_ID
from tradebook.entrypoints.cli import output
from tradebook.entrypoints.cli.messages import say
from tradebook.entrypoints.cli.options import (
    CommandContext,
    OrderId,
    OrderSymbol,
    OrderVenue,
)
from tradebook.service_layer.explanations.lineage.explanation import Explanation, NodeKind
from tradebook.service_layer.explanations.lineage.mermaid import as_mermaid
from tradebook.service_layer.explanations.lineage.orders import why as explain_order


class Format(StrEnum):
    """The forms in which an explanation is written."""

    TREE = "tree"
    MERMAID = "mermaid"


class Subject(StrEnum):
    """The kinds of records that are explained."""

    TRADE = "trade"
    POSITION = "position"
    DECISION = "decision"
    ALERT = "alert"


As: TypeAlias = Annotated[
    Format,
    typer.Option(
        "--format",
        help="A tree, or the text of a Mermaid flowchart for a document. --json has every value whole.",
    ),
]

_STYLES: Final = {
    NodeKind.RESULT: "bold green",
    NodeKind.NOTE: "yellow",
    NodeKind.BUST: "red",
    NodeKind.CORRECTION: "red",
}
_USUAL: Final = "bold"
_MAX_DIGITS: Final = len(str(MAX_ID))


def explain(
    context: CommandContext,
    kind: Annotated[Subject, typer.Argument(help="What to explain.")],
    record: Annotated[
        str, typer.Argument(metavar="ID", help="Its id in the book; of a position the symbol.")
    ],
    form: As = Format.TREE,
) -> None:
    """Explain what led to a record, what it led to, and what it earned to the last digit.

    Signals, inputs, actions and verdicts lead to decisions, decisions to orders, orders to fills, fills to P&L:
    the tree shows them with their amounts, and a note where there is no decision, or more than is shown.

    tradebook explain trade 42
    tradebook explain position AAPL
    tradebook explain decision 7 --format mermaid > decision-7.mmd
    tradebook explain alert 3 --json
    """
    wanted = {kind.value: record if kind is Subject.POSITION else _id(record)}
    with context.read_book() as manager:
        found = manager.explain(**wanted)  # type: ignore[arg-type]
    context.answer(
        {"account": context.account, "explanation": found},
        then=lambda: _write(context, [found], form),
    )


def why(
    context: CommandContext,
    order_id: OrderId,
    symbol: OrderSymbol = None,
    venue: OrderVenue = None,
    form: As = Format.TREE,
) -> None:
    """Explain why an order was sent: its decision, its fills, what these closed and earned.

    Where several symbols or venues have an order of this id, each is explained.

    tradebook why o-17
    tradebook why 1 --symbol AAPL --venue XNAS
    """
    with context.read_book() as manager:
        try:
            found = manager.read(explain_order, order_id, symbol=symbol, venue=venue)
        except NotFound as error:
            raise TradebookError(
                f"{error}; list the open ones with: tradebook orders; the latest trades, with the ids of their "
                "orders, with: tradebook trades --wide"
            ) from None
    context.answer(
        {"account": context.account, "explanations": found},
        then=lambda: _write(context, found, form),
    )


def _id(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise typer.BadParameter(
            f"{text!r}: write the id of a record, a whole number; tradebook trades, decisions and alerts list them",
            param_hint="ID",
        )
    return int(text)


def _write(context: CommandContext, found: Sequence[Explanation], form: Format) -> None:
    """Write explanations one below the other; with `--wide` no line is broken."""
    for explanation in found:
        if form is Format.MERMAID:
            typer.echo(as_mermaid(explanation), nl=False)
        elif context.wide:
            say(str(explanation))
        else:
            output.stdout().print(rich_tree(explanation))


def rich_tree(node: Explanation) -> Tree:
    """Draw an explanation as a tree whose lines wrap under their guides."""
    tree = Tree(_text(node), guide_style="dim")
    for child in node.children:
        tree.children.append(rich_tree(child))
    return tree


def _text(node: Explanation) -> Text:
    """Return the lines of a node; of recorded text none is read as markup."""
    title, *lines = node.label
    parts: list[Any] = [(title, _STYLES.get(node.kind, _USUAL))]
    for line in lines[: 1 if node.amounts else 0]:
        parts.append(f"\n{line}")
    for line in lines[1 if node.amounts else 0 :]:
        parts.append((f"\n{line}", "dim"))
    return Text.assemble(*parts)
