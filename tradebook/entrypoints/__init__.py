"""Entry points: the managers, the command line, and the container that wires them."""

from __future__ import annotations
