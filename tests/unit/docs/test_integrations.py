"""The code of docs/integrations.md compiles, and what it imports of this package is there; `make integrations` runs it."""

from __future__ import annotations

import ast
import re
from importlib import import_module

import pytest

from tests.support.checkout import ROOT

PAGE = (ROOT / "docs" / "integrations.md").read_text()


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
def test_the_code_compiles_and_imports_what_is_there(code: str) -> None:
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("tradebook"):
            module = import_module(str(node.module))
            for alias in node.names:
                if not hasattr(module, alias.name):
                    import_module(f"{node.module}.{alias.name}")
