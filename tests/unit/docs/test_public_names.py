"""`help`, `dir` and tab completion list what is public, all of it and nothing else."""

from __future__ import annotations

import pydoc
import rlcompleter
from importlib import import_module
from inspect import isfunction
from pkgutil import walk_packages
from typing import Any

import pytest

import tradebook
from tradebook import Book, handlers, queries

MODULES = (
    *("tradebook", "tradebook.handlers", "tradebook.queries"),
    *("tradebook.testing", "tradebook.testing.strategies"),
)


def named(path: str) -> Any:
    """Return what a user reaches by a dotted name after `import tradebook`."""
    parent, _, name = path.rpartition(".")
    return (
        getattr(import_module(parent), name)
        if name in ("handlers", "queries")
        else import_module(path)
    )


@pytest.mark.parametrize("path", MODULES)
def test_help_dir_and_completion_list_everything_public(path: str) -> None:
    module = named(path)
    public = set(module.__all__)
    assert {name for name in dir(module) if not name.startswith("_")} == public
    completer, completed = rlcompleter.Completer({"it": module}), set()
    while found := completer.complete("it.", len(completed)):
        completed.add(found)
    assert {f.removeprefix("it.").rstrip("()") for f in completed} >= public
    text = pydoc.render_doc(module, renderer=pydoc.plaintext)
    assert [name for name in public if name not in text] == []
    assert all(pydoc.getdoc(getattr(module, n)) for n in public if callable(getattr(module, n)))


@pytest.mark.parametrize("module", [handlers, queries])
def test_every_function_that_a_book_calls_by_name_is_exported(module: Any) -> None:
    below = [import_module(m.name) for m in walk_packages(module.__path__, f"{module.__name__}.")]
    mine = {
        name
        for each in below
        for name, value in vars(each).items()
        if isfunction(value) and value.__module__ == each.__name__ and hasattr(Book, name)
    }
    assert mine - set(module.__all__) == set()


def test_the_names_of_the_package_can_be_imported() -> None:
    assert [name for name in tradebook.__all__ if not hasattr(tradebook, name)] == []
    assert "__version__" in dir(tradebook)
