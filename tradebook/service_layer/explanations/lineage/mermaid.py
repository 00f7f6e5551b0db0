"""Explanations as flowcharts of Mermaid, for documents that render them."""

from __future__ import annotations

from typing import Final

from tradebook.domain.errors import InvalidInput
from tradebook.domain.plain_values import is_instance
from tradebook.service_layer.explanations.lineage.explanation import Explanation, NodeKind

_LINE: Final = 120
"""Characters of a line in a box."""
_SHAPES: Final = {
    NodeKind.DECISION: ("{{", "}}"),
    NodeKind.PARENT: ("{{", "}}"),
    NodeKind.CHILD: ("{{", "}}"),
    NodeKind.SIGNAL: ("([", "])"),
    NodeKind.INPUT: ("([", "])"),
    NodeKind.RESULT: ("[[", "]]"),
    NodeKind.NOTE: (">", "]"),
}
_OTHERS: Final = ("[", "]")


def as_mermaid(explanation: Explanation) -> str:
    """Write an explanation as a Mermaid flowchart: a box for each node, with its title and amounts.

    Args:
        explanation: of `explain`.

    Returns:
        The text of a diagram, for a block of Markdown that begins with three backticks and `mermaid`. Text of
        records is escaped, so that none of it is read as Mermaid or HTML.

    Raises:
        InvalidInput: not an explanation.
    """
    if not is_instance(explanation, Explanation):
        raise InvalidInput("explanation", explanation, "the result of explain")
    lines = ["flowchart LR"]
    _add(explanation, lines, [])
    return "\n".join(lines) + "\n"


def _add(node: Explanation, lines: list[str], names: list[str]) -> str:
    """Add the lines of a node and of all below it, and return its name; `names` are those given so far."""
    name = f"n{len(names)}"
    names.append(name)
    begin, end = _SHAPES.get(node.kind, _OTHERS)
    shown = node.label[: 2 if node.amounts else 1]
    lines.append(f'    {name}{begin}"{"<br/>".join(map(_escaped, shown))}"{end}')
    for child in node.children:
        below = _add(child, lines, names)
        lines.append(f"    {name} --> {below}")
    return name


def _escaped(text: str) -> str:
    """Write every character that Mermaid or HTML could read as its entity code."""
    short = text if len(text) <= _LINE else f"{text[:_LINE]}..."
    return "".join(c if c.isalnum() or c in _PLAIN else f"#{ord(c)};" for c in short)


_PLAIN: Final = " .,:-+/_()"
