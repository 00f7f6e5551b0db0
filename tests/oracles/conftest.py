"""Tests next to other libraries, collected only where these are installed: `make oracles`."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

LIBRARIES: Final = {"empyrical": "test_empyrical.py", "pyxirr": "test_pyxirr.py"}
collect_ignore = [name for library, name in LIBRARIES.items() if find_spec(library) is None]
