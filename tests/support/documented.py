"""Code of the documentation, as it stands there."""

from __future__ import annotations

import re

from tests.support.checkout import ROOT


def documented_code(page: str, heading: str) -> str:
    """Return the first block of Python under a heading of a page."""
    text = (ROOT / "docs" / page).read_text()
    section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert found is not None, f"{page} has no code under {heading!r}"
    return found[1]
