"""Tests next to other libraries, collected only where these are installed: `make oracles`."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore = ["test_empyrical.py"] if find_spec("empyrical") is None else []
