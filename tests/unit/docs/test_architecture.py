"""docs/architecture.md and CONTRIBUTING.md: every path, name and target that they mention exists."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from tests.support.checkout import ROOT

ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
SOURCES = ("tradebook", "tests", "alembic")
WORDS_OF_OTHERS = {"account", "mypy", "FULL", "D", "make", "demo.db", "PYTHON"}
"""Names in backticks that are no names of ours: a column, tools, a variable of make."""


@cache
def names() -> set[str]:
    """Return every name that our files define: modules, classes, functions, constants, fields."""
    found: set[str] = set()
    for source in SOURCES:
        for file in (ROOT / source).rglob("*.py"):
            found |= {file.stem, file.parent.name}
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                    found.add(node.name)
                elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    found.add(node.id)
                elif isinstance(node, ast.arg):
                    found.add(node.arg)
    return found


def in_backticks(document: str) -> list[str]:
    prose = re.sub(r"```.*?```", "", document, flags=re.DOTALL)
    return re.findall(r"`([^`]+)`", prose)


def identifiers(quoted: str) -> list[str]:
    """Return the identifiers in `handler(uow, ...)`, `tradebook.migrations` or `Book`; none of a command."""
    if not re.fullmatch(r"[A-Za-z_][\w.]*(\([\w, .=*]*\))?", quoted):
        return []
    return [name for name in re.findall(r"[A-Za-z_]\w*", quoted) if name not in WORDS_OF_OTHERS]


@pytest.mark.parametrize(
    "document", [ARCHITECTURE, CONTRIBUTING], ids=["architecture", "contributing"]
)
def test_every_path_exists(document: str) -> None:
    paths = [q for q in in_backticks(document) if re.fullmatch(r"[\w./-]*/[\w./-]*", q)]
    assert len(paths) > 5
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize(
    "document", [ARCHITECTURE, CONTRIBUTING], ids=["architecture", "contributing"]
)
def test_every_name_exists(document: str) -> None:
    mentioned = [name for quoted in in_backticks(document) for name in identifiers(quoted)]
    assert [name for name in mentioned if name not in names()] == []


def test_every_name_in_a_diagram_exists() -> None:
    diagrams = "\n".join(re.findall(r"```mermaid\n(.*?)```", ARCHITECTURE, flags=re.DOTALL))
    mentioned = set(re.findall(r"\b(?:[a-z]+_\w+|[A-Z][a-z]+[A-Z]\w*)\b", diagrams))
    assert len(mentioned) > 5
    assert sorted(name for name in mentioned if name not in names()) == []


def test_every_target_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))
    mentioned = set(re.findall(r"make ([a-z]+)", CONTRIBUTING))
    assert len(mentioned) > 8
    assert mentioned <= targets


def test_every_link_leads_somewhere() -> None:
    for folder, document in ((ROOT / "docs", ARCHITECTURE), (ROOT, CONTRIBUTING)):
        for link in re.findall(r"\]\(([\w./-]+)(?:#[\w-]+)?\)", document):
            assert (folder / link).is_file(), link
