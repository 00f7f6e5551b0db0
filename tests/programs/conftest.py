"""Tests against bots and clients of venues, collected only where those are installed: `make integrations`."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

PROGRAMS: Final = {
    "freqtrade": ["test_freqtrade.py"],
    "nautilus_trader": ["test_nautilus.py"],
    "alpaca": ["test_alpaca.py"],
}
collect_ignore = [
    name for program, names in PROGRAMS.items() if find_spec(program) is None for name in names
]
