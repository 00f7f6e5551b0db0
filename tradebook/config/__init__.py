"""Where the book is, and how to reach it: from code, from a URL, from the environment's variables."""

from __future__ import annotations

from tradebook.config.database import DatabaseConfig
from tradebook.config.environment import DatabaseEnvironment, Setting, variables_help
from tradebook.config.secrets import Secret

__all__ = ["DatabaseConfig", "DatabaseEnvironment", "Secret", "Setting", "variables_help"]
