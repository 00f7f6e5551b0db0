"""The configuration of a database: from code, from a URL, from the environment's variables."""

from __future__ import annotations

from tradebook.config.database import DatabaseConfig
from tradebook.config.environment import DatabaseEnvironment, Setting
from tradebook.config.secrets import Secret
from tradebook.config.variables import variables_help

__all__ = ["DatabaseConfig", "DatabaseEnvironment", "Secret", "Setting", "variables_help"]
